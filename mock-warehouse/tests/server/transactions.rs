//! Several statements in one request: what is committed, what is rolled back, what is said.

use serde_json::{Value, json};

use crate::support::Warehouse;

async fn with_table() -> Warehouse {
    let warehouse = Warehouse::new().await;
    warehouse.sql("CREATE TABLE t (n NUMBER)").await.data();
    warehouse
}

async fn rows(warehouse: &Warehouse) -> Value {
    warehouse.sql("SELECT n FROM t ORDER BY n").await.data()
}

#[tokio::test]
async fn each_statement_has_a_result_under_its_own_handle() {
    let warehouse = with_table().await;
    let sent = warehouse
        .several("BEGIN; INSERT INTO t VALUES (1), (2);\nSELECT n FROM t ORDER BY n; COMMIT")
        .await;
    assert_eq!(
        sent.data(),
        json!([["Multiple statements executed successfully."]])
    );
    let body = sent.body();
    let handles: Vec<&str> = body["statementHandles"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(handles.len(), 4);
    assert_eq!(warehouse.get(handles[1]).await.data(), json!([["2"]]));
    assert_eq!(
        warehouse.get(handles[1]).await.body()["stats"]["numRowsInserted"],
        json!(2)
    );
    assert_eq!(
        warehouse.get(handles[2]).await.data(),
        json!([["1"], ["2"]])
    );
    assert_eq!(warehouse.get(&sent.handle()).await.body(), body);
}

#[tokio::test]
async fn what_stands_before_a_failure_stays_unless_a_transaction_holds_it() {
    let warehouse = with_table().await;
    let failed = warehouse
        .several("INSERT INTO t VALUES (1);\n  SELECT * FROM nosuch; INSERT INTO t VALUES (3)")
        .await;
    assert_eq!(failed.verdict(), (422, "100132".to_owned()));
    let message = failed.text("message");
    assert!(
        message.contains("failed on statement \"SELECT * FROM nosuch"),
        "{message}"
    );
    assert!(message.contains("(at line 2, position 2)"), "{message}");
    assert!(
        message.contains("'NOSUCH' does not exist or not authorized"),
        "{message}"
    );
    assert_eq!(rows(&warehouse).await, json!([["1"]]));

    let failed = warehouse
        .several("BEGIN; INSERT INTO t VALUES (2); SELECT * FROM nosuch; COMMIT")
        .await;
    assert_eq!(failed.verdict(), (422, "100132".to_owned()));
    assert_eq!(rows(&warehouse).await, json!([["1"]]));
}

#[tokio::test]
async fn a_transaction_that_is_left_open_is_rolled_back() {
    let warehouse = with_table().await;
    warehouse
        .several("BEGIN; INSERT INTO t VALUES (1)")
        .await
        .data();
    warehouse
        .several("BEGIN; INSERT INTO t VALUES (2); ROLLBACK")
        .await
        .data();
    assert_eq!(rows(&warehouse).await, json!([]));
}

#[tokio::test]
async fn the_number_of_statements_must_be_the_one_that_was_declared() {
    let warehouse = with_table().await;
    for (declared, number) in [(json!("3"), 3), (json!(1), 1)] {
        let sent = warehouse
            .post(
                "",
                json!({"statement": "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
                "parameters": {"MULTI_STATEMENT_COUNT": declared}}),
            )
            .await;
        assert_eq!(sent.verdict(), (422, "000008".to_owned()));
        let message =
            format!("Actual statement count 2 did not match the desired statement count {number}.");
        assert_eq!(sent.text("message"), message);
    }
    assert_eq!(rows(&warehouse).await, json!([]));
}

#[tokio::test]
async fn commands_without_a_meaning_here_are_refused_by_name() {
    let warehouse = with_table().await;
    for (statement, name) in [
        ("BEGIN", "TRANSACTION_BEGIN"),
        ("COMMIT", "TRANSACTION_COMMIT"),
        ("ROLLBACK", "TRANSACTION_ROLLBACK"),
        ("USE DATABASE DB", "USE"),
        ("PUT file:///tmp/none.csv @~/x/", "PUT"),
        ("GET @~/x/ file:///tmp/", "GET"),
    ] {
        let answer = warehouse.sql(statement).await;
        assert_eq!(answer.verdict(), (422, "391911".to_owned()), "{statement}");
        assert_eq!(
            answer.text("message"),
            format!("Command not supported by SQL API: {name}")
        );
    }
    let several = warehouse
        .several("USE SCHEMA DB.S; INSERT INTO t VALUES (1)")
        .await;
    assert_eq!(
        several.data(),
        json!([["Multiple statements executed successfully."]])
    );
}

#[tokio::test]
async fn each_request_is_a_session_of_its_own() {
    let warehouse = Warehouse::new().await;
    warehouse
        .sql("ALTER SESSION SET TIMEZONE = 'Asia/Tokyo'")
        .await
        .data();
    let without_schema =
        json!({"statement": "CREATE TABLE t (n NUMBER)", "database": null, "schema": null});
    assert_eq!(warehouse.post("", without_schema).await.status, 422);
}
