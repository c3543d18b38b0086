//! How far the three jobs have come, as Kafka says: the sums of the offsets that their groups have committed.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::books::Books;

/// Longest wait for one answer; a broker that is away gives none.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// One client a job, since a client has one group.
pub(crate) struct Positions {
    jobs: [(BaseConsumer, TopicPartitionList); 3],
}

impl Positions {
    pub(crate) fn of(books: &Books, partitions: i32) -> Self {
        let deployment = &books.deployment;
        let job = |name: &str, topics: &[&str]| {
            let mut client = deployment.kafka.client();
            client.set("group.id", format!("sluicebox-{}-{name}", deployment.clean));
            let client: BaseConsumer = client.create().expect("the settings are right");
            let mut all = TopicPartitionList::new();
            for topic in topics {
                all.add_partition_range(topic, 0, partitions - 1);
            }
            (client, all)
        };
        let clean = deployment.clean.as_str();
        Self {
            jobs: [
                job("clean", &[&deployment.raw]),
                job("gold", &[clean]),
                job("sink", &[clean, &books.gold]),
            ],
        }
    }

    /// Sums of clean, gold and sink; None while the broker does not answer.
    pub(crate) fn now(&self) -> Option<[i64; 3]> {
        let mut sums = [0; 3];
        for (sum, (client, partitions)) in sums.iter_mut().zip(&self.jobs) {
            let committed = client
                .committed_offsets(partitions.clone(), ANSWER_LIMIT)
                .ok()?;
            *sum = committed
                .elements()
                .iter()
                .filter_map(|element| match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
                .sum();
        }
        Some(sums)
    }

    /// Whether the first job has read the whole raw topic.
    pub(crate) fn all_cleaned(&self, books: &Books) -> bool {
        let ends: i64 = books
            .deployment
            .kafka
            .ends(&books.deployment.raw)
            .values()
            .sum();
        self.now().is_some_and(|[clean, ..]| clean == ends)
    }
}
