//! The Kafka edge: records in, transactions out, positions that say how far. The only place that names rdkafka.

mod admin;
mod changelog;
mod client;
mod consumer;
mod deletion;
mod error;
mod groups;
mod identity;
pub mod load;
pub mod mock;
mod position;
mod producer;
mod range;
pub(crate) mod reader;

pub use admin::{Admin, TopicOutcome, TopicSpec};
pub(crate) use changelog::{Change as ChangelogRecord, ChangelogReader, Extent, Polled};
pub use client::{Config, Kafka};
pub(crate) use consumer::place_of;
pub use consumer::{Assignment, Change, GroupConsumer, Record};
pub use error::BrokerError;
pub(crate) use deletion::Deletion;
pub(crate) use groups::Group;
pub(crate) use rdkafka::error::KafkaError;
pub use identity::{Identity, NotAnIdentity};
pub use position::{NextOffset, Partition};
pub use producer::{Commit, Headers, Outgoing, TransactionalProducer};
pub(crate) use range::{Log, Logs, Range, RangeReader};
pub use reader::{Held, Met, PartitionReader};
