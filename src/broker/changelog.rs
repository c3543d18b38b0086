//! Reads changelog partitions, committed records only, up to where they ended when the reading began.
//!
//! The end is the *read-uncommitted* one, and it is reached when the read-committed consumer's *position* gets there: the last
//! stable offset, which a read-committed consumer's watermarks answer with, may lie before records of a transaction that is
//! about to be committed, and totals restored up to it would come back too small (KAFKA-10167). Position moves over control
//! markers and aborted records only together with the end-of-partition event (librdkafka 2.12), hence `enable.partition.eof`.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{CALL_TIMEOUT, Kafka};
use super::error::BrokerError;
use super::position::{NextOffset, Partition};

/// A group that nobody ever joins: librdkafka wants a name before it lets a consumer assign.
const NO_GROUP: &str = "sluicebox-restore";

/// What a changelog partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where the log begins.
    pub(crate) start: NextOffset,
    /// Where it ends, open transactions included.
    pub(crate) end: NextOffset,
}

/// A record of a changelog.
pub(crate) struct Change<'a>(BorrowedMessage<'a>);

impl Change<'_> {
    /// The topic it was read from.
    pub(crate) fn topic(&self) -> &str {
        self.0.topic()
    }

    /// The partition it was read from.
    pub(crate) fn partition(&self) -> i32 {
        self.0.partition()
    }

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

/// What a poll brought.
pub(crate) enum Polled<'a> {
    /// A committed record.
    Record(Change<'a>),
    /// Positions may have moved without a record: ask for them.
    Moved,
    /// Nothing, and why, if librdkafka says so.
    Nothing(Option<KafkaError>),
}

/// One consumer for all changelog partitions that are read at the same time.
pub(crate) struct ChangelogReader {
    consumer: BaseConsumer,
    /// Only asked for ends: isolation is a consumer's setting, not a question's.
    uncommitted: BaseConsumer,
    kafka: Kafka,
}

impl ChangelogReader {
    /// Connects; nothing is read yet.
    ///
    /// # Errors
    /// A setting that is refused.
    pub(crate) fn connect(kafka: &Kafka) -> Result<Self, BrokerError> {
        let consumer = kafka.consumer(&[
            ("group.id", NO_GROUP),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "20"),
            ("fetch.error.backoff.ms", "20"),
            ("fetch.message.max.bytes", "8388608"),
            ("queued.min.messages", "200000"),
            ("queued.max.messages.kbytes", "65536"),
        ])?;
        let uncommitted = kafka.consumer(&[
            ("group.id", NO_GROUP),
            ("isolation.level", "read_uncommitted"),
        ])?;
        Ok(Self {
            consumer,
            uncommitted,
            kafka: kafka.clone(),
        })
    }

    /// Where the partition's log begins and ends now, open transactions included.
    ///
    /// # Errors
    /// No broker.
    pub(crate) fn extent(&self, partition: &Partition) -> Result<Extent, BrokerError> {
        let (start, end) = self
            .uncommitted
            .fetch_watermarks(&partition.topic, partition.number, CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("watermarks", error))?;
        Ok(Extent {
            start: NextOffset::at(start),
            end: NextOffset::at(end),
        })
    }

    /// Reads this partition too, from `from` on.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub(crate) fn add(&self, partition: &Partition, from: NextOffset) -> Result<(), BrokerError> {
        self.reassign(|| {
            let mut list = TopicPartitionList::new();
            let from = Offset::Offset(from.get());
            list.add_partition_offset(&partition.topic, partition.number, from)?;
            self.consumer.incremental_assign(&list)
        })
    }

    /// Reads this partition no more.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub(crate) fn remove(&self, partition: &Partition) -> Result<(), BrokerError> {
        self.reassign(|| {
            let mut list = TopicPartitionList::new();
            list.add_partition(&partition.topic, partition.number);
            self.consumer.incremental_unassign(&list)
        })
    }

    fn reassign(&self, change: impl Fn() -> Result<(), KafkaError>) -> Result<(), BrokerError> {
        change().map_err(|source| BrokerError::Fatal {
            call: "an assignment",
            source,
        })
    }

    /// The next record of any of the partitions, in the order of each.
    pub(crate) fn poll(&self, wait: Duration) -> Polled<'_> {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => Polled::Record(Change(message)),
            Some(Err(KafkaError::PartitionEOF(_))) => Polled::Moved,
            Some(Err(error)) => Polled::Nothing(Some(error)),
            None => Polled::Nothing(None),
        }
    }

    /// How far each partition has been read. One of which nothing has come yet is left out.
    pub(crate) fn positions(&self) -> Vec<(Partition, NextOffset)> {
        let Ok(positions) = self.consumer.position() else {
            return Vec::new();
        };
        let position = |(topic, number, offset): (&str, i32, Offset)| match offset {
            Offset::Offset(offset) => Some((
                Partition {
                    topic: topic.to_owned(),
                    number,
                },
                NextOffset::at(offset),
            )),
            _ => None,
        };
        positions
            .elements()
            .iter()
            .filter_map(|found| position((found.topic(), found.partition(), found.offset())))
            .collect()
    }

    /// What a restore that does not get on ends with.
    pub(crate) fn stalled(&self, newest: Option<KafkaError>) -> BrokerError {
        let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        self.kafka
            .unavailable("a restore", newest.unwrap_or(timed_out))
    }
}
