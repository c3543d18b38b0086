//! A member of a consumer group: records of committed transactions, in partition order.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::client::{CALL_TIMEOUT, Kafka};
use super::error::BrokerError;
use super::position::NextOffset;

/// Most bytes of values in one poll: a batch is cut by them too, since its columns hold at most 2 GiB.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Between two reports of trouble that goes on.
const BETWEEN_TROUBLES: Duration = Duration::from_secs(30);

/// A record as it came, its bytes still librdkafka's: nothing is copied.
pub struct Record<'a>(pub(super) BorrowedMessage<'a>);

impl Record<'_> {
    /// The topic it was read from.
    pub fn topic(&self) -> &str {
        self.0.topic()
    }

    /// The partition it was read from.
    pub fn partition(&self) -> i32 {
        self.0.partition()
    }

    /// Its offset in the partition.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    /// Its value; None is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// Milliseconds since 1970 UTC, by the topic's rule (create or append time); 0 for a record without.
    pub fn timestamp_ms(&self) -> i64 {
        self.0.timestamp().to_millis().unwrap_or_default()
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter())
            .map(|header| (header.key, header.value))
    }
}

/// Where in the data a batch is, for errors: how many records, and the first.
pub(crate) fn place_of(records: &[Record<'_>]) -> String {
    let first = records.first().map(|first| {
        format!(
            " from {}[{}] {}",
            first.topic(),
            first.partition(),
            first.offset()
        )
    });
    format!("{} records{}", records.len(), first.unwrap_or_default())
}

/// A partition that was given to this member, and where its work begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The partition's number.
    pub partition: i32,
    /// The group's committed position, if it has one.
    pub committed: Option<NextOffset>,
}

/// What a rebalance did.
#[derive(Debug)]
pub enum Change {
    /// These partitions are this member's from now on.
    Assigned(Vec<Assignment>),
    /// These partitions are not this member's any more.
    Revoked(Vec<i32>),
    /// The rebalance failed; the member is of no use.
    Failed(KafkaError),
}

/// Collects what rebalances did; they happen inside of polls.
struct Rebalances {
    /// How far before the committed position reading begins, in offsets: what a job needs to see again.
    look_back: i64,
    changes: Mutex<Vec<Change>>,
    troubles: Mutex<Troubles>,
}

#[derive(Default)]
struct Troubles {
    newest: Option<KafkaError>,
    said: Option<Instant>,
}

impl Rebalances {
    fn push(&self, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
    }

    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        given: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let committed = consumer.committed_offsets(given.clone(), CALL_TIMEOUT)?;
        let mut starts = TopicPartitionList::new();
        let mut assignments = Vec::new();
        for element in committed.elements() {
            // A partition's own error comes without an error of the call, and without a position.
            element.error()?;
            let (topic, number) = (element.topic(), element.partition());
            let (start, committed) = match element.offset() {
                Offset::Offset(offset) => {
                    let (low, high) = consumer.fetch_watermarks(topic, number, CALL_TIMEOUT)?;
                    let (start, committed) = self.start(offset, low, high);
                    (Offset::Offset(start), Some(NextOffset::at(committed)))
                }
                _ => (Offset::Beginning, None),
            };
            starts.add_partition_offset(topic, number, start)?;
            assignments.push(Assignment {
                partition: number,
                committed,
            });
        }
        consumer.assign(&starts)?;
        self.push(Change::Assigned(assignments));
        Ok(())
    }

    /// Where reading begins, and the position that counts as committed, in a log that holds `low` to `high`.
    fn start(&self, committed: i64, low: i64, high: i64) -> (i64, i64) {
        if committed < low && low == high {
            // The log ran empty by retention. Its last offsets were those of a transaction's marker, which no position is
            // committed behind: nothing is missed.
            return (low, low);
        }
        // What is older than the log is not there to be looked at; a committed position that the log no longer has is an
        // error, not a reason to skip.
        let start = committed
            .saturating_sub(self.look_back)
            .max(low)
            .min(committed);
        (start, committed)
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, _reason: &str) {
        self.troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .newest = Some(error);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                let gone = partitions
                    .elements()
                    .iter()
                    .map(|element| element.partition())
                    .collect();
                self.push(Change::Revoked(gone));
                consumer.unassign()
            }
            other => Err(KafkaError::Rebalance(other.into())),
        };
        if let Err(error) = done {
            self.push(Change::Failed(error));
        }
    }
}

/// Reads one topic as a member of a group. Offsets are committed by the producer, in its transactions.
pub struct GroupConsumer {
    consumer: BaseConsumer<Rebalances>,
    servers: String,
    topic: String,
}

impl GroupConsumer {
    /// Joins the group. `look_back` offsets before the committed position are read again, for what has to be remembered.
    ///
    /// # Errors
    /// A setting that is refused, no broker, or a topic that is not there.
    pub fn join(
        kafka: &Kafka,
        group: &str,
        topic: &str,
        look_back: u64,
    ) -> Result<Self, BrokerError> {
        let context = Rebalances {
            look_back: i64::try_from(look_back).unwrap_or(i64::MAX),
            changes: Mutex::default(),
            troubles: Mutex::default(),
        };
        let consumer: BaseConsumer<Rebalances> = kafka
            .client(&[
                ("group.id", group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("isolation.level", "read_committed"),
                ("auto.offset.reset", "error"),
                ("fetch.wait.max.ms", "50"),
                ("fetch.error.backoff.ms", "50"),
                ("queued.min.messages", "200000"),
                ("queued.max.messages.kbytes", "131072"),
                ("session.timeout.ms", "15000"),
                // A long restore happens between two polls; that the member lives is what its heartbeats say.
                ("max.poll.interval.ms", "86400000"),
            ])
            .create_with_context(context)
            .map_err(|error| kafka.unavailable("the creation of a consumer", error))?;
        let metadata = consumer
            .fetch_metadata(Some(topic), CALL_TIMEOUT)
            .map_err(|error| kafka.unavailable("a request for metadata", error))?;
        if metadata
            .topics()
            .iter()
            .all(|found| found.partitions().is_empty())
        {
            return Err(BrokerError::MissingTopic {
                topic: topic.to_owned(),
            });
        }
        consumer
            .subscribe(&[topic])
            .map_err(|error| kafka.unavailable("a subscription", error))?;
        Ok(Self {
            consumer,
            servers: kafka.servers().to_owned(),
            topic: topic.to_owned(),
        })
    }

    /// Records until there are `most`, or `wait` is over. Nothing when a rebalance happened: then [`Self::changes`] comes first,
    /// and what was read before it is read again from the committed positions.
    ///
    /// # Errors
    /// What the consumer cannot get over by itself.
    pub fn poll(&self, most: usize, wait: Duration) -> Result<Vec<Record<'_>>, BrokerError> {
        let deadline = Instant::now() + wait;
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < most && bytes < MOST_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            let polled = self.consumer.poll(left);
            if self.has_changes() {
                // Members give up all partitions in a rebalance and begin anew at the committed positions: what was polled
                // before is void, and a record that came with the change is the first of its partition.
                if let Some(Ok(first)) = polled {
                    self.seek(first.partition(), first.offset())?;
                }
                return Ok(Vec::new());
            }
            match polled {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    records.push(Record(message));
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(source)) => {
                    return Err(BrokerError::Fatal {
                        call: "a read",
                        source,
                    });
                }
                None if left.is_zero() => break,
                None => {}
            }
        }
        Ok(records)
    }

    /// What rebalances did since the last call, in order.
    pub fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.lock_changes())
    }

    /// What librdkafka reported and goes on trying to get over, e.g. that no broker can be reached; the newest, and not
    /// more often than every half minute, since it reports each of its tries.
    pub fn trouble(&self) -> Option<BrokerError> {
        let mut troubles = self
            .consumer
            .context()
            .troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if troubles
            .said
            .is_some_and(|at| at.elapsed() < BETWEEN_TROUBLES)
        {
            return None;
        }
        let source = troubles.newest.take()?;
        troubles.said = Some(Instant::now());
        Some(BrokerError::Unavailable {
            servers: self.servers.clone(),
            call: "reading",
            source,
        })
    }

    /// What a transaction needs to know about this member (KIP-447).
    pub(super) fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The topic that is read.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn seek(&self, partition: i32, offset: i64) -> Result<(), BrokerError> {
        self.consumer
            .seek(&self.topic, partition, Offset::Offset(offset), CALL_TIMEOUT)
            .map_err(|source| BrokerError::Fatal {
                call: "a seek",
                source,
            })
    }

    fn has_changes(&self) -> bool {
        !self.lock_changes().is_empty()
    }

    fn lock_changes(&self) -> std::sync::MutexGuard<'_, Vec<Change>> {
        self.consumer
            .context()
            .changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors that a consumer reports on its way and gets over by itself.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::NotEnoughReplicas
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::PollExceeded
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_at_the_look_back_and_never_skips() {
        // (look-back, committed, low, high, start and what counts as committed)
        let table = [
            (0, 7, 0, 10, (7, 7)),
            (5, 7, 0, 10, (2, 7)),
            (50, 7, 0, 10, (0, 7)),
            (50, 7, 4, 10, (4, 7)),
            // The log begins behind the committed position: an error for the poll, not a reason to skip.
            (50, 7, 9, 10, (7, 7)),
            (0, 7, 9, 10, (7, 7)),
            // The log ran empty by retention, with a marker at its end.
            (0, 100, 101, 101, (101, 101)),
            (0, 10, 10, 10, (10, 10)),
        ];
        for (look_back, committed, low, high, expected) in table {
            let rebalances = Rebalances {
                look_back,
                changes: Mutex::default(),
                troubles: Mutex::default(),
            };
            let start = rebalances.start(committed, low, high);
            assert_eq!(
                start, expected,
                "look-back {look_back}, committed {committed}, log {low} to {high}"
            );
        }
    }
}
