//! The way back of states: the committed records of changelog partitions in, the tables' states out.
//!
//! A partition is restored once it has been read, in every table, up to the end that its log had when the restore began, open
//! transactions included. One consumer reads all of them, a little at a time, so that whoever works in other partitions and
//! listens for the end of the process can do so meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use metrics::gauge;
use tracing::{info, warn};

use super::definition::Definition;
use super::outputs::{self, Remembered};
use super::snapshot::{Snapshots, Standing};
use super::state::{BadState, State};
use super::table::{STATE, Table};
use crate::broker::{
    Assignment, BrokerError, ChangelogReader, ChangelogRecord, Extent, Kafka, KafkaError,
    NextOffset, Partition, Polled,
};
use crate::crash;
use crate::sql::Column;
use crate::sql::decode::Decoder;

/// Restored records between two progress lines.
const PROGRESS_RECORDS: u64 = 250_000;

/// Time between two progress lines.
const PROGRESS_TIME: Duration = Duration::from_secs(5);

/// An open transaction of a dead producer ends after its time-out and the broker's next look, 20 s in all; more without
/// any progress means that the broker is not well.
const NO_PROGRESS: Duration = Duration::from_secs(60);

/// Most of the time between two calls that counts as waiting for the broker: the worker had other things to do as well.
const MOST_BETWEEN: Duration = Duration::from_secs(1);

/// A new leader of a partition may know its end a moment late.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two looks at such an end.
const END_INTERVAL: Duration = Duration::from_millis(200);

/// One look for a record.
const LOOK: Duration = Duration::from_millis(10);

/// Restores partitions of all gold tables.
pub(crate) struct Restore {
    /// With the identities of their topics.
    tables: Vec<(Arc<Definition>, String)>,
    snapshots: Snapshots,
    reader: ChangelogReader,
    under_way: Vec<Progress>,
    begun: BTreeSet<i32>,
    stalled: Duration,
    called: Instant,
    trouble: Option<KafkaError>,
}

/// One partition of one table.
struct Progress {
    table: usize,
    at: Partition,
    committed: Option<NextOffset>,
    /// Whether other tables were counted up to the committed position, and this one was not.
    left_out: bool,
    state: State,
    /// Keys that came from the local copy.
    copied: usize,
    keys: Decoder,
    extent: Extent,
    reads: bool,
    position: NextOffset,
    records: u64,
    started: Instant,
    said: Instant,
}

impl Restore {
    /// Connects; nothing is restored yet.
    ///
    /// # Errors
    /// A setting that is refused.
    pub(crate) fn new(
        kafka: &Kafka,
        tables: &[Table],
        snapshots: &Snapshots,
    ) -> Result<Self, BrokerError> {
        let known = |table: &Table| (Arc::clone(table.definition()), table.topic().to_owned());
        Ok(Self {
            tables: tables.iter().map(known).collect(),
            snapshots: snapshots.clone(),
            reader: ChangelogReader::connect(kafka)?,
            under_way: Vec::new(),
            begun: BTreeSet::new(),
            stalled: Duration::ZERO,
            called: Instant::now(),
            trouble: None,
        })
    }

    /// Begins to restore a partition that was assigned. To be called only once whoever had the partition before cannot write
    /// any more, since the end of its log is taken now.
    ///
    /// # Errors
    /// No broker, a query that cannot be prepared, or a topic that is not the one that was counted into.
    pub(crate) fn begin(&mut self, given: &Assignment) -> anyhow::Result<()> {
        let partition = given.partition;
        self.forget(partition)?;
        crash::point("gold", "restore.before");
        for table in 0..self.tables.len() {
            let progress = self.prepare(table, given)?;
            if progress.reads {
                self.reader.add(&progress.at, progress.position)?;
            }
            progress.show_left();
            info!(partition = %progress.at, copied = progress.copied, from = %progress.position, end = %progress.extent.end, "restore begins");
            self.under_way.push(progress);
        }
        self.begun.insert(partition);
        self.stalled = Duration::ZERO;
        Ok(())
    }

    fn prepare(&self, table: usize, given: &Assignment) -> anyhow::Result<Progress> {
        let partition = given.partition;
        let (definition, topic) = &self.tables[table];
        let query = definition.query();
        let at = Partition {
            topic: definition.name().to_owned(),
            number: partition,
        };
        let started = Instant::now();
        let remembered = outputs::remembered(&given.outputs, definition.name())?;
        let same = remembered
            .as_ref()
            .filter(|remembered| remembered.is_of(topic));
        let extent = self.extent(&at, same.map_or(NextOffset::START, Remembered::next))?;
        if let Some(remembered) = &remembered {
            remembered.check(&at, topic, extent)?;
        }
        let copy = self.snapshots.load(definition, topic, partition, extent);
        let copy = copy.unwrap_or_else(|reason| {
            warn!(partition = %at, %reason, "snapshot ignored, reading the whole topic");
            None
        });
        let (state, position) = match copy {
            Some(copy) => copy,
            None => (definition.empty_state()?, extent.start),
        };
        let key_columns: Vec<Column> = query
            .key()
            .iter()
            .map(|at| query.columns()[*at].clone())
            .collect();
        Ok(Progress {
            table,
            at,
            committed: given.committed,
            left_out: remembered.is_none() && !given.outputs.is_empty(),
            copied: state.len(),
            state,
            keys: Decoder::new(&key_columns),
            extent,
            reads: position < extent.end,
            position,
            records: 0,
            started,
            said: started,
        })
    }

    /// What the log holds; asked again for a moment when it ends before `next`, which it went to.
    fn extent(&self, at: &Partition, next: NextOffset) -> Result<Extent, BrokerError> {
        let deadline = Instant::now() + END_TIMEOUT;
        loop {
            let extent = self.reader.extent(at)?;
            if extent.end >= next || Instant::now() > deadline {
                return Ok(extent);
            }
            std::thread::sleep(END_INTERVAL);
        }
    }

    /// The partition is not this member's any more.
    ///
    /// # Errors
    /// When librdkafka refuses to read it no more.
    pub(crate) fn forget(&mut self, partition: i32) -> Result<(), BrokerError> {
        self.begun.remove(&partition);
        for progress in self
            .under_way
            .extract_if(.., |progress| progress.at.number == partition)
        {
            if progress.reads {
                self.reader.remove(&progress.at)?;
            }
        }
        Ok(())
    }

    /// Goes on for about `budget`; the partitions that are now restored in all tables.
    ///
    /// # Errors
    /// A changelog that this pipeline did not write, or no progress for a minute ([`BrokerError::Unavailable`]).
    pub(crate) fn advance(
        &mut self,
        tables: &mut [Table],
        budget: Duration,
    ) -> anyhow::Result<Vec<i32>> {
        if self.begun.is_empty() {
            self.called = Instant::now();
            return Ok(Vec::new());
        }
        crash::point("gold", "restore.step");
        let deadline = Instant::now() + budget;
        let mut moved = false;
        loop {
            moved |= self.look()?;
            self.finish(tables)?;
            if self.under_way.is_empty() || Instant::now() >= deadline {
                break;
            }
        }
        self.watch(moved)?;
        Ok(self.restored())
    }

    /// Takes over records until none comes for a moment, or there were many; whether anything got on.
    fn look(&mut self) -> Result<bool, anyhow::Error> {
        let mut last = 0;
        for taken in 0..10_000 {
            let change = match self.reader.poll(LOOK) {
                Polled::Record(change) => change,
                Polled::Moved => return Ok(self.move_on() || taken > 0),
                Polled::Nothing(trouble) => {
                    self.trouble = trouble.or(self.trouble.take());
                    return Ok(self.move_on() || taken > 0);
                }
            };
            // Records come in runs of one partition.
            if !self
                .under_way
                .get(last)
                .is_some_and(|one| one.is_of(&change))
            {
                let found = self.under_way.iter().position(|one| one.is_of(&change));
                let Some(found) = found else { continue };
                last = found;
            }
            let progress = &mut self.under_way[last];
            progress.take(&change)?;
            if progress.is_done() {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Positions may be ahead of the last record: after it came markers and aborted records only.
    fn move_on(&mut self) -> bool {
        let positions: BTreeMap<Partition, NextOffset> =
            self.reader.positions().into_iter().collect();
        let mut moved = false;
        for progress in &mut self.under_way {
            if let Some(position) = positions.get(&progress.at)
                && *position > progress.position
            {
                progress.position = *position;
                moved = true;
            }
        }
        moved
    }

    /// Hands over the states of what has been read to its end.
    fn finish(&mut self, tables: &mut [Table]) -> anyhow::Result<()> {
        for progress in self.under_way.extract_if(.., |progress| progress.is_done()) {
            if progress.reads {
                self.reader.remove(&progress.at)?;
            }
            let table = progress.table;
            let (partition, state, standing) = progress.restored()?;
            tables[table].take_over(partition, state, standing)?;
        }
        Ok(())
    }

    fn restored(&mut self) -> Vec<i32> {
        let under_way: BTreeSet<i32> = self.under_way.iter().map(|one| one.at.number).collect();
        let done: Vec<i32> = self.begun.difference(&under_way).copied().collect();
        self.begun.retain(|partition| under_way.contains(partition));
        if !done.is_empty() {
            crash::point("gold", "restore.after");
        }
        done
    }

    fn watch(&mut self, moved: bool) -> Result<(), BrokerError> {
        let since = std::mem::replace(&mut self.called, Instant::now()).elapsed();
        if moved {
            self.stalled = Duration::ZERO;
            self.trouble = None;
        } else {
            self.stalled += since.min(MOST_BETWEEN);
        }
        if self.stalled > NO_PROGRESS {
            return Err(self.reader.stalled(self.trouble.take()));
        }
        Ok(())
    }
}

impl Progress {
    fn is_of(&self, change: &ChangelogRecord<'_>) -> bool {
        self.at.number == change.partition() && self.at.topic == change.topic()
    }

    fn is_done(&self) -> bool {
        self.position >= self.extent.end
    }

    fn left(&self) -> u32 {
        let left = self.extent.end.get() - self.position.get();
        u32::try_from(left.max(0)).unwrap_or(u32::MAX)
    }

    /// In offsets, not all of which are records.
    fn show_left(&self) {
        let (table, partition) = (self.at.topic.clone(), self.at.number.to_string());
        gauge!("sluicebox_gold_restore_left", "table" => table, "partition" => partition)
            .set(f64::from(self.left()));
    }

    fn take(&mut self, change: &ChangelogRecord<'_>) -> anyhow::Result<()> {
        let offset = change.offset();
        if change.is_tombstone() {
            // The row is gone, so its key begins anew.
            self.state
                .remove(&mut self.keys, change.key())
                .with_context(|| format!("{} {offset}", self.at))?;
        } else {
            let header = change.header(STATE).ok_or(BadState::Missing);
            header
                .and_then(|header| self.state.restore(header))
                .map_err(|error| {
                    anyhow!(
                        "{} {offset}: {error}\nhint: only sluicebox may write to this topic; if the query or the version has changed, `sluicebox reset gold` computes the table anew from clean_events, or go back to what wrote the topic",
                        self.at
                    )
                })?;
        }
        self.position = NextOffset::after(offset);
        self.records += 1;
        if self.records.is_multiple_of(PROGRESS_RECORDS) || self.said.elapsed() > PROGRESS_TIME {
            self.said = Instant::now();
            self.show_left();
            info!(partition = %self.at, records = self.records, keys = self.state.len(), left = self.left(), "restoring");
        }
        Ok(())
    }

    /// States without a committed position would be counted on top of once more.
    fn restored(self) -> anyhow::Result<(i32, State, Standing)> {
        self.show_left();
        if self.committed.is_none() && self.state.len() > 0 {
            return Err(anyhow!(
                "{} has rows, but the group has no committed position to go on from\nhint: the group was deleted, or was idle for longer than the brokers keep positions; `sluicebox reset gold` counts everything anew",
                self.at
            ));
        }
        if self.left_out && self.state.len() > 0 {
            return Err(anyhow!(
                "{} has rows, but gold/{}.sql was not there when other tables were counted up to the committed position\nhint: `sluicebox reset gold` counts everything anew from clean_events; or give the file a new name",
                self.at,
                self.at.topic
            ));
        }
        if self.left_out {
            let hint = "`sluicebox reset gold` counts everything anew from clean_events";
            warn!(partition = %self.at, hint, "a new table, it counts from the committed position on");
        }
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(partition = %self.at, records = self.records, keys = self.state.len(), bytes = self.state.bytes(), ms, "restored");
        let standing = Standing {
            start: self.extent.start,
            next: self.position,
        };
        Ok((self.at.number, self.state, standing))
    }
}
