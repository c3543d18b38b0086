//! Where reading stands in a partition, and who may move it.

use std::fmt;

use crate::broker::{Held, NextOffset, Partition};

/// The right to load a partition. Whoever raised it last may load; everybody before may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(i64);

impl Fence {
    /// The fence as the control table counts it.
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number in the control table.
    pub fn value(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a partition cannot be read on from where the warehouse stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Records left the topic before they were loaded.
    #[error(
        "{at} begins at offset {low}, but the warehouse waits for offset {next}: what lies between was deleted before it was loaded"
    )]
    Gone {
        /// The partition.
        at: Partition,
        /// Where the warehouse wants to go on.
        next: NextOffset,
        /// The first offset that is still there.
        low: NextOffset,
    },
    /// The topic ends before the place where the warehouse stands.
    #[error(
        "{at} ends at offset {high}, but the warehouse has loaded up to offset {next}: this is not the topic that was loaded before"
    )]
    Recreated {
        /// The partition.
        at: Partition,
        /// Where the warehouse wants to go on.
        next: NextOffset,
        /// Where the topic ends.
        high: NextOffset,
    },
}

impl StartError {
    /// What can be done about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Gone { at, .. } => format!(
                "give the topic a longer retention; `sluicebox reset sink {} --to earliest` goes on without those rows",
                at.topic
            ),
            Self::Recreated { at, .. } => format!(
                "if {topic} was created anew on purpose, `sluicebox reset sink {topic} --to earliest` loads it from its beginning, `--to latest` goes on with what is new",
                topic = at.topic
            ),
        }
    }
}

/// Where to begin reading a partition when the warehouse stands at `next`.
///
/// Any gap is an error: rows that the warehouse never saw must not disappear quietly. Only one offset before the end of a log that
/// is empty is no gap: whatever is written here is written in transactions, so it was the marker of one.
pub fn start_offset(held: &Held, next: NextOffset) -> Result<NextOffset, StartError> {
    let at = || held.partition.clone();
    let Held { low, high, .. } = *held;
    if next > high {
        return Err(StartError::Recreated {
            at: at(),
            next,
            high,
        });
    }
    let marker_only = low == high && low.get() - next.get() == 1;
    if next >= low || marker_only {
        return Ok(next.max(low));
    }
    Err(StartError::Gone {
        at: at(),
        next,
        low,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(next: i64, low: i64, high: i64) -> Result<i64, StartError> {
        let partition = Partition {
            topic: "clean_events".to_owned(),
            number: 2,
        };
        let held = Held {
            partition,
            low: NextOffset::at(low),
            high: NextOffset::at(high),
        };
        start_offset(&held, NextOffset::at(next)).map(NextOffset::get)
    }

    #[test]
    fn reading_starts_where_the_warehouse_stands() {
        assert_eq!(start(0, 0, 0), Ok(0), "an empty topic");
        assert_eq!(start(7, 0, 10), Ok(7), "in the middle");
        assert_eq!(start(10, 10, 10), Ok(10), "all was loaded, then deleted");
        assert_eq!(start(9, 10, 10), Ok(10), "all but a marker was loaded");
    }

    #[test]
    fn rows_that_left_the_topic_before_their_load_stop_the_sink() {
        let error = start(3, 5, 10).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("clean_events[2] begins at offset 5"),
            "{error}"
        );
        let hint = error.hint();
        assert!(
            hint.contains("`sluicebox reset sink clean_events --to"),
            "{hint}"
        );
    }

    #[test]
    fn a_gap_is_a_gap_also_at_the_beginning_and_in_an_empty_log() {
        for (next, low, high) in [(0, 5, 10), (9, 10, 11), (8, 10, 10)] {
            let error = start(next, low, high).unwrap_err();
            assert!(matches!(error, StartError::Gone { .. }), "{error}");
        }
    }

    #[test]
    fn a_topic_created_anew_stops_the_sink() {
        let error = start(11, 0, 10).unwrap_err();
        assert!(error.to_string().contains("ends at offset 10"), "{error}");
        let hint = error.hint();
        assert!(
            hint.contains("`sluicebox reset sink clean_events --to"),
            "{hint}"
        );
    }
}
