//! Reads the raw topic up to the clean job's position, and everything that was made of it.

use std::collections::{HashMap, HashSet};

use anyhow::Context;

use super::Books;
use super::difference::Differences;
use super::ledger::{Emptied, Expected, Ledger, Source, Sums};
use super::progress::Progress;
use super::values::EventHash;
use crate::broker::{Group, Log, Logs, Range, RangeReader, Record};
use crate::clean::{Cleaner, Fate};
use crate::rejected;
use crate::status::Job;

/// Most records in memory at once.
pub(super) const AT_ONCE: usize = 10_000;

/// The ledger of every raw partition up to the position that it names.
pub(super) fn check(books: &Books, logs: &Logs) -> anyhow::Result<(Vec<Sums>, Differences)> {
    let mut ledger = Ledger::new(&books.raw, books.limit);
    let hash = moments(books);
    let raw = raw_ranges(books, logs, &mut ledger)?;
    for range in &raw {
        let window = books.duplicates.events;
        ledger.open(range.at.number, range.from, range.to, window);
    }
    // The ends of the outputs are asked after the positions of the input, so what these cover is among what is read.
    let clean = logs.ranges(&books.clean)?;
    let rejected = logs.ranges(&books.rejected)?;
    judge(books, &raw, &hash, &mut ledger).with_context(|| format!("reading {}", books.raw))?;
    let (mut clean_held, mut rejected_held) = (HashSet::new(), HashSet::new());
    read(books, &clean, |record, truncated| {
        let place = format!(
            "{}[{}] {}",
            books.clean,
            record.partition(),
            record.offset()
        );
        match source_of_clean(record) {
            Some(source) => {
                clean_held.insert(record.partition());
                if truncated {
                    ledger.truncated(&books.clean, record.partition(), source);
                }
                ledger.clean(source, hash.of(record.value()), &place);
            }
            None => ledger.without_source(&place, "it has no header sluicebox.source"),
        }
    })?;
    read(books, &rejected, |record, truncated| {
        let place = format!(
            "{}[{}] {}",
            books.rejected,
            record.partition(),
            record.offset()
        );
        match text(record, rejected::STAGE) {
            Some(stage) if stage != Job::Clean.name() => {}
            _ => match (source_of_rejected(record), text(record, rejected::REASON)) {
                (Some(source), Some(reason)) => {
                    rejected_held.insert(record.partition());
                    if truncated {
                        ledger.truncated(&books.rejected, record.partition(), source);
                    }
                    ledger.rejected(source, record.value(), reason, &place);
                }
                _ => ledger.without_source(&place, "its headers do not say why and whence"),
            },
        }
    })?;
    ledger.emptied(Emptied {
        clean: is_emptied(&clean, &clean_held),
        rejected: is_emptied(&rejected, &rejected_held),
    });
    Ok(ledger.close())
}

/// Whether a partition has lost its beginning and holds nothing.
fn is_emptied(ranges: &[Range], held: &HashSet<i32>) -> bool {
    let mut truncated = ranges.iter().filter(|range| range.from > 0);
    truncated.any(|range| !held.contains(&range.at.number))
}

fn moments(books: &Books) -> EventHash {
    let clean = &books.pipeline.clean;
    let columns = clean.columns().iter().enumerate();
    EventHash::without(
        columns
            .filter(|(at, _)| clean.is_of_the_moment(*at))
            .map(|(_, column)| column.name.clone())
            .collect(),
    )
}

/// From the beginning of each log to the clean job's position.
fn raw_ranges(books: &Books, logs: &Logs, ledger: &mut Ledger) -> anyhow::Result<Vec<Range>> {
    let partitions = logs.partitions(&books.raw)?;
    let positions = Group::new(&books.kafka, &books.clean_group).positions(&partitions)?;
    let mut ranges = Vec::new();
    for (at, position) in partitions.into_iter().zip(positions) {
        let Log { low, end, .. } = logs.log(&at)?;
        let to = position.unwrap_or(low);
        if to > end {
            anyhow::bail!(
                "{at} ends at offset {end}, but the group {} stands at {to}: it is not the topic that was read\nhint: `sluicebox reset clean --to earliest` accepts the topic as it is now",
                books.clean_group
            );
        }
        if to < low {
            ledger.lost_unread(at.number, to, low);
        }
        ranges.push(Range {
            at,
            from: low,
            to: to.max(low),
        });
    }
    Ok(ranges)
}

/// What should become of each raw record, by the pipeline itself.
fn judge(
    books: &Books,
    ranges: &[Range],
    hash: &EventHash,
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let mut cleaner = Cleaner::new(
        std::sync::Arc::clone(&books.pipeline),
        &books.raw,
        books.duplicates,
    )?;
    let (committed, too_large) = (HashMap::new(), HashSet::new());
    let mut reader = RangeReader::open(&books.kafka, ranges)?;
    let mut progress = Progress::new(format!("judging {}", books.raw));
    while let Some(records) = reader.next(AT_ONCE)? {
        let cleaned = cleaner.clean(&records, &committed, &too_large, 0)?;
        cleaner.commit();
        for (record, fate) in records.iter().zip(&cleaned.fates) {
            let expected = match fate {
                Fate::Clean { row } => Expected::Clean {
                    value: hash.of(Some(cleaned.value(*row))),
                },
                Fate::Rejected(reason) => Expected::Rejected(&reason.code),
                Fate::Duplicate | Fate::Remembered => Expected::Duplicate,
            };
            let source = (record.partition(), record.offset());
            ledger.expect(source, record.value(), expected);
        }
        progress.add(records.len());
    }
    Ok(())
}

/// Hands out every record of these ranges, and whether its partition has lost its beginning.
pub(super) fn read(
    books: &Books,
    ranges: &[Range],
    mut take: impl FnMut(&Record<'_>, bool),
) -> anyhow::Result<()> {
    let truncated: HashMap<i32, bool> = ranges
        .iter()
        .map(|range| (range.at.number, range.from > 0))
        .collect();
    let topic = ranges.first().map(|range| range.at.topic.as_str());
    let mut progress = Progress::new(format!("reading {}", topic.unwrap_or_default()));
    let mut reader = RangeReader::open(&books.kafka, ranges)?;
    while let Some(records) = reader.next(AT_ONCE)? {
        for record in &records {
            take(
                record,
                truncated
                    .get(&record.partition())
                    .copied()
                    .unwrap_or_default(),
            );
        }
        progress.add(records.len());
    }
    Ok(())
}

/// The newest header of a name, as text.
pub(super) fn text<'a>(record: &'a Record<'_>, name: &str) -> Option<&'a str> {
    let (_, value) = record
        .headers()
        .filter(|(header, _)| *header == name)
        .last()?;
    std::str::from_utf8(value?).ok()
}

fn source_of_clean(record: &Record<'_>) -> Option<Source> {
    let (partition, offset) = text(record, rejected::SOURCE)?.split_once(':')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// The partition and offset of the record that was refused.
pub(super) fn source_of_rejected(record: &Record<'_>) -> Option<Source> {
    let partition = text(record, rejected::PARTITION)?.parse().ok()?;
    let offset = text(record, rejected::OFFSET)?.parse().ok()?;
    Some((partition, offset))
}
