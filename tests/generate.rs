//! `generate` against a real Kafka: everything arrives, once, where a Java client would look for it, and in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Parser;
use sluicebox::generate::{self, Events, GenerateArgs, Summary};
use tokio_util::sync::CancellationToken;

use crate::support::kafka::{Kafka, Record, unique};
use crate::support::wait_until;

/// Where murmur2 puts each customer among three partitions.
const PARTITIONS: [(&str, i32); 5] = [
    ("CUST_1", 0),
    ("CUST_2", 1),
    ("CUST_3", 0),
    ("CUST_4", 0),
    ("CUST_5", 1),
];

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: GenerateArgs,
}

fn args(line: &str) -> GenerateArgs {
    Cli::parse_from(std::iter::once("generate").chain(line.split_whitespace())).args
}

fn run(topic: &str, line: &str, stop: &CancellationToken) -> anyhow::Result<Summary> {
    let kafka = generate::Kafka {
        client: Kafka::shared().client(),
        topic: topic.to_owned(),
    };
    generate::run(&args(line), &kafka, stop)
}

fn topic(name: &str, partitions: i32) -> String {
    let topic = unique(name);
    Kafka::shared().create_topic(&topic, partitions, &[]);
    topic
}

fn stored(topic: &str) -> u64 {
    stored_at(&Kafka::shared(), topic)
}

fn stored_at(kafka: &Kafka, topic: &str) -> u64 {
    kafka
        .ends(topic)
        .values()
        .map(|end| u64::try_from(*end).expect("an offset is not negative"))
        .sum()
}

/// Values by key, in their order. Those without a key are spread over the partitions and have none: they are sorted.
fn by_key<Key: Into<String>>(
    events: impl Iterator<Item = (Option<Key>, Vec<u8>)>,
) -> BTreeMap<Option<String>, Vec<Vec<u8>>> {
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (key, value) in events {
        keys.entry(key.map(Into::into)).or_default().push(value);
    }
    keys.entry(None).or_default().sort();
    keys
}

/// Whether a topic holds exactly the events of a command line, each key's in their order.
fn holds_exactly(records: Vec<Record>, line: &str) -> bool {
    let args = args(line);
    let count = usize::try_from(args.count.expect("the line has a count")).expect("a count fits");
    let events = Events::new(args.options().expect("the line is right")).take(count);
    let made = by_key(events.map(|event| (event.key, event.value)));
    let read = by_key(records.into_iter().map(|record| {
        let key = record
            .key
            .map(|key| String::from_utf8(key).expect("keys are text"));
        (key, record.value.expect("an event has a value"))
    }));
    made == read
}

#[test]
fn every_event_arrives_once_in_the_order_of_its_key_and_in_the_partition_of_java_clients() {
    const LINE: &str = "--count 20000 --seed 11 --now 2026-02-24T00:00:00Z";
    let topic = topic("generate-all", 3);
    let summary = run(&topic, LINE, &CancellationToken::new()).unwrap();
    assert_eq!((summary.sent, summary.failed), (20_000, 0));
    assert_eq!(stored(&topic), 20_000);

    let records = Kafka::shared().read_all(&topic);
    let keyed: BTreeSet<_> = records
        .iter()
        .filter_map(|record| Some((record.key.as_deref()?, record.partition)))
        .collect();
    let expected = PARTITIONS.map(|(key, partition)| (key.as_bytes(), partition));
    assert_eq!(keyed, expected.into());
    assert!(holds_exactly(records, LINE));
}

#[test]
fn a_rate_is_kept_and_a_duration_ends_the_run() {
    let topic = topic("generate-rate", 3);
    let summary = run(
        &topic,
        "--rate 1000 --duration 5s",
        &CancellationToken::new(),
    )
    .unwrap();
    assert!((4_900..=5_100).contains(&summary.sent), "{summary}");
    assert_eq!(summary.failed, 0, "{summary}");
    assert!(
        (5.0..6.0).contains(&summary.elapsed.as_secs_f64()),
        "{summary}"
    );
    assert_eq!(stored(&topic), summary.sent);
}

#[test]
fn a_stopped_run_waits_for_what_it_has_sent() {
    let topic = topic("generate-stop", 1);
    let stop = CancellationToken::new();
    let running = std::thread::spawn({
        let (topic, stop) = (topic.clone(), stop.clone());
        move || run(&topic, "--rate 5000", &stop)
    });
    assert!(
        wait_until(Duration::from_secs(30), || stored(&topic) > 100),
        "events arrive"
    );
    stop.cancel();
    let summary = running.join().unwrap().unwrap();
    assert_eq!(
        (stored(&topic), summary.failed),
        (summary.sent, 0),
        "{summary}"
    );
}

#[test]
fn a_broker_that_is_killed_and_comes_back_costs_no_event_and_doubles_none() {
    const LINE: &str = "--rate 2000 --count 20000 --seed 12 --now 2026-02-24T00:00:00Z";
    let kafka = Kafka::start();
    kafka.create_topic("restart", 3, &[]);
    let running = std::thread::spawn({
        let target = generate::Kafka {
            client: kafka.client(),
            topic: "restart".to_owned(),
        };
        move || generate::run(&args(LINE), &target, &CancellationToken::new())
    });
    assert!(
        wait_until(Duration::from_secs(60), || stored_at(&kafka, "restart")
            > 2_000),
        "events arrive"
    );
    kafka.restart();
    let summary = running.join().unwrap().unwrap();
    assert_eq!((summary.sent, summary.failed), (20_000, 0), "{summary}");

    assert!(holds_exactly(kafka.read_all("restart"), LINE));
}

#[test]
fn a_message_that_the_broker_refuses_is_counted_and_the_others_arrive() {
    const LINE: &str = "--count 200 --seed 3 --oversize 0.05";
    let topic = topic("generate-oversize", 1);
    let oversize = Events::new(args(LINE).options().unwrap())
        .take(200)
        .filter(|event| event.value.len() > 1 << 20);
    let oversize = u64::try_from(oversize.count()).unwrap();
    assert!(oversize > 0);

    let summary = run(&topic, LINE, &CancellationToken::new()).unwrap();
    assert_eq!(
        (summary.sent, summary.failed),
        (200 - oversize, oversize),
        "{summary}"
    );
    assert_eq!(stored(&topic), summary.sent);
    assert!(
        summary
            .first_error
            .as_ref()
            .is_some_and(|error| error.contains("too large")),
        "{summary}"
    );
}

#[test]
fn oversize_messages_arrive_where_the_topic_takes_them() {
    let topic = unique("generate-large");
    Kafka::shared().create_topic(&topic, 1, &[("max.message.bytes", "2000000")]);
    let summary = run(
        &topic,
        "--count 100 --seed 3 --oversize 0.1",
        &CancellationToken::new(),
    )
    .unwrap();
    assert_eq!((summary.sent, summary.failed), (100, 0), "{summary}");
    let sizes = Kafka::shared()
        .read_all(&topic)
        .into_iter()
        .filter_map(|record| record.value);
    assert!(sizes.map(|value| value.len()).any(|size| size > 1 << 20));
}

#[test]
fn a_topic_that_does_not_exist_is_named_with_what_to_do() {
    let error = run("nobody-made-this", "--count 1", &CancellationToken::new()).unwrap_err();
    let message = format!("{error:#}");
    assert!(
        message.contains("`nobody-made-this` does not exist") && message.contains("hint: "),
        "{message}"
    );
}

#[test]
fn a_kafka_that_does_not_answer_is_named_with_what_to_do() {
    let mut client = Kafka::shared().client();
    client.set("bootstrap.servers", "127.0.0.1:9");
    let kafka = generate::Kafka {
        client,
        topic: "raw_events".to_owned(),
    };
    let error = generate::run(&args("--count 1"), &kafka, &CancellationToken::new()).unwrap_err();
    let message = format!("{error:#}");
    assert!(
        message.contains("127.0.0.1:9") && message.contains("hint: "),
        "{message}"
    );
}
