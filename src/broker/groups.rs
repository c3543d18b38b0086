//! Consumer groups from the outside: their members and their positions.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::identity_of;
use super::client::{CALL_TIMEOUT, Kafka};
use super::error::BrokerError;
use super::identity::Identity;
use super::position::Partition;
use super::range::consumer;

/// A group that is looked at without being joined.
pub(crate) struct Group {
    kafka: Kafka,
    name: String,
}

impl Group {
    /// The group of this name. Nothing is connected yet.
    pub(crate) fn new(kafka: &Kafka, name: &str) -> Self {
        Self {
            kafka: kafka.clone(),
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks for the group's positions over one connection, as often as one likes.
    ///
    /// # Errors
    /// A setting that is refused.
    pub(crate) fn open(&self) -> Result<Positions, BrokerError> {
        Ok(Positions {
            // A read-committed client asks for stable positions only (KIP-447).
            consumer: consumer(&self.kafka, &self.name, "read_committed")?,
            kafka: self.kafka.clone(),
        })
    }

    /// The group's position in each partition, once; see [`Positions::of`].
    ///
    /// # Errors
    /// Those of [`Positions::of`].
    pub(crate) fn positions(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<Option<i64>>, BrokerError> {
        self.open()?.of(partitions)
    }

    /// The topic of these as it was when a position in them was committed; None when no position says so.
    ///
    /// # Errors
    /// Those of [`Positions::of`].
    pub(crate) fn topic_then(
        &self,
        partitions: &[Partition],
    ) -> Result<Option<Identity>, BrokerError> {
        let found = self.open()?.ask(partitions)?;
        let found = found.elements();
        Ok(found
            .iter()
            .find_map(|element| identity_of(element.metadata())))
    }

    /// Writes positions, each with the same metadata. The broker refuses them while the group has members.
    ///
    /// # Errors
    /// No broker, or members.
    pub(crate) fn write(
        &self,
        positions: &[(Partition, i64)],
        metadata: &str,
    ) -> Result<(), BrokerError> {
        let refused = |source| BrokerError::Fatal {
            call: "a commit of the group's positions",
            source,
        };
        let consumer = consumer(&self.kafka, &self.name, "read_committed")?;
        let mut list = TopicPartitionList::new();
        for (at, position) in positions {
            let mut element = list.add_partition(&at.topic, at.number);
            element
                .set_offset(Offset::Offset(*position))
                .map_err(refused)?;
            element.set_metadata(metadata);
        }
        consumer.commit(&list, CommitMode::Sync).map_err(refused)
    }

    /// Number of its members; 0 for a group that is not there.
    ///
    /// # Errors
    /// No broker.
    pub(crate) fn members(&self) -> Result<usize, BrokerError> {
        let consumer = consumer(&self.kafka, &self.name, "read_committed")?;
        let groups = consumer
            .fetch_group_list(Some(&self.name), CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("a request for the group", error))?;
        let members = groups.groups().iter().map(|group| group.members().len());
        Ok(members.sum())
    }
}

/// A connection that asks for a group's positions.
pub(crate) struct Positions {
    consumer: BaseConsumer,
    kafka: Kafka,
}

impl Positions {
    /// The group's position in each partition, in their order; None where it has none. Waits for what an open transaction is
    /// about to commit.
    ///
    /// # Errors
    /// No broker, or one that keeps the positions back: a transaction that does not end.
    pub(crate) fn of(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>, BrokerError> {
        let found = self.ask(partitions)?;
        let mut positions = Vec::with_capacity(partitions.len());
        for at in partitions {
            let element = found.find_partition(&at.topic, at.number);
            positions.push(element.and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }));
        }
        Ok(positions)
    }

    fn ask(&self, partitions: &[Partition]) -> Result<TopicPartitionList, BrokerError> {
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, at.number);
        }
        committed(&self.consumer, list, CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("a request for positions", error))
    }
}

/// What the consumer's group has committed in these partitions. A partition's own error comes without an error of the call, and
/// without a position; here it is one of the call.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: TopicPartitionList,
    timeout: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let found = consumer.committed_offsets(partitions, timeout)?;
    for element in found.elements() {
        element.error()?;
    }
    Ok(found)
}
