//! Exchanges of the real service, replayed: same status, same codes, same columns, same data.
//!
//! The numbers are those of the recordings that the facts were taken from.

use serde_json::{Value, json};

use crate::support::{Answer, Warehouse};

/// `(name, type, precision, scale, length, byteLength, nullable)`
type Column = (
    &'static str,
    &'static str,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    bool,
);

const STATUS: Column = (
    "status",
    "text",
    None,
    None,
    Some(16_777_216),
    Some(16_777_216),
    true,
);

const fn fixed(name: &'static str, precision: i64) -> Column {
    (name, "fixed", Some(precision), Some(0), None, None, false)
}

const fn count(name: &'static str) -> Column {
    fixed(name, 19)
}

fn assert_grid(what: &str, answer: &Answer, columns: &[Column], data: &Value) {
    assert_eq!(answer.data(), *data, "{what}");
    let body = answer.body();
    let expected: Vec<Value> = columns
        .iter()
        .map(|(name, kind, precision, scale, length, bytes, nullable)| {
            json!({"name": name, "database": "", "schema": "", "table": "", "collation": null, "precision": precision,
                "scale": scale, "nullable": nullable, "byteLength": bytes, "length": length, "type": kind})
        })
        .collect();
    assert_eq!(
        body["resultSetMetaData"]["rowType"],
        json!(expected),
        "{what}"
    );
    assert_eq!(
        body["resultSetMetaData"]["numRows"],
        json!(data.as_array().unwrap().len()),
        "{what}"
    );
    assert_eq!(body["resultSetMetaData"]["format"], "jsonv2", "{what}");
    assert_eq!(body["code"], "090001", "{what}");
    assert_eq!(body["sqlState"], "00000", "{what}");
    assert_eq!(
        body["message"], "Statement executed successfully.",
        "{what}"
    );
    assert_eq!(
        body["statementStatusUrl"],
        format!(
            "/api/v2/statements/{}?requestId={}",
            answer.handle(),
            answer.text("requestId")
        ),
        "{what}"
    );
    let link = answer.headers["link"].to_str().unwrap();
    assert!(
        link.starts_with(&format!(
            "</api/v2/statements/{}?requestId=",
            answer.handle()
        )),
        "{what}: {link}"
    );
    assert!(
        link.contains("&partition=0>; rel=\"first\",<")
            && link.ends_with("&partition=0>; rel=\"last\""),
        "{link}"
    );
}

fn assert_failure(
    what: &str,
    answer: &Answer,
    status: u16,
    code: &str,
    state: &str,
    message: &str,
) {
    let handle = &answer.body()["statementHandle"];
    let expected =
        json!({"code": code, "message": message, "sqlState": state, "statementHandle": handle});
    assert_eq!(
        (answer.status.as_u16(), answer.body()),
        (status, expected),
        "{what}"
    );
}

fn stats(inserted: u64, deleted: u64, updated: u64) -> Value {
    json!({"numRowsInserted": inserted, "numRowsDeleted": deleted, "numRowsUpdated": updated, "numDmlDuplicates": 0})
}

#[tokio::test]
async fn selects() {
    let warehouse = Warehouse::new().await;
    let answer = warehouse.sql("SELECT 1 AS a, 'x' AS b").await;
    let text = ("B", "text", None, None, Some(1), Some(4), false);
    assert_grid("018", &answer, &[fixed("A", 1), text], &json!([["1", "x"]]));
    let partitions = json!([{"rowCount": 1, "uncompressedSize": 9}]);
    assert_eq!(
        answer.body()["resultSetMetaData"]["partitionInfo"],
        partitions
    );
    assert!(
        answer.body().get("stats").is_none() && answer.body().get("statementHandles").is_none()
    );

    let answer = warehouse
        .post(
            "",
            json!({"statement": "SELECT 1", "database": "NOSUCH_DB"}),
        )
        .await;
    assert_grid("083", &answer, &[fixed("1", 1)], &json!([["1"]]));
}

#[tokio::test]
async fn failures() {
    let warehouse = Warehouse::new().await;
    let syntax = "SQL compilation error:\nsyntax error line 1 at position 0 unexpected 'SELEC'.";
    assert_failure(
        "062",
        &warehouse.sql("SELEC 1").await,
        422,
        "001003",
        "42000",
        syntax,
    );
    let missing = "SQL compilation error:\nObject 'DBIMP_IT_NOSUCH' does not exist or not authorized. Your primary role \
                   KAFKA_LOADER or one of your secondary roles must have at least one privilege granted on TABLE \
                   DBIMP_IT_NOSUCH.";
    assert_failure(
        "063",
        &warehouse.sql("SELECT * FROM dbimp_it_nosuch").await,
        422,
        "002003",
        "42S02",
        missing,
    );
    let zero = warehouse.sql("SELECT 1/0").await;
    assert_failure("064", &zero, 422, "100051", "22012", "Division by zero");
    let begin = warehouse.sql("BEGIN").await;
    assert_failure(
        "099",
        &begin,
        422,
        "391911",
        "0A000",
        "Command not supported by SQL API: TRANSACTION_BEGIN",
    );
    let put = warehouse.sql("PUT file:///tmp/none.csv @~/dbimp_it/").await;
    assert_failure(
        "117",
        &put,
        422,
        "391911",
        "0A000",
        "Command not supported by SQL API: PUT",
    );
    let two = warehouse.sql("SELECT 1; SELECT 2").await;
    let mismatch = "Actual statement count 2 did not match the desired statement count 1.";
    assert_failure("086", &two, 422, "000008", "0A000", mismatch);
    let nowhere = warehouse.get("00000000-0000-0000-0000-000000000000").await;
    let unknown = "Statement 00000000-0000-0000-0000-000000000000 not found";
    assert_failure("069", &nowhere, 400, "000709", "02000", unknown);
}

#[tokio::test]
async fn changes_to_a_table() {
    let warehouse = Warehouse::new().await;
    warehouse
        .sql("CREATE TABLE dbimp_it_dml (id NUMBER, name VARCHAR)")
        .await
        .data();
    warehouse
        .sql("INSERT INTO dbimp_it_dml VALUES (1, 'a')")
        .await
        .data();
    let merge = "MERGE INTO dbimp_it_dml t USING (SELECT 1 AS id, 'm' AS name) s ON t.id = s.id WHEN MATCHED THEN \
                 UPDATE SET name = s.name";
    let inserted = count("number of rows inserted");
    let updated = count("number of rows updated");
    let joined = count("number of multi-joined rows updated");
    let deleted = count("number of rows deleted");
    let insert = "INSERT INTO dbimp_it_dml VALUES (2,'b'),(3,'c')";
    let update = "UPDATE dbimp_it_dml SET name = 'z' WHERE id < 3";
    let delete = "DELETE FROM dbimp_it_dml WHERE id = 3";
    let create = "CREATE OR REPLACE TABLE dbimp_it_dml (id NUMBER, name VARCHAR)";
    let done = "Statement executed successfully.";
    let absent = "Drop statement executed successfully (DBIMP_IT_NOSUCH already dropped).";
    for (number, sql, columns, data, changed) in [
        (
            "091",
            insert,
            &[inserted][..],
            json!([["2"]]),
            stats(2, 0, 0),
        ),
        (
            "092",
            update,
            &[updated, joined],
            json!([["2", "0"]]),
            stats(0, 0, 2),
        ),
        ("093", delete, &[deleted], json!([["1"]]), stats(0, 1, 0)),
        ("094", merge, &[updated], json!([["1"]]), stats(0, 0, 1)),
        (
            "095",
            "TRUNCATE TABLE dbimp_it_dml",
            &[STATUS],
            json!([[done]]),
            stats(0, 2, 0),
        ),
        (
            "096",
            create,
            &[STATUS],
            json!([["Table DBIMP_IT_DML successfully created."]]),
            Value::Null,
        ),
        (
            "097",
            "DROP TABLE IF EXISTS dbimp_it_nosuch",
            &[STATUS],
            json!([[absent]]),
            Value::Null,
        ),
        (
            "105",
            "ALTER SESSION SET TIMEZONE = 'UTC'",
            &[STATUS],
            json!([[done]]),
            Value::Null,
        ),
    ] {
        let answer = warehouse.sql(sql).await;
        assert_grid(number, &answer, columns, &data);
        assert_eq!(answer.body()["stats"], changed, "{number}");
    }
}

#[tokio::test]
async fn several_statements() {
    const DONE: &str = "Multiple statements executed successfully.";
    let parent: Column = (
        "multiple statement execution",
        "text",
        None,
        None,
        Some(134_217_728),
        Some(134_217_728),
        false,
    );
    let warehouse = Warehouse::new().await;
    let two =
        json!({"statement": "SELECT 1; SELECT 2", "parameters": {"MULTI_STATEMENT_COUNT": "2"}});
    let answer = warehouse.post("", two).await;
    assert_grid("087", &answer, &[parent], &json!([[DONE]]));
    let read = warehouse
        .get(&format!("{}?partition=0", answer.handle()))
        .await;
    assert_eq!(read.body(), answer.body(), "088");

    let named = json!({"statement": "SELECT 1 AS a; SELECT 2 AS b", "parameters": {"MULTI_STATEMENT_COUNT": "2"}});
    let answer = warehouse.post("", named).await;
    assert_grid("136", &answer, &[parent], &json!([[DONE]]));
    let handles = answer.body()["statementHandles"].clone();
    for (at, number, name, value) in [(0, "137", "A", "1"), (1, "138", "B", "2")] {
        let child = warehouse.get(handles[at].as_str().unwrap()).await;
        assert_grid(number, &child, &[fixed(name, 1)], &json!([[value]]));
        assert_ne!(
            child.text("requestId"),
            answer.text("requestId"),
            "{number}"
        );
    }

    warehouse
        .sql("CREATE TABLE dbimp_it_dml (id NUMBER, name VARCHAR)")
        .await
        .data();
    let transaction = json!({"statement": "BEGIN; INSERT INTO dbimp_it_dml VALUES (9,'t'); COMMIT",
        "parameters": {"MULTI_STATEMENT_COUNT": "3"}});
    let answer = warehouse.post("", transaction).await;
    assert_grid("101", &answer, &[parent], &json!([[DONE]]));
    assert_eq!(
        answer.body()["statementHandles"].as_array().unwrap().len(),
        3
    );
    let rows = warehouse
        .sql("SELECT id, name FROM dbimp_it_dml ORDER BY id")
        .await;
    assert_eq!(rows.data(), json!([["9", "t"]]), "103");
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_statements() {
    let warehouse = Warehouse::new().await;
    let started = warehouse
        .post(
            "?async=true",
            json!({"statement": "SELECT SYSTEM$WAIT(20)"}),
        )
        .await;
    let handle = started.handle();
    let expected = json!({"code": "333334",
        "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
        "statementHandle": handle, "statementStatusUrl": format!("/api/v2/statements/{handle}")});
    assert_eq!(
        (started.status.as_u16(), started.body()),
        (202, expected.clone()),
        "071"
    );
    let running = warehouse.get(&handle).await;
    assert_eq!(
        (running.status.as_u16(), running.body()),
        (202, expected),
        "072"
    );
    assert_eq!(
        warehouse.cancel(&handle).await.verdict(),
        (200, "000604".to_owned()),
        "073"
    );

    let sent = warehouse
        .post("?async=true", json!({"statement": "SELECT SYSTEM$WAIT(1)"}))
        .await;
    assert_eq!(sent.status, 202, "076");
    let text = (
        "SYSTEM$WAIT(1)",
        "text",
        None,
        None,
        Some(134_217_728),
        Some(134_217_728),
        false,
    );
    assert_grid(
        "077",
        &warehouse.ended(&sent.handle()).await,
        &[text],
        &json!([["waited 1 seconds"]]),
    );
}

#[tokio::test]
async fn a_request_id_sent_twice() {
    let warehouse = Warehouse::new().await;
    let query = "?requestId=11111111-1111-1111-1111-111111111111&retry=true";
    let first = warehouse
        .post(query, json!({"statement": "SELECT 1"}))
        .await;
    assert_grid("144", &first, &[fixed("1", 1)], &json!([["1"]]));
    assert_eq!(
        first.text("requestId"),
        "11111111-1111-1111-1111-111111111111"
    );
    let again = warehouse
        .post(query, json!({"statement": "SELECT 1"}))
        .await;
    assert_eq!(again.body(), first.body(), "145");
}
