//! The Kafka edge: records in, transactions out, positions that say how far. The only place that names rdkafka.

mod admin;
mod changelog;
mod client;
mod consumer;
mod error;
mod identity;
pub mod load;
mod membership;
pub mod mock;
mod position;
mod producer;
pub(crate) mod reader;

pub use admin::{Admin, TopicOutcome, TopicSpec};
pub(crate) use changelog::{Change as ChangelogRecord, ChangelogReader, Extent, Polled};
pub use client::{Config, Kafka};
pub(crate) use consumer::place_of;
pub use consumer::{Assignment, Change, GroupConsumer, Record};
pub use error::BrokerError;
pub use identity::{Identity, NotAnIdentity};
pub use membership::{Member, Share};
pub use position::{NextOffset, Partition};
pub use producer::{Commit, Headers, Outgoing, TransactionalProducer};
pub(crate) use rdkafka::error::KafkaError;
pub use reader::{Held, Met, PartitionReader};
