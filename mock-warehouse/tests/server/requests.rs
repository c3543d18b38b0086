//! What a request must look like, and what the same request sent again gets.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Warehouse, config, token};

const ID: &str = "6b1b2c9e-0d6a-4a55-8f3f-0f1f3a1f7c11";

async fn raw(warehouse: &Warehouse, types: &[&str], body: &'static str) -> (u16, Value) {
    let mut request = Request::post("/api/v2/statements")
        .header(header::AUTHORIZATION, format!("Bearer {}", token()));
    for kind in types {
        request = request.header(header::CONTENT_TYPE, *kind);
    }
    let answer = warehouse
        .send(request.body(Body::from(body)).unwrap())
        .await;
    (answer.status.as_u16(), answer.body())
}

#[tokio::test]
async fn a_body_must_be_declared_and_be_json() {
    let warehouse = Warehouse::new().await;
    for types in [
        &[][..],
        &["text/plain"],
        &["text/plain", "application/json"],
    ] {
        let (status, body) = raw(&warehouse, types, r#"{"statement":"SELECT 1"}"#).await;
        assert_eq!(
            (status, &body["status"], &body["code"]),
            (400, &json!("400"), &Value::Null),
            "{types:?}"
        );
    }
    let (status, _) = raw(
        &warehouse,
        &["application/json; charset=utf-8"],
        r#"{"statement":"SELECT 1"}"#,
    )
    .await;
    assert_eq!(status, 200);
    for body in [
        "",
        "{",
        "[]",
        "SELECT 1",
        r#"{"statement":1}"#,
        r#"{"statement":"SELECT 1","parameters":{"MULTI_STATEMENT_COUNT":"-1"}}"#,
        r#"{"statement":"SELECT 1","parameters":{"AUTOCOMMIT":"false"}}"#,
    ] {
        let (status, answer) = raw(&warehouse, &["application/json"], body).await;
        assert_eq!((status, &answer["code"]), (400, &json!("390142")), "{body}");
    }
    for body in ["{}", r#"{"statement":" \n"}"#] {
        let (status, answer) = raw(&warehouse, &["application/json"], body).await;
        assert_eq!((status, &answer["code"]), (400, &json!("000900")), "{body}");
        assert_eq!(answer["statementHandle"], Value::Null);
    }
}

#[tokio::test]
async fn a_resent_request_gets_the_first_result_and_runs_nothing() {
    let warehouse = Warehouse::new().await;
    warehouse.sql("CREATE TABLE t (n NUMBER)").await.data();
    let insert = json!({"statement": "INSERT INTO t VALUES (1)"});
    let first = warehouse
        .post(&format!("?requestId={ID}"), insert.clone())
        .await;
    let again = warehouse
        .post(&format!("?requestId={ID}&retry=true"), insert)
        .await;
    assert_eq!(first.body(), again.body());
    assert_eq!(first.text("requestId"), ID);
    assert_eq!(
        warehouse.sql("SELECT COUNT(*) FROM t").await.data(),
        json!([["1"]])
    );
}

#[tokio::test]
async fn a_failure_is_remembered_like_a_result() {
    let warehouse = Warehouse::new().await;
    let select = json!({"statement": "SELECT * FROM later"});
    let first = warehouse
        .post(&format!("?requestId={ID}"), select.clone())
        .await;
    assert_eq!(first.verdict(), (422, "002003".to_owned()));
    warehouse.sql("CREATE TABLE later (n NUMBER)").await.data();
    let again = warehouse
        .post(&format!("?requestId={ID}&retry=true"), select)
        .await;
    assert_eq!(first.body(), again.body());
}

#[tokio::test]
async fn the_same_id_without_retry_runs_again() {
    let warehouse = Warehouse::new().await;
    warehouse.sql("CREATE TABLE t (n NUMBER)").await.data();
    for _ in 0..2 {
        warehouse
            .post(
                &format!("?requestId={ID}"),
                json!({"statement": "INSERT INTO t VALUES (1)"}),
            )
            .await
            .data();
    }
    assert_eq!(
        warehouse.sql("SELECT COUNT(*) FROM t").await.data(),
        json!([["2"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_resent_while_the_first_runs_waits_for_it() {
    let warehouse = Warehouse::new().await;
    let lock = warehouse.locked_table().await;
    let update = json!({"statement": "UPDATE locked SET n = n + 1"});
    let first = warehouse
        .post(&format!("?requestId={ID}&async=true"), update.clone())
        .await;
    assert_eq!(first.verdict(), (202, "333334".to_owned()));
    let query = format!("?requestId={ID}&retry=true");
    let release = async {
        tokio::task::yield_now().await;
        lock.release().await;
    };
    let (again, ()) = tokio::join!(warehouse.post(&query, update), release);
    assert_eq!(again.data(), json!([["1", "0"]]));
    assert_eq!(again.handle(), first.handle());
    assert_eq!(
        warehouse.sql("SELECT n FROM locked").await.data(),
        json!([["1"]])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_beyond_the_synchronous_limit_goes_on_behind_a_202() {
    let mut config = config();
    config.synchronous_limit = Duration::from_millis(1);
    let warehouse = Warehouse::with(config).await;
    let lock = warehouse.locked_table().await;
    let sent = warehouse.sql("UPDATE locked SET n = 7").await;
    assert_eq!(sent.verdict(), (202, "333334".to_owned()));
    assert_eq!(warehouse.get(&sent.handle()).await.body(), sent.body());
    lock.release().await;
    assert_eq!(
        warehouse.ended(&sent.handle()).await.data(),
        json!([["1", "0"]])
    );
}

#[tokio::test]
async fn nullable_false_writes_null_as_text() {
    let warehouse = Warehouse::new().await;
    let select = json!({"statement": "SELECT NULL, 'x'"});
    assert_eq!(
        warehouse.post("", select.clone()).await.data(),
        json!([[null, "x"]])
    );
    assert_eq!(
        warehouse.post("?nullable=false", select).await.data(),
        json!([["null", "x"]])
    );
}

#[tokio::test]
async fn values_are_bound_in_a_single_statement_only() {
    let warehouse = Warehouse::new().await;
    let bindings =
        json!({"1": {"type": "FIXED", "value": "42"}, "2": {"type": "TEXT", "value": null}});
    let one = warehouse
        .post(
            "",
            json!({"statement": "SELECT ?, ?", "bindings": bindings}),
        )
        .await;
    assert_eq!(one.data(), json!([["42", null]]));
    let several = json!({"statement": "SELECT ?; SELECT 2", "bindings": bindings,
        "parameters": {"MULTI_STATEMENT_COUNT": "2"}});
    assert_eq!(
        warehouse.post("", several).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test]
async fn an_unknown_handle_is_not_found() {
    let warehouse = Warehouse::new().await;
    for handle in ["00000000-0000-0000-0000-000000000000", "nonsense"] {
        let answer = warehouse.get(handle).await;
        assert_eq!(answer.verdict(), (400, "000709".to_owned()));
        assert_eq!(
            answer.text("message"),
            format!("Statement {handle} not found")
        );
        assert_eq!(
            warehouse.cancel(handle).await.verdict(),
            (400, "000709".to_owned())
        );
    }
}
