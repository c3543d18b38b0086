//! Committed positions that do not say any more what was read: the service stops with the reason and the choices, instead of
//! losing or doubling events.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use chrono::{SubsecRound, Utc};
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sluicebox::generate::{Events, Options};

use crate::support::deployment::{Deployment, PARTITIONS};
use crate::support::kafka::Kafka;
use crate::support::pipeline::Pipeline;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(90);

/// Members leave when they end, so that the group can be changed afterwards.
const RUN_CLEAN: [&str; 4] = ["--set", "kafka.membership=dynamic", "run", "clean"];

/// A deployment whose clean job has worked and has ended.
fn worked(name: &str) -> Deployment {
    let deployment = Deployment::new(name, &Pipeline::customer_metrics());
    deployment.done(&["setup", "kafka"]);
    generate(&deployment);
    let mut service = deployment.start(&RUN_CLEAN);
    service.wait_for("the events are cleaned", LIMIT, |service| {
        consumed(&service.log()) >= 400
    });
    assert!(service.terminate().success());
    deployment
}

fn generate(deployment: &Deployment) {
    deployment.done(&["generate", "--count", "400", "--seed", "7", "--quiet"]);
}

/// What the log lines of batches add up to.
fn consumed(log: &str) -> u64 {
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["fields"]["message"] == "batch cleaned")
        .filter_map(|line| line["fields"]["consumed"].as_u64())
        .sum()
}

/// The clean job ends by itself, with these words and the choices.
fn assert_stops(deployment: &Deployment, words: &str) {
    let mut process = deployment
        .command(&RUN_CLEAN)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut status = None;
    let ended = wait_until(LIMIT, || {
        status = process.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        process.kill().unwrap();
    }
    let mut said = String::new();
    process
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(ended, "it goes on\n{said}");
    assert!(!status.unwrap().success(), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(said.contains("hint: `sluicebox reset"), "{said}");
    assert_eq!(consumed(&said), 0, "{said}");
}

fn admin() -> AdminClient<DefaultClientContext> {
    Kafka::shared().client().create().unwrap()
}

fn group(deployment: &Deployment) -> String {
    format!("sluicebox-{}-clean", deployment.clean)
}

fn delete_group(deployment: &Deployment) {
    let deleted = wait_until(LIMIT, || {
        let name = group(deployment);
        let answer = block_on(admin().delete_groups(&[&name], &AdminOptions::new())).unwrap();
        answer[0].is_ok()
    });
    assert!(deleted);
}

#[test]
fn a_raw_topic_that_was_deleted_and_made_again_stops_the_service() {
    let deployment = worked("recreated");
    let deleted = block_on(admin().delete_topics(&[&deployment.raw], &AdminOptions::new()));
    deleted.unwrap()[0].as_ref().unwrap();
    let gone = wait_until(LIMIT, || {
        let made = std::panic::catch_unwind(|| {
            Kafka::shared().create_topic(&deployment.raw, PARTITIONS, &[]);
        });
        made.is_ok()
    });
    assert!(gone);
    generate(&deployment);
    assert_stops(&deployment, "has no position in");
}

#[test]
fn partitions_that_were_added_stop_the_service() {
    let deployment = worked("added");
    let more = NewPartitions::new(&deployment.raw, 4);
    let added = block_on(admin().create_partitions([&more], &AdminOptions::new()));
    added.unwrap()[0].as_ref().unwrap();
    assert_stops(&deployment, "had 3 partitions; now it has 4");
}

#[test]
fn a_group_that_was_deleted_stops_the_service() {
    let deployment = worked("deleted-group");
    delete_group(&deployment);
    assert_stops(&deployment, "has no position in");
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_the_service() {
    let deployment = worked("retention");
    generate(&deployment);
    let ends: HashMap<_, _> = Kafka::shared()
        .ends(&deployment.raw)
        .into_iter()
        .filter(|(_, end)| *end > 0)
        .map(|(partition, end)| ((deployment.raw.clone(), partition), Offset::Offset(end - 1)))
        .collect();
    let before = TopicPartitionList::from_topic_map(&ends).unwrap();
    block_on(admin().delete_records(&before, &AdminOptions::new())).unwrap();
    assert_stops(&deployment, "records were deleted before they were read");
}

/// Deletes everything that a topic holds.
fn empty(topic: &str) {
    let ends: HashMap<_, _> = (0..PARTITIONS)
        .map(|partition| ((topic.to_owned(), partition), Offset::End))
        .collect();
    let before = TopicPartitionList::from_topic_map(&ends).unwrap();
    block_on(admin().delete_records(&before, &AdminOptions::new())).unwrap();
}

#[test]
fn a_log_that_retention_has_emptied_before_it_was_read_stops_the_service() {
    let deployment = worked("emptied");
    generate(&deployment);
    empty(&deployment.raw);
    assert_stops(&deployment, "records were deleted before they were read");
}

/// One event, in no transaction.
fn produce_into(deployment: &Deployment, partition: i32) {
    let producer: BaseProducer = Kafka::shared().client().create().unwrap();
    let event = Events::new(Options::new(20, Utc::now().trunc_subsecs(6)))
        .next()
        .unwrap();
    let record = BaseRecord::<str, [u8]>::to(&deployment.raw)
        .partition(partition)
        .payload(&event.value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(LIMIT).unwrap();
}

#[test]
fn a_record_that_retention_took_unread_of_a_partition_that_was_always_empty_stops_the_service() {
    let deployment = Deployment::new("first-record", &Pipeline::customer_metrics());
    deployment.done(&["setup", "kafka"]);
    produce_into(&deployment, 0);
    let mut service = deployment.start(&RUN_CLEAN);
    service.wait_for("all partitions have positions", LIMIT, |_| {
        committed(&deployment) == BTreeMap::from([(0, 1), (1, 0), (2, 0)])
    });
    assert!(service.terminate().success());
    produce_into(&deployment, 2);
    empty(&deployment.raw);
    assert_stops(&deployment, "but the committed position is 0");
}

/// Events of one transaction for every partition of the raw topic.
fn produce_in_a_transaction(deployment: &Deployment, seed: u64) -> u64 {
    let mut config = Kafka::shared().client();
    config.set("transactional.id", &deployment.raw);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    let events = Events::new(Options::new(seed, Utc::now().trunc_subsecs(6)));
    let mut sent = 0;
    for (event, partition) in events.take(30).zip((0..PARTITIONS).cycle()) {
        let record = BaseRecord::<str, [u8]>::to(&deployment.raw)
            .partition(partition)
            .payload(&event.value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        sent += 1;
    }
    producer.commit_transaction(LIMIT).unwrap();
    sent
}

/// The group's positions by partition, where it has any.
fn committed(deployment: &Deployment) -> BTreeMap<i32, i64> {
    let mut config = Kafka::shared().client();
    config.set("group.id", group(deployment));
    let consumer: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&deployment.raw, 0, PARTITIONS - 1);
    let found = consumer.committed_offsets(asked, LIMIT).unwrap();
    let position = |(at, offset): (i32, Offset)| Some((at, offset.to_raw().filter(|at| *at >= 0)?));
    found
        .elements()
        .iter()
        .filter_map(|found| position((found.partition(), found.offset())))
        .collect()
}

#[test]
fn a_log_that_retention_has_emptied_after_it_was_read_loses_nothing() {
    let deployment = Deployment::new("idle", &Pipeline::customer_metrics());
    deployment.done(&["setup", "kafka"]);
    let first = produce_in_a_transaction(&deployment, 21);
    let mut service = deployment.start(&RUN_CLEAN);
    service.wait_for("the positions lie behind the markers", LIMIT, |_| {
        committed(&deployment) == Kafka::shared().ends(&deployment.raw)
    });
    assert_eq!(consumed(&service.log()), first);
    assert!(service.terminate().success());
    empty(&deployment.raw);
    let second = produce_in_a_transaction(&deployment, 22);
    let mut service = deployment.start(&RUN_CLEAN);
    service.wait_for("the new events are cleaned", LIMIT, |service| {
        consumed(&service.log()) >= second
    });
    assert!(service.terminate().success());
}

#[test]
fn a_first_start_whose_output_was_deleted_by_retention_stops_the_service() {
    let deployment = worked("deleted-output");
    empty(&deployment.clean);
    empty(&deployment.rejected);
    delete_group(&deployment);
    assert_stops(&deployment, "has no position in");
}

#[test]
fn a_first_start_whose_first_transaction_was_aborted_begins_at_the_beginning() {
    let deployment = Deployment::new("first-start", &Pipeline::customer_metrics());
    deployment.done(&["setup", "kafka"]);
    generate(&deployment);
    // Dies with its records in the output, and before its positions are.
    let mut command = deployment.command(&RUN_CLEAN);
    command.env("SLUICEBOX_CRASH", "clean.offsets.before");
    assert!(!command.output().unwrap().status.success());
    assert!(
        Kafka::shared()
            .ends(&deployment.clean)
            .values()
            .any(|end| *end > 0)
    );
    let mut service = deployment.start(&RUN_CLEAN);
    service.wait_for("the events are cleaned", LIMIT, |service| {
        consumed(&service.log()) >= 400
    });
    assert!(service.terminate().success());
}
