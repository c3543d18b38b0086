//! What is written to rejected_events about an event that is refused.

use crate::broker::{Headers, Record};

/// Reason of an event on which a query fails.
pub(crate) const EVALUATION: &str = "evaluation";

/// Reason of an event that is older than what a gold table keeps.
pub(crate) const TOO_LATE: &str = "too_late";

/// On a clean record: `<raw partition>:<raw offset>` of the record that it was made of, last and winning.
pub(crate) const SOURCE: &str = "sluicebox.source";

/// A stable short code.
pub(crate) const REASON: &str = "sluicebox.reason";
/// A sentence for people.
const DETAIL: &str = "sluicebox.detail";
/// Which job refused it.
pub(crate) const STAGE: &str = "sluicebox.stage";
const TOPIC: &str = "sluicebox.topic";
pub(crate) const PARTITION: &str = "sluicebox.partition";
pub(crate) const OFFSET: &str = "sluicebox.offset";
const TIMESTAMP: &str = "sluicebox.timestamp";

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// `json`, `type`, ..., or what the author's reject_reason says.
    pub(crate) code: String,
    /// A sentence.
    pub(crate) detail: String,
}

/// The record's own headers, then ours, last and winning.
pub(crate) fn headers(record: &Record<'_>, stage: &str, reason: &Reason) -> Headers {
    let own = copied(record);
    own.with(REASON, Some(reason.code.as_bytes()))
        .with(DETAIL, Some(reason.detail.as_bytes()))
        .with(STAGE, Some(stage.as_bytes()))
        .with(TOPIC, Some(record.topic().as_bytes()))
        .with(PARTITION, Some(record.partition().to_string().as_bytes()))
        .with(OFFSET, Some(record.offset().to_string().as_bytes()))
        .with(
            TIMESTAMP,
            Some(record.timestamp_ms().to_string().as_bytes()),
        )
}

/// The record's own headers, which travel on.
pub(crate) fn copied(record: &Record<'_>) -> Headers {
    record
        .headers()
        .fold(Headers::default(), |headers, (name, value)| {
            headers.with(name, value)
        })
}
