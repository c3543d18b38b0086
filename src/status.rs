//! What the jobs have done since the start: one place for the log, the metrics, the health checks and the demo's picture.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge, histogram};

/// The three jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Raw events to clean events.
    Clean,
    /// Clean events to gold rows.
    Gold,
    /// Rows to the warehouse.
    Sink,
}

impl Job {
    /// Its name in commands, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Gold => "gold",
            Self::Sink => "sink",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It connects, restores or waits for partitions.
    Starting,
    /// It works.
    Running,
    /// It cannot get on at the moment, and goes on trying.
    Delayed(String),
    /// It has ended.
    Stopped,
}

impl Stage {
    /// What a job's threads come to together: trouble first, then what is not done yet.
    fn weight(&self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Stopped => 1,
            Self::Starting => 2,
            Self::Delayed(_) => 3,
        }
    }
}

/// consumed = clean + rejected + duplicate, for one raw partition, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events read.
    pub consumed: u64,
    /// Events that were written to clean_events.
    pub clean: u64,
    /// Events that were written to rejected_events.
    pub rejected: u64,
    /// Events that were dropped because they had been there before.
    pub duplicate: u64,
}

impl Ledger {
    /// Whether the sum is right.
    pub fn balances(&self) -> bool {
        self.consumed == self.clean + self.rejected + self.duplicate
    }
}

/// A gold table since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GoldTotals {
    /// Clean events counted.
    pub consumed: u64,
    /// Clean events refused because the query fails on them.
    pub rejected: u64,
    /// Rows written to its topic.
    pub rows: u64,
    /// Keys in the state.
    pub keys: usize,
    /// Bytes of the state.
    pub bytes: usize,
}

/// The loads since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SinkTotals {
    /// Load transactions.
    pub loads: u64,
    /// Rows in them.
    pub rows: u64,
    /// From the newest loaded record's time to the end of its load.
    pub freshness: Option<Duration>,
}

/// Everything at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Per raw partition.
    pub ledger: BTreeMap<i32, Ledger>,
    /// Rejected events by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Per gold table.
    pub gold: BTreeMap<String, GoldTotals>,
    /// The loads.
    pub sink: SinkTotals,
    /// Per job that was started, over its threads.
    pub jobs: BTreeMap<Job, Stage>,
    /// Per thread of each job.
    threads: BTreeMap<(Job, usize), Stage>,
    /// Keys and bytes of each gold table, per thread.
    states: BTreeMap<(String, usize), (usize, usize)>,
}

impl Snapshot {
    /// The sum over the partitions.
    pub fn total(&self) -> Ledger {
        self.ledger
            .values()
            .fold(Ledger::default(), |sum, one| Ledger {
                consumed: sum.consumed + one.consumed,
                clean: sum.clean + one.clean,
                rejected: sum.rejected + one.rejected,
                duplicate: sum.duplicate + one.duplicate,
            })
    }

    /// Whether every job that was started works.
    pub fn ready(&self) -> bool {
        !self.jobs.is_empty() && self.jobs.values().all(|stage| *stage == Stage::Running)
    }
}

/// Shared by the jobs that write it and the pages that read it.
#[derive(Debug, Default)]
pub struct Status(Mutex<Snapshot>);

impl Status {
    /// All of it, as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// The stage of a job with one thread has changed.
    pub fn stage(&self, job: Job, stage: Stage) {
        self.stage_of(job, 0, stage);
    }

    /// The stage of one of a job's threads has changed. The job works when all of them do.
    pub fn stage_of(&self, job: Job, thread: usize, stage: Stage) {
        let mut all = self.lock();
        all.threads.insert((job, thread), stage);
        let stages = all.threads.range((job, 0)..=(job, usize::MAX));
        let worst = stages
            .map(|(_, stage)| stage)
            .max_by_key(|stage| stage.weight());
        let Some(worst) = worst.cloned() else { return };
        gauge!("sluicebox_job_running", "job" => job.name())
            .set(f64::from(u8::from(worst == Stage::Running)));
        all.jobs.insert(job, worst);
    }

    /// A batch of clean is committed.
    pub fn cleaned(
        &self,
        ledger: &BTreeMap<i32, Ledger>,
        reasons: &BTreeMap<&str, u64>,
        took: Duration,
    ) {
        let mut all = self.lock();
        for (partition, batch) in ledger {
            let slot = all.ledger.entry(*partition).or_default();
            slot.consumed += batch.consumed;
            slot.clean += batch.clean;
            slot.rejected += batch.rejected;
            slot.duplicate += batch.duplicate;
            let partition = partition.to_string();
            counter!("sluicebox_events_consumed_total", "partition" => partition.clone())
                .increment(batch.consumed);
            counter!("sluicebox_events_clean_total", "partition" => partition.clone())
                .increment(batch.clean);
            counter!("sluicebox_events_duplicate_total", "partition" => partition)
                .increment(batch.duplicate);
        }
        for (reason, events) in reasons {
            *all.reasons.entry((*reason).to_owned()).or_default() += events;
            counter!("sluicebox_events_rejected_total", "reason" => (*reason).to_owned())
                .increment(*events);
        }
        histogram!("sluicebox_batch_seconds", "job" => "clean").record(took.as_secs_f64());
    }

    /// A batch of a gold table is committed; keys and bytes are those of the thread's whole state.
    pub fn aggregated(&self, table: &str, thread: usize, batch: GoldTotals, took: Duration) {
        let mut all = self.lock();
        let state = (batch.keys, batch.bytes);
        all.states.insert((table.to_owned(), thread), state);
        let states = all.states.iter().filter(|((of, _), _)| of == table);
        let (keys, bytes) =
            states.fold((0, 0), |sum, (_, state)| (sum.0 + state.0, sum.1 + state.1));
        let slot = all.gold.entry(table.to_owned()).or_default();
        slot.consumed += batch.consumed;
        slot.rejected += batch.rejected;
        slot.rows += batch.rows;
        slot.keys = keys;
        slot.bytes = bytes;
        let table = table.to_owned();
        counter!("sluicebox_gold_events_total", "table" => table.clone()).increment(batch.consumed);
        counter!("sluicebox_gold_rejected_total", "table" => table.clone())
            .increment(batch.rejected);
        counter!("sluicebox_gold_rows_total", "table" => table.clone()).increment(batch.rows);
        gauge!("sluicebox_gold_state_keys", "table" => table.clone()).set(precise(keys));
        gauge!("sluicebox_gold_state_bytes", "table" => table).set(precise(bytes));
        histogram!("sluicebox_batch_seconds", "job" => "gold").record(took.as_secs_f64());
    }

    /// A load is done.
    pub fn loaded(&self, rows: u64, newest_ms: Option<i64>, took: Duration) {
        let mut all = self.lock();
        all.sink.loads += 1;
        all.sink.rows += rows;
        let freshness = newest_ms.and_then(age);
        counter!("sluicebox_loads_total").increment(1);
        counter!("sluicebox_load_rows_total").increment(rows);
        histogram!("sluicebox_batch_seconds", "job" => "sink").record(took.as_secs_f64());
        if let Some(freshness) = freshness {
            gauge!("sluicebox_freshness_seconds").set(freshness.as_secs_f64());
            all.sink.freshness = Some(freshness);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago a record's time was; None for one in the future.
fn age(timestamp_ms: i64) -> Option<Duration> {
    let at = UNIX_EPOCH + Duration::from_millis(timestamp_ms.try_into().ok()?);
    SystemTime::now().duration_since(at).ok()
}

fn precise(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_works_when_all_its_threads_do() {
        let status = Status::default();
        let stage = |thread, stage| {
            status.stage_of(Job::Clean, thread, stage);
            status.snapshot()
        };
        assert_eq!(stage(0, Stage::Running).jobs[&Job::Clean], Stage::Running);
        assert!(!stage(1, Stage::Starting).ready());
        let delayed = Stage::Delayed("no broker".to_owned());
        assert_eq!(stage(0, delayed.clone()).jobs[&Job::Clean], delayed);
        assert_eq!(stage(1, Stage::Running).jobs[&Job::Clean], delayed);
        assert!(stage(0, Stage::Running).ready());
        assert!(!stage(0, Stage::Stopped).ready());
    }

    #[test]
    fn a_gold_table_has_the_keys_of_all_threads() {
        let status = Status::default();
        let batch = |keys| GoldTotals {
            consumed: 10,
            keys,
            bytes: keys * 100,
            ..GoldTotals::default()
        };
        for (thread, keys) in [(0, 5), (1, 7), (0, 6)] {
            status.aggregated("daily", thread, batch(keys), Duration::ZERO);
        }
        let daily = status.snapshot().gold["daily"];
        assert_eq!((daily.consumed, daily.keys, daily.bytes), (30, 13, 1300));
    }
}
