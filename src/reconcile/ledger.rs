//! The ledger: every raw record is in exactly one place, the one that its verdict names. Pure; what is read is handed in.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use super::difference::{Differences, Kind};

/// Why an event is refused whose clean event no topic takes; only the broker knows.
const TOO_LARGE: &str = "too_large";
/// What a record may have been for an event that the log no longer has.
const CONFLICTING: &str = "conflicting_duplicate";

/// What should become of a raw record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected<'a> {
    /// A clean record with this value.
    Clean {
        /// Hash of what its value has to be.
        value: u128,
    },
    /// A refusal for this reason.
    Rejected(&'a str),
    /// Nothing.
    Duplicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Clean,
    Rejected,
    Duplicate,
}

/// A raw record, what should have become of it, and what has.
#[derive(Debug)]
struct Entry {
    offset: i64,
    verdict: Verdict,
    /// Of the clean value, or of the raw value with its reason.
    hash: u128,
    /// Of the raw value alone.
    raw: u128,
    clean: u8,
    rejected: u8,
}

/// One raw partition in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    /// The raw partition.
    pub(crate) partition: i32,
    /// The first offset that was looked at.
    pub(crate) from: i64,
    /// The committed position of the clean job: the first offset that was not looked at.
    pub(crate) to: i64,
    /// Raw records between them.
    pub(crate) consumed: u64,
    /// Of these, in clean_events.
    pub(crate) clean: u64,
    /// Of these, in rejected_events.
    pub(crate) rejected: u64,
    /// Of these, dropped as duplicates.
    pub(crate) duplicate: u64,
    /// Their verdict may depend on events that the raw topic no longer has, and was taken as it is.
    pub(crate) judged_leniently: u64,
    /// They are nowhere, but the outputs no longer have what is as old as they are.
    pub(crate) expired: u64,
}

#[derive(Debug, Default)]
struct Books {
    entries: Vec<Entry>,
    from: i64,
    to: i64,
    /// Before this offset a duplicate cannot be told from a clean event.
    lenient_before: i64,
}

impl Books {
    fn entry(&mut self, offset: i64) -> Option<&mut Entry> {
        let at = self
            .entries
            .binary_search_by_key(&offset, |entry| entry.offset)
            .ok()?;
        Some(&mut self.entries[at])
    }
}

/// Outputs of which a partition has lost its beginning and holds no record of the clean job: nobody knows how old what went was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Emptied {
    /// A partition of clean_events.
    pub(super) clean: bool,
    /// A partition of rejected_events.
    pub(super) rejected: bool,
}

/// Where a raw record is.
pub(super) type Source = (i32, i64);

/// The books of all raw partitions.
pub(super) struct Ledger {
    raw: String,
    books: BTreeMap<i32, Books>,
    /// The first source of each raw partition in each output partition that has lost its beginning.
    first: HashMap<(String, i32, i32), i64>,
    emptied: Emptied,
    pub(super) differences: Differences,
}

impl Ledger {
    /// For the raw topic of this name.
    pub(super) fn new(raw: &str, limit: usize) -> Self {
        Self {
            raw: raw.to_owned(),
            books: BTreeMap::new(),
            first: HashMap::new(),
            emptied: Emptied::default(),
            differences: Differences::new(limit),
        }
    }

    /// A raw partition that is looked at from `from` up to, and without, `to`. When its log has lost its beginning, duplicates
    /// cannot be told in the first `window` offsets.
    pub(super) fn open(&mut self, partition: i32, from: i64, to: i64, window: u64) {
        let window = i64::try_from(window).unwrap_or(i64::MAX);
        let lenient_before = if from == 0 {
            0
        } else {
            from.saturating_add(window)
        };
        self.books.insert(
            partition,
            Books {
                from,
                to,
                lenient_before,
                ..Books::default()
            },
        );
    }

    /// A raw record, in the order of its partition.
    pub(super) fn expect(
        &mut self,
        (partition, offset): Source,
        value: Option<&[u8]>,
        fate: Expected<'_>,
    ) {
        let raw = hash_of(value);
        let (verdict, hash) = match fate {
            Expected::Clean { value } => (Verdict::Clean, value),
            Expected::Rejected(reason) => (Verdict::Rejected, refusal(raw, reason)),
            Expected::Duplicate => (Verdict::Duplicate, raw),
        };
        self.books
            .entry(partition)
            .or_default()
            .entries
            .push(Entry {
                offset,
                verdict,
                hash,
                raw,
                clean: 0,
                rejected: 0,
            });
    }

    /// An output partition has lost its beginning: what is older than its first record of a raw partition may be gone.
    pub(super) fn truncated(&mut self, output: &str, partition: i32, source: Source) {
        let first = self
            .first
            .entry((output.to_owned(), partition, source.0))
            .or_insert(i64::MAX);
        *first = source.1.min(*first);
    }

    /// What of an output is not found may have been in a partition that was emptied.
    pub(super) fn emptied(&mut self, emptied: Emptied) {
        self.emptied = emptied;
    }

    /// The log of a raw partition has lost what the clean job has not read yet: nobody can count it any more.
    pub(super) fn lost_unread(&mut self, partition: i32, position: i64, low: i64) {
        self.differences.add(
            Kind::Lost,
            format!("{}[{partition}]", self.raw),
            format!("offsets {position} to {low}"),
            format!("lost by retention: the log begins at {low}, and the clean job has read up to {position}"),
        );
    }

    /// A record of clean_events, at `place`.
    pub(super) fn clean(&mut self, source: Source, hash: u128, place: &str) {
        self.found(source, place, |entry, lenient| {
            entry.clean = entry.clean.saturating_add(1);
            if entry.clean > 1 {
                return Some((Kind::Doubled, "a second clean record"));
            }
            match entry.verdict {
                Verdict::Clean if entry.hash == hash => None,
                Verdict::Clean => Some((
                    Kind::Different,
                    "its value is not what the SQL makes of the raw record",
                )),
                _ if lenient => None,
                Verdict::Rejected => {
                    Some((Kind::Unexpected, "the raw record should have been rejected"))
                }
                Verdict::Duplicate => Some((Kind::Unexpected, "the raw record is a duplicate")),
            }
        });
    }

    /// A record of rejected_events that the clean job wrote, at `place`.
    pub(super) fn rejected(
        &mut self,
        source: Source,
        value: Option<&[u8]>,
        reason: &str,
        place: &str,
    ) {
        let raw = hash_of(value);
        self.found(source, place, |entry, lenient| {
            entry.rejected = entry.rejected.saturating_add(1);
            if entry.rejected > 1 {
                return Some((Kind::Doubled, "a second rejected record"));
            }
            if entry.raw != raw {
                return Some((
                    Kind::Different,
                    "its value is not the raw record's, byte for byte",
                ));
            }
            match entry.verdict {
                Verdict::Rejected if entry.hash == refusal(raw, reason) => None,
                Verdict::Rejected => Some((
                    Kind::Different,
                    "it is rejected for another reason than the SQL gives",
                )),
                Verdict::Clean if reason == TOO_LARGE || (lenient && reason == CONFLICTING) => None,
                Verdict::Clean => Some((Kind::Unexpected, "the raw record should be clean")),
                Verdict::Duplicate => Some((Kind::Unexpected, "the raw record is a duplicate")),
            }
        });
    }

    /// A record that does not say where it came from.
    pub(super) fn without_source(&mut self, place: &str, missing: &str) {
        self.differences.add(
            Kind::Unexpected,
            place,
            "no source",
            format!("{missing}, so it was not written by this service"),
        );
    }

    fn found(
        &mut self,
        (partition, offset): Source,
        place: &str,
        judge: impl FnOnce(&mut Entry, bool) -> Option<(Kind, &'static str)>,
    ) {
        let key = format!("{}[{partition}] {offset}", self.raw);
        let Some(books) = self.books.get_mut(&partition) else {
            self.differences.add(
                Kind::Unexpected,
                place,
                key,
                "there is no such raw partition",
            );
            return;
        };
        if offset < books.from || offset >= books.to {
            return;
        }
        let lenient = offset < books.lenient_before;
        let Some(entry) = books.entry(offset) else {
            self.differences.add(
                Kind::Unexpected,
                place,
                key,
                "there is no raw record at this offset",
            );
            return;
        };
        if let Some((kind, detail)) = judge(entry, lenient) {
            self.differences.add(kind, place, key, detail);
        } else if entry.clean > 0 && entry.rejected > 0 {
            self.differences.add(
                Kind::Doubled,
                place,
                key,
                "it is in clean_events and in rejected_events",
            );
        }
    }

    /// Adds up; what has not been found by now is lost.
    pub(super) fn close(mut self) -> (Vec<Sums>, Differences) {
        let mut all = Vec::new();
        for (partition, books) in &mut self.books {
            let expired_before = self
                .first
                .iter()
                .filter(|((_, _, raw), _)| raw == partition)
                .map(|(_, first)| *first)
                .max()
                .unwrap_or_default();
            let mut sums = Sums {
                partition: *partition,
                from: books.from,
                to: books.to,
                consumed: u64::try_from(books.entries.len()).unwrap_or(u64::MAX),
                ..Sums::default()
            };
            for entry in &books.entries {
                let lenient = entry.offset < books.lenient_before;
                sums.judged_leniently += u64::from(lenient);
                match (entry.clean, entry.rejected, entry.verdict) {
                    (1.., _, _) => sums.clean += 1,
                    (0, 1.., _) => sums.rejected += 1,
                    (0, 0, Verdict::Duplicate) => sums.duplicate += 1,
                    (0, 0, Verdict::Clean) if lenient => sums.duplicate += 1,
                    (0, 0, _) if entry.offset < expired_before => sums.expired += 1,
                    (0, 0, Verdict::Clean) if self.emptied.clean => sums.expired += 1,
                    (0, 0, Verdict::Rejected) if self.emptied.rejected => sums.expired += 1,
                    (0, 0, verdict) => {
                        let to = if verdict == Verdict::Clean {
                            "clean"
                        } else {
                            "rejected"
                        };
                        self.differences.add(
                            Kind::Lost,
                            format!("{}[{partition}]", self.raw),
                            format!("offset {}", entry.offset),
                            format!("it should be among the {to} events, and is nowhere"),
                        );
                    }
                }
            }
            all.push(sums);
        }
        (all, self.differences)
    }
}

/// A value that may be missing.
pub(super) fn hash_of(value: Option<&[u8]>) -> u128 {
    value.map_or(0, xxh3_128)
}

fn refusal(raw: u128, reason: &str) -> u128 {
    raw ^ xxh3_128(reason.as_bytes())
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
