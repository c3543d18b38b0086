//! Gold topics that lost what was counted: the service stops with the choices, instead of counting on from less.

use std::collections::HashMap;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::restore::WITHOUT_WAREHOUSE;
use crate::support::books::{Books, events};
use crate::support::deployment::ADMINISTRATOR;
use crate::support::kafka::Kafka;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(90);

fn admin() -> AdminClient<DefaultClientContext> {
    Kafka::shared().client().create().unwrap()
}

/// Counts some events, does this to the gold topic, and looks whether the service stops, names it, and goes on after the reset.
fn assert_stops(name: &str, act: impl FnOnce(&Books), words: &str) {
    let books = Books::open(name);
    let events = events(1_500, 51);
    let mut runs = events.chunks(500);
    // The second time with nothing lost: that stops nobody.
    for part in runs.by_ref().take(2) {
        let mut service = books.deployment.start(&["run"]);
        books.produce(part);
        books.assert_exact(&mut service);
    }
    act(&books);
    books.produce(runs.next().unwrap());
    let before = Kafka::shared().read_all(&books.gold).len();
    // The sink would say the same of what it has read.
    let mut service = books.deployment.start(&WITHOUT_WAREHOUSE);
    let mut status = None;
    let ended = wait_until(LIMIT, || {
        status = service.ended();
        status.is_some()
    });
    let said = service.log();
    assert!(ended, "it goes on\n{said}");
    assert!(!status.unwrap().success(), "{said}");
    assert!(said.contains(&books.gold) && said.contains(words), "{said}");
    assert!(said.contains("hint: `sluicebox reset gold`"), "{said}");
    assert_eq!(Kafka::shared().read_all(&books.gold).len(), before);

    books.deployment.done(&["reset", "gold", "--yes"]);
    for _ in 0..2 {
        books.assert_exact(&mut books.deployment.start(&["run"]));
    }
}

#[test]
fn a_gold_topic_that_was_deleted_and_set_up_again_stops_the_service_until_it_is_counted_anew() {
    let make_again = |books: &Books| {
        let deleted = block_on(admin().delete_topics(&[&books.gold], &AdminOptions::new()));
        deleted.unwrap()[0].as_ref().unwrap();
        let made = wait_until(LIMIT, || {
            // Fails while the deletion is on its way.
            let output = books.deployment.command(&["setup", "kafka"]).output();
            let said = String::from_utf8(output.unwrap().stdout).unwrap();
            said.contains(&format!("topic {}: created", books.gold))
        });
        assert!(made);
    };
    assert_stops("gold-again", make_again, "was deleted and made again");
}

#[test]
fn a_gold_topic_that_lost_records_stops_the_service_until_it_is_counted_anew() {
    let truncate = |books: &Books| {
        let topic = ResourceSpecifier::Topic(&books.gold);
        let policy = AlterConfig::new(topic).set("cleanup.policy", "compact,delete");
        let altered = block_on(admin().alter_configs([&policy], &AdminOptions::new()));
        altered.unwrap()[0].as_ref().unwrap();
        let halves: HashMap<_, _> = Kafka::shared()
            .ends(&books.gold)
            .into_iter()
            .map(|(partition, end)| ((books.gold.clone(), partition), Offset::Offset(end / 2)))
            .collect();
        let halves = TopicPartitionList::from_topic_map(&halves).unwrap();
        // The changed policy makes its way to the broker.
        let deleted = wait_until(LIMIT, || {
            let deleted = block_on(admin().delete_records(&halves, &AdminOptions::new())).unwrap();
            deleted
                .elements()
                .iter()
                .all(|element| element.error().is_ok())
        });
        assert!(deleted);
    };
    assert_stops("gold-truncated", truncate, "records were deleted");
}

#[test]
fn clean_events_with_more_partitions_than_before_cannot_be_counted_anew_but_made_anew() {
    let books = Books::open("moved-keys");
    let deployment = &books.deployment;
    books.produce(&events(500, 52));
    books.assert_exact(&mut deployment.start(&["run"]));
    for topic in [&deployment.clean, &books.gold] {
        let more = NewPartitions::new(topic, 5);
        let added = block_on(admin().create_partitions([&more], &AdminOptions::new()));
        added.unwrap()[0].as_ref().unwrap();
    }
    let refused = deployment.command(&["reset", "gold", "--yes"]).output();
    let refused = refused.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("had 3 partitions and has 5"), "{said}");
    assert!(said.contains("hint: `sluicebox reset all"), "{said}");
    let all = ["reset", "all", "--truncate-tables", "--yes"];
    deployment.done(&[&all[..], &["--role", ADMINISTRATOR]].concat());
    books.assert_exact(&mut deployment.start(&["run"]));
}
