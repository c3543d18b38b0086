//! What can go wrong at the broker, by remedy.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A call to Kafka that failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No broker answered. The same call may work later.
    #[error("no Kafka broker answered at {servers} during {call}")]
    Unavailable {
        /// The configured bootstrap servers.
        servers: String,
        /// What was asked for.
        call: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// A topic that a job needs is not there.
    #[error("topic `{topic}` does not exist")]
    MissingTopic {
        /// Its name.
        topic: String,
    },
    /// A setting that librdkafka does not take.
    #[error("Kafka client setting refused: {message}")]
    Setting {
        /// What librdkafka said.
        message: String,
    },
    /// Records that the broker refuses as too large; the numbers are the tags they were sent with.
    #[error("{} records are too large for their topic", .tags.len())]
    TooLarge {
        /// What the sender called them.
        tags: Vec<usize>,
    },
    /// The transaction has to be aborted; done again, it may work.
    #[error("transaction aborted during {call}")]
    Aborted {
        /// What was being done.
        call: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// The producer or consumer is of no use any more: fenced, not authorised, or in an unknown state.
    #[error("Kafka refused {call}")]
    Fatal {
        /// What was being done.
        call: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
}

impl BrokerError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unavailable { servers, source, .. } => match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                    "the broker refused the credentials: check the sasl settings under [kafka.properties]".to_owned()
                }
                _ => format!(
                    "check kafka.bootstrap_servers and that a broker listens at {servers}; TLS and SASL go under [kafka.properties]"
                ),
            },
            Self::MissingTopic { .. } => {
                "`sluicebox setup` creates the pipeline's topics; names stand under [topics]".to_owned()
            }
            Self::Setting { .. } => {
                "see librdkafka's CONFIGURATION.md for what can stand under [kafka.properties]".to_owned()
            }
            Self::TooLarge { .. } => {
                "raise max.message.bytes of rejected_events: a rejected event needs the room of the raw one and its headers"
                    .to_owned()
            }
            Self::Aborted { .. } => "the work is done again; if it goes on, look into the broker's log".to_owned(),
            Self::Fatal { source, .. } => match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::Fenced) => {
                    "either another process works with the same transactional id, and one of them has to stop; or the broker did not answer for longer than a transaction may take, and a restart goes on. Nothing was written twice".to_owned()
                }
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed,
                ) => "grant the user READ on its topics and group, WRITE on its topics and transactional ids".to_owned(),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    "the log no longer has the records after the committed position: its retention is shorter than the service was down"
                        .to_owned()
                }
                _ => "restart the service: it goes on where the last transaction ended".to_owned(),
            },
        }
    }

    /// Errors of a call inside a transaction, told apart as librdkafka does.
    pub(super) fn in_transaction(call: &'static str, source: KafkaError) -> Self {
        let fatal = match &source {
            KafkaError::Transaction(error) => error.is_fatal() && !error.txn_requires_abort(),
            _ => false,
        };
        let fenced = matches!(
            source.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::Fatal
            )
        );
        if fatal || fenced {
            Self::Fatal { call, source }
        } else {
            Self::Aborted { call, source }
        }
    }
}
