//! The Kafka edge: records in, transactions out, positions that say how far. The only place that names rdkafka.

mod admin;
mod assignment;
mod changelog;
mod client;
mod consumer;
mod deletion;
mod error;
mod groups;
mod guard;
mod identity;
pub mod load;
mod membership;
pub mod mock;
mod position;
mod probe;
mod producer;
mod range;
pub(crate) mod reader;
mod rebalance;

pub use admin::{Admin, TopicOutcome, TopicSpec};
pub use assignment::Assignment;
pub(crate) use changelog::{Change as ChangelogRecord, ChangelogReader, Extent, Polled};
pub use client::{Config, Kafka, Membership};
pub(crate) use consumer::place_of;
pub use consumer::{Batch, GroupConsumer, Reading, Record};
pub use error::{BrokerError, Remedy};
pub(crate) use groups::{Group, Positions};
pub use identity::{Identity, NotAnIdentity};
pub use membership::{GroupMember, Share};
pub use position::{NextOffset, Partition};
pub(crate) use probe::{Obstacle, connects};
pub use producer::{Commit, Headers, Outgoing, TransactionalProducer};
pub(crate) use range::{Log, Logs, Range, RangeReader};
pub(crate) use rdkafka::error::KafkaError;
pub use reader::{Held, Met, PartitionReader};
pub use rebalance::Change;
