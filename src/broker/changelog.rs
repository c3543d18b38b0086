//! Reads a changelog partition from its beginning to its end, committed records only.
//!
//! The end is the *read-uncommitted* one, and it is reached when the read-committed consumer's *position* gets there: the last
//! stable offset, which a read-committed consumer's watermarks answer with, may lie before records of a transaction that is
//! about to be committed, and totals restored up to it would come back too small (KAFKA-10167). Position moves over control
//! markers and aborted records only together with the end-of-partition event (librdkafka 2.12), hence `enable.partition.eof`.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{CALL_TIMEOUT, Kafka};
use super::error::BrokerError;
use super::position::Partition;

/// An open transaction of a dead producer ends after its time-out and the broker's next look, 20 s in all; more without
/// any progress means that the broker is not well.
const NO_PROGRESS: Duration = Duration::from_secs(60);

/// A group that nobody ever joins: librdkafka wants a name before it lets a consumer assign.
const NO_GROUP: &str = "sluicebox-restore";

/// A record of a changelog.
pub(crate) struct Change<'a>(BorrowedMessage<'a>);

impl Change<'_> {
    /// Its offset.
    pub(crate) fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its key.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Whether the row of the key is gone.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.0.payload().is_none()
    }

    /// The newest header of a name.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.0.headers()?;
        headers
            .iter()
            .filter(|header| header.key == name)
            .last()?
            .value
    }
}

/// Hands every committed record of the partition to `take`, in order, and returns how many there were.
///
/// # Errors
/// When the broker does not get on for a minute, or what `take` says.
pub(crate) fn read_changelog<E: From<BrokerError>>(
    kafka: &Kafka,
    partition: &Partition,
    mut take: impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let end = uncommitted_end(kafka, partition)?;
    let consumer: BaseConsumer = kafka
        .client(&[
            ("group.id", NO_GROUP),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "20"),
        ])
        .create()
        .map_err(|error| kafka.unavailable("the creation of a consumer", error))?;
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&partition.topic, partition.number, Offset::Beginning)
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|source| BrokerError::Fatal {
            call: "an assignment",
            source,
        })?;
    let mut records = 0;
    let mut moved = Instant::now();
    let mut position = 0;
    while position < end {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                position = message.offset() + 1;
                moved = Instant::now();
                records += 1;
                take(Change(message))?;
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {
                let reached = read_position(&consumer, partition);
                if reached > position {
                    (position, moved) = (reached, Instant::now());
                }
            }
            Some(Err(source)) if moved.elapsed() > NO_PROGRESS => {
                return Err(kafka.unavailable("a restore", source).into());
            }
            Some(Err(_)) => {}
        }
        if moved.elapsed() > NO_PROGRESS {
            let source =
                KafkaError::ConsumerQueueClose(rdkafka::error::RDKafkaErrorCode::OperationTimedOut);
            return Err(kafka.unavailable("a restore", source).into());
        }
    }
    Ok(records)
}

fn read_position(consumer: &BaseConsumer, partition: &Partition) -> i64 {
    let Ok(positions) = consumer.position() else {
        return 0;
    };
    match positions
        .find_partition(&partition.topic, partition.number)
        .map(|found| found.offset())
    {
        Some(Offset::Offset(offset)) => offset,
        _ => 0,
    }
}

/// Where the log ends, open transactions included. An empty partition has nothing to read, so its end is 0.
fn uncommitted_end(kafka: &Kafka, partition: &Partition) -> Result<i64, BrokerError> {
    let consumer: BaseConsumer = kafka
        .client(&[
            ("group.id", NO_GROUP),
            ("isolation.level", "read_uncommitted"),
        ])
        .create()
        .map_err(|error| kafka.unavailable("the creation of a consumer", error))?;
    let (low, end) = consumer
        .fetch_watermarks(&partition.topic, partition.number, CALL_TIMEOUT)
        .map_err(|error| kafka.unavailable("watermarks", error))?;
    Ok(if low == end { 0 } else { end })
}
