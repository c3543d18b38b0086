//! The warehouse's tables, compared with the topics up to the offsets that the control table names.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::runtime::Handle;

use super::Books;
use super::difference::{Differences, Kind};
use super::events::read;
use super::values::{Row, from_warehouse, row_hash, shown, topic_row};
use crate::broker::{Logs, Range};
use crate::sink::table::{Kind as Target, TargetTable, VERSION_COLUMN, warehouse_name};
use crate::sink::{quoted, text};
use crate::sql::Column;
use crate::warehouse::{Answer, Client};

/// How often a table is read again, because a load came between.
const MOST_TRIES: usize = 10;

/// Where the tables are.
pub(crate) struct Warehouse {
    /// The way to it.
    pub(crate) client: Client,
    /// Where answers are waited for.
    pub(crate) runtime: Handle,
    /// The control table's name.
    pub(crate) control: String,
    /// The tables that the sink fills.
    pub(crate) targets: Vec<TargetTable>,
}

/// One table in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rows {
    /// The table.
    pub(crate) table: String,
    /// The topic that fills it.
    pub(crate) topic: String,
    /// By partition: the first offset that the warehouse does not have yet.
    pub(crate) next_offsets: BTreeMap<i32, i64>,
    /// Rows of the table.
    pub(crate) rows: u64,
    /// Of these, those that are as the topic says.
    pub(crate) equal: u64,
    /// Rows whose loaded version is not to be had any more, because a newer record has replaced it.
    pub(crate) replaced: u64,
    /// Rows that are older than what the topic still has.
    pub(crate) older: u64,
    /// Why nothing was compared; empty when it was.
    pub(crate) not_checked: String,
}

impl Warehouse {
    /// Compares every table with its topic.
    pub(super) fn check(
        &self,
        books: &Books,
        logs: &Logs,
    ) -> anyhow::Result<(Vec<Rows>, Differences)> {
        let mut all = Vec::new();
        let mut differences = Differences::new(books.limit);
        for target in &self.targets {
            let rows = self
                .check_table(books, logs, target, &mut differences)
                .with_context(|| format!("comparing {} with {}", target.name(), target.topic()))?;
            all.push(rows);
        }
        Ok((all, differences))
    }

    fn check_table(
        &self,
        books: &Books,
        logs: &Logs,
        target: &TargetTable,
        differences: &mut Differences,
    ) -> anyhow::Result<Rows> {
        let mut sums = Rows {
            table: target.name().to_owned(),
            topic: target.topic().to_owned(),
            ..Rows::default()
        };
        let Some((next_offsets, answer)) = self.table_at(target)? else {
            sums.not_checked = "not quiet enough: a load came between at each look".to_owned();
            return Ok(sums);
        };
        sums.next_offsets = next_offsets;
        sums.rows = u64::try_from(answer.rows.len()).unwrap_or(u64::MAX);
        let ranges = logs.ranges(target.topic())?;
        for Range { at, to, .. } in &ranges {
            let next = sums
                .next_offsets
                .get(&at.number)
                .copied()
                .unwrap_or_default();
            if next > *to {
                bail!(
                    "{at} ends at offset {to}, but the warehouse has loaded up to {next}: it is not the topic that was loaded\nhint: `sluicebox reset sink {}` accepts the topic as it is now",
                    at.topic
                );
            }
        }
        let mut check = Check {
            books,
            target,
            ranges: &ranges,
            sums: &mut sums,
            differences,
        };
        match target.kind() {
            Target::Append => check.appended(&answer)?,
            Target::Upsert { key } => check.upserted(key, &answer)?,
        }
        Ok(sums)
    }

    /// The table, and the offsets up to which it was loaded when it was read.
    fn table_at(
        &self,
        target: &TargetTable,
    ) -> anyhow::Result<Option<(BTreeMap<i32, i64>, Answer)>> {
        let mut columns: Vec<String> = target
            .columns()
            .iter()
            .map(|column| quoted(&warehouse_name(column)))
            .collect();
        if matches!(target.kind(), Target::Upsert { .. }) {
            columns.push(VERSION_COLUMN.to_owned());
        }
        let select = format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            quoted(target.name())
        );
        let mut before = self.next_offsets(target.topic())?;
        for _ in 0..MOST_TRIES {
            let answer = self.runtime.block_on(self.client.execute(&select))?;
            let after = self.next_offsets(target.topic())?;
            if before == after {
                return Ok(Some((before, answer)));
            }
            before = after;
        }
        Ok(None)
    }

    fn next_offsets(&self, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
        let select = format!(
            "SELECT partition_id, next_offset FROM {} WHERE topic = {}",
            quoted(&self.control),
            text(topic)
        );
        let answer = self.runtime.block_on(self.client.execute(&select))?;
        let mut offsets = BTreeMap::new();
        for row in 0..answer.rows.len() {
            let partition = i32::try_from(answer.i64(row, "PARTITION_ID")?)?;
            if offsets
                .insert(partition, answer.i64(row, "NEXT_OFFSET")?)
                .is_some()
            {
                bail!(
                    "{} has several rows for {topic}[{partition}]\nhint: stop all sinks, leave only the row with the highest next_offset, start again",
                    self.control
                );
            }
        }
        Ok(offsets)
    }
}

/// One table and its topic.
struct Check<'a> {
    books: &'a Books,
    target: &'a TargetTable,
    ranges: &'a [Range],
    sums: &'a mut Rows,
    differences: &'a mut Differences,
}

/// A row that the topic promises, with the offset that the table must call its version.
struct Promised {
    version: i64,
    row: Option<Row>,
}

impl Check<'_> {
    fn next(&self, partition: i32) -> i64 {
        self.sums
            .next_offsets
            .get(&partition)
            .copied()
            .unwrap_or_default()
    }

    fn is_loaded(&self, partition: i32, offset: i64) -> bool {
        offset < self.next(partition)
    }

    /// Whether the topic has lost its beginning: rows of the table may be older than it.
    fn is_truncated(&self) -> bool {
        self.ranges.iter().any(|range| range.from > 0)
    }

    /// The table's row in the form of the topic's.
    fn row(&self, values: &[Option<String>]) -> Row {
        let columns = self.target.columns().iter();
        columns
            .zip(values)
            .map(|(column, value)| {
                let value = value.as_deref();
                value.map(|value| from_warehouse(column.sql_type, value))
            })
            .collect()
    }

    fn undecodable(&mut self, partition: i32, offset: i64) {
        let place = format!("{}[{partition}] {offset}", self.target.topic());
        let detail = "it has not the columns of the table";
        self.differences
            .add(Kind::Different, place, "the record", detail);
    }

    /// Every clean event once, as often as it is in the topic.
    fn appended(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let mut expected: HashMap<u128, (i64, String)> = HashMap::new();
        let mut undecodable = Vec::new();
        let columns = self.target.columns();
        read(self.books, self.ranges, |record, _| {
            let (partition, offset) = (record.partition(), record.offset());
            if !self.is_loaded(partition, offset) {
                return;
            }
            match topic_row(columns, record.value().unwrap_or_default()) {
                Some(row) => {
                    let place = || (0, format!("{}[{partition}] {offset}", self.target.topic()));
                    expected.entry(row_hash(&row)).or_insert_with(place).0 += 1;
                }
                None => undecodable.push((partition, offset)),
            }
        })?;
        for (partition, offset) in undecodable {
            self.undecodable(partition, offset);
        }
        let known: HashSet<u128> = expected.keys().copied().collect();
        let id = self.books.pipeline.event_id;
        for values in &answer.rows {
            let row = self.row(values);
            let hash = row_hash(&row);
            match expected.get_mut(&hash) {
                Some((left, _)) if *left > 0 => {
                    *left -= 1;
                    self.sums.equal += 1;
                }
                _ if !known.contains(&hash) && self.is_truncated() => self.sums.older += 1,
                found => {
                    let (kind, detail) = match found {
                        Some((_, place)) => (
                            Kind::Doubled,
                            format!("{place} is there once more than in the topic"),
                        ),
                        None => (
                            Kind::Unexpected,
                            "no record of the topic says so".to_owned(),
                        ),
                    };
                    let name = columns[id].name.as_str();
                    let key = shown([(name, &row[id])].into_iter());
                    self.differences.add(kind, self.target.name(), key, detail);
                }
            }
        }
        let mut lost: Vec<&String> = expected
            .values()
            .filter(|(left, _)| *left > 0)
            .map(|(_, place)| place)
            .collect();
        lost.sort();
        for place in lost {
            let detail = "it was loaded by the control table's word, but the table has no such row";
            self.differences
                .add(Kind::Lost, self.target.name(), place, detail);
        }
        Ok(())
    }

    /// The newest row of each key, under the offset of its record.
    fn upserted(&mut self, key: &[Column], answer: &Answer) -> anyhow::Result<()> {
        let mut promised: HashMap<String, Promised> = HashMap::new();
        let mut later: HashSet<String> = HashSet::new();
        let mut undecodable = Vec::new();
        let columns = self.target.columns();
        let names: Vec<usize> = key
            .iter()
            .filter_map(|key| columns.iter().position(|column| column.name == key.name))
            .collect();
        read(self.books, self.ranges, |record, _| {
            let (partition, version) = (record.partition(), record.offset());
            let key = topic_row(key, record.key().unwrap_or_default())
                .map(|values| shown(key.iter().map(|key| key.name.as_str()).zip(&values)));
            let row = record.value().map(|value| topic_row(columns, value));
            let (Some(key), Some(row)) = (key, row.map_or(Some(None), |row| row.map(Some))) else {
                undecodable.push((partition, version));
                return;
            };
            if self.is_loaded(partition, version) {
                promised.insert(key, Promised { version, row });
            } else {
                later.insert(key);
            }
        })?;
        for (partition, offset) in undecodable {
            self.undecodable(partition, offset);
        }
        // Below it a version may belong to a record that the topic no longer has.
        let low = self
            .ranges
            .iter()
            .map(|range| range.from)
            .max()
            .unwrap_or_default();
        for values in &answer.rows {
            let row = self.row(values);
            let version: i64 = values
                .last()
                .and_then(|value| value.as_ref()?.parse().ok())
                .unwrap_or(-1);
            let key = shown(
                names
                    .iter()
                    .map(|at| (columns[*at].name.as_str(), &row[*at])),
            );
            let (kind, detail) = match promised.remove(&key) {
                Some(Promised {
                    version: wanted,
                    row: Some(wanted_row),
                }) => {
                    if wanted == version && wanted_row == row {
                        self.sums.equal += 1;
                        continue;
                    }
                    (
                        Kind::Different,
                        difference(columns, &wanted_row, &row, wanted, version),
                    )
                }
                Some(Promised { version, row: None }) => (
                    Kind::Unexpected,
                    format!("the topic deletes it at offset {version}"),
                ),
                None if later.contains(&key) => {
                    self.sums.replaced += 1;
                    continue;
                }
                None if version < low => {
                    self.sums.older += 1;
                    continue;
                }
                None => (
                    Kind::Unexpected,
                    "no record of the topic says so".to_owned(),
                ),
            };
            self.differences.add(kind, self.target.name(), key, detail);
        }
        let mut lost: Vec<(String, i64)> = promised
            .into_iter()
            .filter(|(_, promised)| promised.row.is_some())
            .map(|(key, promised)| (key, promised.version))
            .collect();
        lost.sort();
        for (key, version) in lost {
            let detail =
                format!("offset {version} of the topic says so, but the table has no such row");
            self.differences
                .add(Kind::Lost, self.target.name(), key, detail);
        }
        Ok(())
    }
}

/// The columns that are not as they should be.
fn difference(columns: &[Column], wanted: &Row, found: &Row, version: i64, other: i64) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .zip(wanted.iter().zip(found))
        .filter(|(_, (wanted, found))| wanted != found)
        .map(|(column, (wanted, found))| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
            format!(
                "{} is {} instead of {}",
                column.name,
                text(found),
                text(wanted)
            )
        })
        .collect();
    if version != other {
        parts.push(format!("version is {other} instead of {version}"));
    }
    parts.join(", ")
}
