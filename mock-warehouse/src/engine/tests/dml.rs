//! Changing rows: counts, constraints, transactions, locks.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Bindings, Stats, another, fail, lines, rows, run, warehouse};
use crate::engine::Engine;

#[tokio::test]
async fn dml_answers_as_recorded() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE OR REPLACE TABLE t (id NUMBER, name VARCHAR)",
    )
    .await;
    for (sql, names, row, stats) in [
        (
            "INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')",
            vec!["number of rows inserted"],
            "3",
            Some((3, 0, 0)),
        ),
        (
            "UPDATE t SET name = 'z' WHERE id < 3",
            vec![
                "number of rows updated",
                "number of multi-joined rows updated",
            ],
            "2|0",
            Some((0, 2, 0)),
        ),
        (
            "DELETE FROM t WHERE id = 3",
            vec!["number of rows deleted"],
            "1",
            Some((0, 0, 1)),
        ),
        (
            "MERGE INTO t USING (SELECT 1 AS id, 'm' AS name) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name",
            vec!["number of rows updated"],
            "1",
            Some((0, 1, 0)),
        ),
        (
            "UPDATE t SET name = 'q' WHERE id = 99",
            vec![
                "number of rows updated",
                "number of multi-joined rows updated",
            ],
            "0|0",
            None,
        ),
        (
            "TRUNCATE TABLE t",
            vec!["status"],
            "Statement executed successfully.",
            Some((0, 0, 2)),
        ),
        (
            "DROP TABLE IF EXISTS nosuch",
            vec!["status"],
            "Drop statement executed successfully (NOSUCH already dropped).",
            None,
        ),
        (
            "CREATE OR REPLACE TABLE t (id NUMBER)",
            vec!["status"],
            "Table T successfully created.",
            None,
        ),
    ] {
        let grid = run(&mut session, sql).await;
        assert_eq!(
            grid.columns
                .iter()
                .map(|column| column.name.as_str())
                .collect::<Vec<_>>(),
            names,
            "{sql}"
        );
        assert_eq!(lines(&grid), [row], "{sql}");
        let stats = stats.map(|(rows_inserted, rows_updated, rows_deleted)| Stats {
            rows_inserted,
            rows_updated,
            rows_deleted,
            duplicates: 0,
        });
        assert_eq!(grid.stats, stats, "{sql}");
    }
}

#[tokio::test]
async fn a_merge_takes_the_first_clause_that_applies() {
    let (_, mut session) = warehouse().await;
    run(&mut session, "CREATE TABLE t (k NUMBER, v NUMBER, note VARCHAR DEFAULT 'new'); INSERT INTO t VALUES (1, 1, 'old'), (2, 2, 'old'), (3, 3, 'old')").await;
    let grid = run(
        &mut session,
        "MERGE INTO t USING (SELECT column1 AS k, column2 AS v FROM VALUES (1, 10), (2, -1), (3, 0), (4, 40), (5, -5), (NULL, 9)) s ON EQUAL_NULL(t.k, s.k)
         WHEN MATCHED AND s.v < 0 THEN DELETE
         WHEN MATCHED AND s.v > t.v THEN UPDATE SET v = s.v + t.v
         WHEN NOT MATCHED AND s.v > 0 THEN INSERT (k, v) VALUES (s.k, s.v)",
    )
    .await;
    assert_eq!(
        grid.columns
            .iter()
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>(),
        [
            "number of rows inserted",
            "number of rows updated",
            "number of rows deleted"
        ]
    );
    assert_eq!(lines(&grid), ["2|1|1"]);
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY k").await,
        ["1|11|old", "3|3|old", "4|40|new", "-|9|new"]
    );
    let error = fail(
        &mut session,
        "MERGE INTO t USING (SELECT column1 AS k FROM VALUES (1), (1)) s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = 0",
    )
    .await;
    assert_eq!(
        (error.code.as_str(), error.sql_state.as_str()),
        ("100090", "42P18")
    );
    assert_eq!(
        rows(&mut session, "SELECT v FROM t WHERE k = 1").await,
        ["11"]
    );
}

#[tokio::test]
async fn values_have_to_fit_their_columns() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (n NUMBER(5,2) NOT NULL, s VARCHAR(3), d DATE, PRIMARY KEY (n))",
    )
    .await;
    for (sql, code) in [
        ("INSERT INTO t (n) VALUES (NULL)", "100072"),
        ("INSERT INTO t (s) VALUES ('a')", "100072"),
        ("INSERT INTO t (n) VALUES (1000)", "100039"),
        ("INSERT INTO t (n) VALUES ('x')", "100038"),
        ("INSERT INTO t (n, s) VALUES (1, 'abcd')", "100078"),
        ("INSERT INTO t (n, d) VALUES (1, 'yesterday')", "100040"),
        ("INSERT INTO t VALUES (1)", "002020"),
        ("INSERT INTO t (nosuch) VALUES (1)", "000904"),
    ] {
        assert_eq!(fail(&mut session, sql).await.code, code, "{sql}");
    }
    run(
        &mut session,
        "INSERT INTO t VALUES (1.005, 'äöü', '2026-10-09'), (1.005, NULL, NULL)",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY s").await,
        ["1.01|äöü|20735", "1.01|-|-"]
    );
    assert_eq!(
        fail(&mut session, "UPDATE t SET n = NULL").await.code,
        "100072"
    );
}

#[tokio::test]
async fn columns_added_later_are_null_or_their_default() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b VARCHAR;
         ALTER TABLE t ADD COLUMN IF NOT EXISTS b VARCHAR; ALTER TABLE t ADD COLUMN c NUMBER DEFAULT 7; INSERT INTO t (a) VALUES (2)",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t ORDER BY a").await,
        ["1|-|7", "2|-|7"]
    );
    assert_eq!(
        rows(&mut session, "DESCRIBE TABLE t").await[2],
        "C|NUMBER(38,0)|COLUMN|Y|7|N|N|-|-|-|-|-|-"
    );
}

#[tokio::test]
async fn a_column_is_widened_in_place_and_changes_no_other_type() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (a NUMBER(4,2) NOT NULL, s VARCHAR(2)); INSERT INTO t VALUES (1.25, 'xy');
         ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMBER(10,2); ALTER TABLE t ALTER COLUMN s SET DATA TYPE VARCHAR(5);
         ALTER TABLE t ALTER COLUMN a DROP NOT NULL; ALTER TABLE t RENAME COLUMN s TO note;
         INSERT INTO t VALUES (12345678.91, 'abcde'), (NULL, NULL)",
    )
    .await;
    assert_eq!(
        rows(&mut session, "SELECT a, note FROM t ORDER BY a").await,
        ["1.25|xy", "12345678.91|abcde", "-|-"]
    );
    let described = rows(&mut session, "DESCRIBE TABLE t").await;
    assert!(
        described[0].starts_with("A|NUMBER(10,2)|COLUMN|Y"),
        "{described:?}"
    );
    assert!(
        described[1].starts_with("NOTE|VARCHAR(5)|"),
        "{described:?}"
    );
    for (statement, code) in [
        (
            "ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMBER(12,3)",
            "002108",
        ),
        (
            "ALTER TABLE t ALTER COLUMN a SET DATA TYPE VARCHAR",
            "002108",
        ),
        (
            "ALTER TABLE t ALTER COLUMN note SET DATA TYPE VARCHAR(4)",
            "002108",
        ),
        ("ALTER TABLE t ALTER COLUMN nowhere DROP NOT NULL", "000904"),
        ("ALTER TABLE t RENAME COLUMN note TO a", "001430"),
    ] {
        assert_eq!(
            fail(&mut session, statement).await.code,
            code,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_transaction_is_seen_when_it_commits() {
    let (engine, mut first) = warehouse().await;
    let mut second = another(&engine).await;
    run(
        &mut first,
        "CREATE TABLE t (a NUMBER); BEGIN; INSERT INTO t VALUES (1)",
    )
    .await;
    assert!(first.in_transaction());
    assert_eq!(rows(&mut first, "SELECT COUNT(*) FROM t").await, ["1"]);
    assert_eq!(rows(&mut second, "SELECT COUNT(*) FROM t").await, ["0"]);
    run(&mut second, "BEGIN; INSERT INTO t VALUES (2)").await;
    assert_eq!(
        fail(&mut first, "INSERT INTO t VALUES ('x')").await.code,
        "100038"
    );
    assert!(
        first.in_transaction(),
        "a failed statement leaves the transaction open"
    );
    run(&mut first, "COMMIT").await;
    assert_eq!(
        rows(&mut second, "SELECT a FROM t ORDER BY a").await,
        ["1", "2"],
        "committed rows appear in an open transaction"
    );
    run(&mut second, "COMMIT").await;
    assert_eq!(
        rows(&mut first, "SELECT a FROM t ORDER BY a").await,
        ["1", "2"]
    );
    run(&mut first, "BEGIN; DELETE FROM t; ROLLBACK").await;
    assert_eq!(rows(&mut first, "SELECT COUNT(*) FROM t").await, ["2"]);
    run(
        &mut first,
        "BEGIN; DELETE FROM t; CREATE TABLE u (a NUMBER)",
    )
    .await;
    assert!(!first.in_transaction(), "DDL commits what is open");
    assert_eq!(rows(&mut second, "SELECT COUNT(*) FROM t").await, ["0"]);
}

#[tokio::test]
async fn a_lock_is_held_until_the_transaction_ends() {
    let (engine, mut first) = warehouse().await;
    let mut second = another(&engine).await;
    run(
        &mut first,
        "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1); BEGIN; UPDATE t SET a = a + 1",
    )
    .await;
    run(&mut second, "INSERT INTO t VALUES (100)").await;
    run(&mut second, "ALTER SESSION SET LOCK_TIMEOUT = 0").await;
    let error = fail(&mut second, "UPDATE t SET a = a * 10").await;
    assert_eq!(error.code, "000625", "another session waits: {error}");
    run(&mut second, "ALTER SESSION SET LOCK_TIMEOUT = 60").await;
    let waiting = async { run(&mut second, "UPDATE t SET a = a * 10").await };
    let committing = async { run(&mut first, "COMMIT").await };
    let (updated, _) = tokio::join!(waiting, committing);
    assert_eq!(
        lines(&updated),
        ["2|0"],
        "what waited sees what was committed meanwhile"
    );
    assert_eq!(
        rows(&mut first, "SELECT a FROM t ORDER BY a").await,
        ["20", "1000"]
    );
}

#[tokio::test]
async fn a_dropped_session_rolls_back_and_frees_its_locks() {
    let (engine, mut first) = warehouse().await;
    let mut second = another(&engine).await;
    run(
        &mut first,
        "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1); BEGIN; UPDATE t SET a = 5",
    )
    .await;
    drop(first);
    run(
        &mut second,
        "ALTER SESSION SET LOCK_TIMEOUT = 5; UPDATE t SET a = a + 1",
    )
    .await;
    assert_eq!(rows(&mut second, "SELECT a FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_cancelled_statement_changes_nothing() {
    let (engine, mut first) = warehouse().await;
    let mut second = another(&engine).await;
    run(
        &mut first,
        "CREATE TABLE t (a NUMBER); INSERT INTO t VALUES (1); BEGIN; UPDATE t SET a = 5",
    )
    .await;
    let bindings = Bindings::new();
    let waiting = second.execute("UPDATE t SET a = 9", &bindings);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), waiting)
            .await
            .is_err(),
        "it waits for the lock"
    );
    run(&mut first, "COMMIT").await;
    assert_eq!(rows(&mut second, "SELECT a FROM t").await, ["5"]);
}

#[tokio::test]
async fn a_folder_keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = Engine::open(folder.path()).unwrap();
        let mut session = super::administrator(&engine, "CREATE DATABASE D; CREATE SCHEMA S").await;
        run(
            &mut session,
            "CREATE TABLE t (a NUMBER(20,3), b VARCHAR, c TIMESTAMP_NTZ(6), d DATE);
             INSERT INTO t VALUES (1.5, 'x', '2026-10-09 01:02:03.000004', '2026-10-09'), (2, NULL, NULL, NULL);
             DELETE FROM t WHERE a = 2; CREATE VIEW v AS SELECT a FROM t; BEGIN; INSERT INTO t (a) VALUES (3)",
        )
        .await;
    }
    let engine = Engine::open(folder.path()).unwrap();
    let mut session = another(&engine).await;
    assert_eq!(
        rows(&mut session, "SELECT * FROM t").await,
        ["1.500|x|1791507723.000004|20735"]
    );
    assert_eq!(rows(&mut session, "SELECT * FROM v").await, ["1.500"]);
    run(&mut session, "INSERT INTO t (a) VALUES (4)").await;
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_merge_of_many_rows_is_a_hash_join() {
    let (_, mut session) = warehouse().await;
    run(
        &mut session,
        "CREATE TABLE t (k VARCHAR, n NUMBER); INSERT INTO t SELECT 'k' || SEQ4(), 0 FROM TABLE(GENERATOR(ROWCOUNT => 30000))",
    )
    .await;
    let started = std::time::Instant::now();
    let grid = run(
        &mut session,
        "MERGE INTO t USING (SELECT 'k' || SEQ4() AS k FROM TABLE(GENERATOR(ROWCOUNT => 40000))) s ON EQUAL_NULL(t.k, s.k)
         WHEN MATCHED THEN UPDATE SET n = t.n + 1 WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.k, -1)",
    )
    .await;
    assert_eq!(lines(&grid), ["10000|30000"]);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_the_later_one_is_told() {
    let (engine, mut first) = warehouse().await;
    run(
        &mut first,
        "CREATE TABLE a (n NUMBER); CREATE TABLE b (n NUMBER)",
    )
    .await;
    run(
        &mut first,
        "INSERT INTO a VALUES (0); INSERT INTO b VALUES (0)",
    )
    .await;
    let mut second = another(&engine).await;
    run(&mut first, "BEGIN; UPDATE a SET n = 1").await;
    run(&mut second, "BEGIN; UPDATE b SET n = 2").await;
    let mut waiting = JoinSet::new();
    waiting.spawn(async move {
        run(&mut first, "UPDATE b SET n = 1; COMMIT").await;
        first
    });
    // It waits as soon as it was polled; a statement of the other then closes the circle.
    let mut refused = None;
    while refused.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        run(&mut second, "ALTER SESSION SET LOCK_TIMEOUT = 0").await;
        let error = fail(&mut second, "UPDATE a SET n = 2").await;
        refused = Some(error).filter(|error| error.message.contains("deadlock"));
    }
    assert_eq!(refused.map(|error| error.code), Some("000625".to_owned()));
    run(&mut second, "ROLLBACK").await;
    let mut first = waiting.join_next().await.unwrap().unwrap();
    let both = "SELECT a.n, b.n FROM a, b";
    assert_eq!(rows(&mut first, both).await, ["1|1"]);
}
