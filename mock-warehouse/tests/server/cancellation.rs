//! Statements that do not run to their end.

use axum::http::header;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Warehouse, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_statement_changes_nothing_and_says_so() {
    let warehouse = Warehouse::new().await;
    let lock = warehouse.locked_table().await;
    let sent = warehouse
        .post(
            "?async=true",
            json!({"statement": "UPDATE locked SET n = 9"}),
        )
        .await;
    let handle = sent.handle();
    for again in [false, true] {
        let answer = warehouse.cancel(&handle).await;
        assert_eq!(answer.status, 200, "again: {again}");
        assert_eq!(
            answer.body(),
            json!({"code": "000604", "sqlState": "57014", "message": "SQL execution canceled",
                "statementHandle": handle, "statementStatusUrl": format!("/api/statements/{handle}")})
        );
    }
    let read = warehouse.get(&handle).await;
    assert_eq!(read.status, 422);
    assert_eq!(
        read.body(),
        json!({"code": "000604", "message": "SQL execution canceled", "sqlState": "57014", "statementHandle": handle})
    );
    lock.release().await;
    assert_eq!(
        warehouse.sql("SELECT n FROM locked").await.data(),
        json!([["0"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_transaction_is_rolled_back() {
    let warehouse = Warehouse::new().await;
    warehouse.sql("CREATE TABLE other (n NUMBER)").await.data();
    let lock = warehouse.locked_table().await;
    let statement = "BEGIN; INSERT INTO other VALUES (1); UPDATE locked SET n = 9; COMMIT";
    let sent = warehouse
        .post(
            "?async=true",
            json!({"statement": statement, "parameters": {"MULTI_STATEMENT_COUNT": "4"}}),
        )
        .await;
    assert_eq!(warehouse.cancel(&sent.handle()).await.status, 200);
    lock.release().await;
    assert_eq!(warehouse.sql("SELECT n FROM other").await.data(), json!([]));
    warehouse.sql("UPDATE locked SET n = 1").await.data();
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled() {
    let warehouse = Warehouse::new().await;
    let handle = warehouse.sql("SELECT 1").await.handle();
    assert_eq!(
        warehouse.cancel(&handle).await.verdict(),
        (422, "000605".to_owned())
    );
    assert_eq!(warehouse.get(&handle).await.data(), json!([["1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_beyond_its_timeout_is_cancelled_with_408() {
    let warehouse = Warehouse::new().await;
    let lock = warehouse.locked_table().await;
    let sent = warehouse
        .post(
            "",
            json!({"statement": "UPDATE locked SET n = 9", "timeout": 1}),
        )
        .await;
    assert_eq!(sent.verdict(), (408, "000630".to_owned()));
    assert_eq!(
        sent.text("message"),
        "Statement reached its statement or warehouse timeout of 1 second(s) and was canceled."
    );
    assert_eq!(sent.text("sqlState"), "57014");
    lock.release().await;
    assert_eq!(
        warehouse.sql("SELECT n FROM locked").await.data(),
        json!([["0"]])
    );
}

#[tokio::test]
async fn a_run_time_error_of_an_asynchronous_statement_is_code_and_message_only() {
    let warehouse = Warehouse::new().await;
    let sent = warehouse
        .post("?async=true", json!({"statement": "SELECT 1/0"}))
        .await;
    assert_eq!(sent.status, 202);
    let ended = warehouse.ended(&sent.handle()).await;
    assert_eq!(ended.status, 422);
    assert_eq!(
        ended.body(),
        json!({"code": "100051", "message": "Division by zero"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_cancels_what_runs() {
    let warehouse = Warehouse::new().await;
    let lock = warehouse.locked_table().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/api/v2/statements?async=true",
        listener.local_addr().unwrap()
    );
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(warehouse.warehouse.clone().serve(listener, stop.clone()));
    let body = json!({"statement": "UPDATE DB.S.locked SET n = 9"}).to_string();
    let request = reqwest::Client::new().post(url).bearer_auth(token());
    let sent = request
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await;
    assert_eq!(sent.unwrap().status(), 202);
    stop.cancel();
    server.join_next().await.unwrap().unwrap().unwrap();
    lock.release().await;
    assert_eq!(
        warehouse.sql("SELECT n FROM locked").await.data(),
        json!([["0"]])
    );
}
