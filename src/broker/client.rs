//! The settings that every Kafka client of the service shares.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::error::BrokerError;

/// Longest wait for a broker's answer to a single question.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The `[kafka]` section.
#[derive(Clone, Default)]
pub struct Config {
    /// `host:port` of one or more brokers, separated by commas.
    pub bootstrap_servers: String,
    /// Anything that librdkafka understands, e.g. `"security.protocol" = "SASL_SSL"`; wins over what the service sets.
    pub properties: BTreeMap<String, String>,
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
