//! Every kind of answer of the mock, held against Snowflake's own OpenAPI file by a validator that nobody here wrote.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::environment::{environment, succeeded};
use crate::recordings;
use crate::support::{Exchange, OTHER_KEY, Warehouse, claims};

const ID: &str = "6b1b2c9e-0d6a-4a55-8f3f-0f1f3a1f7c11";

/// What an answer's kind is: status, and code where there is one.
fn kind(exchange: &Exchange) -> String {
    let status = exchange.answer.status.as_u16();
    match body(exchange)["code"].as_str() {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

/// The answer's JSON, unpacked.
fn body(exchange: &Exchange) -> Value {
    let answer = &exchange.answer;
    if !answer.headers.contains_key(header::CONTENT_ENCODING) {
        return answer.body();
    }
    let mut text = String::new();
    let mut unpacked = GzDecoder::new(answer.bytes.as_slice());
    unpacked.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn written(exchange: &Exchange) -> Value {
    let content_type = exchange.answer.headers.get(header::CONTENT_TYPE);
    json!({
        "method": exchange.method.as_str(),
        "target": exchange.target,
        "status": exchange.answer.status.as_u16(),
        "contentType": content_type.map(|kind| kind.to_str().unwrap()),
        "body": body(exchange),
    })
}

/// What the recordings do not have: partitions, requests sent again, polling, cancelling, and those who are not let in.
async fn further_kinds(warehouse: &Warehouse) {
    let numbers =
        "SELECT seq4() AS n, 'a text of some length' AS t FROM TABLE(GENERATOR(ROWCOUNT => 20000))";
    let large = warehouse.sql(numbers).await.handle();
    for partition in ["?partition=0", "?partition=1", "?partition=99"] {
        warehouse.get(&format!("{large}{partition}")).await;
    }
    let one = json!({"statement": "SELECT 1"});
    for query in ["", "&retry=true"] {
        warehouse
            .post(&format!("?requestId={ID}{query}"), one.clone())
            .await;
    }
    let several =
        json!({"statement": "SELECT 1; SELECT 2", "parameters": {"MULTI_STATEMENT_COUNT": "0"}});
    let parent = warehouse.post("", several).await;
    for child in parent.body()["statementHandles"].as_array().unwrap() {
        warehouse.get(child.as_str().unwrap()).await;
    }
    warehouse.several("SELECT 1; SELECT 1/0").await;

    let lock = warehouse.locked_table().await;
    let update = json!({"statement": "UPDATE locked SET n = 9"});
    let running = warehouse.post("?async=true", update).await.handle();
    warehouse.get(&running).await;
    warehouse.cancel(&running).await;
    warehouse.get(&running).await;
    lock.release().await;
    let done = warehouse.sql("SELECT 1").await.handle();
    warehouse.cancel(&done).await;
    let failing = json!({"statement": "SELECT 1/0"});
    let failing = warehouse.post("?async=true", failing).await.handle();
    warehouse.ended(&failing).await;

    let stranger = OTHER_KEY.sign(&claims(
        std::time::Duration::ZERO,
        std::time::Duration::from_mins(5),
    ));
    for authorization in [None, Some(format!("Bearer {stranger}"))] {
        let mut request =
            Request::post("/api/v2/statements").header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Body::from(one.to_string())).unwrap();
        warehouse.send(request).await;
    }
    warehouse.post("", json!({"statement": 1})).await;
    let limited = "429:1@submit=1".parse().unwrap();
    warehouse.warehouse.faults().add(limited);
    warehouse.post("", one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_valid_by_snowflakes_openapi_file_but_for_the_known_differences() {
    let (warehouse, _) = recordings::replayed().await;
    let recorded = warehouse.exchanges().len();
    assert!(recorded >= 76, "{recorded}");
    let further = Warehouse::new().await;
    further_kinds(&further).await;
    let exchanges: Vec<_> = [warehouse.exchanges(), further.exchanges()].concat();

    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for exchange in &exchanges {
        *kinds.entry(kind(exchange)).or_default() += 1;
    }
    println!("kinds of answers: {kinds:?}");
    for status in [200, 202, 400, 401, 408, 422, 429] {
        let met = exchanges
            .iter()
            .any(|exchange| exchange.answer.status == StatusCode::from_u16(status).unwrap());
        assert!(met, "no answer has the status {status}: {kinds:?}");
    }

    let connectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/connectors");
    let python = environment(&connectors.join("openapi.txt")).join("python");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchanges.json");
    let all: Vec<_> = exchanges.iter().map(written).collect();
    fs::write(&file, serde_json::to_vec(&all).unwrap()).unwrap();
    let output = Command::new(python)
        .arg(connectors.join("openapi.py"))
        .arg(connectors.join("../server/openapi/sqlapi.yaml"))
        .arg(file)
        .output()
        .unwrap();
    println!("{}", succeeded("openapi.py", &output));
}
