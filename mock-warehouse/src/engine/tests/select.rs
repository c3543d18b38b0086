//! Queries: literals, types, names, functions, errors.

use super::{Bindings, binding, fail, rows, run, warehouse};

/// Type, precision, scale, length and byte length of each column.
async fn described(sql: &str) -> Vec<String> {
    let (_, mut session) = warehouse().await;
    let grid = run(&mut session, sql).await;
    let number = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    grid.columns
        .iter()
        .map(|column| {
            format!(
                "{} {} {} {} {} {} {}",
                column.name,
                column.type_,
                number(column.precision),
                number(column.scale),
                number(column.length),
                number(column.byte_length),
                column.nullable
            )
        })
        .collect()
}

#[tokio::test]
async fn columns_are_described_as_recorded() {
    for (sql, expected) in [
        (
            "SELECT 1 AS a, 'x' AS b",
            vec!["A fixed 1 0 - - false", "B text - - 1 4 false"],
        ),
        (
            "SELECT 1 AS a, 2 AS a",
            vec!["A fixed 1 0 - - false", "A fixed 1 0 - - false"],
        ),
        (
            "SELECT 1.2345678901234567890123456789012345678::NUMBER(38,37)",
            vec!["1.2345678901234567890123456789012345678::NUMBER(38,37) fixed 38 37 - - false"],
        ),
        (
            "SELECT 'NaN'::FLOAT",
            vec!["'NAN'::FLOAT real - - - - false"],
        ),
        (
            "SELECT '1900-01-01'::DATE",
            vec!["'1900-01-01'::DATE date - - - - false"],
        ),
        (
            "SELECT COUNT(*) FROM VALUES (1)",
            vec!["COUNT(*) fixed 18 0 - - false"],
        ),
        (
            "SELECT CURRENT_TIMESTAMP()::STRING",
            vec!["CURRENT_TIMESTAMP()::STRING text - - 134217728 134217728 false"],
        ),
        (
            "SELECT CURRENT_TIMESTAMP() AS t",
            vec!["T timestamp_ltz 0 9 - - false"],
        ),
        (
            "SELECT PARSE_JSON('1') AS v",
            vec!["V variant - - - - true"],
        ),
    ] {
        assert_eq!(described(sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn values_are_encoded_as_recorded() {
    let (_, mut session) = warehouse().await;
    for (sql, expected) in [
        ("SELECT 1, 2", "1|2"),
        (
            "SELECT 1/2, 7/3, -1/3, 10/4::NUMBER(10,2)",
            "0.500000|2.333333|-0.333333|2.500000",
        ),
        (
            "SELECT 1.5 * 2.25, 0.1 + 0.2, 5 - 7, 7 % 4",
            "3.375|0.3|-2|3",
        ),
        (
            "SELECT ROUND(2.345, 2), ROUND(-2.5), ROUND(1234, -2), ROUND(0.5)",
            "2.35|-3|1200|1",
        ),
        (
            "SELECT FLOOR(-1.5), CEIL(-1.5), TRUNC(1.99, 1), ABS(-3.5)",
            "-2|-1|1.9|3.5",
        ),
        (
            "SELECT 'NaN'::FLOAT, 'inf'::FLOAT, '-inf'::FLOAT, 1.5::FLOAT",
            "NaN|inf|-inf|1.5",
        ),
        ("SELECT '1900-01-01'::DATE", "-25567"),
        (
            "SELECT 'true'::BOOLEAN, NULL::DATE, 1::BOOLEAN",
            "true|-|true",
        ),
        (
            "SELECT '2026-10-09 12:34:56.123456'::TIMESTAMP_NTZ(6)",
            "1791549296.123456",
        ),
        (
            "SELECT '2026-10-09T12:34:56Z'::TIMESTAMP_LTZ",
            "1791549296.000000000",
        ),
        (
            "SELECT '9999-12-31 00:00:00'::TIMESTAMP_NTZ(6)",
            "253402214400.000000",
        ),
        (
            "SELECT '2026-10-09'::DATE::STRING, 12.50::VARCHAR, TRUE::VARCHAR",
            "2026-10-09|12.50|true",
        ),
        (
            "SELECT 1.005::NUMBER(10,2), 'abc' || 1, '12.345'::NUMBER(10,1)",
            "1.01|abc1|12.3",
        ),
        ("SELECT PARSE_JSON('{\"a\":[1,2]}'):a[1]::NUMBER", "2"),
        (
            "SELECT DIV0(1, 0), ZEROIFNULL(NULL), NULLIF(1, 1), NVL(NULL, 2), IFF(1 > 2, 'a', 'b')",
            "0.000000|0|-|2|b",
        ),
        (
            "SELECT EQUAL_NULL(NULL, NULL), EQUAL_NULL(1, NULL), COALESCE(NULL, 3)",
            "true|false|3",
        ),
        (
            "SELECT DATE_TRUNC('month', '2026-10-09'::DATE), DATEADD(day, -1, '2026-10-09'::DATE)",
            "20727|20734",
        ),
        (
            "SELECT DATE_TRUNC(HOUR, '2026-10-09 12:34:56'::TIMESTAMP_NTZ(0))",
            "1791547200",
        ),
        (
            "SELECT DATEDIFF(day, '2026-10-01'::DATE, '2026-10-09'::DATE), YEAR('2026-10-09'::DATE)",
            "8|2026",
        ),
        (
            "SELECT CONVERT_TIMEZONE('Europe/Berlin', '2026-07-01T10:00:00Z'::TIMESTAMP_LTZ)::STRING",
            "2026-07-01 12:00:00.000",
        ),
        (
            "SELECT CONVERT_TIMEZONE('UTC', 'Asia/Tokyo', '2026-07-01 10:00:00'::TIMESTAMP_NTZ)::STRING",
            "2026-07-01 19:00:00.000",
        ),
        (
            "SELECT UPPER('a'), SUBSTR('hello', 2, 3), LEFT('abc', 2), SPLIT_PART('a.b', '.', 2), TRIM(' x ')",
            "A|ell|ab|b|x",
        ),
        (
            "SELECT TRY_CAST('x' AS NUMBER), TRY_TO_NUMBER('7'), TO_NUMBER('1.25', 10, 2)",
            "-|7|1.25",
        ),
        (
            "SELECT SUM(column1), COUNT_IF(column1 > 1), COUNT(DISTINCT column2), AVG(column1) FROM VALUES (1, 'a'), (2, 'a'), (NULL, 'b')",
            "3|1|2|1.500000",
        ),
        ("SELECT SYSTEM$WAIT(0)", "waited 0 seconds"),
        (
            "SELECT COUNT(*), MAX(n) FROM (SELECT SEQ4() AS n FROM TABLE(GENERATOR(ROWCOUNT => 2000)))",
            "2000|1999",
        ),
        (
            "SELECT CURRENT_ROLE(), CURRENT_DATABASE(), CURRENT_SCHEMA()",
            "ACCOUNTADMIN|D|S",
        ),
        (
            "SELECT CASE WHEN NULL THEN 1 ELSE 2 END, 'it''s', 'a\\\\b'",
            "2|it's|a\\b",
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn rows_come_in_the_order_that_is_asked_for() {
    let (_, mut session) = warehouse().await;
    for (sql, expected) in [
        (
            "SELECT column1 FROM VALUES (2), (NULL), (1) ORDER BY column1",
            vec!["1", "2", "-"],
        ),
        (
            "SELECT column1 FROM VALUES (2), (NULL), (1) ORDER BY 1 DESC",
            vec!["-", "2", "1"],
        ),
        (
            "SELECT column1 FROM VALUES (2), (NULL), (1) ORDER BY 1 DESC NULLS LAST LIMIT 2",
            vec!["2", "1"],
        ),
        (
            "SELECT column1 AS k, SUM(column2) AS s FROM VALUES ('a', 1), ('b', 2), ('a', 3) GROUP BY 1 HAVING s > 1 ORDER BY k",
            vec!["a|4", "b|2"],
        ),
        (
            "SELECT column1, column2 FROM VALUES ('a', 1), ('a', 2), ('b', 1) QUALIFY ROW_NUMBER() OVER (PARTITION BY column1 ORDER BY column2 DESC) = 1 ORDER BY 1",
            vec!["a|2", "b|1"],
        ),
        (
            "WITH t AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT x FROM t ORDER BY x DESC",
            vec!["2", "1"],
        ),
        (
            "SELECT LAG(column1, 1) OVER (ORDER BY column1) FROM VALUES (1), (2)",
            vec!["-", "1"],
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn errors_are_snowflakes() {
    let (_, mut session) = warehouse().await;
    for (sql, code, state, message) in [
        (
            "SELEC 1",
            "001003",
            "42000",
            "SQL compilation error:\nsyntax error line 1 at position 0 unexpected 'SELEC'.",
        ),
        ("SELECT 1/0", "100051", "22012", "Division by zero"),
        (
            "SELECT 'abc'::NUMBER",
            "100038",
            "22018",
            "Numeric value 'abc' is not recognized",
        ),
        (
            "SELECT nosuch FROM VALUES (1)",
            "000904",
            "42000",
            "SQL compilation error: error line 1 at position 7\ninvalid identifier 'NOSUCH'",
        ),
        (
            "SELECT FROBNICATE(1)",
            "002140",
            "42601",
            "SQL compilation error:\nUnknown function FROBNICATE.",
        ),
        (
            "SELECT 12345::NUMBER(3,0)",
            "100039",
            "22003",
            "Numeric value '12345' is out of range",
        ),
        (
            "CREATE INDEX ix ON t (id)",
            "000002",
            "0A000",
            "Unsupported feature 'SECONDARY INDEX'.",
        ),
    ] {
        let error = fail(&mut session, sql).await;
        assert_eq!(
            (
                error.code.as_str(),
                error.sql_state.as_str(),
                error.message.as_str()
            ),
            (code, state, message),
            "{sql}"
        );
    }
    let error = fail(&mut session, "SELECT * FROM dbimp_it_nosuch").await;
    assert_eq!(
        (error.code.as_str(), error.sql_state.as_str()),
        ("002003", "42S02")
    );
    assert!(
        error.message.starts_with(
            "SQL compilation error:\nObject 'DBIMP_IT_NOSUCH' does not exist or not authorized."
        ),
        "{error}"
    );
    let error = fail(
        &mut session,
        "SELECT 1/(n-500) FROM (SELECT SEQ4() AS n FROM TABLE(GENERATOR(ROWCOUNT => 1000)))",
    )
    .await;
    assert_eq!(error.code, "100051");
}

#[tokio::test]
async fn placeholders_take_their_bindings() {
    let (_, mut session) = warehouse().await;
    let bindings = Bindings::from([
        ("1".to_owned(), binding("FIXED", "42")),
        ("2".to_owned(), binding("TEXT", "it's")),
        ("3".to_owned(), binding("DATE", "1791504000000")),
        (
            "4".to_owned(),
            binding("TIMESTAMP_NTZ", "1791549296123456789"),
        ),
        ("a".to_owned(), binding("FIXED", "-7.50")),
    ]);
    let grid = session
        .execute("SELECT ?, ?, ?, ?, :1, :a", &bindings)
        .await
        .unwrap();
    assert_eq!(
        super::lines(&grid),
        ["42|it's|20735|1791549296.123456789|42|-7.50"]
    );
    assert_eq!(
        (grid.columns[0].precision, grid.columns[0].name.as_str()),
        (Some(2), "?")
    );
    let error = session
        .execute(
            "SELECT ?, ?",
            &Bindings::from([("1".to_owned(), binding("FIXED", "1"))]),
        )
        .await
        .unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        (
            "002049",
            "SQL compilation error: error line 1 at position 10\nBind variable ? not set."
        )
    );
    let error = session
        .execute(
            "SELECT ?",
            &Bindings::from([("1".to_owned(), binding("FIXED", "abc"))]),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, "002086");
    let error = session
        .execute(
            "SELECT ?",
            &Bindings::from([("1".to_owned(), binding("VARIANT", "{}"))]),
        )
        .await
        .unwrap_err();
    assert_eq!(error.code, "002040");
}

#[tokio::test]
async fn a_number_is_compared_with_text_as_a_number() {
    let (_, mut session) = warehouse().await;
    let sql = "SELECT column1 FROM VALUES (10), (9), (1) WHERE column1 > '5' ORDER BY 1";
    assert_eq!(rows(&mut session, sql).await, ["9", "10"]);
    assert_eq!(
        rows(
            &mut session,
            "SELECT 1 = '1.0', '2026-10-09'::DATE < '2026-10-10'"
        )
        .await,
        ["true|true"]
    );
}

#[tokio::test]
async fn the_information_schema_knows_tables_and_columns() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE t (a NUMBER(10,2) NOT NULL, b VARCHAR DEFAULT 'x'); INSERT INTO t VALUES (1, 'y'); CREATE VIEW v AS SELECT * FROM t").await;
    assert_eq!(
        rows(&mut session, "SELECT table_name, table_type, row_count FROM information_schema.tables WHERE table_schema = 'S' ORDER BY 1").await,
        ["T|BASE TABLE|1", "V|VIEW|-"]
    );
    assert_eq!(
        rows(&mut session, "SELECT column_name, data_type, numeric_scale, is_nullable FROM D.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 'T' ORDER BY ordinal_position").await,
        ["A|NUMBER|2|NO", "B|TEXT|-|YES"]
    );
}
