//! Requests that were sent to the real service, replayed: same HTTP status, same codes, same columns, same data.
//!
//! The numbers are those of the recordings that the facts were taken from. Ids, times and sizes differ from run to run
//! and are left out; so are the names of the recorded role and account, which the test has others for.

use std::collections::BTreeSet;

use mock_warehouse::engine::Bindings;
use serde_json::{Value, json};

use crate::support::{Answer, ROLE, Sent, Warehouse};

mod bindings;
mod changes;
mod columns;
mod failures;
mod requests;
mod values;

use columns::Column;

/// All recordings that there are.
const RECORDINGS: [u16; 76] = [
    18, 20, 23, 24, 26, 27, 28, 30, 31, 34, 35, 37, 41, 42, 45, 46, 47, 48, 49, 50, 51, 53, 54, 59,
    62, 63, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 86, 87, 88,
    89, 91, 92, 93, 94, 95, 96, 97, 98, 99, 101, 103, 105, 107, 111, 115, 116, 117, 123, 128, 136,
    137, 138, 139, 141, 142, 144, 145,
];

/// Recordings that are not reproduced, each with its reason; at most three.
const EXCEPTIONS: [(u16, &str); 0] = [];

/// The members of the body of a statement that succeeded, by name: `statementHandles` only for several statements,
/// `stats` only where rows changed.
const MEMBERS: [&str; 11] = [
    "code",
    "createdOn",
    "data",
    "message",
    "requestId",
    "resultSetMetaData",
    "sqlState",
    "statementHandle",
    "statementHandles",
    "statementStatusUrl",
    "stats",
];

/// A warehouse like the recorded one, what was replayed on it, and what came out otherwise.
struct Replay {
    warehouse: Warehouse,
    replayed: BTreeSet<u16>,
    differences: Vec<String>,
}

impl Replay {
    async fn new() -> Self {
        let warehouse = Warehouse::new().await;
        let mut admin = warehouse.warehouse.engine().admin();
        for sql in [
            "CREATE DATABASE DBMETA".to_owned(),
            "CREATE WAREHOUSE DBMETA_WH".to_owned(),
            format!("GRANT USAGE ON WAREHOUSE DBMETA_WH TO ROLE {ROLE}"),
            format!("GRANT USAGE ON DATABASE DBMETA TO ROLE {ROLE}"),
            format!("GRANT USAGE, CREATE TABLE ON SCHEMA DBMETA.PUBLIC TO ROLE {ROLE}"),
        ] {
            let done = admin.execute(&sql, &Bindings::new()).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        Self {
            warehouse,
            replayed: BTreeSet::new(),
            differences: Vec::new(),
        }
    }

    async fn of_all() -> Self {
        let mut replay = Self::new().await;
        values::replay(&mut replay).await;
        bindings::replay(&mut replay).await;
        changes::replay(&mut replay).await;
        failures::replay(&mut replay).await;
        requests::replay(&mut replay).await;
        replay
    }

    /// Sends a request body; what it leaves out is as in every recording.
    async fn post(&self, query: &str, body: Value) -> Answer {
        let mut whole = json!({"warehouse": "DBMETA_WH", "database": "DBMETA", "schema": "PUBLIC"});
        let members = whole.as_object_mut().unwrap();
        members.extend(body.as_object().unwrap().clone());
        self.warehouse.post(query, whole).await
    }

    async fn sql(&self, statement: &str) -> Answer {
        self.post("", json!({"statement": statement})).await
    }

    /// Runs a statement of the recorded session that was not recorded itself.
    async fn prepare(&self, statement: &str) {
        let answer = self.sql(statement).await;
        assert_eq!(answer.status, 200, "{statement}: {}", answer.body());
    }

    /// Notes a difference between what was answered and what the service answered.
    fn compare(&mut self, number: u16, what: &str, actual: &Value, expected: &Value) {
        if actual != expected {
            self.differences.push(format!(
                "{number:03}, {what}:\n  answered {actual}\n  recorded {expected}"
            ));
        }
    }

    /// A statement that succeeded and changed no row.
    fn succeeded(&mut self, number: u16, answer: &Answer, columns: &[Column], data: Value) {
        self.changed(number, answer, columns, data, Value::Null);
    }

    /// A statement that succeeded; its statistics, if it has any.
    fn changed(
        &mut self,
        number: u16,
        answer: &Answer,
        columns: &[Column],
        data: Value,
        stats: Value,
    ) {
        self.replayed.insert(number);
        let body = answer.body();
        let meta = &body["resultSetMetaData"];
        let row_type = columns.iter().map(Column::described).collect::<Value>();
        let rows = json!(data.as_array().map(Vec::len));
        let message = json!("Statement executed successfully.");
        let cut = meta["partitionInfo"].as_array().map(|partitions| {
            let counts = partitions.iter().map(|partition| &partition["rowCount"]);
            counts.collect::<Vec<_>>()
        });
        let members = members(&body);
        let several = meta["rowType"][0]["name"] == "multiple statement execution";
        let recorded_members = MEMBERS
            .into_iter()
            .filter(|member| match *member {
                "statementHandles" => several,
                "stats" => !stats.is_null(),
                _ => true,
            })
            .collect::<Value>();
        for (what, answered, recorded) in [
            ("status", &json!(answer.status.as_u16()), json!(200)),
            ("code", &body["code"], json!("090001")),
            ("sqlState", &body["sqlState"], json!("00000")),
            ("message", &body["message"], message),
            ("rowType", &meta["rowType"], row_type),
            ("format", &meta["format"], json!("jsonv2")),
            ("numRows", &meta["numRows"], rows.clone()),
            ("rows of partitions", &json!(cut), json!([rows])),
            ("members", &members, recorded_members),
            ("data", &body["data"], data),
            ("stats", &body["stats"], stats),
        ] {
            self.compare(number, what, answered, &recorded);
        }
        if answer.status == 200 {
            self.addressed(number, answer);
        }
    }

    /// Where the result may be read: in the body and in the header.
    fn addressed(&mut self, number: u16, answer: &Answer) {
        let handle = answer.handle();
        let url = format!(
            "/api/v2/statements/{handle}?requestId={}",
            answer.text("requestId")
        );
        let body = answer.body();
        self.compare(number, "url", &body["statementStatusUrl"], &json!(url));
        let links = answer.headers["link"].to_str().unwrap();
        let begin = format!("</api/v2/statements/{handle}?requestId=");
        let shape: Vec<&str> = links
            .split(',')
            .map(|link| link.strip_prefix(&begin).map_or(link, |rest| &rest[36..]))
            .collect();
        let recorded = json!([
            "&partition=0>; rel=\"first\"",
            "&partition=0>; rel=\"last\""
        ]);
        self.compare(number, "links", &json!(shape), &recorded);
    }

    /// A statement that was refused or failed. All such bodies have the same four members.
    fn failed(
        &mut self,
        number: u16,
        answer: &Answer,
        (status, code, state): (u16, &str, &str),
        message: &str,
    ) {
        let handle = answer.body()["statementHandle"].clone();
        let body =
            json!({"code": code, "message": message, "sqlState": state, "statementHandle": handle});
        self.exactly(number, answer, status, &body);
    }

    /// This status and this body.
    fn exactly(&mut self, number: u16, answer: &Answer, status: u16, body: &Value) {
        self.replayed.insert(number);
        self.compare(
            number,
            "status",
            &json!(answer.status.as_u16()),
            &json!(status),
        );
        self.compare(number, "body", &answer.body(), body);
    }
}

/// A warehouse on which all recordings were replayed, and the requests that did so.
pub(crate) async fn replayed() -> (Warehouse, Vec<Sent>) {
    let replay = Replay::of_all().await;
    let sent = replay.warehouse.take_sent();
    (replay.warehouse, sent)
}

/// The names of an object's members, in order.
fn members(body: &Value) -> Value {
    let mut names: Vec<&String> = body
        .as_object()
        .into_iter()
        .flat_map(|body| body.keys())
        .collect();
    names.sort();
    json!(names)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recording_is_reproduced() {
    let mut replay = Replay::of_all().await;
    println!(
        "{} of {} recordings replayed, {} of their facts differ",
        replay.replayed.len(),
        RECORDINGS.len(),
        replay.differences.len()
    );
    for (number, reason) in EXCEPTIONS {
        println!("{number:03} is left out: {reason}");
        assert!(
            replay.replayed.insert(number),
            "{number:03} is replayed after all"
        );
    }
    assert!(
        replay.differences.is_empty(),
        "{}",
        replay.differences.join("\n")
    );
    assert!(EXCEPTIONS.len() <= 3);
    assert_eq!(replay.replayed, BTreeSet::from(RECORDINGS));
}
