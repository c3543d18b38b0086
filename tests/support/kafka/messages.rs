//! Messages in, records out: whole topics at a time.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{
    BorrowedMessage, DeliveryResult, Header, Headers, Message as _, OwnedHeaders,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{ANSWER_LIMIT, Kafka};
use crate::support::wait_until;

/// Longest reading or writing of a whole topic.
const TOPIC_LIMIT: Duration = Duration::from_secs(120);

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; now when there is none.
    pub(crate) timestamp: Option<i64>,
    /// Where the key belongs, as the Java clients see it, when there is none.
    pub(crate) partition: Option<i32>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
}

impl Kafka {
    /// Writes the messages in their order, and waits until the broker has them all.
    pub(crate) fn produce(&self, topic: &str, messages: impl IntoIterator<Item = Message>) {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random");
        config.set("message.max.bytes", "100000000");
        let producer: BaseProducer<Failures> = config
            .create_with_context(Failures::default())
            .expect("the settings are right");
        for message in messages {
            send(&producer, topic, &message);
        }
        let deadline = Instant::now() + TOPIC_LIMIT;
        while producer.in_flight_count() > 0 {
            assert!(
                Instant::now() < deadline,
                "Kafka did not take the messages for {topic} within {TOPIC_LIMIT:?}"
            );
            producer.poll(Duration::from_millis(1));
        }
        if let Some(error) = producer.context().first.get() {
            panic!("producing to {topic}: {error}");
        }
    }

    /// All that a read-committed reader can see, ordered by partition and offset. Reads up to the end that a
    /// read-uncommitted one sees, so it waits for transactions that are still open.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Record> {
        let mut left = self.ends(topic);
        let consumer = self.consumer("read_committed");
        // Where nothing is left to be read, nothing moves the position.
        left.retain(|partition, end| {
            let held = consumer.fetch_watermarks(topic, *partition, ANSWER_LIMIT);
            held.expect("Kafka answers").0 < *end
        });
        let mut from_the_start = TopicPartitionList::new();
        for partition in left.keys() {
            from_the_start
                .add_partition_offset(topic, *partition, Offset::Beginning)
                .expect("the offset is valid");
        }
        consumer
            .assign(&from_the_start)
            .expect("the partitions exist");
        let deadline = Instant::now() + TOPIC_LIMIT;
        let mut records = Vec::new();
        while !left.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{topic} was not read to its ends, left are {left:?}"
            );
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(Record::from(&message)),
                // Only this event moves the position over control records and aborted ones; sometimes a moment later.
                Some(Err(KafkaError::PartitionEOF(_))) | None => left.retain(|partition, end| {
                    position(&consumer, topic, *partition).is_none_or(|position| position < *end)
                }),
                Some(Err(error)) => panic!("reading {topic}: {error}"),
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// The end offset of each partition, open transactions included.
    pub(crate) fn ends(&self, topic: &str) -> BTreeMap<i32, i64> {
        let consumer = self.consumer("read_uncommitted");
        let metadata = consumer
            .fetch_metadata(Some(topic), ANSWER_LIMIT)
            .expect("Kafka answers");
        let partitions = metadata
            .topics()
            .first()
            .map_or(&[][..], |topic| topic.partitions());
        assert!(!partitions.is_empty(), "there is no topic {topic}");
        let end = |partition| {
            let mut end = None;
            // A broker that was frozen leads nothing for a moment.
            wait_until(ANSWER_LIMIT, || {
                let answer = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT);
                end = answer.ok().map(|(_, end)| end);
                end.is_some()
            });
            end.expect("Kafka answers")
        };
        partitions
            .iter()
            .map(|partition| (partition.id(), end(partition.id())))
            .collect()
    }

    /// Writes a record as it was read, to the same partition.
    pub(crate) fn rewrite(&self, topic: &str, record: &Record) {
        let message = Message {
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
            timestamp: Some(record.timestamp),
            partition: Some(record.partition),
        };
        self.produce(topic, [message]);
    }

    /// Writes positions of a group that has no members.
    pub(crate) fn commit(&self, group: &str, topic: &str, positions: &BTreeMap<i32, i64>) {
        let mut config = self.client();
        config.set("group.id", group);
        let consumer: BaseConsumer = config.create().expect("the settings are right");
        let mut list = TopicPartitionList::new();
        for (partition, position) in positions {
            list.add_partition_offset(topic, *partition, Offset::Offset(*position))
                .expect("the offset is valid");
        }
        // A static member that was stopped is one until its session times out.
        let written = wait_until(ANSWER_LIMIT, || {
            consumer.commit(&list, CommitMode::Sync).is_ok()
        });
        assert!(written, "the group {group} has members");
    }

    fn consumer(&self, isolation: &str) -> BaseConsumer {
        let mut config = self.client();
        config
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        config
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "20");
        config.create().expect("the settings are right")
    }
}

fn send(producer: &BaseProducer<Failures>, topic: &str, message: &Message) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &message.headers {
        headers = headers.insert(Header {
            key,
            value: value.as_ref(),
        });
    }
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.timestamp = message.timestamp;
    record.partition = message.partition;
    while let Err((error, refused)) = producer.send(record) {
        assert_eq!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull),
            "producing to {topic}"
        );
        producer.poll(Duration::from_millis(1));
        record = refused;
    }
}

/// None before the first record or end of the partition.
fn position(consumer: &BaseConsumer, topic: &str, partition: i32) -> Option<i64> {
    let positions = consumer.position().expect("the consumer has an assignment");
    match positions
        .find_partition(topic, partition)
        .map(|found| found.offset())
    {
        Some(Offset::Offset(position)) => Some(position),
        _ => None,
    }
}

impl From<&BorrowedMessage<'_>> for Record {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
            timestamp: message
                .timestamp()
                .to_millis()
                .expect("a record has a timestamp"),
        }
    }
}

/// The first message that Kafka has refused.
#[derive(Default)]
struct Failures {
    first: OnceLock<KafkaError>,
}

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.first.get_or_init(|| error.clone());
        }
    }
}
