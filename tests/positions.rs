//! Committed positions that do not say any more what was read: the service stops with the reason and the choices, instead of
//! losing or doubling events.

use std::collections::HashMap;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

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
    let deleted = wait_until(LIMIT, || {
        let name = group(&deployment);
        let answer = block_on(admin().delete_groups(&[&name], &AdminOptions::new())).unwrap();
        answer[0].is_ok()
    });
    assert!(deleted);
    assert_stops(&deployment, "has no position in");
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_the_service() {
    let deployment = worked("retention");
    generate(&deployment);
    let ends: HashMap<_, _> = Kafka::shared()
        .ends(&deployment.raw)
        .into_iter()
        .map(|(partition, end)| ((deployment.raw.clone(), partition), Offset::Offset(end - 1)))
        .collect();
    let before = TopicPartitionList::from_topic_map(&ends).unwrap();
    block_on(admin().delete_records(&before, &AdminOptions::new())).unwrap();
    assert_stops(&deployment, "records were deleted before they were read");
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
