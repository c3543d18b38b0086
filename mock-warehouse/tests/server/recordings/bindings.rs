//! Values for placeholders: of every type, missing, too many, and several at once.

use serde_json::{Value, json};

use super::{Replay, columns::Column};
use crate::support::Answer;

pub(super) async fn replay(replay: &mut Replay) {
    values(replay).await;
    refusals(replay).await;
    replay
        .prepare("CREATE TABLE dbimp_it_dml (id NUMBER, name VARCHAR)")
        .await;
    rows(replay).await;
}

async fn bound(replay: &Replay, sql: &str, bindings: Value) -> Answer {
    replay
        .post("", json!({"statement": sql, "bindings": bindings}))
        .await
}

async fn values(replay: &mut Replay) {
    for (number, kind, value, column, data) in [
        (37, "FIXED", json!("42"), Column::fixed("?", 2), json!("42")),
        (
            41,
            "DATE",
            json!("1791504000000"),
            Column::new("?", "date"),
            json!("20735"),
        ),
        (
            42,
            "TIME",
            json!("45296123456789"),
            Column::time("?", "time"),
            json!("45296.123456789"),
        ),
        (
            45,
            "TIMESTAMP_TZ",
            json!("1791549296123456789 1860"),
            Column::time("?", "timestamp_tz"),
            json!("1791549296.123456789 1860"),
        ),
        (
            46,
            "BINARY",
            json!("DEADBEEF"),
            Column::new("?", "binary").long(4, 4),
            json!("DEADBEEF"),
        ),
        (
            47,
            "TEXT",
            Value::Null,
            Column::text("?").nullable(),
            Value::Null,
        ),
    ] {
        let answer = bound(
            replay,
            "SELECT ?",
            json!({"1": {"type": kind, "value": value}}),
        )
        .await;
        replay.succeeded(number, &answer, &[column], json!([[data]]));
    }

    let one_and_two =
        json!({"1": {"type": "FIXED", "value": "1"}, "2": {"type": "FIXED", "value": "2"}});
    let more = bound(replay, "SELECT ?", one_and_two).await;
    replay.succeeded(51, &more, &[Column::fixed("?", 1)], json!([["1"]]));
    let named = bound(
        replay,
        "SELECT :a",
        json!({"a": {"type": "FIXED", "value": "7"}}),
    )
    .await;
    replay.succeeded(53, &named, &[Column::fixed(":A", 1)], json!([["7"]]));
}

async fn refusals(replay: &mut Replay) {
    for (number, sql, kind, value, code, state, message) in [
        (
            48,
            "SELECT ?",
            "VARIANT",
            "{\"a\":1}",
            "002040",
            "42601",
            "SQL compilation error:\nUnsupported data type 'VARIANT'.",
        ),
        (
            49,
            "SELECT ?",
            "FIXED",
            "abc",
            "002086",
            "22000",
            "SQL compilation error:\nInvalid bind value (abc) for type (FIXED).",
        ),
        (
            50,
            "SELECT ?, ?",
            "FIXED",
            "1",
            "002049",
            "42601",
            "SQL compilation error: error line 1 at position 10\nBind variable ? not set.",
        ),
    ] {
        let answer = bound(replay, sql, json!({"1": {"type": kind, "value": value}})).await;
        replay.failed(number, &answer, (422, code, state), message);
    }
}

/// Rows for a table; the one that stays there is changed later on.
async fn rows(replay: &mut Replay) {
    let insert = "INSERT INTO dbimp_it_dml VALUES (?, ?)";
    let values = |ids: Value, names: Value| json!({"1": {"type": "FIXED", "value": ids}, "2": {"type": "TEXT", "value": names}});
    let count = Column::count("number of rows inserted");
    let inserted = |rows: u64| json!({"numRowsInserted": rows, "numRowsDeleted": 0, "numRowsUpdated": 0, "numDmlDuplicates": 0});

    let lists = values(json!(["11", "12", "13"]), json!(["a", "b", "c"]));
    let answer = bound(replay, insert, lists).await;
    replay.changed(
        139,
        &answer,
        std::slice::from_ref(&count),
        json!([["3"]]),
        inserted(3),
    );

    let uneven = bound(replay, insert, values(json!(["21", "22"]), json!(["a"]))).await;
    let message = "SQL compilation error: Batch size of 1 for bind variable 2 not the same as previous size of 2.";
    replay.failed(141, &uneven, (422, "002099", "42601"), message);

    let kept = replay.sql("SELECT * FROM dbimp_it_dml ORDER BY id").await;
    assert_eq!(kept.data(), json!([["11", "a"], ["12", "b"], ["13", "c"]]));
    replay.prepare("TRUNCATE TABLE dbimp_it_dml").await;

    let answer = bound(replay, insert, values(json!("1"), json!("a"))).await;
    replay.changed(54, &answer, &[count], json!([["1"]]), inserted(1));
}
