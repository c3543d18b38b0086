//! What a consumer group does to a member: librdkafka's callbacks, kept until the loop of the job asks for them.
//!
//! Rebalances of dynamic members are cooperative (KIP-429): a member keeps what it keeps, and is told of what it is given and what
//! is taken away. Those of static members are eager, see [`super::client::Kafka::assignor`].
//! The callback itself asks no broker anything, so that it cannot wait: where reading begins is found out by the loop, and until
//! it has answered, librdkafka waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

/// What a rebalance did.
#[derive(Debug)]
pub enum Change {
    /// These partitions are given to this member in addition to those that it has.
    Assigned(Vec<i32>),
    /// These partitions are not this member's any more.
    Revoked(Vec<i32>),
    /// The rebalance failed; the member is of no use.
    Failed(KafkaError),
}

/// Collects what rebalances did; they happen inside of polls.
#[derive(Default)]
pub(super) struct Rebalances {
    changes: Mutex<Vec<Change>>,
    trouble: Mutex<Option<KafkaError>>,
    /// librdkafka waits for the answer to an assignment.
    unanswered: AtomicBool,
    /// Nobody asks for changes any more.
    closing: AtomicBool,
    /// Last known end of each partition, open transactions included.
    ends: Mutex<Vec<(i32, i64)>>,
}

impl Rebalances {
    pub(super) fn has_changes(&self) -> bool {
        !lock(&self.changes).is_empty()
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// The newest error that librdkafka reported and goes on trying to get over.
    pub(super) fn take_trouble(&self) -> Option<KafkaError> {
        lock(&self.trouble).take()
    }

    /// The ends that came with the last statistics; nothing when there were none since the last call.
    pub(super) fn take_ends(&self) -> Vec<(i32, i64)> {
        std::mem::take(&mut *lock(&self.ends))
    }

    /// Has partitions read, in a cooperative rebalance in addition to those that are; with none it is an answer too.
    pub(super) fn answer(
        &self,
        consumer: &BaseConsumer<Self>,
        starts: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        take_up(consumer, starts)?;
        self.unanswered.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// From now on whatever is given is answered at once with nothing: the close of a consumer waits for the answer.
    pub(super) fn close(&self, consumer: &BaseConsumer<Self>) {
        self.closing.store(true, Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) {
            // There is nobody left to tell.
            let _ = self.answer(consumer, &TopicPartitionList::new());
        }
    }

    fn push(&self, change: Change) {
        lock(&self.changes).push(change);
    }
}

/// Has what a rebalance gave read from these positions, as its protocol wants it.
pub(super) fn take_up<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    starts: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(starts),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(starts),
    }
}

/// Reads no more what a rebalance takes away, as its protocol wants it.
pub(super) fn give_up<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, _reason: &str) {
        *lock(&self.trouble) = Some(error);
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics
            .topics
            .values()
            .flat_map(|topic| topic.partitions.values());
        *lock(&self.ends) = partitions
            .filter(|partition| partition.partition >= 0 && partition.hi_offset >= 0)
            .map(|partition| (partition.partition, partition.hi_offset))
            .collect();
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let numbers = partitions
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.unanswered.store(true, Ordering::Relaxed);
                if self.closing.load(Ordering::Relaxed) {
                    self.close(consumer);
                } else {
                    self.push(Change::Assigned(numbers));
                }
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.push(Change::Revoked(numbers));
                // No transaction is open while polling, so there is nothing to commit first.
                if let Err(error) = give_up(consumer, partitions) {
                    self.push(Change::Failed(error));
                }
            }
            other => self.push(Change::Failed(KafkaError::Rebalance(other.into()))),
        }
    }
}
