//! Raw events in Kafka become rows in the warehouse's views, by the real binary.

use std::collections::{BTreeMap, HashMap};

use chrono::{SubsecRound, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use sluicebox::generate::{Events, Options, Ratio};

use crate::support::books::{Books, money};
use crate::support::deployment::PARTITIONS;
use crate::support::kafka::{Kafka, Message, Record};
use crate::support::oracle::{CleanEvent, Verdict};
use crate::support::running::Running;

const EVENTS: usize = 100_000;

/// Tells the records of the raw topic apart, whatever else they carry.
const NUMBER: &str = "test.number";

/// What became of a raw record.
#[derive(Debug, PartialEq)]
enum Outcome {
    Clean,
    /// For this reason.
    Rejected(String),
}

#[test]
fn where_nothing_is_produced_nothing_is_sent_to_the_warehouse_and_a_stop_leaves_nothing_undone() {
    let Books { deployment, .. } = Books::open("nothing");
    let mut service = deployment.start(&["run", "--set", "sink.flush_interval=100ms"]);
    service.wait_ready();
    assert!(service.terminate().success());
    assert!(
        !service.log().contains("not everything was done"),
        "{}",
        service.log()
    );
    let loads = deployment.number("SELECT SUM(loads) AS loads FROM SLUICEBOX_CONTROL");
    assert_eq!(loads, 0);
}

#[test]
fn a_hundred_thousand_events_get_the_verdicts_of_their_labels_and_the_metrics_of_the_oracle() {
    let books = Books::open("whole");
    Kafka::shared().produce(&books.deployment.raw, messages());
    let judged = books.judged();
    let clean: Vec<_> = judged
        .iter()
        .filter_map(|(_, verdict)| verdict.clean().cloned())
        .collect();
    assert!(clean.len() > EVENTS / 2 && clean.len() < EVENTS * 3 / 4);

    let mut service = books.deployment.start(&["run"]);
    books.await_loaded(&mut service, clean.len());
    assert_ledger(&service, &judged);
    assert!(service.terminate().success());

    assert_verdicts(&books, &judged);
    books.assert_hold(&clean);
}

/// Generated events with a few faults. Now and then an earlier one comes again, as it was or with a blank more.
fn messages() -> Vec<Message> {
    let fault = Ratio::new(0.01).expect("a hundredth is a ratio");
    let events: Vec<_> = Events::new(Options {
        bad_json: fault,
        missing_id: fault,
        ..Options::new(20, Utc::now().trunc_subsecs(6))
    })
    .take(EVENTS)
    .collect();
    let mut order = Vec::with_capacity(EVENTS);
    for (number, event) in events.iter().enumerate() {
        order.push((event.key, event.value.clone()));
        let again = |distance: usize| &events[number - distance];
        if number % 500 == 499 {
            let event = again(300);
            order.push((event.key, event.value.clone()));
        }
        if number % 1000 == 999 {
            let event = again(700);
            order.push((event.key, [event.value.as_slice(), b" "].concat()));
        }
    }
    order
        .into_iter()
        .enumerate()
        .map(|(number, (key, value))| Message {
            key: key.map(|key| key.as_bytes().to_vec()),
            value: Some(value),
            headers: vec![(NUMBER.to_owned(), Some(number.to_string().into_bytes()))],
            ..Message::default()
        })
        .collect()
}

/// consumed = clean + rejected + duplicate, and each of them is what it should be, in each partition.
fn assert_ledger(service: &Running, judged: &[(Record, Verdict)]) {
    let mut rejected = 0;
    for partition in 0..PARTITIONS {
        let verdicts: Vec<_> = judged
            .iter()
            .filter(|(record, _)| record.partition == partition)
            .map(|(_, verdict)| verdict)
            .collect();
        let count = |kind: fn(&Verdict) -> bool| {
            let found = verdicts.iter().filter(|verdict| kind(verdict)).count();
            u64::try_from(found).expect("a count fits")
        };
        let expected = [
            count(|_| true),
            count(|verdict| matches!(verdict, Verdict::Clean(_))),
            count(|verdict| matches!(verdict, Verdict::Duplicate)),
        ];
        let told = ["consumed", "clean", "duplicate"].map(|what| {
            let labels = format!("{{partition=\"{partition}\"}}");
            service.metric(&format!("sluicebox_events_{what}_total{labels}"))
        });
        assert_eq!(
            told, expected,
            "consumed, clean and duplicate of {partition}"
        );
        rejected += told[0] - told[1] - told[2];
    }
    let page = service.page("/metrics").expect("the pages are served");
    let told: u64 = page
        .lines()
        .filter(|line| line.starts_with("sluicebox_events_rejected_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(told, rejected, "rejected, over all reasons");
}

/// Every raw record is in exactly one place, the one that its verdict names, with all its parts.
fn assert_verdicts(books: &Books, judged: &[(Record, Verdict)]) {
    let raw: HashMap<_, _> = judged
        .iter()
        .map(|(record, verdict)| ((record.partition, record.offset), (record, verdict)))
        .collect();
    let numbers: HashMap<_, _> = judged
        .iter()
        .map(|(record, _)| (header(record, NUMBER), (record.partition, record.offset)))
        .collect();
    let mut outcomes: HashMap<_, Vec<Outcome>> = HashMap::new();
    for record in Kafka::shared().read_all(&books.deployment.clean) {
        let at = numbers[&header(&record, NUMBER)];
        let (raw, verdict) = raw[&at];
        if let Verdict::Clean(event) = verdict {
            assert_clean_record(&record, raw, event);
        }
        outcomes.entry(at).or_default().push(Outcome::Clean);
    }
    for record in Kafka::shared().read_all(&books.deployment.rejected) {
        let number = |name| header(&record, name).parse().expect("a whole number");
        let at = (
            i32::try_from(number("sluicebox.partition")).expect("a partition"),
            number("sluicebox.offset"),
        );
        assert_rejected_record(&record, raw[&at].0, &books.deployment.raw);
        let reason = header(&record, "sluicebox.reason");
        outcomes
            .entry(at)
            .or_default()
            .push(Outcome::Rejected(reason));
    }
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for (at, (_, verdict)) in &raw {
        let outcome = outcomes.get(at).map_or(&[][..], Vec::as_slice);
        let right = match (verdict, outcome) {
            (Verdict::Clean(_), [Outcome::Clean]) | (Verdict::Duplicate, []) => true,
            (Verdict::Rejected(start), [Outcome::Rejected(reason)]) => {
                *reasons.entry(start).or_default() += 1;
                reason.starts_with(start.as_str())
            }
            _ => false,
        };
        assert!(right, "{at:?}: {verdict:?}, but {outcome:?}");
    }
    let seen: Vec<_> = reasons.into_keys().collect();
    let all = [
        "amount",
        "conflicting_duplicate",
        "currency",
        "customer_id",
        "event_id",
        "event_type",
        "json",
    ];
    assert_eq!(seen, all, "the events have faults of every kind");
}

#[derive(Deserialize)]
struct WrittenEvent<'a> {
    event_id: String,
    customer_id: String,
    #[serde(borrow)]
    amount: &'a RawValue,
    currency: String,
    event_timestamp: String,
}

fn assert_clean_record(record: &Record, raw: &Record, event: &CleanEvent) {
    let value = record.value.as_deref().expect("a clean event has a value");
    let written: WrittenEvent<'_> = serde_json::from_slice(value).expect("a clean event");
    assert_eq!(
        [
            written.event_id,
            written.customer_id.clone(),
            written.amount.get().to_owned(),
            written.currency,
            written.event_timestamp,
        ],
        [
            event.event_id.clone(),
            event.customer_id.clone(),
            money(event.cents),
            event.currency.clone(),
            event
                .event_timestamp
                .format("%Y-%m-%dT%H:%M:%S%.6fZ")
                .to_string(),
        ]
    );
    assert_eq!(record.key, Some(written.customer_id.into_bytes()));
    // The raw event has the same key, and its topic as many partitions.
    assert_eq!(
        (record.partition, record.timestamp),
        (raw.partition, raw.timestamp)
    );
    let (own, source) = record.headers.split_at(raw.headers.len());
    assert_eq!(own, raw.headers);
    let place = format!("{}:{}", raw.partition, raw.offset).into_bytes();
    assert_eq!(source, [("sluicebox.source".to_owned(), Some(place))]);
}

fn assert_rejected_record(record: &Record, raw: &Record, topic: &str) {
    assert_eq!(
        (&record.key, &record.value, record.timestamp),
        (&raw.key, &raw.value, raw.timestamp)
    );
    let (own, ours) = record.headers.split_at(raw.headers.len());
    assert_eq!(own, raw.headers);
    let names: Vec<_> = ours.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "reason",
            "detail",
            "stage",
            "topic",
            "partition",
            "offset",
            "timestamp"
        ]
        .map(|name| format!("sluicebox.{name}"))
    );
    for (name, expected) in [
        ("sluicebox.stage", "clean".to_owned()),
        ("sluicebox.topic", topic.to_owned()),
        ("sluicebox.timestamp", raw.timestamp.to_string()),
    ] {
        assert_eq!(header(record, name), expected, "{name}");
    }
}

fn header(record: &Record, name: &str) -> String {
    let found = record.headers.iter().find(|(header, _)| header == name);
    let value = found.and_then(|(_, value)| value.clone());
    let value = value.unwrap_or_else(|| panic!("a record without {name}: {:?}", record.headers));
    String::from_utf8(value).expect("our headers are text")
}
