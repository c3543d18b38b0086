//! Which events have been there before: a pure function of the raw partition, so that a rebuild gives the same verdicts.
//!
//! An event that passed the rules is compared with the newest earlier one of its partition that passed them too and has the
//! same id, if that one is near enough in offsets and in record time.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::{HashTable, hash_table};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

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

/// An event: 40 bytes, so that a million of them with their index stay below 60 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    id: [u8; 16],
    /// Only compared between events of one id, so 64 bits are plenty.
    value: u64,
    offset: i64,
    timestamp_ms: i64,
}

/// The events of one raw partition that are remembered, in their order, and an index to the newest of each id.
///
/// Entries are numbered from the first one ever seen, modulo 2^32; the index holds numbers.
#[derive(Debug)]
pub struct Window {
    bounds: Bounds,
    entries: VecDeque<Entry>,
    /// The number of the oldest entry.
    first: u32,
    newest: HashTable<u32>,
    /// Per entry of the batch at hand: the entry of its id that was the newest before.
    undo: Vec<Option<u32>>,
}

impl Window {
    /// Remembers nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            first: 0,
            newest: HashTable::new(),
            undo: Vec::new(),
        }
    }

    /// Compares an event that passed the rules with what was there before, then remembers it. Offsets only grow.
    pub fn see(&mut self, offset: i64, timestamp_ms: i64, event_id: &[u8], value: &[u8]) -> Seen {
        let entry = Entry {
            id: xxh3_128(event_id).to_ne_bytes(),
            value: xxh3_64(value),
            offset,
            timestamp_ms,
        };
        let before = self.push(entry);
        self.undo.push(before);
        match before.map(|number| self.at(number)) {
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
        let Some(last) = self.entries.back().map(|entry| entry.offset) else {
            return;
        };
        while let Some(oldest) = self.entries.front().copied() {
            if last.abs_diff(oldest.offset) <= self.bounds.events {
                break;
            }
            // Where a newer event of the id has come since, the index has its number.
            if let Ok(slot) = self
                .newest
                .find_entry(hash(&oldest.id), |number| *number == self.first)
            {
                slot.remove();
            }
            self.entries.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// The batch is aborted: as if it had not been seen.
    pub fn abort(&mut self) {
        while let Some(before) = self.undo.pop() {
            let Some(entry) = self.entries.pop_back() else {
                return;
            };
            let number = self.next();
            let found = self.newest.find_entry(hash(&entry.id), |at| *at == number);
            match (found, before) {
                (Ok(mut slot), Some(before)) => *slot.get_mut() = before,
                (Ok(slot), None) => {
                    slot.remove();
                }
                (Err(_), _) => {}
            }
        }
    }

    /// Number of ids remembered.
    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// Bytes that the window takes, spare room included.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.newest.allocation_size()
    }

    /// Puts an entry in and answers with the number of its id's newest one before.
    fn push(&mut self, entry: Entry) -> Option<u32> {
        if self.entries.len() == self.entries.capacity() {
            // Doubling would take twice the memory just when the window is full.
            self.entries
                .reserve_exact((self.entries.len() / 8).max(1024));
        }
        let number = self.next();
        self.entries.push_back(entry);
        let (entries, first) = (&self.entries, self.first);
        let id_of = |number: u32| entries[position(first, number)].id;
        let slot = self.newest.entry(
            hash(&entry.id),
            |number| id_of(*number) == entry.id,
            |number| hash(&id_of(*number)),
        );
        match slot {
            hash_table::Entry::Occupied(mut slot) => {
                Some(std::mem::replace(slot.get_mut(), number))
            }
            hash_table::Entry::Vacant(slot) => {
                slot.insert(number);
                None
            }
        }
    }

    fn at(&self, number: u32) -> Entry {
        self.entries[position(self.first, number)]
    }

    /// The number of the entry that comes next.
    fn next(&self) -> u32 {
        let length = u32::try_from(self.entries.len())
            .expect("a window is of at most 10,000,000 offsets and a batch");
        self.first.wrapping_add(length)
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

/// Part of an id is a hash already.
fn hash(id: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

fn position(first: u32, number: u32) -> usize {
    usize::try_from(number.wrapping_sub(first)).expect("32 bits fit")
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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
    fn a_window_of_a_million_ids_stays_below_100_megabytes() {
        const EVENTS: i64 = 1_000_000;
        let bounds = Bounds {
            events: 1_000_000,
            time: Duration::from_secs(3600),
        };
        let mut window = Window::new(bounds);
        let mut most = 0;
        for offset in 0..EVENTS * 5 / 2 {
            window.see(offset, 0, &offset.to_be_bytes(), b"");
            if offset % 50_000 == 49_999 {
                most = most.max(window.bytes());
                window.commit();
            }
        }
        assert_eq!(window.len(), 1_000_001);
        assert!(most < 100_000_000, "{most} bytes");
        assert_eq!(
            window.see(EVENTS * 5 / 2, 0, &(EVENTS * 3 / 2).to_be_bytes(), b""),
            Seen::Same
        );
        assert_eq!(
            window.see(
                EVENTS * 5 / 2 + 1,
                0,
                &(EVENTS * 3 / 2 - 2).to_be_bytes(),
                b""
            ),
            Seen::Never
        );
    }

    #[test]
    fn the_window_does_what_a_plain_list_does() {
        let bounds = Bounds {
            events: 40,
            time: Duration::from_millis(300),
        };
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let mut window = Window::new(bounds);
        window.first = u32::MAX - 500;
        let mut list: Vec<(i64, i64, u8, u8)> = Vec::new();
        let mut offset = 0;
        for _ in 0..1000 {
            let kept = list.len();
            for _ in 0..random.random_range(0..20) {
                offset += random.random_range(1..4);
                let time = offset * 10 + random.random_range(-50..50);
                let (id, value) = (random.random_range(0..30), random.random_range(0..2));
                let newest = list.iter().rev().find(|seen| seen.2 == id);
                let expected = match newest {
                    Some((at, then, _, before))
                        if offset - at <= 40 && (time - then).abs() <= 300 =>
                    {
                        if *before == value {
                            Seen::Same
                        } else {
                            Seen::Other
                        }
                    }
                    _ => Seen::Never,
                };
                assert_eq!(
                    window.see(offset, time, &[id], &[value]),
                    expected,
                    "offset {offset}"
                );
                list.push((offset, time, id, value));
            }
            if random.random_bool(0.3) {
                window.abort();
                list.truncate(kept);
            } else {
                window.commit();
            }
        }
        assert!(window.entries.len() <= 41, "{}", window.entries.len());
    }
}
