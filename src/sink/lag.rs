//! How far the loads are behind the topics, as a gauge for each partition.

use std::time::Duration;

use metrics::gauge;

use super::Sink;
use crate::broker::{BrokerError, Partition, PartitionReader};

/// Longest wait for the broker's answer. The first that does not come ends the look: the rest would not come either.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// Asks for the ends, and shows how many offsets lie between what is done and the end of each partition.
///
/// # Errors
/// No broker answers, which is found out also when there is no partition to ask about.
pub(super) fn show(sink: &Sink, reader: &PartitionReader) -> Result<(), BrokerError> {
    let done = sink.done();
    if done.is_empty() {
        return reader.answers(LONGEST_LOOK);
    }
    for (at, done) in done {
        let held = reader.held(&at, LONGEST_LOOK)?;
        set(&at, held.high.get() - done.get());
    }
    Ok(())
}

/// Partitions that are somebody else's: their lag is shown there.
pub(super) fn forget(partitions: &[Partition]) {
    for at in partitions {
        set(at, 0);
    }
}

fn set(at: &Partition, records: i64) {
    let (topic, partition) = (at.topic.clone(), at.number.to_string());
    let records = f64::from(u32::try_from(records.max(0)).unwrap_or(u32::MAX));
    gauge!("sluicebox_lag_records", "job" => "sink", "topic" => topic, "partition" => partition)
        .set(records);
}
