//! Functions and operators, each with its value.

use super::{fail, rows, run, warehouse};

async fn check(cases: &[(&str, &str)]) {
    let (_, mut session) = warehouse().await;
    for (expression, expected) in cases {
        assert_eq!(
            rows(&mut session, &format!("SELECT {expression}")).await,
            [*expected],
            "{expression}"
        );
    }
}

#[tokio::test]
async fn text_is_searched_padded_and_replaced() {
    check(&[
        ("LPAD('a', 3, 'x'), RPAD('a', 3)", "xxa|a  "),
        (
            "CHARINDEX('b', 'abc'), POSITION('b' IN 'abc'), POSITION('z', 'abc')",
            "2|2|0",
        ),
        (
            "TRANSLATE('abc', 'ab', 'xy'), ASCII('a'), CHR(97), SPACE(2) || '.'",
            "xyc|97|a|  .",
        ),
        (
            "CONCAT_WS('-', 'a', 'b'), CONCAT_WS('-', 'a', NULL)",
            "a-b|-",
        ),
        (
            "SHA2('a')",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        ("HEX_ENCODE('ab')", "6162"),
        (
            "REGEXP_LIKE('abc', 'b'), REGEXP_LIKE('abc', '.b.'), REGEXP_LIKE(NULL, 'a')",
            "false|true|-",
        ),
        (
            "'abc' RLIKE 'a.*', 'abc' NOT RLIKE 'a.*', 'abc' REGEXP 'a'",
            "true|false|false",
        ),
        (
            "REGEXP_REPLACE('abcb', 'b', 'x'), REGEXP_REPLACE('abcb', 'b')",
            "axcx|ac",
        ),
        (
            "REGEXP_SUBSTR('abc123', '[0-9]+'), REGEXP_SUBSTR('abc', '[0-9]')",
            "123|-",
        ),
        (
            "REGEXP_SUBSTR('abc', '(b)(c)'), REGEXP_COUNT('abab', 'a'), REGEXP_INSTR('abc', 'c')",
            "bc|2|3",
        ),
        (
            "SPLIT_PART('a,b', ',', 2), SPLIT_PART('a,b', ',', -1), SPLIT_PART('a,b', ',', 0)",
            "b|b|a",
        ),
        ("ILIKE('a', 'A'), LIKE('a', 'A')", "true|false"),
    ])
    .await;
}

#[tokio::test]
async fn numbers_are_compared_and_raised() {
    check(&[
        ("GREATEST(1, 3, 2), LEAST(2, 1), GREATEST(1, NULL)", "3|1|-"),
        ("SIGN(-3), SIGN(0), SIGN(2.5)", "-1|0|1"),
        (
            "SQRT(4), POWER(2, 3), EXP(0), LN(1), LOG(10, 100), SQUARE(3)",
            "2|8|1|0|2|9",
        ),
        ("PI(), DEGREES(PI()), COS(0)", "3.141592653589793|180|1"),
        (
            "1.10 * 2.205, 1.10 / 3, 5 / 2, 1.10 + 2.205",
            "2.42550|0.36666667|2.500000|3.305",
        ),
        ("TRY_TO_BOOLEAN('x'), TRY_TO_BOOLEAN('yes')", "-|true"),
    ])
    .await;
    let (_, mut session) = warehouse().await;
    for (sql, code) in [
        ("SELECT SQRT(-1)", "100044"),
        ("SELECT LN(0)", "100044"),
        ("SELECT NOSUCH(1)", "002140"),
        ("SELECT HASH('a')", "002140"),
        ("SELECT SQRT(1, 2)", "000938"),
        ("SELECT 1 FROM (VALUES (1)) v (a) SAMPLE (10)", "000002"),
        ("SELECT $1 FROM VALUES (1)", "000002"),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}

#[tokio::test]
async fn dates_follow_the_calendar() {
    check(&[
        ("LAST_DAY('2020-02-03'::DATE)::VARCHAR", "2020-02-29"),
        ("ADD_MONTHS('2020-01-31'::DATE, 1)::VARCHAR, ADD_MONTHS('2020-02-29'::DATE, 1)::VARCHAR", "2020-02-29|2020-03-31"),
        ("DAYNAME('2020-02-03'::DATE), MONTHNAME('2020-02-03'::DATE)", "Mon|Feb"),
        ("DATE_FROM_PARTS(2020, 14, 0)::VARCHAR", "2021-01-31"),
        ("TIMESTAMP_FROM_PARTS(2020, 1, 2, 3, 4, 5)::VARCHAR", "2020-01-02 03:04:05.000"),
        ("WEEKISO('2020-01-01'::DATE), YEAROFWEEK('2021-01-01'::DATE)", "1|2020"),
        ("DATE_PART(epoch_second, '2020-01-01'::TIMESTAMP_NTZ)", "1577836800"),
        ("DATE_PART(epoch_millisecond, '2020-01-01'::TIMESTAMP_NTZ)", "1577836800000"),
        ("DATEDIFF(second, '1970-01-01'::DATE, '2020-01-01'::DATE)", "1577836800"),
        ("('2020-01-01'::DATE + 1)::VARCHAR, ('2020-01-01'::DATE - 1)::VARCHAR", "2020-01-02|2019-12-31"),
        ("'2020-01-03'::DATE - '2020-01-01'::DATE", "2"),
        ("DATEADD(hour, 15, '10:00:00'::TIME)::VARCHAR, HOUR('10:10:10'::TIME)", "01:00:00|10"),
        ("DATE_TRUNC('hour', '10:10:10'::TIME)::VARCHAR, DATEDIFF(minute, '10:00:00'::TIME, '11:30:00'::TIME)", "10:00:00|90"),
        ("CURRENT_TIME() IS NULL", "false"),
        ("'12:34:56.789'::TIME(1), '12:34:56.789'::TIME(0), '12:34:56.789'::TIME(3)::TIME", "45296.7|45296|45296.789000000"),
    ])
    .await;
}

#[tokio::test]
async fn timestamps_of_all_kinds_are_compared_by_their_moments() {
    let (_, mut session) = warehouse().await;
    let tz = "'2020-01-01 00:00:00 +0100'::TIMESTAMP_TZ";
    for (condition, expected) in [
        (
            "'2019-12-31 23:00:00 +0000'::TIMESTAMP_TZ",
            "true|false|true",
        ),
        (
            "'2019-12-31 23:00:01 +0000'::TIMESTAMP_TZ",
            "false|true|true",
        ),
        (
            "'2019-12-31 22:00:00 -0100'::TIMESTAMP_TZ",
            "true|false|true",
        ),
        ("'2019-12-31 23:00:00'::TIMESTAMP_NTZ", "true|false|true"),
        ("'2019-12-31 23:00:00'::TIMESTAMP_LTZ", "true|false|true"),
        ("'2019-12-31'::DATE", "false|false|false"),
    ] {
        let sql = format!(
            "SELECT {tz} = {condition}, {tz} < {condition}, {condition} BETWEEN {tz} AND {tz} OR {tz} <= {condition}"
        );
        assert_eq!(rows(&mut session, &sql).await, [expected], "{condition}");
    }
    run(&mut session, "ALTER SESSION SET TIMEZONE = 'Europe/Berlin'").await;
    assert_eq!(
        rows(
            &mut session,
            &format!("SELECT {tz} = '2020-01-01 00:00:00'::TIMESTAMP_NTZ, '2020-01-01'::TIMESTAMP_NTZ = '2020-01-01 00:00:00'::TIMESTAMP_LTZ")
        )
        .await,
        ["true|true"],
        "what has no zone is read in the session's"
    );
    assert_eq!(
        rows(&mut session, &format!("SELECT DATEADD(hour, 1, {tz})::VARCHAR, DATE_TRUNC('month', {tz})::VARCHAR, HOUR({tz}), DATE_PART(epoch_second, {tz})")).await,
        ["2020-01-01 01:00:00.000 +0100|2020-01-01 00:00:00.000 +0100|0|1577833200"]
    );
    run(
        &mut session,
        "CREATE TABLE t (n NUMBER, at TIMESTAMP_TZ); INSERT INTO t VALUES (1, '2026-01-01 02:00:00 +0100'), (2, '2026-01-01 01:00:00 +0000'), (3, '2026-01-01 02:00:00 +0000')",
    )
    .await;
    assert_eq!(
        rows(
            &mut session,
            "SELECT a.n, b.n FROM t a JOIN t b ON a.at = b.at AND a.n < b.n"
        )
        .await,
        ["1|2"]
    );
    assert_eq!(
        rows(
            &mut session,
            "SELECT n FROM t WHERE at > '2026-01-01 01:30:00 +0000'::TIMESTAMP_TZ"
        )
        .await,
        ["3"]
    );
}

#[tokio::test]
async fn aggregates_find_the_middle_and_the_ends() {
    let (_, mut session) = warehouse().await;
    let of = |expression: &str| {
        format!(
            "SELECT {expression} FROM VALUES (1, 'a'), (2, 'b'), (4, 'c'), (10, 'd'), (NULL, 'e')"
        )
    };
    for (expression, expected) in [
        ("MEDIAN(column1), MEDIAN(column1::FLOAT)", "3.000|3"),
        (
            "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY column1)",
            "1.750",
        ),
        ("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY column1)", "2"),
        ("MIN_BY(column2, column1), MAX_BY(column2, column1)", "a|d"),
        (
            "COUNT(column1, column2), COUNT(DISTINCT column1 > 2, 1), COUNT(*)",
            "4|2|5",
        ),
        (
            "COUNT_IF(column1 > 1), APPROX_COUNT_DISTINCT(column1)",
            "3|4",
        ),
        (
            "BOOLAND_AGG(column1 > 0), BOOLOR_AGG(column1 > 9)",
            "true|true",
        ),
    ] {
        assert_eq!(
            rows(&mut session, &of(expression)).await,
            [expected],
            "{expression}"
        );
    }
    let error = fail(
        &mut session,
        &of("PERCENTILE_CONT(2) WITHIN GROUP (ORDER BY column1)"),
    )
    .await;
    assert_eq!(error.code, "001003");
    let titled = run(
        &mut session,
        &of("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY column1)"),
    )
    .await;
    assert_eq!(
        titled.columns[0].name,
        "PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY COLUMN1)"
    );
}
