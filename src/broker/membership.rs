//! A member of a consumer group that reads nothing itself: Kafka shares the partitions out among the members, and whoever
//! holds a [`GroupMember`] reads what it was given, from positions that are kept elsewhere.
//!
//! The member's own partitions are paused, so nothing is fetched twice. How they are shared is said at `Kafka::assignor`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::client::{CALL_TIMEOUT, Kafka};
use super::consumer::is_passing;
use super::error::BrokerError;
use super::position::{NextOffset, Partition};
use super::reader::positions_of;
use super::rebalance::{give_up, take_up};

/// What a rebalance did.
#[derive(Debug, PartialEq, Eq)]
pub enum Share {
    /// These partitions are this member's now, besides those that it has; possibly none.
    Assigned(Vec<Partition>),
    /// These partitions are not this member's any more.
    Revoked(Vec<Partition>),
}

/// Collects what rebalances did; they happen inside of polls.
#[derive(Default)]
struct Rebalances {
    shares: Mutex<Vec<Result<Share, KafkaError>>>,
}

impl Rebalances {
    fn push(&self, share: Result<Share, KafkaError>) {
        self.shares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(share);
    }
}

impl ClientContext for Rebalances {
    // Trouble with the brokers is what the readers of the records tell about.
    fn error(&self, _error: KafkaError, _reason: &str) {}
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
                take(consumer, partitions).map(Share::Assigned)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                give_up(consumer, partitions).map(|()| Share::Revoked(named(partitions)))
            }
            other => Err(KafkaError::Rebalance(other.into())),
        };
        self.push(done);
    }
}

/// Takes partitions without reading them: no position is asked for, and they are paused.
fn take(
    consumer: &BaseConsumer<Rebalances>,
    given: &TopicPartitionList,
) -> Result<Vec<Partition>, KafkaError> {
    let mut ends = TopicPartitionList::new();
    for element in given.elements() {
        ends.add_partition_offset(element.topic(), element.partition(), Offset::End)?;
    }
    take_up(consumer, &ends)?;
    consumer.pause(&ends)?;
    Ok(named(given))
}

fn named(list: &TopicPartitionList) -> Vec<Partition> {
    let named = |(topic, number)| Partition { topic, number };
    let mut partitions: Vec<_> = list
        .elements()
        .iter()
        .map(|element| named((element.topic().to_owned(), element.partition())))
        .collect();
    partitions.sort();
    partitions
}

/// A member of a group, and what it was given.
pub struct GroupMember {
    consumer: BaseConsumer<Rebalances>,
    kafka: Kafka,
    topics: Vec<String>,
}

impl GroupMember {
    /// Joins the group. Where membership is static, the group knows a member by its name again when it comes back soon, and gives
    /// it what it had.
    ///
    /// # Errors
    /// A setting that is refused, no broker, or a topic that is not there.
    pub fn join(
        kafka: &Kafka,
        group: &str,
        name: &str,
        topics: &[&str],
    ) -> Result<Self, BrokerError> {
        let own = [
            // Also how long the others wait in a rebalance for a member that lives and does not answer.
            ("max.poll.interval.ms", "60000"),
            ("queued.max.messages.kbytes", "1024"),
        ];
        let consumer = kafka.member(group, name, &own, Rebalances::default())?;
        let metadata = consumer
            .fetch_metadata(None, CALL_TIMEOUT)
            .map_err(|error| kafka.unavailable("a request for metadata", error))?;
        let there = |topic: &&&str| {
            let mut found = metadata.topics().iter();
            found.any(|found| found.name() == **topic && !found.partitions().is_empty())
        };
        if let Some(topic) = topics.iter().find(|topic| !there(topic)) {
            return Err(BrokerError::MissingTopic {
                topic: (*topic).to_owned(),
            });
        }
        let member = Self {
            consumer,
            kafka: kafka.clone(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        };
        member.subscribe()?;
        Ok(member)
    }

    /// What rebalances did until `wait` was over, in order. To be called all the time: a member that does not call is taken
    /// for dead.
    ///
    /// # Errors
    /// When this member is of no use any more; whether another one would be, [`BrokerError::remedy`] says.
    pub fn poll(&self, wait: Duration) -> Result<Vec<Share>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                // A record that was on its way when its partition was paused is not ours to read here.
                Some(Ok(_)) => {}
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(source)) => return Err(BrokerError::in_reads(source)),
                None => {}
            }
            let shares = std::mem::take(
                &mut *self
                    .consumer
                    .context()
                    .shares
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            if !shares.is_empty() || left.is_zero() {
                return shares
                    .into_iter()
                    .map(|share| {
                        share.map_err(|source| BrokerError::Lost {
                            call: "a rebalance",
                            source,
                        })
                    })
                    .collect();
            }
        }
    }

    /// Gives everything up and joins again; the next polls say what was lost and what was given.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn rejoin(&self) -> Result<(), BrokerError> {
        self.consumer.unsubscribe();
        self.subscribe()
    }

    fn subscribe(&self) -> Result<(), BrokerError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer
            .subscribe(&topics)
            .map_err(|error| self.kafka.unavailable("a subscription", error))
    }

    /// Writes positions as the group's, for tools that show lag. They are written in the background and never read back.
    ///
    /// # Errors
    /// When librdkafka refuses at once.
    pub fn publish(&self, positions: &[(Partition, NextOffset)]) -> Result<(), BrokerError> {
        positions_of(positions)
            .and_then(|positions| self.consumer.commit(&positions, CommitMode::Async))
            .map_err(|error| {
                self.kafka
                    .unavailable("a commit of the group's offsets", error)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::reader::tests::kafka;

    /// What the member holds as soon as that is so many partitions.
    fn holding(member: &GroupMember, number: usize) -> Vec<i32> {
        let mut held = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while held.len() != number {
            assert!(Instant::now() < deadline, "{held:?}");
            for share in member.poll(Duration::from_millis(50)).unwrap() {
                match share {
                    Share::Assigned(given) => held.extend(given.iter().map(|at| at.number)),
                    Share::Revoked(gone) => {
                        held.retain(|number| gone.iter().all(|at| at.number != *number));
                    }
                }
            }
        }
        held
    }

    #[test]
    fn a_member_has_all_partitions_and_has_them_again_after_it_rejoined() {
        let (_cluster, kafka) = kafka("views", 4, &[("k", "never read here")]);
        let member = GroupMember::join(&kafka, "group", "name", &["views"]).unwrap();
        assert_eq!(holding(&member, 4), [0, 1, 2, 3]);
        member.rejoin().unwrap();
        assert_eq!(holding(&member, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn a_topic_that_is_not_there_is_named() {
        let (_cluster, kafka) = kafka("views", 1, &[]);
        let Err(error) = GroupMember::join(&kafka, "group", "name", &["views", "other"]) else {
            panic!("joined");
        };
        assert_eq!(error.to_string(), "topic `other` does not exist");
    }
}
