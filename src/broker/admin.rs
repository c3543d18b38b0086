//! Topics: what is there, and their creation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{CALL_TIMEOUT, Kafka};
use super::error::BrokerError;

/// A topic as the pipeline wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// Topic settings, e.g. `cleanup.policy`.
    pub settings: Vec<(&'static str, String)>,
}

/// What became of a topic's creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicOutcome {
    /// It was made.
    Created,
    /// It was there before, with this many partitions.
    Exists {
        /// Its number of partitions.
        partitions: usize,
    },
}

/// Asks about topics and makes them.
pub struct Admin {
    pub(super) client: AdminClient<DefaultClientContext>,
    pub(super) kafka: Kafka,
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// A setting that is refused.
    pub fn connect(kafka: &Kafka) -> Result<Self, BrokerError> {
        let client = kafka
            .client(&[])
            .create()
            .map_err(|error| kafka.unavailable("the creation of an admin client", error))?;
        Ok(Self {
            client,
            kafka: kafka.clone(),
        })
    }

    /// Number of a topic's partitions; None when there is no such topic.
    ///
    /// # Errors
    /// No broker.
    pub fn partitions(&self, topic: &str) -> Result<Option<usize>, BrokerError> {
        // Without a topic's name in the request no broker makes the topic by itself.
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, CALL_TIMEOUT)
            .map_err(|error| self.kafka.unavailable("a request for metadata", error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found
            .map(|found| found.partitions().len())
            .filter(|partitions| *partitions > 0))
    }

    /// Number of the partitions of a topic that has to be there.
    ///
    /// # Errors
    /// No broker, or no such topic.
    pub fn require(&self, topic: &str) -> Result<usize, BrokerError> {
        let missing = || BrokerError::MissingTopic {
            topic: topic.to_owned(),
        };
        self.partitions(topic)?.ok_or_else(missing)
    }

    /// The settings in force for a topic, the broker's defaults included; those whose value the broker keeps to itself are left out.
    ///
    /// # Errors
    /// No broker, no such topic, or no right to see them.
    pub(crate) fn settings_in_force(
        &self,
        topic: &str,
    ) -> Result<BTreeMap<String, String>, BrokerError> {
        const CALL: &str = "a request for a topic's settings";
        let options = AdminOptions::new().request_timeout(Some(CALL_TIMEOUT));
        let wanted = [ResourceSpecifier::Topic(topic)];
        let answers = block_on(self.client.describe_configs(&wanted, &options))
            .map_err(|error| self.kafka.unavailable(CALL, error))?;
        let mut settings = BTreeMap::new();
        for answer in answers {
            let answer = answer.map_err(|code| BrokerError::Fatal {
                call: CALL,
                source: KafkaError::AdminOp(code),
            })?;
            let known = answer.entries.into_iter();
            settings.extend(known.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }

    /// Makes a topic unless it is there, and waits until its partitions have leaders.
    ///
    /// # Errors
    /// No broker, or a refusal.
    pub fn create(&self, spec: &TopicSpec) -> Result<TopicOutcome, BrokerError> {
        if let Some(partitions) = self.partitions(&spec.name)? {
            return Ok(TopicOutcome::Exists { partitions });
        }
        let mut topic = NewTopic::new(
            &spec.name,
            spec.partitions,
            TopicReplication::Fixed(spec.replication),
        );
        for (name, value) in &spec.settings {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT));
        let results = block_on(self.client.create_topics([&topic], &options))
            .map_err(|error| self.kafka.unavailable("the creation of a topic", error))?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    let source = KafkaError::AdminOp(code);
                    return Err(BrokerError::Fatal {
                        call: "the creation of a topic",
                        source,
                    });
                }
            }
        }
        self.await_leaders(&spec.name)?;
        Ok(TopicOutcome::Created)
    }

    fn await_leaders(&self, topic: &str) -> Result<(), BrokerError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            let metadata = self
                .client
                .inner()
                .fetch_metadata(Some(topic), CALL_TIMEOUT)
                .map_err(|error| self.kafka.unavailable("a request for metadata", error))?;
            let ready = metadata.topics().iter().any(|found| {
                !found.partitions().is_empty()
                    && found
                        .partitions()
                        .iter()
                        .all(|partition| partition.leader() >= 0)
            });
            if ready || Instant::now() > deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
