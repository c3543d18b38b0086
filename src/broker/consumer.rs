//! A member of a consumer group: records of committed transactions, in partition order.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::assignment::metadata;
use super::client::Kafka;
use super::error::BrokerError;
use super::identity::Identity;
use super::position::NextOffset;
use super::rebalance::{Change, Rebalances};

/// Most bytes of values in one poll: a batch is cut by them too, since its columns hold at most 2 GiB.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Longest wait for the committed positions of new partitions: a transaction that moves them may be open, and one of a dead
/// member ends after its time-out and the broker's next look, 20 s in all.
pub(super) const COMMITTED_TIMEOUT: Duration = Duration::from_secs(40);

/// Longest wait for an answer when the question is only whether somebody answers.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait between two looks at whether the service is to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(500);

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

/// Who reads, and what.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The member's name, the same after a restart; unused where membership is dynamic.
    pub member: &'a str,
    /// The topic, as it was when the reading began.
    pub topic: &'a str,
    /// Which topic that is.
    pub identity: &'a Identity,
    /// The topics that the job writes what it makes of the records to.
    pub outputs: &'a [String],
    /// How far before the committed position reading begins, in offsets: what a job needs to see again.
    pub look_back: u64,
    /// Whether every record of the topic is of a transaction, as what the service writes is.
    pub transactional: bool,
}

/// What a poll brought. The changes come first: records are only of partitions that are still this member's.
#[derive(Default)]
pub struct Batch<'a> {
    /// What rebalances did, in order.
    pub changes: Vec<Change>,
    /// In the order of their partitions.
    pub records: Vec<Record<'a>>,
    /// Partitions that were read to their ends, markers included.
    pub ended: Vec<i32>,
}

/// Reads one topic as a member of a group. Offsets are committed by the producer, in its transactions.
pub struct GroupConsumer {
    pub(super) consumer: BaseConsumer<Rebalances>,
    pub(super) kafka: Kafka,
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) outputs: Vec<String>,
    pub(super) identity: Identity,
    pub(super) look_back: i64,
    pub(super) transactional: bool,
}

impl GroupConsumer {
    /// Joins the group.
    ///
    /// # Errors
    /// A setting that is refused, or no broker.
    pub fn join(kafka: &Kafka, reading: &Reading<'_>) -> Result<Self, BrokerError> {
        let own = [
            ("isolation.level", "read_committed"),
            // With it the position moves over markers and aborted records (librdkafka 2.12).
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
            ("fetch.wait.max.ms", "50"),
            ("fetch.error.backoff.ms", "50"),
            ("queued.min.messages", "200000"),
            ("queued.max.messages.kbytes", "131072"),
            ("max.poll.interval.ms", "300000"),
            // A broker that is frozen is noticed by this.
            ("socket.timeout.ms", "10000"),
            ("statistics.interval.ms", "5000"),
        ];
        let consumer = kafka.member(reading.group, reading.member, &own, Rebalances::default())?;
        consumer
            .subscribe(&[reading.topic])
            .map_err(|error| kafka.unavailable("a subscription", error))?;
        Ok(Self {
            consumer,
            kafka: kafka.clone(),
            group: reading.group.to_owned(),
            outputs: reading.outputs.to_vec(),
            topic: reading.topic.to_owned(),
            identity: reading.identity.clone(),
            look_back: i64::try_from(reading.look_back).unwrap_or(i64::MAX),
            transactional: reading.transactional,
        })
    }

    /// Records until there are `most`, or `wait` is over, or a rebalance happens, or the service is to stop. What was read of a
    /// partition that is taken away is left out: its next owner reads it.
    ///
    /// # Errors
    /// What the consumer cannot get over by itself.
    pub fn poll(
        &self,
        most: usize,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Batch<'_>, BrokerError> {
        let deadline = Instant::now() + wait;
        let mut records = Vec::new();
        let mut ended = Vec::new();
        let mut bytes = 0;
        while records.len() < most && bytes < MOST_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left.min(STOP_INTERVAL)) {
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    records.push(Record(message));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => ended.push(partition),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(source)) => return Err(BrokerError::in_read(&self.topic, source)),
                None if left.is_zero() => break,
                None => {}
            }
            if self.consumer.context().has_changes() || stop.is_cancelled() {
                break;
            }
        }
        let changes = self.consumer.context().take_changes();
        let gone: HashSet<i32> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Revoked(partitions) => Some(partitions),
                _ => None,
            })
            .flatten()
            .copied()
            .collect();
        records.retain(|record| !gone.contains(&record.partition()));
        ended.retain(|partition| !gone.contains(partition));
        Ok(Batch {
            changes,
            records,
            ended,
        })
    }

    /// What comes next of each partition, behind everything that was polled. One of which nothing has come yet is left out.
    ///
    /// # Errors
    /// When librdkafka does not know its own assignment.
    pub fn positions(&self) -> Result<Vec<(i32, NextOffset)>, BrokerError> {
        let positions = self
            .consumer
            .position()
            .map_err(|source| BrokerError::Lost {
                call: "a position",
                source,
            })?;
        let position = |number, offset| match offset {
            Offset::Offset(offset) => Some((number, NextOffset::at(offset))),
            _ => None,
        };
        Ok(positions
            .elements()
            .iter()
            .filter_map(|found| position(found.partition(), found.offset()))
            .collect())
    }

    /// Whether a rebalance takes everything away before it gives anything.
    pub fn is_eager(&self) -> bool {
        !matches!(
            self.consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        )
    }

    /// Begins to read partitions that were taken up.
    ///
    /// # Errors
    /// When they are not this member's any more.
    pub fn resume(&self, partitions: &[i32]) -> Result<(), BrokerError> {
        self.consumer
            .resume(&self.named(partitions))
            .map_err(|source| BrokerError::Lost {
                call: "the begin of reading",
                source,
            })
    }

    /// What librdkafka reported since the last call and goes on trying to get over, if no broker answers right now.
    pub fn trouble(&self) -> Option<BrokerError> {
        let source = self.consumer.context().take_trouble()?;
        if self.answers() {
            return None;
        }
        Some(self.unavailable("reading", source))
    }

    /// Whether a broker answers.
    pub fn answers(&self) -> bool {
        self.consumer
            .fetch_metadata(Some(&self.topic), PROBE_TIMEOUT)
            .is_ok()
    }

    /// Where partitions end, open transactions included: every few seconds once, otherwise nothing.
    pub fn ends(&self) -> Vec<(i32, i64)> {
        self.consumer.context().take_ends()
    }

    /// What a transaction needs to know about this member (KIP-447).
    ///
    /// A member that was put out of its group has neither name nor generation any more, and the broker takes the positions of
    /// such a one unseen (Kafka 4.1, librdkafka 2.12). librdkafka marks the assignment as lost in the same step in which it
    /// forgets them, so that mark is looked at after they were taken. (It does not while an assignment waits for its answer; a
    /// generation without a name is refused by the broker.)
    pub(super) fn group(&self) -> Result<ConsumerGroupMetadata, BrokerError> {
        let lost = |code| BrokerError::Lost {
            call: "group metadata",
            source: KafkaError::Rebalance(code),
        };
        let group = self.consumer.group_metadata();
        if self.consumer.assignment_lost() {
            return Err(lost(RDKafkaErrorCode::AssignmentLost));
        }
        group.ok_or_else(|| lost(RDKafkaErrorCode::UnknownMemberId))
    }

    /// Positions, each with the topic that it is of and what is remembered with it.
    pub(super) fn list(
        &self,
        positions: &[(i32, NextOffset)],
        outputs: &BTreeMap<i32, String>,
    ) -> Result<TopicPartitionList, BrokerError> {
        let mut list = TopicPartitionList::new();
        for (partition, position) in positions {
            let mut element = list.add_partition(&self.topic, *partition);
            element
                .set_offset(Offset::Offset(position.get()))
                .map_err(|source| BrokerError::Fatal {
                    call: "a list of positions",
                    source,
                })?;
            let outputs = outputs.get(partition).map_or("", String::as_str);
            element.set_metadata(metadata(&self.identity, outputs));
        }
        Ok(list)
    }

    /// The topic that is read.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.consumer.context().close(&self.consumer);
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
