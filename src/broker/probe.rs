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

/// Longest wait before what was told meanwhile is looked at.
const ASK_LIMIT: Duration = Duration::from_millis(500);

/// A broker that is just starting closes connections too; one that goes on doing so for so long means it.
const CLOSED_LIMIT: Duration = Duration::from_secs(2);

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
    /// The broker wants a certificate of the client, and gets none or one that it does not take.
    ClientCertificate(String),
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

/// An error's code, where it has one, and its reason.
type Told = (Option<RDKafkaErrorCode>, String);

/// Keeps what librdkafka tells.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Vec<Told>>>);

impl Listening {
    fn heard(&self) -> Vec<Told> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }
}

impl ClientContext for Listening {
    /// A connection that is closed is told here only.
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push((None, message.to_owned()));
    }

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
        let mut settings = self.client(&own);
        settings.set_log_level(RDKafkaLogLevel::Info);
        let consumer: BaseConsumer<Listening> = settings
            .create_with_context(heard.clone())
            .map_err(|error| refused(self.unavailable("the creation of a client", error)))?;
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
    let start = Instant::now();
    loop {
        let error = match consumer.fetch_metadata(None, ASK_LIMIT) {
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
        let found = obstacle(&heard.heard());
        let limit = match found {
            Some(Obstacle::Other(_)) | None => ANSWER_LIMIT,
            Some(Obstacle::NeedsTls | Obstacle::NeedsSasl) => CLOSED_LIMIT,
            Some(_) => Duration::ZERO,
        };
        if start.elapsed() >= limit {
            return Err(found.unwrap_or_else(|| Obstacle::Other(error.to_string())));
        }
    }
}

/// What the errors so far mean; None before they mean anything.
fn obstacle(told: &[Told]) -> Option<Obstacle> {
    for (code, reason) in told {
        let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((_, known)) = line.split_once("supported mechanisms: ") {
            let known = known.split(" (after").next().unwrap_or(known);
            return Some(Obstacle::Mechanism(known.to_owned()));
        }
        // An alert comes from the other side: it is about our certificate. The names are OpenSSL's, e.g. `tlsv13 alert certificate
        // required`, `sslv3 alert bad certificate` (3.0) or `ssl/tls alert bad certificate` (3.2).
        if line.contains(" alert ") && (line.contains("certificate") || line.contains("unknown ca"))
        {
            return Some(Obstacle::ClientCertificate(line));
        }
        if line.contains("certificate") {
            return Some(Obstacle::Untrusted(line));
        }
        if [
            "wrong version number",
            "packet length too long",
            "connecting to a PLAINTEXT broker",
        ]
        .iter()
        .any(|words| line.contains(words))
        {
            return Some(Obstacle::SpeaksPlain);
        }
        if matches!(
            code,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
        ) {
            return Some(Obstacle::Credentials);
        }
    }
    let closed_in = |state: &str| {
        let mut reasons = told.iter().map(|(_, reason)| reason);
        reasons.any(|reason| reason.contains("Disconnected") && reason.contains(state))
    };
    // The first question is which requests the broker knows. A listener with TLS does not understand it; one with SASL answers it,
    // and closes the connection at the next (Kafka 4.1).
    if closed_in("in state APIVERSION_QUERY") || closed_in("incorrect security.protocol") {
        return Some(Obstacle::NeedsTls);
    }
    if closed_in("in state UP") {
        return Some(Obstacle::NeedsSasl);
    }
    // That all brokers are down says nothing new.
    let is_telling = |reason: &&String| !reason.contains("brokers are down");
    let mut reasons = told.iter().map(|(_, reason)| reason);
    let reason = reasons.clone().rfind(is_telling).or(reasons.next_back())?;
    let line: Vec<&str> = reason.split_whitespace().collect();
    Some(Obstacle::Other(line.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_librdkafka_tells_names_the_obstacle() {
        let none = None;
        let table = [
            (
                none,
                "[thrd:h:1/bootstrap]: h:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 44ms in state APIVERSION_QUERY)",
                Obstacle::NeedsTls,
            ),
            (
                none,
                "h:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 2ms in state UP)",
                Obstacle::NeedsSasl,
            ),
            (
                Some(RDKafkaErrorCode::BrokerTransportFailure),
                "ssl://h:1/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 4ms in state SSL_HANDSHAKE)",
                Obstacle::SpeaksPlain,
            ),
            (
                Some(RDKafkaErrorCode::SSL),
                "ssl://h:1/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number: possibly incorrect security.protocol",
                Obstacle::SpeaksPlain,
            ),
            (
                Some(RDKafkaErrorCode::SSL),
                "ssl://h:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
                Obstacle::Untrusted("ssl://h:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified".to_owned()),
            ),
            (
                Some(RDKafkaErrorCode::SSL),
                "ssl://h:1/bootstrap: SSL handshake failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42",
                Obstacle::ClientCertificate("ssl://h:1/bootstrap: SSL handshake failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42".to_owned()),
            ),
            (
                none,
                "ssl://h:1/bootstrap: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116",
                Obstacle::ClientCertificate("ssl://h:1/bootstrap: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116".to_owned()),
            ),
            (
                Some(RDKafkaErrorCode::SSL),
                "ssl://h:1/bootstrap: SSL handshake failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48",
                Obstacle::ClientCertificate("ssl://h:1/bootstrap: SSL handshake failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48".to_owned()),
            ),
            (
                Some(RDKafkaErrorCode::Authentication),
                "sasl_plaintext://h:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 309ms in state AUTH_REQ)",
                Obstacle::Credentials,
            ),
            (
                Some(RDKafkaErrorCode::Authentication),
                "sasl_plaintext://h:1/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-256 (after 3ms in state AUTH_HANDSHAKE)",
                Obstacle::Mechanism("SCRAM-SHA-256".to_owned()),
            ),
            (
                none,
                "h:1/bootstrap: Something   new",
                Obstacle::Other("h:1/bootstrap: Something new".to_owned()),
            ),
        ];
        for (code, reason, expected) in table {
            let down = (
                Some(RDKafkaErrorCode::AllBrokersDown),
                "1/1 brokers are down".to_owned(),
            );
            let told = [(code, reason.to_owned()), down];
            assert_eq!(obstacle(&told), Some(expected), "{reason}");
        }
        assert_eq!(obstacle(&[]), None);
    }

    #[test]
    fn a_server_that_nobody_listens_at_is_told_with_the_reason() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let tried = connects(&format!("{here}, 127.0.0.1:1,SSL://{here}"));
        let outcomes: Vec<_> = tried
            .iter()
            .map(|(server, outcome)| (server.as_str(), outcome.is_ok()))
            .collect();
        let secured = format!("SSL://{here}");
        assert_eq!(
            outcomes,
            [
                (here.as_str(), true),
                ("127.0.0.1:1", false),
                (secured.as_str(), true)
            ]
        );
    }
}
