//! A gold table in this member's partitions: its states, its restore, and its rows as records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use metrics::{counter, gauge};
use tracing::{info, warn};

use super::definition::Definition;
use super::keep::Keep;
use super::outputs;
use super::snapshot::{Snapshots, Standing};
use super::state::{State, Update};
use crate::broker::{Headers, NextOffset, Outgoing, Partition, TransactionalProducer};
use crate::rejected::Reason;
use crate::sql::Pipeline;

/// The header that carries a row's mergeable state.
pub(crate) const STATE: &str = "sluicebox.state";

/// What clean rows of one partition change in a table.
pub(crate) struct Merged {
    /// Their partition.
    pub(crate) partition: i32,
    /// The touched keys.
    pub(crate) update: Update,
    /// Rows, by number, that are not counted: too late, or the query fails on them.
    pub(crate) refused: Vec<(usize, Reason)>,
    late: usize,
}

/// One file of gold/ at work.
pub(crate) struct Table {
    definition: Arc<Definition>,
    states: HashMap<i32, Held>,
    /// The identity of its topic.
    topic: String,
}

/// The state of one partition.
struct Held {
    state: State,
    standing: Standing,
    /// Whether there is more than in the local copy.
    changed: bool,
    saved: Instant,
}

impl Table {
    /// The `at`th gold file of the pipeline, with what it keeps.
    ///
    /// # Errors
    /// A `keep` that the query gives no time for.
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        at: usize,
        keep: Option<&Keep>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            states: HashMap::new(),
            definition: Arc::new(Definition::new(pipeline, at, keep)?),
            topic: String::new(),
        })
    }

    /// Its topic is the one with this identity, from now on.
    pub(crate) fn is_of(&mut self, topic: String) {
        self.topic = topic;
    }

    /// The identity of its topic.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// Its name, which is that of its topic.
    pub(crate) fn name(&self) -> &str {
        self.definition.name()
    }

    /// What it is.
    pub(crate) fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Keys and bytes of the states in all partitions.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.states.values().fold((0, 0), |(keys, bytes), held| {
            (keys + held.state.len(), bytes + held.state.bytes())
        })
    }

    /// The partition is not this member's any more.
    pub(crate) fn drop_state(&mut self, partition: i32) {
        self.states.remove(&partition);
    }

    /// The partition is restored.
    ///
    /// # Errors
    /// As [`State::evict`].
    pub(crate) fn take_over(
        &mut self,
        partition: i32,
        mut state: State,
        standing: Standing,
    ) -> anyhow::Result<()> {
        state.evict()?;
        let held = Held {
            changed: state.len() > 0,
            state,
            standing,
            saved: Instant::now(),
        };
        self.states.insert(partition, held);
        Ok(())
    }

    /// What a position in this partition is to remember of the table's topic.
    pub(crate) fn remembered(&self, partition: i32) -> Option<String> {
        let standing = self.states.get(&partition)?.standing;
        Some(outputs::written(self.name(), &self.topic, standing))
    }

    /// Writes a local copy of the first state that has changed and was not written for `interval`; whether there was one.
    pub(crate) fn save_next(&mut self, snapshots: &Snapshots, interval: Duration) -> bool {
        let due = |held: &Held| held.changed && held.saved.elapsed() >= interval;
        let next = self.states.iter().find(|(_, held)| due(held));
        let Some(partition) = next.map(|(partition, _)| *partition) else {
            return false;
        };
        self.save(snapshots, partition);
        true
    }

    /// Writes a local copy of a partition's state if it has changed. One that cannot be written costs time at the next start,
    /// no more.
    pub(crate) fn save(&mut self, snapshots: &Snapshots, partition: i32) {
        let Some(held) = self.states.get_mut(&partition).filter(|held| held.changed) else {
            return;
        };
        let started = Instant::now();
        let table = self.definition.name();
        let saved = snapshots.save(
            &self.definition,
            &self.topic,
            partition,
            &held.state,
            held.standing,
        );
        match saved {
            Ok(()) => {
                let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let keys = held.state.len();
                info!(table, partition, keys, next = %held.standing.next, ms, "snapshot written");
            }
            Err(error) => {
                let hint = "the next start reads the whole topic; make room in state.folder";
                warn!(table, partition, %error, hint, "snapshot not written");
            }
        }
        held.saved = Instant::now();
        held.changed = false;
    }

    /// What clean rows of one partition change. Rows that are not counted are told.
    pub(crate) fn merge(&self, partition: i32, clean: &RecordBatch) -> anyhow::Result<Merged> {
        let held = self
            .states
            .get(&partition)
            .ok_or_else(|| anyhow!("partition {partition} was not restored"))?;
        let changed = self.definition.merge(&held.state, clean)?;
        Ok(Merged {
            partition,
            update: changed.update,
            refused: changed.refused,
            late: changed.late,
        })
    }

    /// The update's transaction is committed; its records ended at `delivered` in the table's topics, among others.
    ///
    /// # Errors
    /// As [`State::apply`].
    pub(crate) fn apply(
        &mut self,
        merged: &Merged,
        delivered: &[(Partition, NextOffset)],
    ) -> anyhow::Result<()> {
        let table = self.definition.name();
        let Some(held) = self.states.get_mut(&merged.partition) else {
            return Ok(());
        };
        let state = &mut held.state;
        state.apply(&merged.update)?;
        held.changed |= merged.update.len() > 0;
        for (at, next) in delivered {
            if at.number == merged.partition && at.topic == table {
                held.standing.next = held.standing.next.max(*next);
            }
        }
        let late = u64::try_from(merged.late).unwrap_or(u64::MAX);
        let table = table.to_owned();
        counter!("sluicebox_gold_late_total", "table" => table.clone()).increment(late);
        if let Some(watermark) = state.watermark() {
            let partition = merged.partition.to_string();
            gauge!("sluicebox_gold_watermark_seconds", "table" => table, "partition" => partition)
                .set(Duration::from_micros(watermark.max(0).unsigned_abs()).as_secs_f64());
        }
        Ok(())
    }

    /// Sends the rows of an update, each with its state, to the same partition that their events came from.
    pub(crate) fn send(
        &self,
        producer: &TransactionalProducer,
        merged: &Merged,
    ) -> anyhow::Result<()> {
        let width = self.definition.query().columns().len();
        let results = &merged.update.results;
        let newest = results
            .column(width)
            .as_primitive::<TimestampMicrosecondType>();
        let written = &merged.update.written;
        let mut state = Vec::new();
        for row in 0..merged.update.len() {
            merged.update.header(row, &mut state);
            producer.send(Outgoing {
                topic: self.definition.name(),
                partition: Some(merged.partition),
                key: Some(written.key(row)),
                value: Some(written.row(row)),
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

/// The position after the last record of each partition.
pub(crate) fn positions(last: &HashMap<i32, i64>) -> Vec<(i32, NextOffset)> {
    last.iter()
        .map(|(partition, offset)| (*partition, NextOffset::after(*offset)))
        .collect()
}
