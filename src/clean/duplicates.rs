//! Which events have been there before: a pure function of the raw partition, so that a rebuild gives the same verdicts.
//!
//! An event that passed the rules is compared with the newest earlier one of its partition that passed them too and has the
//! same id, if that one is near enough in offsets and in record time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

/// How far back an event is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In offsets of the raw partition.
    pub events: u64,
    /// In the records' own time.
    pub time: Duration,
}

/// What an event is, compared with what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing of its id.
    Never,
    /// The same bytes.
    Same,
    /// The same id with other bytes.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    offset: i64,
    timestamp_ms: i64,
    value: u128,
}

/// The events of one raw partition that are remembered: 16 bytes for an id, 16 for a value.
#[derive(Debug)]
pub struct Window {
    bounds: Bounds,
    newest: HashMap<u128, Entry>,
    order: VecDeque<(i64, u128)>,
    /// What the batch at hand has replaced, to be put back if its transaction aborts.
    undo: Vec<(u128, Option<Entry>)>,
}

impl Window {
    /// Remembers nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            newest: HashMap::new(),
            order: VecDeque::new(),
            undo: Vec::new(),
        }
    }

    /// Compares an event that passed the rules with what was there before, then remembers it. Offsets only grow.
    pub fn see(&mut self, offset: i64, timestamp_ms: i64, event_id: &[u8], value: &[u8]) -> Seen {
        let id = xxh3_128(event_id);
        let entry = Entry {
            offset,
            timestamp_ms,
            value: xxh3_128(value),
        };
        let before = self.newest.insert(id, entry);
        self.undo.push((id, before));
        self.order.push_back((offset, id));
        match before {
            Some(before) if self.is_near(before, entry) => {
                if before.value == entry.value {
                    Seen::Same
                } else {
                    Seen::Other
                }
            }
            _ => Seen::Never,
        }
    }

    /// The batch is committed: what is too far back is forgotten.
    pub fn commit(&mut self) {
        self.undo.clear();
        let Some((last, _)) = self.order.back().copied() else {
            return;
        };
        while let Some((offset, id)) = self.order.front().copied() {
            if last.abs_diff(offset) <= self.bounds.events {
                break;
            }
            self.order.pop_front();
            if self
                .newest
                .get(&id)
                .is_some_and(|entry| entry.offset == offset)
            {
                self.newest.remove(&id);
            }
        }
    }

    /// The batch is aborted: as if it had not been seen.
    pub fn abort(&mut self) {
        while let Some((id, before)) = self.undo.pop() {
            self.order.pop_back();
            match before {
                Some(entry) => self.newest.insert(id, entry),
                None => self.newest.remove(&id),
            };
        }
    }

    /// Number of events remembered.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    fn is_near(&self, before: Entry, now: Entry) -> bool {
        let time = u64::try_from(self.bounds.time.as_millis()).unwrap_or(u64::MAX);
        now.offset.abs_diff(before.offset) <= self.bounds.events
            && now
                .timestamp_ms
                .saturating_sub(before.timestamp_ms)
                .unsigned_abs()
                <= time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(Bounds {
            events: 10,
            time: Duration::from_secs(60),
        })
    }

    #[test]
    fn an_id_is_compared_with_its_newest_event_within_both_bounds() {
        // (offset, milliseconds, id, value, verdict)
        let table: [(i64, i64, &str, &str, Seen); 8] = [
            (0, 0, "a", "1", Seen::Never),
            (1, 0, "a", "1", Seen::Same),
            (2, 0, "a", "2", Seen::Other),
            (3, 0, "a", "1", Seen::Other),
            (4, 0, "b", "1", Seen::Never),
            (13, 60_000, "a", "1", Seen::Same),
            (24, 60_000, "a", "1", Seen::Never),
            (25, 120_001, "a", "1", Seen::Never),
        ];
        let mut window = window();
        for (offset, time, id, value, verdict) in table {
            let seen = window.see(offset, time, id.as_bytes(), value.as_bytes());
            assert_eq!(seen, verdict, "offset {offset}");
            window.commit();
        }
    }

    #[test]
    fn an_aborted_batch_leaves_no_trace() {
        let mut window = window();
        window.see(0, 0, b"a", b"1");
        window.commit();
        window.see(1, 0, b"a", b"2");
        window.see(2, 0, b"b", b"1");
        window.abort();
        assert_eq!(window.see(1, 0, b"a", b"1"), Seen::Same);
        assert_eq!(window.see(2, 0, b"b", b"1"), Seen::Never);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let mut window = window();
        for offset in 0..1000_i64 {
            window.see(offset, 0, &offset.to_be_bytes(), b"");
            window.commit();
        }
        assert_eq!((window.len(), window.order.len()), (11, 11));
    }
}
