//! What can go wrong at the broker, by remedy.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What to do about positions that cannot be trusted.
const RESET: &str = "`sluicebox reset --help` lists the choices: to count everything anew, or to go on and accept what was lost";

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
    /// The place in the group or the transactional id is somebody else's, or the outcome of a commit is unknown: everything
    /// that was read and counted since the last commit is dropped, and a new member begins where that commit ended.
    #[error("lost the place in the group during {call}")]
    Lost {
        /// What was being done.
        call: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// The committed position does not say any more what was read. To go on would lose or double records.
    #[error("{what}")]
    PositionLost {
        /// What was found, and where.
        what: String,
    },
    /// Only a person can help: not authorised, or not what the log or the broker can do.
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
            // Tried for a while: in a change of version or membership the others are about to end.
            Self::Aborted { source, .. }
                if source.rdkafka_error_code()
                    == Some(RDKafkaErrorCode::InconsistentGroupProtocol) =>
            {
                "end the members of the group that run an older version or with another kafka.membership: they share partitions in another way".to_owned()
            }
            Self::Aborted { .. } => "the work is done again; if it goes on, look into the broker's log".to_owned(),
            Self::Lost { .. } => {
                "the work goes on by itself where the last transaction ended, and nothing was written twice; if this repeats, either the broker is slow to answer, or two processes share a state folder or a group member's name".to_owned()
            }
            Self::PositionLost { .. } => RESET.to_owned(),
            Self::Fatal { source, .. } => match source.rdkafka_error_code() {
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed,
                ) => "grant the user READ on its topics and group, WRITE on its topics and transactional ids".to_owned(),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => format!(
                    "the log no longer has the records after the committed position; {RESET}"
                ),
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition,
                ) => "`sluicebox setup` creates the pipeline's topics; names stand under [topics]".to_owned(),
                _ => "restart the service: it goes on where the last transaction ended".to_owned(),
            },
        }
    }

    /// What the service does about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unavailable { source, .. } => match source.rdkafka_error_code() {
                Some(code) if is_for_people(code) => Remedy::GiveUp,
                _ => Remedy::Rejoin,
            },
            Self::Lost { .. } => Remedy::Rejoin,
            // A broker that has just been started may not know of its topics for a moment.
            Self::Aborted { .. } | Self::MissingTopic { .. } => Remedy::Again,
            Self::Setting { .. }
            | Self::TooLarge { .. }
            | Self::PositionLost { .. }
            | Self::Fatal { .. } => Remedy::GiveUp,
        }
    }

    /// A call of a transaction that failed and is not made again.
    pub(super) fn in_transaction(step: Step, source: KafkaError) -> Self {
        let call = step.name();
        match remedy(step, Said::of(&source)) {
            Remedy::Again => Self::Aborted { call, source },
            Remedy::SameCall | Remedy::Rejoin => Self::Lost { call, source },
            Remedy::GiveUp => Self::Fatal { call, source },
        }
    }

    /// A read that failed for a reason that the consumer does not get over by itself.
    pub(super) fn in_read(topic: &str, source: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match source.rdkafka_error_code() {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Self::MissingTopic {
                topic: topic.to_owned(),
            },
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Self::Fatal {
                call: "a read",
                source,
            },
            Some(code) if is_for_people(code) => Self::Fatal {
                call: "a read",
                source,
            },
            Some(code) if is_loss(code) => Self::Lost {
                call: "a read",
                source,
            },
            _ => Self::Aborted {
                call: "a read",
                source,
            },
        }
    }

    /// The same of several topics: librdkafka does not say which of them the broker does not know. Whoever connects anew finds
    /// out whether one is missing or the broker was just being started.
    pub(super) fn in_reads(source: KafkaError) -> Self {
        match Self::in_read("", source.clone()) {
            Self::MissingTopic { .. } => Self::Aborted {
                call: "a read",
                source,
            },
            error => error,
        }
    }
}

/// What is done about a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same call, until its deadline.
    SameCall,
    /// The transaction is aborted and the batch is done again; not for ever.
    Again,
    /// All is dropped; a new member connects and joins, as often as it takes.
    Rejoin,
    /// A person has to do something.
    GiveUp,
}

/// The calls of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Init,
    Begin,
    Send,
    Delivery,
    Offsets,
    Commit,
    Abort,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Init => "the start of transactions",
            Self::Begin => "the begin of a transaction",
            Self::Send => "a send",
            Self::Delivery => "a delivery",
            Self::Offsets => "the positions of a transaction",
            Self::Commit => "a commit",
            Self::Abort => "the abort of a transaction",
        }
    }
}

/// What librdkafka says of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    code: RDKafkaErrorCode,
    retriable: bool,
    requires_abort: bool,
    fatal: bool,
}

impl Said {
    pub(super) fn of(error: &KafkaError) -> Self {
        let plain = |code| Self {
            code,
            retriable: false,
            requires_abort: false,
            fatal: false,
        };
        match error {
            KafkaError::Transaction(error) => Self {
                code: error.code(),
                retriable: error.is_retriable(),
                requires_abort: error.txn_requires_abort(),
                fatal: error.is_fatal(),
            },
            // rdkafka flushes before it commits; that can be resumed as the commit can.
            KafkaError::Flush(code) => Self {
                retriable: *code == RDKafkaErrorCode::OperationTimedOut,
                ..plain(*code)
            },
            other => plain(
                other
                    .rdkafka_error_code()
                    .unwrap_or(RDKafkaErrorCode::Unknown),
            ),
        }
    }
}

/// The one place that tells the errors of a transaction apart.
///
/// The flags alone do not do: librdkafka 2.12 calls the group's errors in the positions of a transaction abortable, but after most
/// of them the batch belongs to somebody else, and to do it again would never end.
///
/// A stale generation is not one of those. librdkafka joins again in the background while a batch is under way, and what a member
/// keeps in a cooperative rebalance is its own all the time; what it has to give up goes to nobody before it has said so in a
/// poll. A member that was put out has its assignment marked as lost, which the next try sees before it sends anything.
pub(super) fn remedy(step: Step, said: Said) -> Remedy {
    if is_for_people(said.code) {
        Remedy::GiveUp
    } else if step == Step::Offsets && is_stale_generation(said.code) {
        Remedy::Again
    } else if is_loss(said.code) {
        Remedy::Rejoin
    } else if said.retriable {
        Remedy::SameCall
    } else if said.fatal {
        Remedy::Rejoin
    } else if said.requires_abort {
        Remedy::Again
    } else {
        match step {
            Step::Send | Step::Delivery | Step::Offsets => Remedy::Again,
            // What has become of the transaction is not known.
            Step::Init | Step::Begin | Step::Commit | Step::Abort => Remedy::Rejoin,
        }
    }
}

/// Time does not help, and neither does another connection.
fn is_for_people(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::InvalidTransactionTimeout
            | Code::InvalidSessionTimeout
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InvalidRecord
            | Code::InvalidMessageSize
            | Code::PolicyViolation
    )
}

/// The group is, or was just now, in a rebalance that this member takes part in.
pub(super) fn is_stale_generation(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::RebalanceInProgress
    )
}

/// Somebody else has taken over, or the broker has ended the transaction because it took too long.
fn is_loss(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::OutOfOrderSequenceNumber
            | Code::InvalidTransactionalState
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::RebalanceInProgress
            | Code::AssignmentLost
    )
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
