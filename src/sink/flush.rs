//! What waits, partition by partition, and what becomes of it: a load is made, and settled when it is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::SinkError;
use super::buffer::{Buffer, Record};
use super::control::ControlRow;
use super::files::{file_name, parquet};
use super::load::{Load, Objects, Outcome, StagedFile, Step, TableLoad};
use super::loader::{Claim, Claimed, Loaded, Loader, Pending};
use super::look::Found;
use super::position::Fence;
use super::table::TargetTable;
use crate::broker::{NextOffset, Partition};
use crate::crash;
use crate::warehouse::Client;
use crate::warehouse::stage::Stage;

/// When rows that wait are loaded: as soon as one of these is reached.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time that a row waits.
    pub interval: Duration,
    /// Most rows that wait, over all tables. Of an upserted table each key counts once.
    pub rows: usize,
    /// Most bytes of records that wait, over all tables.
    pub bytes: usize,
}

/// What a flush did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The names of the tables that got rows.
    pub tables: Vec<String>,
    /// Rows in the staged files.
    pub rows: usize,
    /// Staged files.
    pub files: usize,
    /// From the first byte sent to the transaction's end.
    pub took: Duration,
    /// The newest timestamp of a loaded record, in milliseconds since 1970 UTC: how fresh the warehouse is.
    pub newest_record_ms: i64,
}

/// What a load means for the sink that it was for.
#[derive(Debug)]
pub struct Settled {
    /// What was loaded; possibly nothing.
    pub flushed: Flushed,
    /// What somebody else has taken over without this sink having given it up.
    pub fenced: Vec<Partition>,
}

/// What waits to be loaded, and up to where things are. The caller reads Kafka and sends the loads; nothing here waits.
pub struct Sink {
    loader: Loader,
    limits: Limits,
    topics: BTreeMap<String, Topic>,
    pending: Option<Arc<Pending>>,
}

struct Topic {
    table: Arc<TargetTable>,
    partitions: BTreeMap<i32, Assigned>,
}

struct Assigned {
    fence: Fence,
    loaded: NextOffset,
    buffer: Buffer,
}

impl Sink {
    /// A sink of these tables, each from a topic of its own. Nothing is sent yet.
    pub fn new(
        client: &Client,
        stage: Stage,
        objects: Objects,
        limits: Limits,
        tables: Vec<TargetTable>,
    ) -> Self {
        let topics = tables.into_iter().map(|table| {
            (
                table.topic().to_owned(),
                Topic {
                    table: Arc::new(table),
                    partitions: BTreeMap::new(),
                },
            )
        });
        Self {
            loader: Loader::new(client, stage, objects),
            limits,
            topics: topics.collect(),
            pending: None,
        }
    }

    /// What sends this sink's loads.
    pub fn loader(&self) -> Loader {
        self.loader.clone()
    }

    /// The topics to read.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// What raises the fences of these partitions.
    pub fn claim(&self, partitions: &BTreeMap<Partition, Found>) -> Result<Claim, SinkError> {
        let mut claimed = Vec::with_capacity(partitions.len());
        for (at, found) in partitions {
            let Some(topic) = self.topics.get(&at.topic) else {
                return Err(SinkError::NotAssigned { at: at.clone() });
            };
            claimed.push(Claimed {
                at: at.clone(),
                low: found.low,
                source: found.source.clone(),
                table: topic.table.name().to_owned(),
            });
        }
        Ok(Claim::new(claimed))
    }

    /// A partition whose fence this sink has raised; reading begins at `start`.
    pub fn assign(&mut self, row: &ControlRow, start: NextOffset) -> Result<(), SinkError> {
        let Some(topic) = self.topics.get_mut(&row.at.topic) else {
            return Err(SinkError::NotAssigned { at: row.at.clone() });
        };
        let assigned = Assigned {
            fence: row.fence,
            loaded: row.next_offset,
            buffer: Buffer::new(Arc::clone(&topic.table), row.at.number, start),
        };
        topic.partitions.insert(row.at.number, assigned);
        Ok(())
    }

    /// These partitions are somebody else's now. What waits of them is dropped: whoever has them reads it again. A load that
    /// is not done and has nothing else in it is dropped too; if it is still to run, the new fence keeps it from changing anything.
    pub fn release(&mut self, partitions: &[Partition]) {
        for at in partitions {
            if let Some(topic) = self.topics.get_mut(&at.topic) {
                topic.partitions.remove(&at.number);
            }
        }
        let of_use = self.pending.take().filter(|pending| {
            let mut steps = pending.load.steps();
            steps.any(|step| step.rows > 0 && self.current(&step).is_some())
        });
        self.pending = of_use;
    }

    /// Everything is somebody else's.
    pub fn release_all(&mut self) {
        for topic in self.topics.values_mut() {
            topic.partitions.clear();
        }
        self.pending = None;
    }

    /// The partition of this step, if it is still ours under the fence that the step is to be made under.
    fn current(&self, step: &Step) -> Option<&Assigned> {
        let at = &step.at;
        let found = self.topics.get(&at.topic)?.partitions.get(&at.number)?;
        (found.fence == step.fence).then_some(found)
    }

    /// Whether this partition is this sink's.
    pub fn has(&self, topic: &str, partition: i32) -> bool {
        self.topics
            .get(topic)
            .is_some_and(|topic| topic.partitions.contains_key(&partition))
    }

    /// Takes a record; `now` is when it came.
    pub fn push(
        &mut self,
        topic: &str,
        partition: i32,
        record: Record<'_>,
        now: Instant,
    ) -> Result<(), SinkError> {
        Ok(self.assigned(topic, partition)?.buffer.push(record, now)?)
    }

    /// Reading got to `position` without a record: over control records, or records of aborted transactions.
    pub fn reached(
        &mut self,
        topic: &str,
        partition: i32,
        position: NextOffset,
    ) -> Result<(), SinkError> {
        self.assigned(topic, partition)?.buffer.reached(position);
        Ok(())
    }

    fn assigned(&mut self, topic: &str, partition: i32) -> Result<&mut Assigned, SinkError> {
        let found = self
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.partitions.get_mut(&partition));
        found.ok_or_else(|| SinkError::NotAssigned {
            at: Partition {
                topic: topic.to_owned(),
                number: partition,
            },
        })
    }

    /// Whether rows have waited long enough, or are enough, for a load; or a load is left to be done.
    pub fn should_flush(&self, now: Instant) -> bool {
        let since = self.buffers().filter_map(Buffer::since).min();
        let waited = since.map(|since| now.saturating_duration_since(since));
        self.pending.is_some()
            || self.is_full()
            || waited.is_some_and(|waited| waited >= self.limits.interval)
    }

    /// Whether as much waits as may wait: more is not to be read before the next load has begun.
    pub fn is_full(&self) -> bool {
        let (mut rows, mut bytes) = (0, 0);
        for buffer in self.buffers() {
            rows += buffer.rows();
            bytes += buffer.bytes();
        }
        rows >= self.limits.rows || bytes >= self.limits.bytes
    }

    /// Whether there is no row to load.
    pub fn is_idle(&self) -> bool {
        self.pending.is_none() && self.waiting() == 0
    }

    /// Rows that wait for the next load.
    pub fn waiting(&self) -> usize {
        self.buffers().map(Buffer::rows).sum()
    }

    /// Up to where each partition is done: in the warehouse, or read without a row to load.
    pub fn done(&self) -> Vec<(Partition, NextOffset)> {
        self.each(|assigned| {
            let waits = self.pending.is_some() || assigned.buffer.rows() > 0;
            if waits {
                assigned.loaded
            } else {
                assigned.buffer.position()
            }
        })
    }

    /// Up to where each partition was read.
    pub fn read(&self) -> Vec<(Partition, NextOffset)> {
        self.each(|assigned| assigned.buffer.position())
    }

    fn each(&self, position: impl Fn(&Assigned) -> NextOffset) -> Vec<(Partition, NextOffset)> {
        let position = &position;
        let partitions = self.topics.iter().flat_map(|(topic, state)| {
            state.partitions.iter().map(|(number, assigned)| {
                (
                    Partition {
                        topic: topic.clone(),
                        number: *number,
                    },
                    position(assigned),
                )
            })
        });
        partitions.collect()
    }

    fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.topics
            .values()
            .flat_map(|topic| topic.partitions.values())
            .map(|assigned| &assigned.buffer)
    }

    /// The load that is to be done next: the one that is left, or one of everything that waits; none without a row to load.
    pub fn begin(&mut self) -> Result<Option<Arc<Pending>>, SinkError> {
        if self.pending.is_none() {
            self.pending = self.prepare()?.map(Arc::new);
        }
        Ok(self.pending.clone())
    }

    /// At a clean stop: a load that has nothing but the partitions that were read further without a row. While the sink runs these
    /// move with the next load that there is anyway.
    pub fn begin_without_rows(&mut self) -> Option<Arc<Pending>> {
        let passed = self.passed();
        if self.is_idle() && !passed.is_empty() {
            let load = Load {
                objects: self.loader.objects().clone(),
                tables: Vec::new(),
                passed,
            };
            self.pending = Some(Arc::new(Pending::new(load, Vec::new(), i64::MIN)));
        }
        self.pending.clone()
    }

    /// The partitions of which nothing waits and that were read further than the warehouse says.
    fn passed(&self) -> Vec<Step> {
        let mut passed = Vec::new();
        for (topic, state) in &self.topics {
            for (number, assigned) in &state.partitions {
                let position = assigned.buffer.position();
                if assigned.buffer.rows() == 0 && position > assigned.loaded {
                    passed.push(Step {
                        at: Partition {
                            topic: topic.clone(),
                            number: *number,
                        },
                        expected: assigned.loaded,
                        new: position,
                        fence: assigned.fence,
                        rows: 0,
                    });
                }
            }
        }
        passed
    }

    /// Makes files of all rows that wait, and the load of those files.
    fn prepare(&mut self) -> Result<Option<Pending>, SinkError> {
        if self.waiting() == 0 {
            return Ok(None);
        }
        crash::point("sink", "parquet.before");
        let passed = self.passed();
        let mut tables = Vec::new();
        let mut files = Vec::new();
        let mut newest_record_ms = i64::MIN;
        for (topic, state) in &mut self.topics {
            let mut staged = Vec::new();
            for (number, assigned) in &mut state.partitions {
                let newest = assigned.buffer.timestamps().map(|(_, newest)| newest);
                let Some(taken) = assigned.buffer.take()? else {
                    continue;
                };
                let at = Partition {
                    topic: topic.clone(),
                    number: *number,
                };
                let path = file_name(&at, taken.first, taken.last);
                let bytes = parquet(&state.table, &taken)
                    .map_err(|source| SinkError::File { at, source })?;
                newest_record_ms = newest_record_ms.max(newest.unwrap_or(i64::MIN));
                files.push((path.clone(), bytes));
                let (expected, fence) = (assigned.loaded, assigned.fence);
                staged.push(StagedFile {
                    partition: *number,
                    path,
                    rows: taken.offsets.len(),
                    expected,
                    new: taken.next,
                    fence,
                });
            }
            if !staged.is_empty() {
                tables.push(TableLoad {
                    table: Arc::clone(&state.table),
                    files: staged,
                });
            }
        }
        crash::point("sink", "parquet.after");
        let load = Load {
            objects: self.loader.objects().clone(),
            tables,
            passed,
        };
        Ok(Some(Pending::new(load, files, newest_record_ms)))
    }

    /// Goes on from where the warehouse now stands. What was released meanwhile is passed over.
    pub fn settle(&mut self, pending: &Arc<Pending>, loaded: &Loaded) -> Settled {
        if self
            .pending
            .as_ref()
            .is_some_and(|ours| Arc::ptr_eq(ours, pending))
        {
            self.pending = None;
        }
        let mut flushed = Flushed {
            tables: Vec::new(),
            rows: 0,
            files: 0,
            took: loaded.took,
            newest_record_ms: pending.newest_record_ms,
        };
        let mut fenced = Vec::new();
        for ((at, outcome), step) in loaded.outcomes.iter().zip(pending.load.steps()) {
            if self.current(&step).is_none() {
                continue;
            }
            let topic = self
                .topics
                .get_mut(&at.topic)
                .expect("the topic of a current partition");
            match outcome {
                Outcome::Loaded | Outcome::AlreadyLoaded => {
                    if let Some(assigned) = topic.partitions.get_mut(&at.number) {
                        assigned.loaded = step.new;
                    }
                    if step.rows == 0 {
                        continue;
                    }
                    let table = topic.table.name();
                    if flushed.tables.last().is_none_or(|last| last != table) {
                        flushed.tables.push(table.to_owned());
                    }
                    flushed.rows += step.rows;
                    flushed.files += 1;
                }
                Outcome::Fenced => fenced.push(at.clone()),
            }
        }
        Settled { flushed, fenced }
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
pub(super) mod tests;
