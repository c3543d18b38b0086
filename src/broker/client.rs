//! The settings that every Kafka client of the service shares.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, DefaultConsumerContext};
use serde::{Deserialize, Serialize};

use super::error::BrokerError;

/// Longest wait for a broker's answer to a single question.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether the broker remembers a member that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Membership {
    /// It keeps its partitions for the session time-out: a restart moves none (KIP-345).
    #[default]
    Static,
    /// Its partitions go to the others at once.
    Dynamic,
}

/// The `[kafka]` section.
#[derive(Clone)]
pub struct Config {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap_servers: String,
    /// Anything that librdkafka understands, e.g. `"security.protocol" = "SASL_SSL"`; wins over what the service sets.
    pub properties: BTreeMap<String, String>,
    /// Whether members of the groups are remembered when they end.
    pub membership: Membership,
    /// How long a member may be silent before its partitions go to others.
    pub session_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            properties: BTreeMap::new(),
            membership: Membership::Static,
            session_timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Without the properties, among which are passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .finish_non_exhaustive()
    }
}

/// Where the brokers are and how to talk to them.
#[derive(Debug, Clone)]
pub struct Kafka {
    config: Config,
}

impl Kafka {
    /// Takes the settings; nothing is connected yet.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The configured bootstrap servers.
    pub fn servers(&self) -> &str {
        &self.config.bootstrap_servers
    }

    /// How the members of a group share the partitions.
    ///
    /// Cooperative rebalances come in two rounds: what one member is to give up goes to another only in the second, which it asks
    /// for once it has given it up. When a static member is killed between the two and comes back, the broker hands it the
    /// assignment of the first round without a rebalance (Kafka 4.1); it has nothing to give up, nobody asks for the second
    /// round, and the partitions stay with nobody. So static members rebalance in one round. They do so only when a member is
    /// added or removed, not when one restarts.
    fn assignor(&self) -> &'static str {
        match self.config.membership {
            Membership::Static => "range",
            Membership::Dynamic => "cooperative-sticky",
        }
    }

    /// A consumer with these settings, among them its group's name: librdkafka wants one also where nobody joins.
    pub(super) fn consumer(&self, own: &[(&str, &str)]) -> Result<BaseConsumer, BrokerError> {
        self.consumer_with(own, DefaultConsumerContext)
    }

    fn consumer_with<C: ConsumerContext>(
        &self,
        own: &[(&str, &str)],
        context: C,
    ) -> Result<BaseConsumer<C>, BrokerError> {
        self.client(own)
            .create_with_context(context)
            .map_err(|error| self.unavailable("the creation of a consumer", error))
    }

    /// A member of a group, known by its name where membership is static; it has not joined yet. `own` is what one job's members
    /// differ by.
    pub(super) fn member<C: ConsumerContext>(
        &self,
        group: &str,
        name: &str,
        own: &[(&str, &str)],
        context: C,
    ) -> Result<BaseConsumer<C>, BrokerError> {
        let session_timeout = self.config.session_timeout.as_millis().to_string();
        let mut settings = vec![
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("partition.assignment.strategy", self.assignor()),
            ("session.timeout.ms", &session_timeout),
            ("heartbeat.interval.ms", "2000"),
        ];
        if self.config.membership == Membership::Static {
            settings.push(("group.instance.id", name));
        }
        settings.extend(own);
        self.consumer_with(&settings, context)
    }

    /// A client's settings: the service's own, then the user's, which win.
    pub fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.config.bootstrap_servers);
        client.set("client.id", "sluicebox");
        for (name, value) in own {
            client.set(*name, *value);
        }
        for (name, value) in &self.config.properties {
            client.set(name, value);
        }
        // Connection trouble is reported once by the jobs, in words that name the remedy.
        client.set_log_level(RDKafkaLogLevel::Critical);
        client
    }

    pub(super) fn unavailable(
        &self,
        call: &'static str,
        source: rdkafka::error::KafkaError,
    ) -> BrokerError {
        if let rdkafka::error::KafkaError::ClientConfig(_, message, name, value) = &source {
            let secret = ["password", "secret", "token", "pem"]
                .iter()
                .any(|part| name.contains(part));
            let value = if secret { "***" } else { value };
            return BrokerError::Setting {
                message: format!("{name} = {value}: {message}"),
            };
        }
        if let rdkafka::error::KafkaError::ClientCreation(message) = &source {
            return BrokerError::Setting {
                message: message.clone(),
            };
        }
        BrokerError::Unavailable {
            servers: self.servers().to_owned(),
            call,
            source,
        }
    }
}
