//! A line on stderr now and then, so that long work does not look like none.

use std::time::{Duration, Instant};

/// Between two lines; short work says nothing.
const EVERY: Duration = Duration::from_secs(3);

/// Counts the records of one step.
pub(super) struct Progress {
    what: String,
    records: u64,
    said: Instant,
}

impl Progress {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            records: 0,
            said: Instant::now(),
        }
    }

    pub(super) fn add(&mut self, records: usize) {
        self.records += u64::try_from(records).unwrap_or(u64::MAX);
        if self.said.elapsed() >= EVERY {
            eprintln!("{}: {} so far", self.what, self.records);
            self.said = Instant::now();
        }
    }
}
