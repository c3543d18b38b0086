//! Reads given ranges of partitions: committed records only, up to ends that are known before.
//!
//! An end is the *read-uncommitted* one, and it is reached when the read-committed consumer's position gets there. The last stable
//! offset will not do: a group's position may be committed while the marker of the same transaction has not yet reached the
//! partition that its records are in, and these would be taken for missing: the protocol allows it, as in KAFKA-10167.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{CALL_TIMEOUT, Kafka};
use super::consumer::{MOST_BYTES, Record, is_passing};
use super::error::BrokerError;
use super::position::Partition;

/// An open transaction of a dead producer ends after its time-out and the broker's next look, 20 s in all; more without any
/// progress means that the broker is not well.
const NO_PROGRESS: Duration = Duration::from_secs(60);

/// Longest wait of one poll.
const POLL: Duration = Duration::from_millis(50);

/// A group that nobody ever joins: librdkafka wants a name before it lets a consumer assign.
const NO_GROUP: &str = "sluicebox-reconcile";

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Log {
    /// The first offset that is still there.
    pub(crate) low: i64,
    /// Where the first open transaction begins; `end` when there is none.
    pub(crate) stable: i64,
    /// Where the log ends, open transactions included.
    pub(crate) end: i64,
}

/// Asks what topics hold.
pub(crate) struct Logs {
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
    kafka: Kafka,
}

impl Logs {
    /// Connects.
    ///
    /// # Errors
    /// A setting that is refused.
    pub(crate) fn connect(kafka: &Kafka) -> Result<Self, BrokerError> {
        Ok(Self {
            committed: consumer(kafka, NO_GROUP, "read_committed")?,
            uncommitted: consumer(kafka, NO_GROUP, "read_uncommitted")?,
            kafka: kafka.clone(),
        })
    }

    /// All partitions of a topic, in order.
    ///
    /// # Errors
    /// No broker, or no such topic.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<Partition>, BrokerError> {
        // Without a topic's name in the request no broker makes the topic by itself.
        let metadata = self
            .committed
            .fetch_metadata(None, CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("a request for metadata", error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let mut numbers: Vec<i32> = found
            .map(|found| found.partitions().iter().map(|one| one.id()).collect())
            .unwrap_or_default();
        if numbers.is_empty() {
            return Err(BrokerError::MissingTopic {
                topic: topic.to_owned(),
            });
        }
        numbers.sort_unstable();
        let partition = |number| Partition {
            topic: topic.to_owned(),
            number,
        };
        Ok(numbers.into_iter().map(partition).collect())
    }

    /// What a partition holds now. `stable` is asked before `end`: when they are equal, no transaction was open at that moment.
    ///
    /// # Errors
    /// No broker.
    pub(crate) fn log(&self, at: &Partition) -> Result<Log, BrokerError> {
        let (low, stable) = self.ask(&self.committed, at)?;
        let end = self.end(at)?;
        Ok(Log { low, stable, end })
    }

    fn ask(&self, consumer: &BaseConsumer, at: &Partition) -> Result<(i64, i64), BrokerError> {
        consumer
            .fetch_watermarks(&at.topic, at.number, CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("watermarks", error))
    }

    /// Where a partition ends now, open transactions included.
    ///
    /// # Errors
    /// No broker.
    pub(crate) fn end(&self, at: &Partition) -> Result<i64, BrokerError> {
        Ok(self.ask(&self.uncommitted, at)?.1)
    }

    /// The whole of each partition of a topic, as it ends now.
    ///
    /// # Errors
    /// No broker, or no such topic.
    pub(crate) fn ranges(&self, topic: &str) -> Result<Vec<Range>, BrokerError> {
        let mut ranges = Vec::new();
        for at in self.partitions(topic)? {
            let log = self.log(&at)?;
            ranges.push(Range {
                at,
                from: log.low,
                to: log.end,
            });
        }
        Ok(ranges)
    }
}

/// Offsets from `from` up to, and without, `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The partition.
    pub(crate) at: Partition,
    /// The first offset that is read.
    pub(crate) from: i64,
    /// The first offset that is not.
    pub(crate) to: i64,
}

/// Reads ranges, each in order, all at once.
pub(crate) struct RangeReader {
    consumer: BaseConsumer,
    kafka: Kafka,
    /// Where each range ends that is not read to its end.
    left: HashMap<Partition, i64>,
    moved: Instant,
}

impl RangeReader {
    /// Begins to read; empty ranges are done at once.
    ///
    /// # Errors
    /// A setting or an assignment that is refused.
    pub(crate) fn open(kafka: &Kafka, ranges: &[Range]) -> Result<Self, BrokerError> {
        let consumer = consumer(kafka, NO_GROUP, "read_committed")?;
        let mut assignment = TopicPartitionList::new();
        let mut left = HashMap::new();
        let refused = |source| BrokerError::Fatal {
            call: "an assignment",
            source,
        };
        for Range { at, from, to } in ranges.iter().filter(|range| range.from < range.to) {
            left.insert(at.clone(), *to);
            assignment
                .add_partition_offset(&at.topic, at.number, Offset::Offset(*from))
                .map_err(refused)?;
        }
        if !left.is_empty() {
            consumer.assign(&assignment).map_err(refused)?;
        }
        Ok(Self {
            consumer,
            kafka: kafka.clone(),
            left,
            moved: Instant::now(),
        })
    }

    /// The next records, at most so many; None when all ranges are read to their ends.
    ///
    /// # Errors
    /// When the broker does not get on for a minute, or a range that the log no longer has.
    pub(crate) fn next(&mut self, most: usize) -> Result<Option<Vec<Record<'_>>>, BrokerError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < most && bytes < MOST_BYTES && !self.left.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let record = Record(message);
                    let at = Partition {
                        topic: record.topic().to_owned(),
                        number: record.partition(),
                    };
                    let Some(to) = self.left.get(&at) else {
                        continue;
                    };
                    if record.offset() + 1 >= *to {
                        let inside = record.offset() < *to;
                        self.left.remove(&at);
                        pause(&self.consumer, &at);
                        if !inside {
                            continue;
                        }
                    }
                    self.moved = Instant::now();
                    bytes += record.value().map_or(0, <[u8]>::len);
                    records.push(record);
                }
                Some(Err(error)) if is_end(&error) || is_passing(&error) => {
                    reach(&self.consumer, &mut self.left);
                }
                Some(Err(source)) => {
                    return Err(BrokerError::Fatal {
                        call: "a read",
                        source,
                    });
                }
                None => {
                    reach(&self.consumer, &mut self.left);
                    if !records.is_empty() {
                        break;
                    }
                    if self.moved.elapsed() > NO_PROGRESS {
                        let source =
                            KafkaError::ConsumerQueueClose(RDKafkaErrorCode::OperationTimedOut);
                        return Err(self.kafka.unavailable("a read", source));
                    }
                }
            }
        }
        Ok((!records.is_empty() || !self.left.is_empty()).then_some(records))
    }
}

/// Only with the end-of-partition event does the position move over control and aborted records (librdkafka 2.12).
fn is_end(error: &KafkaError) -> bool {
    matches!(error, KafkaError::PartitionEOF(_))
}

/// Takes away what the position has reached.
fn reach(consumer: &BaseConsumer, left: &mut HashMap<Partition, i64>) {
    let Ok(positions) = consumer.position() else {
        return;
    };
    left.retain(|at, to| {
        let position = positions.find_partition(&at.topic, at.number);
        let reached = position
            .is_some_and(|found| matches!(found.offset(), Offset::Offset(offset) if offset >= *to));
        if reached {
            pause(consumer, at);
        }
        !reached
    });
}

/// What comes behind the range is not wanted; were it not paused, it would only be thrown away.
fn pause(consumer: &BaseConsumer, at: &Partition) {
    let mut list = TopicPartitionList::new();
    list.add_partition(&at.topic, at.number);
    // Without it the range is read all the same, with more traffic.
    let _ = consumer.pause(&list);
}

pub(super) fn consumer(
    kafka: &Kafka,
    group: &str,
    isolation: &str,
) -> Result<BaseConsumer, BrokerError> {
    kafka.consumer(&[
        ("group.id", group),
        ("isolation.level", isolation),
        ("enable.partition.eof", "true"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("fetch.wait.max.ms", "20"),
        ("queued.max.messages.kbytes", "65536"),
    ])
}
