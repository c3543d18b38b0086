//! A real Apache Kafka: one node, started by the tests and ended with them, even if they are killed.

mod broker;
pub(crate) mod guarded;
mod jars;
mod messages;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use broker::Broker;
pub(crate) use broker::signal;
pub(crate) use guarded::Guarded;
pub(crate) use jars::folder as jars_folder;
pub(crate) use messages::{Message, Record};

use super::wait_until;

/// Longest wait for one answer of a broker that is up.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A broker, and the few things that tests do with one.
pub(crate) struct Kafka {
    broker: Mutex<Broker>,
    bootstrap: String,
}

impl Kafka {
    /// The broker that the tests of this process share. Each test takes topics of its own from it, see [`unique`].
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Kafka>> = LazyLock::new(|| Arc::new(Kafka::start()));
        Arc::clone(&SHARED)
    }

    /// A broker of one's own, to be killed.
    pub(crate) fn start() -> Self {
        Self::of(Broker::start())
    }

    fn of(broker: Broker) -> Self {
        Self {
            bootstrap: broker.bootstrap(),
            broker: Mutex::new(broker),
        }
    }

    /// What clients connect to. It survives a restart.
    pub(crate) fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Client settings that reach this broker.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    /// Kills the broker as a power failure would; its data stay.
    pub(crate) fn kill(&self) {
        self.broker().kill();
    }

    /// Kills the broker if it still runs, and starts it again with its data at its address.
    pub(crate) fn restart(&self) {
        self.broker().restart();
    }

    /// Freezes the broker as a machine that hangs: connections stay, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.broker().signal("STOP");
    }

    /// Lets a frozen broker go on.
    pub(crate) fn thaw(&self) {
        self.broker().signal("CONT");
    }

    fn broker(&self) -> std::sync::MutexGuard<'_, Broker> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what a topic holds before these offsets, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, before: &BTreeMap<i32, i64>) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are right");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in before {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .expect("the offset is valid");
        }
        let deleted = block_on(admin.delete_records(&list, &AdminOptions::new()));
        for element in deleted.expect("Kafka answers").elements() {
            element.error().expect("the records can be deleted");
        }
    }

    /// Makes a topic and waits until it can be written to. `config` is the topic's, such as `cleanup.policy`.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are right");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT));
        let created = block_on(admin.create_topics([&topic], &options)).expect("Kafka answers");
        for outcome in created {
            outcome.unwrap_or_else(|(topic, error)| panic!("creating topic {topic}: {error}"));
        }
        let client: BaseConsumer = self.client().create().expect("the settings are right");
        let ready = wait_until(ANSWER_LIMIT, || {
            client
                .fetch_metadata(Some(name), ANSWER_LIMIT)
                .is_ok_and(|answer| {
                    let found = answer
                        .topics()
                        .first()
                        .map_or(&[][..], |topic| topic.partitions());
                    i32::try_from(found.len()) == Ok(partitions)
                        && found.iter().all(|partition| partition.leader() >= 0)
                })
        });
        assert!(
            ready,
            "topic {name} has no leaders after {ANSWER_LIMIT:?}; {}",
            self.broker().log_tail()
        );
    }
}

/// A name that no other test of this process has.
pub(crate) fn unique(name: &str) -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", TAKEN.fetch_add(1, Ordering::Relaxed))
}
