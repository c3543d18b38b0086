//! The warehouse over REST: SQL statements in, answers out; a statement that is sent twice runs once.
//!
//! Facts about the service are taken from its [SQL API](https://docs.snowflake.com/en/developer-guide/sql-api/index).

mod answer;
mod auth;
mod client;
mod config;
mod driver;
mod error;
mod probe;
pub mod query;
mod retry;
pub mod setup;
pub mod stage;
mod statement;
mod transport;
mod types;

pub use answer::{Answer, ColumnKind, ColumnMeta, Row};
pub use client::Client;
pub use config::{Config, is_identifier};
pub use error::{Error, Identity};
pub(crate) use probe::Greeting;
pub(crate) use retry::Backoff;
pub use statement::{Binding, RequestId};
pub(crate) use transport::seconds_between;
pub use types::{WarehouseType, holds};

#[cfg(test)]
pub(crate) mod tests;
