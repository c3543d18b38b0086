//! Events that are older than what a gold table keeps: refused, never counted from zero, and the same after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::support::books::Books;
use crate::support::kafka::{Kafka, Record};

const LIMIT: Duration = Duration::from_secs(60);

/// An event of one customer, whose events are all in one partition.
fn event(id: &str, at: DateTime<Utc>) -> (Option<&'static str>, Vec<u8>) {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let value = format!(
        r#"{{"event_id":"{id}","customer_id":"c1","event_type":"PAGE_VIEW","amount":1.5,"currency":"USD","event_timestamp":"{at}"}}"#
    );
    (Some("c1"), value.into_bytes())
}

fn header(record: &Record, name: &str) -> String {
    let found = record.headers.iter().rfind(|(found, _)| found == name);
    let value = found.and_then(|(_, value)| value.clone());
    String::from_utf8(value.unwrap_or_else(|| panic!("no header {name}"))).unwrap()
}

/// The page views of each day, as the newest rows of the gold topic have them.
fn views(books: &Books) -> BTreeMap<String, i64> {
    let rows = Kafka::shared()
        .read_all(&books.gold)
        .into_iter()
        .map(|record| {
            let row: Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let day = row["event_date"].as_str().unwrap().to_owned();
            (day, row["page_views"].as_i64().unwrap())
        });
    rows.collect()
}

#[test]
fn an_event_older_than_keep_is_rejected_as_too_late_also_after_a_restart() {
    let books = Books::open("late");
    let keep = format!("gold.keep.{}=5d", books.gold);
    let run = ["run", "clean", "gold", "--set", &keep];
    let now = Utc::now();
    let ago = |days: i64| now - TimeDelta::days(days);
    let day = |days: i64| ago(days).date_naive().to_string();

    // Old, but nothing newer has been seen yet: in time.
    let mut service = books.deployment.start(&run);
    books
        .deployment
        .produce([event("old", ago(20)), event("new", now)]);
    let both = BTreeMap::from([(day(20), 1), (day(0), 1)]);
    service.wait_for("both counted", LIMIT, |_| views(&books) == both);
    assert!(service.terminate().success());

    // The topic alone says how far time has come.
    let mut service = books.deployment.start(&run);
    books.deployment.produce([
        event("late", ago(20)),
        event("later", ago(8)),
        event("in-time", ago(3)),
    ]);
    let expected = BTreeMap::from([(day(20), 1), (day(3), 1), (day(0), 1)]);
    service.wait_for("the third counted", LIMIT, |_| views(&books) == expected);
    let late = format!("sluicebox_gold_late_total{{table=\"{}\"}}", books.gold);
    service.wait_for("late events told", LIMIT, |service| {
        service.metric(&late) == 2
    });
    assert!(service.terminate().success());

    let clean = Kafka::shared().read_all(&books.deployment.clean);
    assert_eq!(clean.len(), 5, "late events stay in clean_events");
    let rejected = Kafka::shared().read_all(&books.deployment.rejected);
    assert_eq!(rejected.len(), 2);
    for record in &rejected {
        assert_eq!(header(record, "sluicebox.reason"), "too_late");
        assert_eq!(header(record, "sluicebox.stage"), "gold");
        let detail = header(record, "sluicebox.detail");
        let said = format!("{} keeps 5d: event_date 20", books.gold);
        assert!(detail.starts_with(&said), "{detail}");
        let offset: i64 = header(record, "sluicebox.offset").parse().unwrap();
        let original = clean.iter().find(|clean| clean.offset == offset).unwrap();
        assert_eq!(record.value, original.value);
    }
}

#[test]
fn a_keep_that_no_table_can_be_kept_to_is_refused_at_start() {
    let books = Books::open("keep-refused");
    for (setting, said) in [
        (
            "gold.keep.nothing=5d".to_owned(),
            "there is no gold/nothing.sql",
        ),
        (
            format!("gold.keep.{}=5d by customer_id", books.gold),
            "hint: its times are event_date",
        ),
        (
            format!("gold.keep.{}=soon", books.gold),
            "must be a duration with its unit",
        ),
        (
            format!("gold.keep.{}=0s", books.gold),
            "must be 1s to 3650d",
        ),
    ] {
        let run = ["run", "gold", "--set", &setting];
        let ended = books.deployment.command(&run).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{setting}");
        assert!(stderr.contains(said), "{setting}: {stderr}");
    }
}
