//! A gold table in this member's partitions: its states, its restore, and its rows as records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, TimestampMicrosecondType};

use super::state::{State, Update};
use crate::broker::{Headers, NextOffset, Outgoing, TransactionalProducer};
use crate::rejected::{EVALUATION, Reason};
use crate::sql::encode::{Encoded, Encoder};
use crate::sql::{GoldQuery, Pipeline};

/// The header that carries a row's mergeable state.
pub(crate) const STATE: &str = "sluicebox.state";

/// What clean rows of one partition change in a table.
pub(crate) struct Merged {
    /// Their partition.
    pub(crate) partition: i32,
    /// The touched keys.
    pub(crate) update: Update,
    /// Rows, by number, that the query fails on.
    pub(crate) refused: Vec<(usize, Reason)>,
}

/// One file of gold/ at work.
pub(crate) struct Table {
    pipeline: Arc<Pipeline>,
    at: usize,
    keys: Encoder,
    rows: Encoder,
    states: HashMap<i32, State>,
}

impl Table {
    /// The `at`th gold file of the pipeline.
    pub(crate) fn new(pipeline: &Arc<Pipeline>, at: usize) -> anyhow::Result<Self> {
        let query = &pipeline.gold[at].query;
        let fields: Vec<Field> = query
            .columns()
            .iter()
            .map(|column| Field::new(&column.name, column.sql_type.arrow(), true))
            .collect();
        let key_fields: Vec<Field> = query.key().iter().map(|at| fields[*at].clone()).collect();
        Ok(Self {
            keys: Encoder::new(&Schema::new(key_fields))?,
            rows: Encoder::new(&Schema::new(fields))?,
            states: HashMap::new(),
            pipeline: Arc::clone(pipeline),
            at,
        })
    }

    /// Its name, which is that of its topic.
    pub(crate) fn name(&self) -> &str {
        &self.pipeline.gold[self.at].name
    }

    pub(crate) fn query(&self) -> &GoldQuery {
        &self.pipeline.gold[self.at].query
    }

    /// Keys and bytes of the states in all partitions.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.states.values().fold((0, 0), |(keys, bytes), state| {
            (keys + state.len(), bytes + state.bytes())
        })
    }

    /// The partition is not this member's any more.
    pub(crate) fn drop_state(&mut self, partition: i32) {
        self.states.remove(&partition);
    }

    /// The partition begins without any rows.
    pub(crate) fn begin(&mut self, partition: i32) -> anyhow::Result<()> {
        let state = State::new(self.query())?;
        self.states.insert(partition, state);
        Ok(())
    }

    /// The keys and the values of an update's rows, as they stand in the topic.
    pub(crate) fn encode(
        &mut self,
        merged: &Merged,
    ) -> anyhow::Result<(Encoded<'_>, Encoded<'_>)> {
        let query = &self.pipeline.gold[self.at].query;
        let results = &merged.update.results;
        let keys = self.keys.encode(&keyed(query, results)?)?;
        let columns: Vec<usize> = (0..query.columns().len()).collect();
        let rows = self.rows.encode(&results.project(&columns)?)?;
        Ok((keys, rows))
    }

    /// The partition is restored.
    pub(crate) fn take_over(&mut self, partition: i32, state: State) {
        self.states.insert(partition, state);
    }

    /// What clean rows of one partition change. Rows that the query fails on are left out and told.
    pub(crate) fn merge(&self, partition: i32, clean: &RecordBatch) -> anyhow::Result<Merged> {
        let state = self
            .states
            .get(&partition)
            .ok_or_else(|| anyhow!("partition {partition} was not restored"))?;
        let error = match state.merge(self.query(), clean) {
            Ok(update) => {
                return Ok(Merged {
                    partition,
                    update,
                    refused: Vec::new(),
                });
            }
            Err(error) => error,
        };
        let mut refused = Vec::new();
        self.find_failing(state, clean, 0, &mut refused);
        if refused.is_empty() {
            return Err(error).with_context(|| format!("merging into {}", self.name()));
        }
        let failing: HashSet<usize> = refused.iter().map(|(row, _)| *row).collect();
        let good: BooleanArray = (0..clean.num_rows())
            .map(|row| Some(!failing.contains(&row)))
            .collect();
        let update = state.merge(self.query(), &filter_record_batch(clean, &good)?)?;
        Ok(Merged {
            partition,
            update,
            refused,
        })
    }

    /// Halves the rows until those stand alone that the query fails on, each merged into what is kept of its key.
    fn find_failing(
        &self,
        state: &State,
        clean: &RecordBatch,
        first: usize,
        found: &mut Vec<(usize, Reason)>,
    ) {
        let Err(error) = state.merge(self.query(), clean) else {
            return;
        };
        let rows = clean.num_rows();
        if rows == 1 {
            let message = error.strip_backtrace();
            let message = message.lines().next().unwrap_or_default();
            let detail = format!("gold/{}.sql fails on it: {message}", self.name());
            found.push((
                first,
                Reason {
                    code: EVALUATION.to_owned(),
                    detail,
                },
            ));
            return;
        }
        let half = rows / 2;
        self.find_failing(state, &clean.slice(0, half), first, found);
        self.find_failing(state, &clean.slice(half, rows - half), first + half, found);
    }

    /// The update's transaction is committed.
    pub(crate) fn apply(&mut self, merged: &Merged) {
        if let Some(state) = self.states.get_mut(&merged.partition) {
            state.apply(&merged.update);
        }
    }

    /// Sends the rows of an update, each with its state, to the same partition that their events came from.
    pub(crate) fn send(
        &mut self,
        producer: &TransactionalProducer,
        merged: &Merged,
    ) -> anyhow::Result<()> {
        let pipeline = Arc::clone(&self.pipeline);
        let gold = &pipeline.gold[self.at];
        let width = gold.query.columns().len();
        let results = &merged.update.results;
        let newest = results
            .column(width)
            .as_primitive::<TimestampMicrosecondType>();
        let (keys, rows) = self.encode(merged)?;
        let mut state = Vec::new();
        for row in 0..merged.update.len() {
            merged.update.header(row, &mut state);
            producer.send(Outgoing {
                topic: &gold.name,
                partition: Some(merged.partition),
                key: Some(keys.row(row)),
                value: Some(rows.row(row)),
                timestamp_ms: if newest.is_valid(row) {
                    newest.value(row).div_euclid(1000)
                } else {
                    0
                },
                headers: Headers::default().with(STATE, Some(&state)),
                tag: row,
            })?;
        }
        Ok(())
    }
}

fn keyed(query: &GoldQuery, results: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let columns: Vec<(&str, ArrayRef)> = query
        .key()
        .iter()
        .map(|at| {
            (
                query.columns()[*at].name.as_str(),
                Arc::clone(results.column(*at)),
            )
        })
        .collect();
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The position after the last record of each partition.
pub(crate) fn positions(last: &HashMap<i32, i64>) -> Vec<(i32, NextOffset)> {
    last.iter()
        .map(|(partition, offset)| (*partition, NextOffset::after(*offset)))
        .collect()
}
