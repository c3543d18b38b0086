//! A pipeline's SQL files in, planned steps out. Everything is checked at start: a file that is not of the accepted form
//! is refused with its line and what would be accepted.

mod clean;
pub mod decode;
pub mod encode;
mod error;
mod gold;
mod gold_form;
mod gold_time;
mod pipeline;
mod query_form;
mod raw;
mod session;
mod source;
pub mod types;
mod words;

pub use clean::{CleanQuery, REJECT_REASON, Verdicts};
pub use error::SqlError;
pub use gold::{GoldQuery, NEWEST};
pub use pipeline::{GoldTable, Pipeline, Settings};
pub use session::with_planning_stack;
pub use types::{Column, SqlType};

/// Columns of the Kafka record itself, beside the declared ones, in clean_events.sql.
pub mod record {
    /// The record's key as text; NULL when there is none or it is no UTF-8.
    pub const KEY: &str = "_key";
    /// The record's topic.
    pub const TOPIC: &str = "_topic";
    /// The record's partition.
    pub const PARTITION: &str = "_partition";
    /// The record's offset.
    pub const OFFSET: &str = "_offset";
    /// The record's own timestamp, UTC.
    pub const TIMESTAMP: &str = "_timestamp";
    /// When the service worked on the record, UTC. For information only: no rule may depend on it.
    pub const PROCESSING_TIME: &str = "_processing_time";
}
