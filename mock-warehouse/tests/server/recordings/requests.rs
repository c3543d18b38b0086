//! Several requests about one statement: partitions, progress, cancel, several statements, and a request sent twice.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Replay, columns::Column};
use crate::support::Answer;

pub(super) async fn replay(replay: &mut Replay) {
    partitions(replay).await;
    cancelled(replay).await;
    awaited(replay).await;
    several(replay).await;
    sent_twice(replay).await;
}

/// A result of four partitions, of which neither the tenth nor one called `x` exists.
async fn partitions(replay: &mut Replay) {
    let large = replay
        .sql("SELECT seq4() AS n, uuid_string() AS u FROM TABLE(GENERATOR(ROWCOUNT => 20000))")
        .await;
    assert_eq!(large.status, 200, "{}", large.body());
    let handle = large.handle();
    for (number, asked) in [(59, "9"), (70, "x")] {
        let answer = replay
            .warehouse
            .get(&format!("{handle}?partition={asked}"))
            .await;
        let message = format!(
            "Invalid partition parameter. The partition must be long type parsable and between 0 and 3, but '{asked}' \
             is specified."
        );
        let body = json!({"code": "391922", "message": message, "sqlState": "22023", "statementHandle": handle});
        replay.exactly(number, &answer, 400, &body);
    }
}

/// What a statement that runs is answered with.
fn in_progress(handle: &str) -> Value {
    json!({"code": "333334",
        "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
        "statementHandle": handle, "statementStatusUrl": format!("/api/v2/statements/{handle}")})
}

async fn started(replay: &mut Replay, number: u16, sql: &str) -> String {
    let answer = replay.post("?async=true", json!({"statement": sql})).await;
    let handle = answer.handle();
    replay.exactly(number, &answer, 202, &in_progress(&handle));
    handle
}

async fn cancelled(replay: &mut Replay) {
    let handle = started(replay, 71, "SELECT SYSTEM$WAIT(20)").await;
    let running = replay.warehouse.get(&handle).await;
    replay.exactly(72, &running, 202, &in_progress(&handle));

    let said = "SQL execution canceled";
    let stopped = json!({"code": "000604", "sqlState": "57014", "message": said, "statementHandle": handle,
        "statementStatusUrl": format!("/api/statements/{handle}")});
    let answer = replay.warehouse.cancel(&handle).await;
    replay.exactly(73, &answer, 200, &stopped);
    let answer = replay.warehouse.get(&handle).await;
    replay.failed(74, &answer, (422, "000604", "57014"), said);
    let answer = replay.warehouse.cancel(&handle).await;
    replay.exactly(75, &answer, 200, &stopped);
}

async fn awaited(replay: &mut Replay) {
    let handle = started(replay, 76, "SELECT SYSTEM$WAIT(3)").await;
    let answer = loop {
        let answer = replay.warehouse.get(&handle).await;
        if answer.status != 202 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let data = json!([["waited 3 seconds"]]);
    replay.succeeded(77, &answer, &[Column::text("SYSTEM$WAIT(3)")], data);
}

async fn several(replay: &mut Replay) {
    let parent = [Column::text("multiple statement execution")];
    let done = json!([["Multiple statements executed successfully."]]);
    let counted = |statements: &str, count: &str| json!({"statement": statements, "parameters": {"MULTI_STATEMENT_COUNT": count}});

    let two = replay.post("", counted("SELECT 1; SELECT 2", "2")).await;
    replay.succeeded(87, &two, &parent, done.clone());
    children(replay, 87, &two);
    let read = replay
        .warehouse
        .get(&format!("{}?partition=0", two.handle()))
        .await;
    replay.succeeded(88, &read, &parent, done.clone());
    replay.compare(88, "body", &read.body(), &two.body());

    let any = replay.post("", counted("SELECT 1; SELECT 2", "0")).await;
    replay.succeeded(89, &any, &parent, done.clone());
    children(replay, 89, &any);

    let named = counted("SELECT 1 AS a; SELECT 2 AS b", "2");
    let answer = replay.post("", named).await;
    replay.succeeded(136, &answer, &parent, done);
    let handles = children(replay, 136, &answer);
    for ((number, name, value), handle) in
        [(137, "A", "1"), (138, "B", "2")].into_iter().zip(handles)
    {
        let child = replay.warehouse.get(&handle).await;
        replay.succeeded(number, &child, &[Column::fixed(name, 1)], json!([[value]]));
        let own = child.text("requestId") != answer.text("requestId");
        replay.compare(number, "a request id of its own", &json!(own), &json!(true));
        let childless = child.body().get("statementHandles").is_none();
        replay.compare(number, "no children", &json!(childless), &json!(true));
    }
}

/// The handles of two statements.
fn children(replay: &mut Replay, number: u16, answer: &Answer) -> Vec<String> {
    let body = answer.body();
    let handles: Vec<String> = body["statementHandles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|handle| handle.as_str().map(str::to_owned))
        .collect();
    replay.compare(number, "children", &json!(handles.len()), &json!(2));
    handles
}

async fn sent_twice(replay: &mut Replay) {
    let id = "11111111-1111-1111-1111-111111111111";
    let query = format!("?requestId={id}&retry=true");
    let column = [Column::fixed("1", 1)];
    let first = replay.post(&query, json!({"statement": "SELECT 1"})).await;
    replay.succeeded(144, &first, &column, json!([["1"]]));
    replay.compare(
        144,
        "request id",
        &json!(first.text("requestId")),
        &json!(id),
    );
    let again = replay.post(&query, json!({"statement": "SELECT 1"})).await;
    replay.succeeded(145, &again, &column, json!([["1"]]));
    replay.compare(145, "body", &again.body(), &first.body());
}
