//! Deletes the records of topics; offsets go on growing from there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminOptions, AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::admin::Admin;
use super::client::CALL_TIMEOUT;
use super::error::BrokerError;
use super::position::Partition;

const POLICY: &str = "cleanup.policy";
const CALL: &str = "a deletion of records";

/// Between two tries, while a changed setting makes its way to the brokers.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

impl Admin {
    /// Deletes what partitions hold before these offsets. Kafka refuses that for a topic that is only compacted, so
    /// such a topic gets `cleanup.policy=compact,delete` for that moment.
    ///
    /// # Errors
    /// No broker, or a refusal: without the right to DELETE and ALTER_CONFIGS on the topic, say.
    pub(crate) fn delete_records(&self, before: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let topics: BTreeSet<&str> = before.iter().map(|(at, _)| at.topic.as_str()).collect();
        let mut compacted = Vec::new();
        for topic in topics {
            let settings = self.settings(topic)?;
            let is_compacted = settings
                .iter()
                .any(|(name, value)| name == POLICY && value.contains("compact"));
            if is_compacted {
                self.set_policy(topic, &settings, "compact,delete")?;
                compacted.push((topic, settings));
            }
        }
        let deleted = self.delete_now(before);
        for (topic, settings) in compacted {
            // Not what was found: a deletion that was cut off has left the other one.
            self.set_policy(topic, &settings, "compact")?;
        }
        deleted
    }

    fn delete_now(&self, before: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::new();
        for (at, offset) in before {
            list.add_partition_offset(&at.topic, at.number, Offset::Offset(*offset))
                .map_err(refused)?;
        }
        if before.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            let done = block_on(self.client.delete_records(&list, &options()))
                .map_err(|error| self.kafka.unavailable(CALL, error))?;
            let failed = done
                .elements()
                .iter()
                .find_map(|element| element.error().err());
            match failed {
                None => return Ok(()),
                Some(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PolicyViolation)
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Some(error) => return Err(refused(error)),
            }
        }
    }

    /// What is set for this topic alone.
    fn settings(&self, topic: &str) -> Result<Vec<(String, String)>, BrokerError> {
        let wanted = [ResourceSpecifier::Topic(topic)];
        let found =
            block_on(self.client.describe_configs(&wanted, &options())).map_err(|error| {
                self.kafka
                    .unavailable("a request for a topic's settings", error)
            })?;
        let mut settings = Vec::new();
        for resource in found {
            let resource = resource.map_err(|code| refused(KafkaError::AdminOp(code)))?;
            for entry in resource.entries {
                if let (ConfigSource::DynamicTopic, Some(value)) = (entry.source, entry.value) {
                    settings.push((entry.name, value));
                }
            }
        }
        Ok(settings)
    }

    /// The request replaces all settings of the topic, so all of them are sent.
    fn set_policy(
        &self,
        topic: &str,
        settings: &[(String, String)],
        policy: &str,
    ) -> Result<(), BrokerError> {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in settings {
            change = change.set(name, value);
        }
        change = change.set(POLICY, policy);
        let done = block_on(self.client.alter_configs([&change], &options())).map_err(|error| {
            self.kafka
                .unavailable("a change of a topic's settings", error)
        })?;
        for outcome in done {
            outcome.map_err(|(_, code)| refused(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(CALL_TIMEOUT))
        .request_timeout(Some(CALL_TIMEOUT))
}

fn refused(source: KafkaError) -> BrokerError {
    BrokerError::Fatal { call: CALL, source }
}
