//! States that are restored from the gold topic: whole, or not at all.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::books::{Books, events};
use crate::support::deployment::PARTITIONS;
use crate::support::kafka::{Kafka, Message, Record};
use crate::support::oracle;
use crate::support::running::Running;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the two jobs that need no warehouse. Members leave when they end, so that the groups can be changed afterwards.
pub(crate) const WITHOUT_WAREHOUSE: [&str; 5] =
    ["--set", "kafka.membership=dynamic", "run", "clean", "gold"];

/// How long a restore that stops at the last stable offset takes at most.
const TOO_EARLY: Duration = Duration::from_secs(3);

/// Waits until everything in the raw topic is counted, then compares.
pub(crate) fn assert_counted(books: &Books, service: &mut Running) {
    let clean = books.clean();
    service.wait_for("all clean events in gold", LIMIT, |_| {
        books.counted_in_topic() == clean.len()
    });
    books.assert_gold_topic(&oracle::gold(clean.iter()));
}

/// Makes the gold topic anew, with the first records in it, and the others in a transaction that is still open.
pub(crate) fn rebuild(topic: &str, committed: &[Record], open: &[Record]) -> BaseProducer {
    let kafka = Kafka::shared();
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
    let deleted = block_on(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    deleted.into_iter().for_each(|outcome| {
        outcome.unwrap();
    });
    let gone = wait_until(LIMIT, || {
        let client: BaseConsumer = kafka.client().create().unwrap();
        let all = client.fetch_metadata(None, LIMIT).unwrap();
        all.topics().iter().all(|found| found.name() != topic)
    });
    assert!(gone, "{topic} is still there");
    kafka.create_topic(topic, PARTITIONS, &[("cleanup.policy", "compact")]);
    let producer: BaseProducer = kafka
        .client()
        .set("transactional.id", topic)
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    committed
        .iter()
        .for_each(|record| send(&producer, topic, record));
    producer.commit_transaction(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    open.iter()
        .for_each(|record| send(&producer, topic, record));
    producer.flush(LIMIT).unwrap();
    producer
}

/// Has the positions of the gold job forget which topics hold what was counted, as those of an older version do.
fn forget_topics(books: &Books) {
    let clean = &books.deployment.clean;
    let group = format!("sluicebox-{clean}-gold");
    let mut config = Kafka::shared().client();
    let consumer: BaseConsumer = config.set("group.id", &group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition(clean, partition);
    }
    let committed = consumer.committed_offsets(list, LIMIT).unwrap();
    let position = |partition| match partition {
        (_, number, Offset::Offset(offset)) => Some((number, offset)),
        _ => None,
    };
    let positions = committed
        .elements()
        .iter()
        .map(|element| (element.topic(), element.partition(), element.offset()))
        .filter_map(position)
        .collect();
    Kafka::shared().commit(&group, clean, &positions);
}

fn send(producer: &BaseProducer, topic: &str, record: &Record) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header {
            key,
            value: value.as_ref(),
        });
    }
    let mut copy = BaseRecord::<[u8], [u8]>::to(topic)
        .partition(record.partition)
        .timestamp(record.timestamp)
        .headers(headers);
    copy.key = record.key.as_deref();
    copy.payload = record.value.as_deref();
    producer.send(copy).map_err(|(error, _)| error).unwrap();
}

#[test]
fn kafka_10167_a_restore_waits_for_a_transaction_that_is_still_open_behind_the_last_stable_offset()
{
    let books = Books::open("open-transaction");
    let events = events(3_000, 21);
    let mut runs = events.chunks(1_000);
    let mut lengths = Vec::new();
    for part in runs.by_ref().take(2) {
        let mut service = books.deployment.start(&WITHOUT_WAREHOUSE);
        books.produce(part);
        assert_counted(&books, &mut service);
        assert!(service.terminate().success());
        lengths.push(Kafka::shared().read_all(&books.gold));
    }
    let (first, both) = (&lengths[0], &lengths[1]);
    let (_, second): (Vec<_>, Vec<_>) = both
        .iter()
        .cloned()
        .partition(|record| first.contains(record));
    let partitions: std::collections::BTreeSet<i32> =
        second.iter().map(|record| record.partition).collect();
    assert!(!second.is_empty() && !first.is_empty());

    let producer = rebuild(&books.gold, first, &second);
    forget_topics(&books);
    let mut service = books.deployment.start(&WITHOUT_WAREHOUSE);
    books.produce(runs.next().unwrap());
    service.wait_for("a restore", LIMIT, |service| {
        service.log().contains("restore begins")
    });
    let restored = |service: &Running| {
        let log = service.log();
        partitions
            .iter()
            .filter(|partition| {
                let place = format!("{}[{partition}]", books.gold);
                log.lines()
                    .any(|line| line.contains("\"restored\"") && line.contains(&place))
            })
            .count()
    };
    let too_early = wait_until(TOO_EARLY, || restored(&service) == partitions.len());
    producer.commit_transaction(LIMIT).unwrap();
    assert_counted(&books, &mut service);
    assert!(!too_early, "restored before the transaction had ended");
    assert!(service.terminate().success());
}

#[test]
fn a_gold_topic_that_this_pipeline_did_not_write_stops_the_service_and_names_the_choice() {
    let books = Books::open("foreign-state");
    let mut service = books.deployment.start(&WITHOUT_WAREHOUSE);
    books.produce(&events(200, 22));
    assert_counted(&books, &mut service);
    assert!(service.terminate().success());

    let record = Kafka::shared().read_all(&books.gold).remove(0);
    let (name, state) = record.headers[0].clone();
    let state = state.unwrap();
    let with = |at: usize, byte: u8| {
        let mut other = state.clone();
        other[at] = byte;
        vec![(name.clone(), Some(other))]
    };
    for (headers, said) in [
        (Vec::new(), "it has no state"),
        (
            with(0, 77),
            "its state was written by another version of the service",
        ),
        (with(1, !state[1]), "its state was written by another query"),
        (
            vec![(name.clone(), Some(state[..9].to_vec()))],
            "its state does not decode",
        ),
    ] {
        let forged = Message {
            key: record.key.clone(),
            value: record.value.clone(),
            partition: Some(record.partition),
            timestamp: Some(record.timestamp),
            headers,
        };
        Kafka::shared().produce(&books.gold, [forged]);
        let ended = books
            .deployment
            .command(&WITHOUT_WAREHOUSE)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}\n{stderr}");
        assert!(stderr.contains(said), "{said}\n{stderr}");
        assert!(
            stderr.contains("hint: only sluicebox may write"),
            "{stderr}"
        );
        assert!(stderr.contains("`sluicebox reset gold`"), "{stderr}");
        // The newest state of a key wins, but only what decodes gets that far: mend the topic for the next case.
        rebuild(&books.gold, &[], &[])
            .commit_transaction(LIMIT)
            .unwrap();
        forget_topics(&books);
    }
}
