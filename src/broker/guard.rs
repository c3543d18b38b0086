//! Partitions without a committed position: a first start, or a group that has lost its positions.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::info;

use super::admin::Admin;
use super::assignment::compare;
use super::client::{CALL_TIMEOUT, Kafka};
use super::consumer::{COMMITTED_TIMEOUT, GroupConsumer};
use super::error::BrokerError;
use super::groups::committed;
use super::position::Partition;

/// Longest search for a committed record.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(60);

/// A group that nobody ever joins: librdkafka wants a name before it lets a consumer assign.
const NO_GROUP: &str = "sluicebox-guard";

impl GroupConsumer {
    /// Whether work on partitions without a position may begin at their beginning: when the topic is the one that it was, and
    /// either other partitions have a position or nothing was made from the topic yet.
    ///
    /// # Errors
    /// [`BrokerError::PositionLost`] when it may not, or no broker.
    pub(super) fn check_first_start(&self, partitions: &[i32]) -> Result<(), BrokerError> {
        let admin = Admin::connect(&self.kafka)?;
        let now = admin.identity(&self.topic)?;
        // Before the positions: what another member writes meanwhile comes with its positions.
        let written = self.first_written(&admin)?;
        let numbers: Vec<i32> = (0..i32::try_from(now.partitions).unwrap_or(i32::MAX)).collect();
        let committed = self.committed(&numbers)?;
        let mut positions = 0;
        for element in committed.elements() {
            if let Offset::Offset(_) = element.offset() {
                positions += 1;
                compare(
                    &self.partition(element.partition()),
                    element.metadata(),
                    &now,
                )?;
            }
        }
        match written {
            Some(output) if positions == 0 => Err(BrokerError::PositionLost {
                what: format!(
                    "the group {} has no position in {} any more, but {output} holds, or held, what was made from it: the group was deleted, or was idle for longer than the brokers keep positions",
                    self.group, self.topic
                ),
            }),
            _ => {
                info!(
                    ?partitions,
                    others = positions,
                    "no committed position, beginning at the beginning"
                );
                Ok(())
            }
        }
    }

    /// The first of the outputs that holds a committed record, or has lost its beginning: what is deleted was written.
    fn first_written(&self, admin: &Admin) -> Result<Option<&str>, BrokerError> {
        for output in &self.outputs {
            let partitions = admin.require(output)?;
            if self.has_lost(output, partitions)?
                || holds_committed(&self.kafka, output, partitions)?
            {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    /// Whether any of the topic's logs begins behind offset 0.
    fn has_lost(&self, topic: &str, partitions: usize) -> Result<bool, BrokerError> {
        for number in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let (low, _) = self
                .consumer
                .fetch_watermarks(topic, number, CALL_TIMEOUT)
                .map_err(|error| self.unavailable("watermarks", error))?;
            if low > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a topic holds a committed record: offsets alone do not tell, aborted records have some too.
fn holds_committed(kafka: &Kafka, topic: &str, partitions: usize) -> Result<bool, BrokerError> {
    let call = "a search for committed records";
    let consumer = kafka.consumer(&[
        ("group.id", NO_GROUP),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "20"),
    ])?;
    let mut assignment = TopicPartitionList::new();
    for number in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        assignment
            .add_partition_offset(topic, number, Offset::Beginning)
            .map_err(|error| kafka.unavailable(call, error))?;
    }
    consumer
        .assign(&assignment)
        .map_err(|error| kafka.unavailable(call, error))?;
    let deadline = Instant::now() + SEARCH_TIMEOUT;
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < partitions {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => return Ok(true),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(_)) | None => {}
        }
        if Instant::now() > deadline {
            let timed_out = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
            return Err(kafka.unavailable(call, timed_out));
        }
    }
    Ok(false)
}

impl GroupConsumer {
    pub(super) fn named(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        list
    }

    /// What the group has committed in these partitions.
    pub(super) fn committed(&self, partitions: &[i32]) -> Result<TopicPartitionList, BrokerError> {
        committed(&self.consumer, self.named(partitions), COMMITTED_TIMEOUT)
            .map_err(|error| self.unavailable("committed positions", error))
    }

    pub(super) fn partition(&self, number: i32) -> Partition {
        Partition {
            topic: self.topic.clone(),
            number,
        }
    }

    pub(super) fn unavailable(&self, call: &'static str, source: KafkaError) -> BrokerError {
        self.kafka.unavailable(call, source)
    }
}
