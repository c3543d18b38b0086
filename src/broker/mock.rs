//! A Kafka cluster inside this process, for the demo and for quick tests.
//!
//! What was measured of librdkafka 2.12's mock: it keeps 5 MB a partition, does not remember positions that were committed in a
//! transaction, and does not hide aborted records. So it can show the flow, and cannot prove exactly-once.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::error::BrokerError;
use rdkafka::error::KafkaError;

/// One broker; ends when it is dropped.
pub struct MockBroker(MockCluster<'static, DefaultProducerContext>);

impl MockBroker {
    /// Starts it on free ports of this machine.
    ///
    /// # Errors
    /// When librdkafka cannot start it.
    pub fn start() -> Result<Self, BrokerError> {
        MockCluster::new(1)
            .map(Self)
            .map_err(|source| failed("the start of a mock cluster", source))
    }

    /// Where clients find it.
    pub fn servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// When it is there already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), BrokerError> {
        self.0
            .create_topic(name, partitions, 1)
            .map_err(|source| failed("the creation of a topic", source))
    }
}

fn failed(call: &'static str, source: KafkaError) -> BrokerError {
    BrokerError::Fatal { call, source }
}
