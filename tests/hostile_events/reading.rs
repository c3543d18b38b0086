//! All cases in one partition, good ones and bad ones by turns, through the whole path.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDateTime, Utc};

use super::Event;
use super::cases::{Case, Fate, all};
use crate::support::deployment::Deployment;
use crate::support::kafka::{Kafka, Message, Record};
use crate::support::pipeline::Pipeline;

const LIMIT: Duration = Duration::from_secs(60);

/// Where murmur2 puts each customer among three partitions.
const CUSTOMERS: [(&str, i32); 3] = [("CUST_1", 0), ("CUST_2", 1), ("CUST_5", 1)];

/// customer_metrics with a column of each further type, and with one whose computation can fail.
fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::customer_metrics();
    pipeline.edit(
        "raw_events.sql",
        "    event_timestamp TIMESTAMP\n",
        "    event_timestamp TIMESTAMP, quantity BIGINT, ratio DOUBLE, trial BOOLEAN, birthday DATE, note VARCHAR, moment TIMESTAMP\n",
    );
    pipeline.edit(
        "clean_events.sql",
        "AS processing_timestamp,",
        "AS processing_timestamp, quantity, ratio, trial, birthday, note, moment, 1000 / quantity AS share,",
    );
    pipeline.edit(
        "warehouse/02_kafka_events_silver.sql",
        "    PROCESSING_TIMESTAMP TIMESTAMP_NTZ(6) NOT NULL\n",
        "    PROCESSING_TIMESTAMP TIMESTAMP_NTZ(6) NOT NULL, QUANTITY NUMBER(19, 0), RATIO FLOAT, TRIAL BOOLEAN, BIRTHDAY DATE,
         NOTE VARCHAR, MOMENT TIMESTAMP_NTZ(6), SHARE NUMBER(19, 0)\n",
    );
    pipeline
}

/// Good and bad by turns, as long as there are both.
fn mixed(cases: Vec<Case>) -> Vec<Case> {
    let (good, bad): (Vec<_>, Vec<_>) =
        (cases.into_iter()).partition(|case| matches!(case.fate, Fate::Clean(_)));
    let (mut good, mut bad) = (good.into_iter(), bad.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = [good.next(), bad.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

fn raw_headers(at: usize) -> Vec<(String, Option<Vec<u8>>)> {
    vec![
        ("trace".to_owned(), Some(at.to_string().into_bytes())),
        ("sluicebox.reason".to_owned(), Some(b"forged".to_vec())),
        ("bytes".to_owned(), Some(vec![0, 0xff])),
        ("nothing".to_owned(), None),
    ]
}

fn raw_key(at: usize) -> Option<Vec<u8>> {
    [None, Some(b"key".to_vec()), Some(vec![0xff, 0])][at % 3].clone()
}

#[test]
fn each_hostile_event_is_judged_as_decided_and_the_batch_goes_on() {
    let kafka = Kafka::shared();
    let deployment = Deployment::new("hostile", &pipeline());
    deployment.setup();
    let now = Utc::now().timestamp_millis();
    let cases = mixed(all(now, &CUSTOMERS.map(|(name, _)| name)));
    let refused = cases
        .iter()
        .filter(|case| matches!(case.fate, Fate::Refused(..)))
        .count();
    assert!(
        refused >= 90 && cases.len() >= 130,
        "{refused} of {}",
        cases.len()
    );
    let messages = cases.iter().enumerate().map(|(at, case)| Message {
        key: raw_key(at),
        value: case.value.clone(),
        headers: raw_headers(at),
        timestamp: Some(now),
        partition: Some(0),
    });
    kafka.produce(&deployment.raw, messages);

    let mut service = deployment.start(&["run"]);
    service.wait_ready();
    let clean_count = i64::try_from(cases.len() - refused).unwrap();
    let silver = "SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER";
    service.wait_for("the rows", LIMIT, |_| {
        deployment.number(silver) == clean_count
    });
    assert!(service.terminate().success());

    let clean = by_trace(kafka.read_all(&deployment.clean));
    let rejected = by_trace(kafka.read_all(&deployment.rejected));
    assert_eq!(
        (clean.len(), rejected.len()),
        (cases.len() - refused, refused)
    );
    for (at, case) in cases.iter().enumerate() {
        match &case.fate {
            Fate::Clean(columns) => assert_clean(&clean[&at], &case.event, columns, now),
            Fate::Refused(reason, says) => {
                let place = Place {
                    topic: &deployment.raw,
                    at,
                    now,
                };
                assert_refused(&rejected[&at], case, reason, says, &place);
            }
        }
    }
    assert_texts_in_the_warehouse(&deployment);
}

/// By the number that the raw record carried in a header.
fn by_trace(records: Vec<Record>) -> BTreeMap<usize, Record> {
    let trace = |record: &Record| {
        let value = record.headers[0].1.clone().expect("the header travels on");
        String::from_utf8(value).unwrap().parse().unwrap()
    };
    records
        .into_iter()
        .map(|record| (trace(&record), record))
        .collect()
}

fn assert_clean(record: &Record, event: &Event, written: &[(&str, String)], now: i64) {
    let value = String::from_utf8(record.value.clone().unwrap()).unwrap();
    let column = |name: &str| match written.iter().find(|(column, _)| *column == name) {
        Some((_, json)) => json.clone(),
        None => event.value(name).unwrap_or("null").to_owned(),
    };
    let amount = match column("amount").as_str() {
        "12.5" => "12.50".to_owned(),
        other => other.to_owned(),
    };
    let share = match column("quantity").parse::<i64>() {
        Ok(quantity) => (1000 / quantity).to_string(),
        Err(_) => "null".to_owned(),
    };
    let before = format!(
        r#"{{"event_id":{},"customer_id":{},"event_type":"PURCHASE","amount":{amount},"currency":{},"event_timestamp":{},"processing_timestamp":""#,
        column("event_id"),
        column("customer_id"),
        column("currency"),
        column("event_timestamp"),
    );
    let after = format!(
        r#"","quantity":{},"ratio":{},"trial":{},"birthday":{},"note":{},"moment":{},"share":{share}}}"#,
        column("quantity"),
        column("ratio"),
        column("trial"),
        column("birthday"),
        column("note"),
        column("moment"),
    );
    let processed = value
        .strip_prefix(&before)
        .and_then(|rest| rest.strip_suffix(&after))
        .unwrap_or_else(|| panic!("{value}\nis not\n{before}...{after}"));
    assert_eq!(
        processed.len(),
        "2026-01-01T00:00:00.000000Z".len(),
        "{value}"
    );
    NaiveDateTime::parse_from_str(processed, "%Y-%m-%dT%H:%M:%S%.6fZ").unwrap();
    assert_eq!(record.timestamp, now, "{value}");
    let key: String = serde_json::from_str(&column("customer_id")).unwrap();
    assert_eq!(record.key.as_deref(), Some(key.as_bytes()), "{value}");
    if let Some((_, partition)) = CUSTOMERS.iter().find(|(name, _)| *name == key) {
        assert_eq!(record.partition, *partition, "{value}");
    }
    let raw = raw_headers(0);
    // Behind them stands where the event came from.
    assert_eq!(record.headers[1..raw.len()], raw[1..], "{value}");
}

/// Where the refused record stood.
struct Place<'a> {
    topic: &'a str,
    at: usize,
    now: i64,
}

fn assert_refused(record: &Record, case: &Case, reason: &str, says: &str, place: &Place<'_>) {
    let Place { topic, at, now } = place;
    assert_eq!(record.value, case.value, "{case:?}");
    assert_eq!(record.key, raw_key(*at), "{case:?}");
    let own = raw_headers(*at).len();
    assert_eq!(record.headers[..own], raw_headers(*at), "{case:?}");
    let text = |at: usize| {
        let (name, value) = &record.headers[own + at];
        let value = String::from_utf8(value.clone().unwrap()).unwrap();
        (name.as_str(), value)
    };
    let (name, detail) = text(1);
    assert_eq!(name, "sluicebox.detail");
    assert!(detail.contains(says), "{case:?}: {detail}");
    assert!(detail.chars().count() < 250, "{case:?}: {detail}");
    let ours = [0, 2, 3, 4, 5, 6].map(text);
    let expected = [
        ("sluicebox.reason", reason.to_owned()),
        ("sluicebox.stage", "clean".to_owned()),
        ("sluicebox.topic", (*topic).to_owned()),
        ("sluicebox.partition", "0".to_owned()),
        ("sluicebox.offset", at.to_string()),
        ("sluicebox.timestamp", now.to_string()),
    ];
    assert_eq!(ours, expected, "{case:?}: {detail}");
    assert_eq!(record.headers.len(), own + 7, "{case:?}");
}

/// Words that other systems read as NULL, and blank ones, are ordinary strings.
fn assert_texts_in_the_warehouse(deployment: &Deployment) {
    for (text, count) in [("NULL", 1), (r"\\N", 1), ("", 1), ("   ", 1), ("4.20", 1)] {
        let query =
            format!("SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER WHERE CUSTOMER_ID = '{text}'");
        assert_eq!(deployment.number(&query), count, "{query}");
    }
    let missing =
        "SELECT COUNT(*) FROM KAFKA_EVENTS_SILVER WHERE CUSTOMER_ID IS NULL OR CURRENCY IS NULL";
    assert_eq!(deployment.number(missing), 0);
}
