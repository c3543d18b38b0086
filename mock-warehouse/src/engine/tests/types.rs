//! Types beside numbers and text: times with an offset, bytes, JSON, shapes and vectors, and the formats of dates.

use super::*;

async fn administered() -> Session {
    warehouse().await.1
}

#[tokio::test]
async fn times_with_an_offset_keep_it() {
    let mut session = administered().await;
    for (sql, expected) in [
        (
            "SELECT '2026-10-09 12:34:56.5 +0700'::TIMESTAMP_TZ(3)",
            "1791524096.500 1860",
        ),
        (
            "SELECT '2026-10-09 12:00:00'::TIMESTAMP_TZ(0)",
            "1791547200 1440",
        ),
        (
            "SELECT '2026-10-09 01:00:00 +0700'::TIMESTAMP_TZ::STRING",
            "2026-10-09 01:00:00.000 +0700",
        ),
        (
            "SELECT '2026-10-09 01:00:00 +0700'::TIMESTAMP_TZ::DATE::STRING",
            "2026-10-09",
        ),
        (
            "SELECT '2026-10-09 01:00:00 +0700'::TIMESTAMP_TZ::TIMESTAMP_NTZ::STRING",
            "2026-10-09 01:00:00.000",
        ),
        (
            "SELECT '2026-10-09 01:00:00 +0700'::TIMESTAMP_TZ::TIMESTAMP_LTZ::STRING",
            "2026-10-08 18:00:00.000 Z",
        ),
        (
            "SELECT '2026-10-09 01:02:03 +0700'::TIMESTAMP_TZ::TIME::STRING",
            "01:02:03",
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn moments_sort_and_are_not_compared_by_their_bytes() {
    let mut session = administered().await;
    run(
        &mut session,
        "CREATE TABLE t (n NUMBER, at TIMESTAMP_TZ); INSERT INTO t VALUES (2, '2026-01-01 02:00:00 +0000'), \
         (1, '2026-01-01 02:00:00 +0100'), (3, '1969-12-31 00:00:00 +0000')",
    )
    .await;
    let sorted = rows(&mut session, "SELECT n FROM t ORDER BY at").await;
    assert_eq!(sorted, ["3", "1", "2"]);
    for sql in [
        "SELECT n FROM t WHERE at IN ('2026-01-01 02:00:00 +0000'::TIMESTAMP_TZ)",
        "SELECT at, COUNT(*) FROM t GROUP BY at",
        "SELECT DISTINCT at FROM t",
        "SELECT a.n FROM t a JOIN t b USING (at)",
        "SELECT COUNT(DISTINCT at) FROM t",
        "SELECT MAX(at) FROM t",
        "SELECT n, ROW_NUMBER() OVER (PARTITION BY at ORDER BY n) FROM t",
    ] {
        let error = fail(&mut session, sql).await;
        assert_eq!(
            error.message, "Unsupported feature 'COMPARISON OF TIMESTAMP_TZ'.",
            "{sql}"
        );
    }
}

#[tokio::test]
async fn bytes_are_hexadecimal_digits() {
    let mut session = administered().await;
    assert_eq!(
        rows(&mut session, "SELECT 'dead'::BINARY, TO_BINARY('00FF')").await,
        ["DEAD|00FF"]
    );
    assert_eq!(
        fail(&mut session, "SELECT 'xy'::BINARY").await.code,
        "100115"
    );
    assert_eq!(
        fail(&mut session, "SELECT 'DEAD'::BINARY(1)").await.code,
        "100145"
    );
    assert_eq!(
        fail(&mut session, "SELECT TO_BINARY('a', 'UTF-8')")
            .await
            .code,
        "000002"
    );
}

#[tokio::test]
async fn arrays_and_objects_are_json_with_holes() {
    let mut session = administered().await;
    for (sql, expected) in [
        ("SELECT ARRAY_CONSTRUCT()", "[]"),
        (
            "SELECT [1, 'undefined', NULL]",
            "[\n  1,\n  \"undefined\",\n  undefined\n]",
        ),
        (
            "SELECT OBJECT_CONSTRUCT('b', 1, 'a', [TRUE], 'c', NULL)",
            "{\n  \"a\": [\n    true\n  ],\n  \"b\": 1\n}",
        ),
        (
            "SELECT PARSE_JSON('{\"b\":1,\"a\":2}')",
            "{\n  \"a\": 2,\n  \"b\": 1\n}",
        ),
        (
            "SELECT v:a[2] FROM (SELECT OBJECT_CONSTRUCT('a', [1, 2, NULL]) AS v)",
            "-",
        ),
        (
            "SELECT v:a[1]::NUMBER FROM (SELECT OBJECT_CONSTRUCT('a', [1, 2, NULL]) AS v)",
            "2",
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, [expected], "{sql}");
    }
    assert_eq!(
        fail(&mut session, "SELECT OBJECT_CONSTRUCT('a')")
            .await
            .code,
        "000938"
    );
}

#[tokio::test]
async fn vectors_have_the_length_that_they_say() {
    let mut session = administered().await;
    assert_eq!(
        rows(&mut session, "SELECT [1, -2]::VECTOR(INT, 2)").await,
        ["[1,-2]"]
    );
    run(
        &mut session,
        "CREATE TABLE v (x VECTOR(FLOAT, 2)); INSERT INTO v SELECT [0.5, 1]::VECTOR(FLOAT, 2); INSERT INTO v SELECT NULL",
    )
    .await;
    let stored = rows(&mut session, "SELECT x FROM v").await;
    assert_eq!(stored, ["[0.500000,1.000000]", "-"]);
    assert_eq!(
        fail(&mut session, "SELECT [1]::VECTOR(FLOAT, 2)")
            .await
            .code,
        "100432"
    );
    assert_eq!(
        fail(&mut session, "SELECT [1.5]::VECTOR(INT, 1)")
            .await
            .code,
        "100432"
    );
    assert_eq!(
        fail(&mut session, "SELECT x::VECTOR(FLOAT, 3) FROM v")
            .await
            .code,
        "000002"
    );
    assert_eq!(
        fail(&mut session, "SELECT '[1]'::VECTOR(INT, 1)")
            .await
            .code,
        "000002"
    );
}

#[tokio::test]
async fn shapes_do_not_turn_into_other_things() {
    let mut session = administered().await;
    let shape = rows(&mut session, "SELECT TO_GEOGRAPHY('POINT(1.5 2)')::STRING").await;
    assert_eq!(shape, ["{\"coordinates\":[1.5,2],\"type\":\"Point\"}"]);
    for sql in [
        "SELECT TO_GEOGRAPHY('POINT(1 2)')::NUMBER",
        "SELECT TO_GEOMETRY('CIRCLE(1)')",
    ] {
        assert_eq!(fail(&mut session, sql).await.code, "000002", "{sql}");
    }
}

#[tokio::test]
async fn formats_of_the_session_are_used_for_text_and_for_results() {
    let mut session = administered().await;
    run(
        &mut session,
        "ALTER SESSION SET DATE_OUTPUT_FORMAT = 'DD.MM.YYYY', TIMESTAMP_NTZ_OUTPUT_FORMAT = 'YYYY/MM/DD HH24:MI', \
         TIMESTAMP_OUTPUT_FORMAT = 'HH24:MI:SS.FF3 TZH:TZM'",
    )
    .await;
    for (sql, expected) in [
        ("SELECT '2026-10-09'::DATE", "09.10.2026"),
        (
            "SELECT '2026-10-09 01:02:03'::TIMESTAMP_NTZ::STRING",
            "2026/10/09 01:02",
        ),
        (
            "SELECT '2026-10-09 01:02:03 +0130'::TIMESTAMP_TZ",
            "01:02:03.000 +01:30",
        ),
        (
            "SELECT '2026-10-09 01:02:03 +0130'::TIMESTAMP_LTZ",
            "23:32:03.000 +00:00",
        ),
    ] {
        assert_eq!(rows(&mut session, sql).await, [expected], "{sql}");
    }
    run(
        &mut session,
        "ALTER SESSION SET BINARY_OUTPUT_FORMAT = 'BASE64'",
    )
    .await;
    assert_eq!(fail(&mut session, "SELECT 1").await.code, "000002");
}

#[tokio::test]
async fn a_result_has_as_many_rows_as_the_session_allows() {
    let mut session = administered().await;
    let sql = "SELECT seq4() FROM TABLE(GENERATOR(ROWCOUNT => 5))";
    run(&mut session, "ALTER SESSION SET ROWS_PER_RESULTSET = 2").await;
    assert_eq!(rows(&mut session, sql).await, ["0", "1"]);
    run(&mut session, "ALTER SESSION SET ROWS_PER_RESULTSET = 0").await;
    assert_eq!(rows(&mut session, sql).await.len(), 5);
}

#[tokio::test]
async fn several_tables_take_the_rows_of_one_query_or_none_does() {
    let mut session = administered().await;
    run(
        &mut session,
        "CREATE TABLE a (n NUMBER, s VARCHAR); CREATE TABLE b (n NUMBER NOT NULL, d NUMBER DEFAULT 7)",
    )
    .await;
    let insert = "INSERT ALL INTO a INTO b (n) VALUES (n + 1) INTO b VALUES (n, DEFAULT) SELECT 1 AS n, 'x' AS s";
    let grid = run(&mut session, insert).await;
    assert_eq!(lines(&grid), ["1|1|1"]);
    assert_eq!(rows(&mut session, "SELECT * FROM a").await, ["1|x"]);
    assert_eq!(
        rows(&mut session, "SELECT * FROM b ORDER BY n").await,
        ["1|7", "2|7"]
    );

    let half = "INSERT ALL INTO a INTO b VALUES (NULL, 1) SELECT 2 AS n, 'y' AS s";
    assert_eq!(fail(&mut session, half).await.code, "100072");
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM a").await, ["1"]);
    for sql in [
        "INSERT ALL INTO a VALUES (n) SELECT 1 AS n",
        "INSERT ALL INTO a VALUES (nosuch, 'x') SELECT 1 AS n",
        "INSERT FIRST INTO a VALUES (n, 'x') SELECT 1 AS n",
    ] {
        fail(&mut session, sql).await;
    }
}

#[tokio::test]
async fn a_batch_of_bindings_is_one_insert() {
    let mut session = administered().await;
    run(&mut session, "CREATE TABLE t (n NUMBER NOT NULL)").await;
    let batch = |values: &[&str]| -> Vec<Bindings> {
        let set = |value: &&str| Bindings::from([("1".to_owned(), binding("FIXED", value))]);
        values.iter().map(set).collect()
    };
    let insert = "INSERT INTO t VALUES (?)";
    let grid = session
        .execute_batch(insert, &batch(&["1", "2"]))
        .await
        .unwrap();
    assert_eq!(lines(&grid), ["2"]);
    let error = session.execute_batch(insert, &batch(&["3", "x"])).await;
    assert_eq!(error.unwrap_err().code, "002086");
    assert_eq!(rows(&mut session, "SELECT n FROM t").await, ["1", "2"]);
    run(
        &mut session,
        "CREATE TABLE u (s VARCHAR, f NUMBER(9,2), d DATE, l NUMBER DEFAULT 7)",
    )
    .await;
    let set = |text: &str, number: &str, date: Option<&str>| {
        let bound = |kind: &str, value: Option<&str>| Binding {
            kind: kind.to_owned(),
            value: value.map(str::to_owned),
        };
        Bindings::from([
            ("1".to_owned(), bound("FIXED", Some(text))),
            ("2".to_owned(), bound("FIXED", Some(number))),
            ("3".to_owned(), bound("DATE", date)),
        ])
    };
    let sets = [
        set("1", "-1.255", None),
        set("2.50", "10", Some("1791504000000")),
    ];
    let insert = "INSERT INTO u (s, f, d) VALUES (?, ? * 2, ?)";
    session.execute_batch(insert, &sets).await.unwrap();
    let kept = rows(&mut session, "SELECT * FROM u ORDER BY s").await;
    assert_eq!(kept, ["1|-2.51|-|7", "2.50|20.00|20735|7"]);
    let narrow = session
        .execute_batch("INSERT INTO u VALUES (?)", &sets)
        .await;
    assert_eq!(narrow.unwrap_err().code, "002020");
    let elsewhere = session.execute_batch("SELECT ?", &batch(&["1", "2"])).await;
    assert_eq!(elsewhere.unwrap_err().code, "000002");
}

#[tokio::test]
async fn rows_are_counted_without_a_warehouse_and_read_only_with_one() {
    let (engine, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (n NUMBER); CREATE VIEW w AS SELECT n FROM t",
    )
    .await;
    let mut idle = engine
        .session(SessionContext {
            user: "ADMIN".to_owned(),
            role: Some("ACCOUNTADMIN".to_owned()),
            ..SessionContext::default()
        })
        .unwrap();
    assert_eq!(rows(&mut idle, "SELECT COUNT(*) FROM D.S.t").await, ["0"]);
    for sql in [
        "SELECT n FROM D.S.t",
        "SELECT COUNT(*) FROM D.S.t WHERE n = 1",
        "SELECT COUNT(n) FROM D.S.t",
        "SELECT COUNT(*) FROM D.S.w",
        "WITH c AS (SELECT n FROM D.S.t) SELECT COUNT(*) FROM c",
    ] {
        assert_eq!(fail(&mut idle, sql).await.code, "000606", "{sql}");
    }
}
