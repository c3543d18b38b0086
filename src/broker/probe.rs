//! Whether brokers can be reached and spoken to, and if not, what stands in the way.
//!
//! librdkafka connects in the background: the call that waits for it only times out. Why is in the errors that it tells meanwhile, as
//! text; the texts here are those of librdkafka 2.12.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::Kafka;
use super::error::BrokerError;

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Longest wait for an answer that no error explains.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A broker whose listener speaks something else is tried again and again; so many errors are enough to judge by.
const ENOUGH: usize = 3;

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 9092;

/// A cluster that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Where its brokers say that they are: `host:port`.
    pub(crate) brokers: Vec<String>,
}

/// What stands between a client and brokers that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// librdkafka does not take the client's settings.
    Setting {
        /// The setting, where it is a single one.
        name: Option<String>,
        /// What librdkafka says; no secret is in it.
        message: String,
    },
    /// The listener wants TLS and is spoken to in plain text.
    NeedsTls,
    /// The listener wants a SASL sign-in and gets none.
    NeedsSasl,
    /// The listener speaks plain text and is spoken to in TLS.
    SpeaksPlain,
    /// The broker's certificate is not that of an authority we know, or names another host.
    Untrusted(String),
    /// User and password are refused.
    Credentials,
    /// The broker does not know the SASL mechanism, but those.
    Mechanism(String),
    /// Anything else, in librdkafka's words.
    Other(String),
}

/// Tries to connect to each `host:port` of a list separated by commas, without speaking; for each that does not work, why.
pub(crate) fn connects(servers: &str) -> Vec<(String, Result<(), String>)> {
    let servers = servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty());
    servers
        .map(|server| (server.to_owned(), connect(server)))
        .collect()
}

fn connect(server: &str) -> Result<(), String> {
    // librdkafka takes `PROTOCOL://host:port` too.
    let address = server.rsplit("://").next().unwrap_or(server);
    let resolved = match address.to_socket_addrs() {
        Ok(addresses) => Ok(addresses),
        Err(_) if !address.contains(':') => (address, DEFAULT_PORT).to_socket_addrs(),
        Err(error) => Err(error),
    };
    let mut why = "the name stands for no address".to_owned();
    for address in resolved.map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Keeps what librdkafka tells.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Vec<(Option<RDKafkaErrorCode>, String)>>>);

impl Listening {
    fn heard(&self) -> Vec<(Option<RDKafkaErrorCode>, String)> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }
}

impl ClientContext for Listening {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push((error.rdkafka_error_code(), reason.to_owned()));
    }
}

impl ConsumerContext for Listening {}

impl Kafka {
    /// Asks the brokers who they are; TLS and SASL have to work for that.
    pub(crate) fn probe(&self) -> Result<Cluster, Obstacle> {
        let heard = Listening::default();
        // A reason that is asked for again and again would not be told again before 30 s.
        let own = [
            ("group.id", "sluicebox-check"),
            ("reconnect.backoff.max.ms", "500"),
        ];
        let consumer = self.consumer_with(&own, heard.clone()).map_err(refused)?;
        let answer = ask(&consumer, &heard);
        // A consumer waits for its brokers when it is closed; nobody is to wait for that.
        std::thread::spawn(move || drop(consumer));
        answer
    }
}

fn refused(error: BrokerError) -> Obstacle {
    let BrokerError::Setting { message } = error else {
        return Obstacle::Other(error.to_string());
    };
    let name = message.split_once(" = ").map(|(name, _)| name.to_owned());
    Obstacle::Setting { name, message }
}

fn ask(consumer: &BaseConsumer<Listening>, heard: &Listening) -> Result<Cluster, Obstacle> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        let answer = consumer.fetch_metadata(None, Duration::from_millis(500));
        let error = match answer {
            Ok(metadata) => {
                let brokers = metadata.brokers().iter();
                let brokers = brokers
                    .map(|broker| format!("{}:{}", broker.host(), broker.port()))
                    .collect();
                return Ok(Cluster { brokers });
            }
            Err(error) => error,
        };
        // Errors are handed over in a poll.
        while consumer.poll(Duration::ZERO).is_some() {}
        let told = heard.heard();
        match obstacle(&told) {
            Some(Obstacle::Other(_)) | None if Instant::now() < deadline => {}
            Some(obstacle) => return Err(obstacle),
            None => return Err(Obstacle::Other(error.to_string())),
        }
    }
}

/// What the errors so far mean; None before they mean anything.
fn obstacle(told: &[(Option<RDKafkaErrorCode>, String)]) -> Option<Obstacle> {
    for (code, reason) in told {
        let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((_, known)) = line.split_once("supported mechanisms: ") {
            let known = known.split(" (after").next().unwrap_or(known);
            return Some(Obstacle::Mechanism(known.to_owned()));
        }
        if line.contains("certificate") {
            return Some(Obstacle::Untrusted(line));
        }
        if line.contains("wrong version number") || line.contains("packet length too long") {
            return Some(Obstacle::SpeaksPlain);
        }
        if line.contains("incorrect security.protocol")
            || line.contains("connecting to a SSL listener")
        {
            return Some(Obstacle::NeedsTls);
        }
        if *code == Some(RDKafkaErrorCode::Authentication)
            || *code == Some(RDKafkaErrorCode::SaslAuthenticationFailed)
        {
            return Some(Obstacle::Credentials);
        }
    }
    // A listener with SASL answers which requests it knows, then closes the connection at the first other one.
    let closed = told
        .iter()
        .filter(|(_, reason)| reason.contains("Disconnected") && reason.contains("in state UP"));
    if closed.count() >= ENOUGH {
        return Some(Obstacle::NeedsSasl);
    }
    told.last()
        .map(|(_, reason)| Obstacle::Other(reason.split_whitespace().collect::<Vec<_>>().join(" ")))
}
