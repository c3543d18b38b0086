//! Tables, sequences and views: made, altered, and for one session only.

use super::{another, fail, lines, rows, run, warehouse};

#[tokio::test]
async fn a_sequence_gives_no_number_twice() {
    let (engine, mut session) = warehouse().await;
    run(&mut session, "CREATE SEQUENCE a; CREATE SEQUENCE IF NOT EXISTS b START WITH 10 INCREMENT BY -5 COMMENT = 'down'").await;
    assert_eq!(
        rows(&mut session, "SELECT a.NEXTVAL, a.NEXTVAL, b.NEXTVAL").await,
        ["1|2|10"]
    );
    assert_eq!(
        rows(
            &mut session,
            "SELECT b.NEXTVAL, D.S.a.nextval FROM VALUES (1), (2)"
        )
        .await,
        ["5|3", "0|4"]
    );
    run(&mut session, "BEGIN; SELECT a.NEXTVAL; ROLLBACK").await;
    let mut other = another(&engine).await;
    assert_eq!(
        rows(&mut other, "SELECT a.NEXTVAL").await,
        ["6"],
        "a number is not given back"
    );
    run(&mut session, "CREATE OR REPLACE SEQUENCE a START = 100").await;
    assert_eq!(rows(&mut session, "SELECT a.NEXTVAL").await, ["100"]);
    assert_eq!(fail(&mut session, "CREATE SEQUENCE a").await.code, "002002");
    let shown = run(&mut session, "SHOW SEQUENCES LIKE 'B'").await;
    assert_eq!(shown.columns[3].name, "next_value");
    assert_eq!(
        (
            shown.rows[0][3].as_deref(),
            shown.rows[0][4].as_deref(),
            shown.rows[0][7].as_deref()
        ),
        (Some("-5"), Some("-5"), Some("down"))
    );
    assert_eq!(
        run(&mut session, "SHOW SEQUENCES STARTS WITH 'A' LIMIT 5")
            .await
            .rows
            .len(),
        1
    );
    assert_eq!(
        fail(&mut session, "SHOW SEQUENCES NOSUCH").await.code,
        "001003"
    );
    assert_eq!(
        fail(&mut session, "SELECT nosuch.NEXTVAL").await.code,
        "000904"
    );
    run(&mut session, "DROP SEQUENCE a").await;
    assert_eq!(fail(&mut session, "SELECT a.NEXTVAL").await.code, "000904");
}

#[tokio::test]
async fn rows_are_numbered() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE SEQUENCE s START 5; CREATE TABLE t (id NUMBER AUTOINCREMENT START 10 INCREMENT 2 ORDER, n NUMBER IDENTITY(1, 1), d NUMBER DEFAULT s.NEXTVAL, a VARCHAR)",
    )
    .await;
    run(
        &mut session,
        "INSERT INTO t (a) VALUES ('x'), ('y'); INSERT INTO t (id, a) SELECT 1, 'z'",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT a, id, n, d FROM t ORDER BY a").await,
        ["x|10|1|5", "y|12|2|6", "z|1|3|7"]
    );
    run(
        &mut session,
        "MERGE INTO t USING (SELECT column1 AS a FROM VALUES ('x'), ('m')) s ON t.a = s.a WHEN MATCHED THEN UPDATE SET d = 0 WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
    )
    .await;
    assert_eq!(
        rows(
            &mut session,
            "SELECT a, id, n, d FROM t WHERE a IN ('m', 'x') ORDER BY a"
        )
        .await,
        ["m|14|4|8", "x|10|1|0"]
    );
    let described = rows(&mut session, "DESCRIBE TABLE t").await;
    assert!(
        described[0].contains("|IDENTITY START 10 INCREMENT 2 ORDER|"),
        "{}",
        described[0]
    );
    assert!(
        described[2].contains("|\"D\".\"S\".\"S\".NEXTVAL|"),
        "{}",
        described[2]
    );
}

#[tokio::test]
async fn a_temporary_table_is_the_sessions_own() {
    let (engine, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1)",
    )
    .await;
    run(
        &mut session,
        "CREATE TEMPORARY TABLE t (b VARCHAR); INSERT INTO t VALUES ('mine')",
    )
    .await;
    let mut other = another(&engine).await;
    assert_eq!(rows(&mut session, "SELECT * FROM t").await, ["mine"]);
    assert_eq!(rows(&mut other, "SELECT * FROM t").await, ["1"]);
    run(&mut session, "BEGIN; UPDATE t SET b = 'changed'; ROLLBACK").await;
    assert_eq!(rows(&mut session, "SELECT * FROM t").await, ["mine"]);
    run(&mut session, "ALTER TABLE t ADD COLUMN c NUMBER; MERGE INTO t USING (SELECT 'mine' AS b) s ON t.b = s.b WHEN MATCHED THEN UPDATE SET c = 3").await;
    assert_eq!(rows(&mut session, "SELECT * FROM t").await, ["mine|3"]);
    assert_eq!(
        run(&mut session, "SHOW TABLES LIKE 't'").await.rows[0][4].as_deref(),
        Some("TEMPORARY")
    );
    assert_eq!(
        fail(&mut session, "CREATE TEMP TABLE t (b NUMBER)")
            .await
            .code,
        "002002"
    );
    run(&mut session, "DROP TABLE t").await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t").await,
        ["1"],
        "the permanent one was only hidden"
    );
    run(&mut session, "CREATE TEMP TABLE u AS SELECT 7 AS x").await;
    assert_eq!(rows(&mut session, "SELECT x FROM u").await, ["7"]);
    drop(session);
    assert_eq!(fail(&mut other, "SELECT x FROM u").await.code, "002003");
}

#[tokio::test]
async fn a_table_is_made_like_another_or_of_a_query() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (id NUMBER(5,0) NOT NULL, a VARCHAR DEFAULT 'x'); INSERT INTO t (id) VALUES (1);
         CREATE TABLE l LIKE t; INSERT INTO l (id) VALUES (2);
         CREATE TABLE c (n NUMBER(8,2), m VARCHAR(3)) AS SELECT id, a FROM t; CREATE TRANSIENT TABLE d AS SELECT 1 AS p, 'y' AS q",
    )
    .await;
    assert_eq!(
        rows(
            &mut session,
            "SELECT l.id, l.a, c.n, c.m, p, q FROM l, c, d"
        )
        .await,
        ["2|x|1.00|x|1|y"]
    );
    assert_eq!(
        run(&mut session, "SHOW TABLES LIKE 'D'").await.rows[0][4].as_deref(),
        Some("TRANSIENT")
    );
    for (sql, code) in [
        ("CREATE TABLE e (n NUMBER) AS SELECT 1, 2", "002026"),
        (
            "CREATE TABLE e (n NUMBER NOT NULL) AS SELECT NULL",
            "100072",
        ),
        ("CREATE TABLE e CLONE t", "000002"),
        ("UNDROP TABLE t", "000002"),
        ("CREATE STREAM s ON TABLE t", "000002"),
        (
            "CREATE DYNAMIC TABLE s TARGET_LAG = '1 minute' WAREHOUSE = COMPUTE_WH AS SELECT 1 a",
            "000002",
        ),
        ("CREATE TEMPORARY STAGE s", "000002"),
        ("CREATE TABLE e LIKE nosuch", "002003"),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}

#[tokio::test]
async fn a_table_is_altered() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (a NUMBER(5,0), b VARCHAR(3), c NUMBER); INSERT INTO t VALUES (1, 'x', 7)",
    )
    .await;
    run(
        &mut session,
        "ALTER TABLE t ADD COLUMN d NUMBER DEFAULT 5, e VARCHAR; ALTER TABLE t DROP COLUMN c; ALTER TABLE t DROP COLUMN IF EXISTS c;
         ALTER TABLE t RENAME COLUMN d TO dd; ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMBER(9,0); ALTER TABLE t MODIFY b TYPE VARCHAR(9);
         INSERT INTO t VALUES (123456789, 'longer', 6, 'e')",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT a, b, dd, e FROM t ORDER BY a").await,
        ["1|x|5|-", "123456789|longer|6|e"]
    );
    run(&mut session, "ALTER TABLE t ALTER a SET NOT NULL; ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (b); ALTER TABLE t ADD UNIQUE (a); ALTER TABLE t CLUSTER BY (a)").await;
    assert_eq!(
        fail(&mut session, "INSERT INTO t (b) VALUES ('y')")
            .await
            .code,
        "100072"
    );
    run(&mut session, "ALTER TABLE t ALTER a DROP NOT NULL; COMMENT ON COLUMN t.a IS 'first'; COMMENT ON TABLE t IS 'all'; ALTER TABLE t ALTER e COMMENT 'last'").await;
    let described = rows(&mut session, "DESC TABLE t").await;
    assert_eq!(described[0], "A|NUMBER(9,0)|COLUMN|Y|-|N|N|-|-|first|-|-|-");
    assert_eq!(described[1], "B|VARCHAR(9)|COLUMN|N|-|Y|N|-|-|-|-|-|-");
    assert_eq!(
        run(&mut session, "SHOW TABLES").await.rows[0][5].as_deref(),
        Some("all")
    );
    run(&mut session, "GRANT SELECT ON TABLE t TO ROLE SYSADMIN; ALTER TABLE t RENAME TO u; ALTER TABLE IF EXISTS t RENAME TO v; ALTER TABLE u SET COMMENT = 'new' DATA_RETENTION_TIME_IN_DAYS = 1").await;
    assert_eq!(
        lines(&run(&mut session, "SHOW GRANTS TO ROLE SYSADMIN").await),
        ["0.000|SELECT|TABLE|D.S.U|ROLE|SYSADMIN|false|ACCOUNTADMIN"]
    );
    run(&mut session, "CREATE TABLE w (a NUMBER)").await;
    for (sql, code) in [
        ("ALTER TABLE u RENAME TO w", "002002"),
        ("ALTER TABLE u ALTER a TYPE NUMBER(3,0)", "002108"),
        ("ALTER TABLE u DROP COLUMN nosuch", "000904"),
        ("ALTER TABLE u RENAME COLUMN a TO b", "001430"),
        ("ALTER TABLE u ALTER e SET NOT NULL", "100072"),
        ("ALTER TABLE u SET NOSUCH = 1", "000002"),
        ("ALTER TABLE u SWAP WITH w", "000002"),
        ("ALTER TABLE t RENAME TO v", "002003"),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
}

#[tokio::test]
async fn a_time_keeps_as_many_digits_as_its_column_has() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE t (a TIME(3), b TIME); INSERT INTO t VALUES ('10:11:12.12345', '10:11:12.12345')").await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t").await,
        ["36672.123|36672.123450000"]
    );
    let described = rows(&mut session, "DESC TABLE t").await;
    assert!(described[0].starts_with("A|TIME(3)|"), "{described:?}");
    assert_eq!(
        rows(&mut session, "SELECT COUNT(*) FROM t WHERE a < b").await,
        ["1"]
    );
}

#[tokio::test]
async fn a_view_is_altered_and_may_be_secure() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE SECURE VIEW v (a COMMENT 'one') COMMENT = 'view' AS SELECT 1; ALTER VIEW v RENAME TO w; ALTER VIEW w SET COMMENT = 'other'").await;
    let secure = "SELECT TABLE_NAME, IS_SECURE, COMMENT FROM INFORMATION_SCHEMA.VIEWS";
    assert_eq!(rows(&mut session, secure).await, ["W|YES|other"]);
    run(&mut session, "ALTER VIEW w UNSET SECURE").await;
    assert_eq!(rows(&mut session, secure).await, ["W|NO|other"]);
    assert_eq!(rows(&mut session, "SELECT a FROM w").await, ["1"]);
    assert_eq!(
        rows(
            &mut session,
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY 1"
        )
        .await,
        ["PUBLIC", "S"]
    );
}
