//! The order of things in a flush; the things themselves are elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::info;

use super::SinkError;
use super::buffer::{Buffer, Record};
use super::files::{file_name, parquet};
use super::load::{Load, Objects, Outcome, StagedFile, TableLoad};
use super::position::Fence;
use super::stage::Stage;
use super::table::TargetTable;
use crate::broker::{NextOffset, Partition};
use crate::warehouse::{Client, RequestId};

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

/// Loads the topics of one pipeline. The caller reads them; nothing here knows Kafka.
pub struct Sink {
    client: Client,
    stage: Stage,
    objects: Objects,
    limits: Limits,
    topics: BTreeMap<String, Topic>,
    pending: Option<Pending>,
    stage_is_seen: bool,
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

/// A load that is not known to be done. It keeps its request's id until it is.
struct Pending {
    load: Load,
    files: Vec<(String, Bytes)>,
    request: RequestId,
    rows_of_first: usize,
    rows: usize,
    newest_record_ms: i64,
}

impl Sink {
    /// A sink of these tables, each from a topic of its own. Nothing is sent yet.
    pub fn new(
        client: Client,
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
            client,
            stage,
            objects,
            limits,
            topics: topics.collect(),
            pending: None,
            stage_is_seen: false,
        }
    }

    /// The topics to read.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Takes these partitions over from whoever had them, and says where the warehouse stands in each. Called once.
    pub async fn assign(
        &mut self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, NextOffset)>, SinkError> {
        if let Some(at) = partitions
            .iter()
            .find(|at| !self.topics.contains_key(&at.topic))
        {
            return Err(SinkError::NotAssigned { at: at.clone() });
        }
        let rows = self.objects.control.raise(&self.client, partitions).await?;
        let mut starts = Vec::with_capacity(rows.len());
        for row in rows {
            let topic = self
                .topics
                .get_mut(&row.at.topic)
                .expect("every topic asked for is known");
            let buffer = Buffer::new(Arc::clone(&topic.table), row.at.number, row.next_offset);
            topic.partitions.insert(
                row.at.number,
                Assigned {
                    fence: row.fence,
                    loaded: row.next_offset,
                    buffer,
                },
            );
            starts.push((row.at, row.next_offset));
        }
        info!(partitions = starts.len(), "fences raised");
        Ok(starts)
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

    /// Whether rows have waited long enough, or are enough, for a load.
    pub fn should_flush(&self, now: Instant) -> bool {
        let (mut rows, mut bytes, mut since) = (0, 0, None::<Instant>);
        for buffer in self.buffers() {
            rows += buffer.rows();
            bytes += buffer.bytes();
            since = since.into_iter().chain(buffer.since()).min();
        }
        let waited = since.map(|since| now.saturating_duration_since(since));
        self.pending.is_some()
            || rows >= self.limits.rows
            || bytes >= self.limits.bytes
            || waited.is_some_and(|waited| waited >= self.limits.interval)
    }

    /// Rows that wait for the next load.
    pub fn waiting(&self) -> usize {
        self.buffers().map(Buffer::rows).sum()
    }

    /// Up to where each partition is in the warehouse.
    pub fn loaded(&self) -> Vec<(Partition, NextOffset)> {
        self.each(|assigned| assigned.loaded)
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

    /// Loads what waits; without a row to load, nothing is sent.
    ///
    /// After an error that is transient the next call does the same load again, under the same request id. After any
    /// other one this sink must be dropped.
    pub async fn flush(&mut self) -> Result<Option<Flushed>, SinkError> {
        if self.pending.is_none() {
            self.pending = self.prepare()?;
        }
        let Some(pending) = &self.pending else {
            return Ok(None);
        };
        let start = Instant::now();
        self.stage.put_all(&pending.files).await?;
        if !self.stage_is_seen {
            self.look_at_stage(pending).await?;
            self.stage_is_seen = true;
        }
        let statements = pending.load.statements();
        let answers = self
            .client
            .execute_all(&statements, pending.request.clone())
            .await
            .map_err(|source| SinkError::Warehouse {
                call: "the load",
                source,
            })?;
        let took = start.elapsed();
        let outcomes = pending.load.outcomes(&answers)?;
        let pending = self
            .pending
            .take()
            .expect("the load that was just answered");
        self.settle(&pending, outcomes).await?;
        let flushed = Flushed {
            tables: pending
                .load
                .tables
                .iter()
                .map(|load| load.table.name().to_owned())
                .collect(),
            rows: pending.rows,
            files: pending.files.len(),
            took,
            newest_record_ms: pending.newest_record_ms,
        };
        info!(
            rows = flushed.rows,
            files = flushed.files,
            elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "load committed"
        );
        Ok(Some(flushed))
    }

    /// Makes files of all rows that wait, and the load of those files.
    fn prepare(&mut self) -> Result<Option<Pending>, SinkError> {
        let mut tables = Vec::new();
        let mut files = Vec::new();
        let (mut rows, mut rows_of_first, mut newest_record_ms) = (0, 0, i64::MIN);
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
                if files.is_empty() {
                    rows_of_first = taken.offsets.len();
                }
                rows += taken.offsets.len();
                newest_record_ms = newest_record_ms.max(newest.unwrap_or(i64::MIN));
                files.push((path.clone(), bytes));
                let (expected, fence) = (assigned.loaded, assigned.fence);
                staged.push(StagedFile {
                    partition: *number,
                    path,
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
        if tables.is_empty() {
            return Ok(None);
        }
        let load = Load {
            objects: self.objects.clone(),
            tables,
        };
        Ok(Some(Pending {
            load,
            files,
            request: RequestId::new(),
            rows_of_first,
            rows,
            newest_record_ms,
        }))
    }

    /// Whether the warehouse reads the place that this sink writes. A stage elsewhere would look empty, and an empty
    /// file loads without an error.
    async fn look_at_stage(&self, pending: &Pending) -> Result<(), SinkError> {
        let (path, _) = pending.files.first().expect("a load has a file");
        let answer = self
            .client
            .execute(&self.objects.count_rows(path))
            .await
            .map_err(|source| SinkError::Warehouse {
                call: "reading the stage",
                source,
            })?;
        let seen = answer
            .rows
            .first()
            .and_then(|row| row.first())
            .and_then(Option::as_deref)
            .unwrap_or("no");
        if seen.parse() == Ok(pending.rows_of_first) {
            return Ok(());
        }
        let (stage, path) = (self.objects.stage.clone(), path.clone());
        Err(SinkError::NotOnStage {
            stage,
            path,
            seen: seen.to_owned(),
            written: pending.rows_of_first,
        })
    }

    /// Goes on from where the warehouse now stands.
    async fn settle(
        &mut self,
        pending: &Pending,
        outcomes: Vec<(Partition, Outcome)>,
    ) -> Result<(), SinkError> {
        let staged = pending.load.tables.iter().flat_map(|load| &load.files);
        let (mut fenced, mut done) = (Vec::new(), Vec::new());
        for ((at, outcome), file) in outcomes.into_iter().zip(staged) {
            match outcome {
                Outcome::Loaded | Outcome::AlreadyLoaded => {
                    self.assigned(&at.topic, at.number)?.loaded = file.new;
                    done.push(file.path.clone());
                }
                Outcome::Fenced => fenced.push(at),
            }
        }
        self.stage.remove_all(&done).await;
        if fenced.is_empty() {
            Ok(())
        } else {
            Err(SinkError::Fenced { partitions: fenced })
        }
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
