//! The gold topics, recomputed from clean_events by the same queries.
//!
//! A partition's rows and the gold job's position are committed together, but are asked for one after the other. The cut between
//! them is exact when no transaction is open on the gold partition, then the position is read, and then the partition still ends
//! where it did.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::Books;
use super::difference::{Differences, Kind};
use super::events::{AT_ONCE, read};
use super::ledger::hash_of;
use super::progress::Progress;
use super::refused::{self, Refused};
use crate::broker::{Group, Log, Logs, NextOffset, Partition, Positions, Range, RangeReader};
use crate::gold::{CleanBatches, Standing, Table};

/// How long a quiet moment of one partition is looked for, and the wait between two looks. Under a steady stream the moments
/// between two transactions are a few milliseconds long, so the looks are quick and many.
const LONGEST_LOOK: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// One partition of a gold table in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// The gold table.
    pub(crate) table: String,
    /// The partition of its topic, and of clean_events.
    pub(crate) partition: i32,
    /// The gold job's position in clean_events: events before it are counted.
    pub(crate) to: i64,
    /// Clean events before it that the topic still has.
    pub(crate) clean: u64,
    /// Of these, counted.
    pub(crate) counted: u64,
    /// Of these, refused: too late, or the query fails on them.
    pub(crate) refused: u64,
    /// Rows that were compared.
    pub(crate) rows: u64,
    /// Rows whose version at the cut is not to be had any more, because a newer one has replaced it.
    pub(crate) replaced: u64,
    /// Rows that cannot be recomputed, because clean_events no longer has its beginning.
    pub(crate) not_recomputed: u64,
    /// Why nothing was compared; empty when it was.
    pub(crate) not_checked: String,
}

/// What was found of all gold tables.
pub(super) struct Found {
    /// Each partition of each table in numbers.
    pub(super) counts: Vec<Counts>,
    pub(super) differences: Differences,
    /// Refused events and copies of such that do not belong together, where a topic that could say why has lost its beginning.
    pub(super) refused_not_compared: u64,
}

/// Recomputes every gold table.
pub(super) fn check(books: &Books, logs: &Logs) -> anyhow::Result<Found> {
    let positions = Group::new(&books.kafka, &books.gold_group).open()?;
    let mut all = Vec::new();
    let mut differences = Differences::new(books.limit);
    let mut refused = Refused::new();
    let mut checked: HashMap<i32, Vec<i64>> = HashMap::new();
    for at in 0..books.pipeline.gold.len() {
        let mut table = books.table(at)?;
        let name = table.name().to_owned();
        for clean in logs.partitions(&books.clean)? {
            let gold = Partition {
                topic: name.clone(),
                number: clean.number,
            };
            let mut counts = Counts {
                table: name.clone(),
                partition: clean.number,
                ..Counts::default()
            };
            let Some((position, log)) = cut(&positions, logs, &clean, &gold)? else {
                counts.not_checked =
                    "not quiet enough: a transaction was open at each look".to_owned();
                checked.entry(clean.number).or_default().push(0);
                all.push(counts);
                continue;
            };
            let found = newest(books, logs, &gold, log)?;
            let low = logs.log(&clean)?.low;
            counts.to = position.max(low);
            checked.entry(clean.number).or_default().push(counts.to);
            let clean = Range {
                at: clean,
                from: low,
                to: counts.to,
            };
            let expected = recompute(books, &mut table, &clean, &mut counts, &mut refused)
                .with_context(|| format!("recomputing {gold}"))?;
            compare(
                &gold,
                low > 0,
                &expected,
                &found,
                &mut counts,
                &mut differences,
            );
            all.push(counts);
        }
    }
    let refused_not_compared = refused::check(books, logs, &checked, refused, &mut differences)?;
    Ok(Found {
        counts: all,
        differences,
        refused_not_compared,
    })
}

/// The gold job's position in a clean partition, and what the gold partition held exactly then.
fn cut(
    positions: &Positions,
    logs: &Logs,
    clean: &Partition,
    gold: &Partition,
) -> anyhow::Result<Option<(i64, Log)>> {
    let deadline = Instant::now() + LONGEST_LOOK;
    loop {
        let before = logs.log(gold)?;
        if before.stable == before.end {
            let position = positions.of(std::slice::from_ref(clean))?[0];
            if logs.end(gold)? == before.end {
                return Ok(Some((position.unwrap_or_default(), before)));
            }
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// The newest row of each key before the cut, and the keys that have one behind it.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// Offset and hash of the value; None for a row that is gone.
    rows: HashMap<Box<[u8]>, (i64, Option<u128>)>,
    later: BTreeSet<Box<[u8]>>,
}

fn newest(books: &Books, logs: &Logs, gold: &Partition, log: Log) -> anyhow::Result<Newest> {
    let range = Range {
        at: gold.clone(),
        from: log.low,
        to: logs.log(gold)?.end,
    };
    let mut newest = Newest::default();
    read(books, &[range], |record, _| {
        let key: Box<[u8]> = record.key().unwrap_or_default().into();
        if record.offset() < log.end {
            let hash = record.value().map(|value| hash_of(Some(value)));
            newest.rows.insert(key, (record.offset(), hash));
        } else {
            newest.later.insert(key);
        }
    })?;
    Ok(newest)
}

/// The hash of each key's row after these clean events.
fn recompute(
    books: &Books,
    table: &mut Table,
    clean: &Range,
    counts: &mut Counts,
    refused: &mut Refused,
) -> anyhow::Result<HashMap<Box<[u8]>, u128>> {
    let mut expected = HashMap::new();
    let mut batches = CleanBatches::new(books.pipeline.clean.columns());
    let mut reader = RangeReader::open(&books.kafka, std::slice::from_ref(clean))?;
    let mut progress = Progress::new(format!(
        "recomputing {}[{}]",
        counts.table, counts.partition
    ));
    let empty = table.definition().empty_state()?;
    let start = NextOffset::START;
    let standing = Standing { start, next: start };
    table.take_over(counts.partition, empty, standing)?;
    while let Some(records) = reader.next(AT_ONCE)? {
        for (partition, (rows, from)) in batches.decode(&records)? {
            let merged = table.merge(partition, &rows)?;
            table.apply(&merged, &[])?;
            let written = &merged.update.written;
            for row in 0..merged.update.len() {
                expected.insert(written.key(row).into(), hash_of(Some(written.row(row))));
            }
            for (row, reason) in &merged.refused {
                let key = (partition, from[*row].offset(), reason.code.clone());
                *refused.entry(key).or_default() += 1;
            }
            let of_all = u64::try_from(from.len()).unwrap_or(u64::MAX);
            let no = u64::try_from(merged.refused.len()).unwrap_or(u64::MAX);
            counts.clean += of_all;
            counts.refused += no;
            counts.counted += of_all.saturating_sub(no);
        }
        progress.add(records.len());
    }
    table.drop_state(counts.partition);
    Ok(expected)
}

/// Row by row. Without the beginning of clean_events a row that differs may be right.
fn compare(
    gold: &Partition,
    truncated: bool,
    expected: &HashMap<Box<[u8]>, u128>,
    found: &Newest,
    counts: &mut Counts,
    differences: &mut Differences,
) {
    let key_text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let mut wrong = Vec::new();
    for (key, hash) in expected {
        match found.rows.get(key) {
            Some((_, Some(other))) if other == hash => counts.rows += 1,
            Some(_) if truncated => counts.not_recomputed += 1,
            Some((offset, Some(_))) => {
                let detail =
                    format!("the row at offset {offset} is not what its clean events add up to");
                wrong.push((Kind::Different, key, detail));
            }
            Some((offset, None)) => {
                let detail =
                    format!("a tombstone at offset {offset}, but clean events count for it");
                wrong.push((Kind::Lost, key, detail));
            }
            None if found.later.contains(key) => counts.replaced += 1,
            // An event that was too late by one that is gone seems to be in time, and would count for a row of its own.
            None if truncated => counts.not_recomputed += 1,
            None => wrong.push((
                Kind::Lost,
                key,
                "clean events count for it, but it has no row".to_owned(),
            )),
        }
    }
    for (key, (offset, hash)) in &found.rows {
        if hash.is_none() || expected.contains_key(key) {
            continue;
        }
        if truncated {
            counts.not_recomputed += 1;
        } else {
            let detail = format!("the row at offset {offset} has no clean events");
            wrong.push((Kind::Unexpected, key, detail));
        }
    }
    wrong.sort();
    for (kind, key, detail) in wrong {
        differences.add(kind, gold.to_string(), key_text(key), detail);
    }
}

#[cfg(test)]
#[path = "gold_tests.rs"]
mod tests;
