//! Positions behind the last marker of a log.
//!
//! The position behind the last record lies before the marker of that record's transaction. Retention deletes both, and then
//! such a position looks like one whose records were lost. So where a partition has been read to its end, that end is committed.
//!
//! And a partition without a position looks like one where work begins, also when records that came to it were deleted unread.
//! So where work begins is committed, before anything comes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tracing::debug;

use super::Session;
use crate::broker::{BrokerError, Commit, NextOffset};

/// Between two commits of ends: each is a transaction of its own.
const BETWEEN_COMMITS: Duration = Duration::from_secs(1);

/// Partitions that were read to their ends since those were committed.
#[derive(Debug, Default)]
pub(super) struct Ends {
    reached: BTreeSet<i32>,
    /// Partitions whose position, as far as it is known, is not what the group has committed.
    unwritten: BTreeSet<i32>,
    committed: Option<Instant>,
}

impl Ends {
    /// These were read to their ends, and all that they brought is committed or about to be before [`Self::commit`].
    pub(super) fn reached(&mut self, partitions: impl Iterator<Item = i32>) {
        self.reached.extend(partitions);
    }

    /// The group has not committed the position that counts as committed.
    pub(super) fn unwritten(&mut self, partition: i32) {
        self.unwritten.insert(partition);
    }

    /// A position of the partition was committed with its records.
    pub(super) fn written(&mut self, partition: i32) {
        self.unwritten.remove(&partition);
    }

    /// The partition is not this member's any more.
    pub(super) fn forget(&mut self, partition: i32) {
        self.reached.remove(&partition);
        self.unwritten.remove(&partition);
    }

    /// Commits how far the consumer has come where that is more than what is committed, and what is not committed of where it
    /// began, if it is time; with each position what `outputs` says of its partition. Partitions that are `restoring` wait. To be
    /// called only while no polled record waits to be processed.
    ///
    /// # Errors
    /// When the place in the group is lost. A transaction that was aborted is left for the next end.
    pub(super) fn commit(
        &mut self,
        session: &Session,
        committed: &mut BTreeMap<i32, i64>,
        restoring: &BTreeSet<i32>,
        outputs: impl Fn(i32) -> String,
    ) -> Result<(), BrokerError> {
        let early = |last: Instant| last.elapsed() < BETWEEN_COMMITS;
        let ready = |at: &&i32| !restoring.contains(at);
        let unwritten: BTreeSet<i32> = self.unwritten.iter().filter(ready).copied().collect();
        let nothing = self.reached.is_empty() && unwritten.is_empty();
        if nothing || self.committed.is_some_and(early) {
            return Ok(());
        }
        let Session { consumer, producer } = session;
        let reached = std::mem::take(&mut self.reached);
        let read: BTreeMap<i32, NextOffset> = consumer.positions()?.into_iter().collect();
        let mut positions = Vec::new();
        for (partition, known) in &*committed {
            match read.get(partition).filter(|_| reached.contains(partition)) {
                Some(next) if next.get() > *known => positions.push((*partition, *next)),
                _ if unwritten.contains(partition) => {
                    positions.push((*partition, NextOffset::at(*known)));
                }
                _ => {}
            }
        }
        if positions.is_empty() {
            return Ok(());
        }
        self.committed = Some(Instant::now());
        let outputs = positions.iter().map(|(at, _)| (*at, outputs(*at)));
        let outputs: BTreeMap<i32, String> = outputs.collect();
        match producer.commit_positions(&Commit {
            positions: &positions,
            outputs: &outputs,
            consumer,
        }) {
            Ok(()) => {
                committed.extend(positions.iter().map(|(at, next)| (*at, next.get())));
                self.unwritten.retain(|at| !unwritten.contains(at));
            }
            Err(error @ BrokerError::Aborted { .. }) => {
                debug!(%error, "the ends of partitions were not committed");
                producer.abort()?;
                self.reached = reached;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
