//! How the sink's loop ends.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{LONGEST_POLL, RunError, Work};

/// Longest time that is read on for after a stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(3);

/// Longest time from a stop to the end, and the same while the warehouse takes nothing.
const LONGEST_END: Duration = Duration::from_secs(8);
const LONGEST_END_IN_TROUBLE: Duration = Duration::from_secs(5);

/// Longest time that cancelling a load may take, so that it does not hold the lock that the next start waits for.
const LONGEST_CANCELLATION: Duration = Duration::from_secs(1);

impl Work<'_> {
    /// The stop: what runs is waited for, what the other jobs wrote last is read, and all of it is loaded; not for long, since
    /// the next start goes on from the control table anyway.
    pub(super) fn end(mut self) -> Result<(), RunError> {
        let longest = if self.warehouse.is_there() {
            LONGEST_END_IN_TROUBLE
        } else {
            LONGEST_END
        };
        let deadline = Instant::now() + longest;
        self.wanted.clear();
        self.looks.abort_all();
        if let Err(error) = self.drain(deadline) {
            warn!(%error, "what was written last is not read any more, the next start does");
        }
        while Instant::now() < deadline {
            let waits = if self.sent.is_empty() {
                // A sink that has loaded nothing wakes no warehouse for offsets without rows.
                let sink = &mut self.parts.sink;
                let passed = self.has_loaded && sink.begin_without_rows().is_some();
                if sink.is_idle() && !passed {
                    return Ok(());
                }
                if self.warehouse.may_try(Instant::now()) {
                    self.send(true)?;
                }
                LONGEST_POLL
            } else {
                deadline.saturating_duration_since(Instant::now())
            };
            let next = async { tokio::time::timeout(waits, self.sent.join_next()).await };
            match self.parts.runtime.block_on(next) {
                Ok(Some(sent)) => {
                    self.settle(sent.expect("a call to the warehouse does not panic"))?;
                }
                Ok(None) => std::thread::sleep(waits.min(LONGEST_POLL)),
                Err(_) => {}
            }
        }
        info!(
            "not everything read is loaded; nothing is lost, the next start goes on from the control table"
        );
        self.sent.abort_all();
        let loader = self.parts.sink.loader();
        let runtime = self.parts.runtime;
        runtime.block_on(async {
            while self.sent.join_next().await.is_some() {}
            loader.await_cancellations(LONGEST_CANCELLATION).await;
        });
        Ok(())
    }

    /// Reads on to where the topics end now.
    fn drain(&mut self, end: Instant) -> Result<(), RunError> {
        let deadline = end.min(Instant::now() + LONGEST_DRAIN);
        let mut ends = Vec::new();
        for (at, _) in self.parts.sink.read() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            ends.push(self.parts.reader.held(&at, left)?.high);
        }
        while Instant::now() < deadline && !self.parts.sink.is_full() {
            let read = self.parts.sink.read();
            if !read.iter().zip(&ends).any(|((_, at), end)| at < end) {
                break;
            }
            self.read()?;
        }
        Ok(())
    }
}
