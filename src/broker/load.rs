//! Messages in, Kafka records out, as fast as the broker takes them: the producer behind `sluicebox generate`.
//!
//! Idempotent but not transactional: each record is stored once, in the order of its key, or counted as failed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

pub use rdkafka::ClientConfig;

/// Longest wait for the broker's first answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One wait for delivery reports. rdkafka's `poll` takes all of it even when a report arrives, so it is short.
const POLL: Duration = Duration::from_millis(2);

/// Room in a message for all but its value: key, headers, and the broker's framing.
const FRAMING_BYTES: usize = 64 << 10;

/// librdkafka's own default for `message.max.bytes`, which is not to be lowered.
const DEFAULT_MESSAGE_BYTES: usize = 1_000_000;

/// Whether the producer has taken a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It has, or has refused it for good and counted it as failed.
    Taken,
    /// Its queue is full. Offer the same message again after a [`LoadProducer::poll`].
    Full,
}

/// A producer for one topic that counts what became of its messages.
pub struct LoadProducer {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

/// What the broker has said about the messages so far.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    first_error: OnceLock<String>,
}

impl Deliveries {
    fn fail(&self, error: &KafkaError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.first_error
            .get_or_init(|| match error.rdkafka_error_code() {
                Some(code) => code.to_string(),
                None => error.to_string(),
            });
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => self.fail(error),
        }
    }
}

impl LoadProducer {
    /// Connects, and looks whether the topic is there: to write to a missing one would make many brokers create it
    /// with a number of partitions that nobody chose.
    ///
    /// # Errors
    /// If the settings are wrong, no broker answers, or there is no such topic.
    pub fn connect(
        kafka: &ClientConfig,
        topic: &str,
        largest_value: usize,
    ) -> anyhow::Result<Self> {
        let mut config = kafka.clone();
        config.set("enable.idempotence", "true").set("acks", "all");
        // The partition of a key is that of the Java clients, whichever client reads it.
        config.set("partitioner", "murmur2_random");
        if config.get("linger.ms").is_none() {
            config.set("linger.ms", "20");
        }
        let largest = largest_value + FRAMING_BYTES;
        if config.get("message.max.bytes").is_none() && largest > DEFAULT_MESSAGE_BYTES {
            config.set("message.max.bytes", largest.to_string());
        }
        let servers = config
            .get("bootstrap.servers")
            .unwrap_or_default()
            .to_owned();
        let producer: BaseProducer<Deliveries> = config
            .create_with_context(Deliveries::default())
            .map_err(|error| anyhow!("the Kafka settings are wrong: {error}\nhint: check [kafka] in the configuration"))?;
        let metadata = producer.client().fetch_metadata(None, CONNECT_TIMEOUT).map_err(|error| {
            anyhow!("Kafka at `{servers}` does not answer: {error}\nhint: start it, or correct bootstrap_servers in [kafka]")
        })?;
        if !metadata.topics().iter().any(|found| found.name() == topic) {
            bail!(
                "topic `{topic}` does not exist at `{servers}`\nhint: `sluicebox setup` creates the pipeline's topics"
            );
        }
        Ok(Self {
            producer,
            topic: topic.to_owned(),
        })
    }

    /// Hands over one message; does not wait.
    ///
    /// # Errors
    /// If the producer as a whole is broken.
    pub fn offer(&self, key: Option<&str>, value: &[u8]) -> anyhow::Result<Offered> {
        let mut record = BaseRecord::<str, [u8]>::to(&self.topic).payload(value);
        record.key = key;
        let Err((error, _)) = self.producer.send(record) else {
            return Ok(Offered::Taken);
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => return Ok(Offered::Full),
            Some(RDKafkaErrorCode::Fatal) | None => {
                return Err(error).with_context(|| format!("producing to topic `{}`", self.topic));
            }
            Some(_) => self.producer.context().fail(&error),
        }
        Ok(Offered::Taken)
    }

    /// Takes in delivery reports: those that are there, and with `wait` what comes within a few milliseconds.
    pub fn poll(&self, wait: bool) {
        self.producer.poll(if wait { POLL } else { Duration::ZERO });
    }

    /// Waits until every message is delivered or has failed, at most for `limit`; what is still on its way then
    /// counts as failed.
    pub fn finish(self, limit: Duration) -> Counts {
        let deadline = Instant::now() + limit;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(POLL);
        }
        let on_their_way = u64::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let mut counts = self.counts();
        if on_their_way > 0 {
            counts.failed += on_their_way;
            counts
                .first_error
                .get_or_insert_with(|| "not acknowledged in time".to_owned());
        }
        counts
    }

    /// What has become of the messages so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let deliveries = self.producer.context();
        Counts {
            delivered: deliveries.delivered.load(Ordering::Relaxed),
            failed: deliveries.failed.load(Ordering::Relaxed),
            first_error: deliveries.first_error.get().cloned(),
        }
    }
}

/// Messages by what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Acknowledged by all in-sync replicas.
    pub delivered: u64,
    /// Refused, or not acknowledged in time.
    pub failed: u64,
    /// Why the first of the failed ones failed.
    pub first_error: Option<String>,
}
