//! The warehouse's tables, compared with the topics up to the offsets that the control table names.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::runtime::Handle;

use super::Books;
use super::difference::{Differences, Kind};
use super::events::read;
use super::rows::{Appended, Findings, Upserted};
use super::values::{Row, from_warehouse, shown, topic_row};
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

impl Check<'_> {
    fn is_loaded(&self, partition: i32, offset: i64) -> bool {
        let next = self.sums.next_offsets.get(&partition);
        offset < next.copied().unwrap_or_default()
    }

    /// The first offset that every partition of the topic still has.
    fn low(&self) -> i64 {
        let lows = self.ranges.iter().map(|range| range.from);
        lows.max().unwrap_or_default()
    }

    fn findings(&mut self) -> Findings<'_> {
        Findings {
            table: self.target.name(),
            columns: self.target.columns(),
            sums: &mut *self.sums,
            differences: &mut *self.differences,
        }
    }

    fn undecodable(&mut self, records: Vec<(i32, i64)>) {
        for (partition, offset) in records {
            let place = format!("{}[{partition}] {offset}", self.target.topic());
            let detail = "it has not the columns of the table";
            self.differences
                .add(Kind::Different, place, "the record", detail);
        }
    }

    /// Every clean event once, as often as it is in the topic.
    fn appended(&mut self, answer: &Answer) -> anyhow::Result<()> {
        let mut appended = Appended::default();
        let mut undecodable = Vec::new();
        let columns = self.target.columns();
        read(self.books, self.ranges, |record, _| {
            let (partition, offset) = (record.partition(), record.offset());
            if !self.is_loaded(partition, offset) {
                return;
            }
            match topic_row(columns, record.value().unwrap_or_default()) {
                Some(row) => {
                    appended.promise(&row, || format!("{}[{partition}] {offset}", record.topic()));
                }
                None => undecodable.push((partition, offset)),
            }
        })?;
        self.undecodable(undecodable);
        let rows = answer.rows.iter().map(|values| row_of(columns, values));
        let (id, truncated) = (self.books.pipeline.event_id, self.low() > 0);
        appended.compare(rows, id, truncated, &mut self.findings());
        Ok(())
    }

    /// The newest row of each key, under the offset of its record.
    fn upserted(&mut self, key: &[Column], answer: &Answer) -> anyhow::Result<()> {
        let mut upserted = Upserted::default();
        let mut undecodable = Vec::new();
        let columns = self.target.columns();
        read(self.books, self.ranges, |record, _| {
            let (partition, version) = (record.partition(), record.offset());
            let values = topic_row(key, record.key().unwrap_or_default());
            let row = record.value().map(|value| topic_row(columns, value));
            let (Some(values), None | Some(Some(_))) = (&values, &row) else {
                undecodable.push((partition, version));
                return;
            };
            let name = shown(key.iter().map(|key| key.name.as_str()).zip(values));
            if self.is_loaded(partition, version) {
                upserted.promise(name, version, row.flatten());
            } else {
                upserted.promise_later(name);
            }
        })?;
        self.undecodable(undecodable);
        let places: Vec<usize> = key
            .iter()
            .filter_map(|key| columns.iter().position(|column| column.name == key.name))
            .collect();
        let rows = answer.rows.iter().map(|values| {
            let row = row_of(columns, values);
            let keys = places
                .iter()
                .map(|at| (columns[*at].name.as_str(), &row[*at]));
            let version = values.last().and_then(|value| value.as_ref()?.parse().ok());
            (shown(keys), version.unwrap_or(-1), row)
        });
        let low = self.low();
        upserted.compare(rows, low, &mut self.findings());
        Ok(())
    }
}

/// The table's row in the form of the topic's.
fn row_of(columns: &[Column], values: &[Option<String>]) -> Row {
    let pairs = columns.iter().zip(values);
    pairs
        .map(|(column, value)| Some(from_warehouse(column.sql_type, value.as_deref()?)))
        .collect()
}
