//! INSERT in all its forms, defaults in DML, and what TRUNCATE does.

use super::{another, fail, lines, rows, run, warehouse};

#[tokio::test]
async fn default_stands_for_the_columns_default() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (id NUMBER, a VARCHAR(10) DEFAULT 'x', b NUMBER(10,2))",
    )
    .await;
    run(
        &mut session,
        "INSERT INTO t VALUES (1, DEFAULT, 3), (2, 'y', DEFAULT)",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["1|x|3.00", "2|y|-"]
    );
    run(&mut session, "UPDATE t SET a = DEFAULT, b = DEFAULT").await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["1|x|-", "2|x|-"]
    );
    let merge = "MERGE INTO t USING (SELECT column1 AS id FROM VALUES (1), (3)) s ON t.id = s.id
                 WHEN MATCHED THEN UPDATE SET b = 5 WHEN NOT MATCHED THEN INSERT VALUES (s.id, DEFAULT, DEFAULT)";
    assert_eq!(lines(&run(&mut session, merge).await), ["1|1"]);
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["1|x|5.00", "2|x|-", "3|x|-"]
    );
}

#[tokio::test]
async fn an_overwriting_insert_takes_the_place_of_all_rows() {
    let (engine, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (a NUMBER NOT NULL); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    assert_eq!(
        lines(&run(&mut session, "INSERT OVERWRITE INTO t SELECT a + 10 FROM t").await),
        ["2"]
    );
    assert_eq!(
        rows(&mut session, "SELECT a FROM t ORDER BY a").await,
        ["11", "12"]
    );
    assert_eq!(
        fail(&mut session, "INSERT OVERWRITE INTO t VALUES (NULL)")
            .await
            .code,
        "100072"
    );
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["2"]);
    run(&mut session, "BEGIN; INSERT OVERWRITE INTO t VALUES (7)").await;
    let mut other = another(&engine).await;
    run(&mut other, "ALTER SESSION SET LOCK_TIMEOUT = 0").await;
    assert_eq!(
        fail(&mut other, "INSERT OVERWRITE INTO t VALUES (8)")
            .await
            .code,
        "000625"
    );
    assert_eq!(rows(&mut other, "SELECT COUNT(*) FROM t").await, ["2"]);
    run(&mut session, "COMMIT").await;
    assert_eq!(rows(&mut other, "SELECT a FROM t").await, ["7"]);
}

#[tokio::test]
async fn rows_go_where_the_conditions_send_them() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE big (n NUMBER); CREATE TABLE odd (n NUMBER); CREATE TABLE rest (n NUMBER, d NUMBER DEFAULT 7)").await;
    let source = "SELECT column1 AS n FROM VALUES (1), (2), (8), (9), (NULL)";
    let when =
        "WHEN n > 5 THEN INTO big WHEN n % 2 = 1 THEN INTO odd VALUES (n * 10) ELSE INTO rest (n)";
    let count = "SELECT (SELECT LISTAGG(n, ',') WITHIN GROUP (ORDER BY n) FROM big), (SELECT LISTAGG(n, ',') WITHIN GROUP (ORDER BY n) FROM odd),
                 (SELECT LISTAGG(NVL(n, 0) || ':' || d, ',') WITHIN GROUP (ORDER BY n) FROM rest)";
    for (kind, counts, expected) in [
        ("ALL", "2|2|2", "8,9|10,90|2:7,0:7"),
        ("FIRST", "2|1|2", "8,9|10|2:7,0:7"),
    ] {
        run(&mut session, "TRUNCATE big; TRUNCATE odd; TRUNCATE rest").await;
        let grid = run(&mut session, &format!("INSERT {kind} {when} {source}")).await;
        assert_eq!(lines(&grid), [counts], "{kind}");
        assert_eq!(rows(&mut session, count).await, [expected], "{kind}");
    }
    run(
        &mut session,
        &format!("INSERT OVERWRITE ALL INTO big INTO rest (n) {source}"),
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT (SELECT COUNT(*) FROM big), (SELECT COUNT(*) FROM odd), (SELECT COUNT(*) FROM rest)").await,
        ["5|1|5"]
    );
}

#[tokio::test]
async fn truncate_may_find_no_table() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1); TRUNCATE TABLE IF EXISTS nosuch; TRUNCATE TABLE IF EXISTS t").await;
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["0"]);
    assert_eq!(
        fail(&mut session, "TRUNCATE TABLE nosuch").await.code,
        "002003"
    );
}

#[tokio::test]
async fn a_merge_takes_the_first_clause_that_a_row_meets() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE t (id NUMBER, a VARCHAR); INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old')").await;
    let merge = "MERGE INTO t USING (SELECT column1 AS id, column2 AS a FROM VALUES (1, 'gone'), (2, 'new'), (3, 'same'), (4, 'new'), (5, 'no')) s ON t.id = s.id
        WHEN MATCHED AND s.a = 'gone' THEN DELETE WHEN MATCHED AND s.a = 'new' THEN UPDATE SET t.a = s.a
        WHEN NOT MATCHED AND s.a = 'new' THEN INSERT (id, a) VALUES (s.id, s.a)";
    assert_eq!(lines(&run(&mut session, merge).await), ["1|1|1"]);
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY id").await,
        ["2|new", "3|old", "4|new"]
    );
    let twice = "MERGE INTO t USING (SELECT column1 AS id FROM VALUES (2), (2)) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 'x'";
    assert_eq!(fail(&mut session, twice).await.code, "100090");
}
