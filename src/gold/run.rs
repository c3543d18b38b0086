//! The loop of the gold job: poll a batch, merge it into the states, write the touched rows in one transaction with their
//! positions.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use arrow::array::RecordBatch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batch::CleanBatches;
use super::keep::Keep;
use super::outputs;
use super::restore::Restore;
use super::snapshot::Snapshots;
use super::table::{Merged, Table, positions};
use crate::broker::{
    Admin, Assignment, BrokerError, Commit, Kafka, Outgoing, Record, TransactionalProducer,
    place_of,
};
use crate::rejected::{Reason, headers};
use crate::sql::Pipeline;
use crate::status::{GoldTotals, Job, Status};
use crate::worker::{self, Member, Seat, Session, Work};

/// How often a transaction is tried again before the job gives up.
const MOST_TRIES: u32 = 5;

/// The tag of every copy in rejected_events; a gold row's is its number in its update. The highest bit is the producer's.
const COPY: usize = usize::MAX >> 1;

/// Longest time for copies of states when partitions go or the service stops, which it does within 10 s.
const LONGEST_SAVE: Duration = Duration::from_secs(4);

/// What the job needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clean events come from.
    pub clean: String,
    /// Where events go that a gold query fails on.
    pub rejected: String,
    /// The consumer group, and the stem of the transactional id.
    pub group: String,
    /// How long the keys of a table are kept, by its name; one that is not named keeps them for ever.
    pub keep: BTreeMap<String, Keep>,
    /// The folder of the local copies of states.
    pub snapshots: PathBuf,
    /// Between two copies of a state that changes.
    pub snapshot_interval: Duration,
    /// Most events in a transaction.
    pub batch_events: usize,
    /// Longest wait of an event for its batch to fill.
    pub batch_interval: Duration,
}

/// Works until `stop`; what was read by then is committed or read again by whoever comes next.
///
/// # Errors
/// What the job cannot get over: no broker at the start, a missing topic, a changelog of another query, positions that cannot
/// be trusted.
pub fn run(
    config: &Config,
    member: &Member<'_>,
    kafka: &Kafka,
    pipeline: &Arc<Pipeline>,
    status: &Status,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let seat = Seat {
        job: Job::Gold,
        thread: member.thread,
        slot: member.slot.to_owned(),
        group: config.group.clone(),
        topic: config.clean.clone(),
        outputs: pipeline.gold.iter().map(|gold| gold.name.clone()).collect(),
        batch_events: config.batch_events,
        batch_interval: config.batch_interval,
        look_back: 0,
        transactional: true,
    };
    let keep = |at: usize| config.keep.get(&pipeline.gold[at].name);
    let tables: Vec<Table> = (0..pipeline.gold.len())
        .map(|at| Table::new(pipeline, at, keep(at)))
        .collect::<anyhow::Result<_>>()?;
    let snapshots = Snapshots::new(&config.snapshots, member.thread);
    let mut job = GoldJob {
        config,
        kafka,
        restore: Restore::new(kafka, &tables, &snapshots)?,
        snapshots,
        status,
        thread: member.thread,
        batches: CleanBatches::new(pipeline.clean.columns()),
        tables,
    };
    worker::run(&seat, kafka, &mut job, status, stop)
}

struct GoldJob<'a> {
    config: &'a Config,
    kafka: &'a Kafka,
    status: &'a Status,
    thread: usize,
    restore: Restore,
    snapshots: Snapshots,
    batches: CleanBatches,
    tables: Vec<Table>,
}

/// What a batch changes: per table, then per partition.
type Updates = Vec<Vec<Merged>>;

impl Work for GoldJob<'_> {
    fn check(&mut self, admin: &Admin) -> anyhow::Result<()> {
        let inputs = admin.partitions(&self.config.clean)?;
        for table in &mut self.tables {
            let topic = table.name();
            let identity = admin.identity(topic)?;
            let outputs = identity.partitions;
            if inputs.is_some_and(|inputs| inputs != outputs) {
                bail!(
                    "topic {topic} has {outputs} partitions and {} has {}\nhint: a key's rows and its events share a partition number, so give both topics the same number",
                    self.config.clean,
                    inputs.unwrap_or_default()
                );
            }
            table.is_of(identity.to_string());
        }
        admin.require(&self.config.rejected)?;
        let names = self.tables.iter();
        outputs::check_length(names.map(|table| (table.name(), table.topic())))?;
        // What an earlier session was about to restore is void.
        self.restore = Restore::new(self.kafka, &self.tables, &self.snapshots)?;
        Ok(())
    }

    fn assigned(&mut self, given: &[Assignment]) -> anyhow::Result<()> {
        for given in given {
            self.restore.begin(given)?;
        }
        Ok(())
    }

    fn revoked(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        let deadline = Instant::now() + LONGEST_SAVE;
        for table in &mut self.tables {
            for partition in partitions {
                // Committed states only, so also of a place that was lost: what others wrote since is read on top.
                if Instant::now() < deadline {
                    table.save(&self.snapshots, *partition);
                }
                table.drop_state(*partition);
            }
        }
        for partition in partitions {
            self.restore.forget(*partition)?;
        }
        Ok(())
    }

    fn restore(&mut self, budget: Duration) -> anyhow::Result<Vec<i32>> {
        self.restore.advance(&mut self.tables, budget)
    }

    fn outputs(&self, partition: i32) -> String {
        remembered(&self.tables, partition)
    }

    fn process(&mut self, session: &Session, records: &[Record<'_>]) -> anyhow::Result<()> {
        let started = Instant::now();
        let updates = commit_batch(
            self.config,
            session,
            &mut self.batches,
            &mut self.tables,
            records,
        )
        .with_context(|| format!("counting {}", place_of(records)))?;
        self.report(records.len(), &updates, started.elapsed());
        // One at a time, so that events do not wait for all of them.
        let interval = self.config.snapshot_interval;
        for table in &mut self.tables {
            if table.save_next(&self.snapshots, interval) {
                break;
            }
        }
        Ok(())
    }
}

impl GoldJob<'_> {
    fn report(&self, batch: usize, updates: &Updates, took: Duration) {
        for (table, changes) in self.tables.iter().zip(updates) {
            let (keys, bytes) = table.size();
            let rejected: usize = changes.iter().map(|change| change.refused.len()).sum();
            let rows: usize = changes.iter().map(|change| change.update.len()).sum();
            let totals = GoldTotals {
                consumed: counted(batch.saturating_sub(rejected)),
                rejected: counted(rejected),
                rows: counted(rows),
                keys,
                bytes,
            };
            info!(
                table = table.name(),
                consumed = batch,
                rejected,
                rows,
                keys,
                ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "batch counted"
            );
            self.status
                .aggregated(table.name(), self.thread, totals, took);
        }
    }
}

fn counted(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Merges a batch into the states and writes what has changed; nothing of it stays in the states unless it is committed.
fn commit_batch(
    config: &Config,
    session: &Session,
    batches: &mut CleanBatches,
    tables: &mut [Table],
    records: &[Record<'_>],
) -> anyhow::Result<Updates> {
    let Session { consumer, producer } = session;
    let by_partition = batches.decode(records)?;
    let mut updates: Updates = Vec::with_capacity(tables.len());
    for table in tables.iter() {
        let changes = by_partition
            .iter()
            .map(|(partition, (rows, _))| table.merge(*partition, rows));
        updates.push(changes.collect::<anyhow::Result<_>>()?);
    }
    let mut last = HashMap::new();
    for record in records {
        last.insert(record.partition(), record.offset());
    }
    let positions = positions(&last);
    let outputs: BTreeMap<i32, String> = last
        .keys()
        .map(|partition| (*partition, remembered(tables, *partition)))
        .collect();
    let mut tries = 0;
    loop {
        producer.begin()?;
        let written = write(config, producer, tables, &updates, &by_partition).and_then(|()| {
            Ok(producer.commit(&Commit {
                positions: &positions,
                outputs: &outputs,
                consumer,
            })?)
        });
        let Err(error) = written else { break };
        match error.downcast::<BrokerError>()? {
            error @ BrokerError::Aborted { .. } if tries < MOST_TRIES => {
                tries += 1;
                warn!(%error, tries, "transaction aborted, trying again");
                producer.abort()?;
            }
            BrokerError::TooLarge { tags } => {
                producer.abort()?;
                return Err(too_large(&tags, &config.rejected));
            }
            error => return Err(error.into()),
        }
    }
    let delivered = producer.delivered();
    for (table, changes) in tables.iter_mut().zip(&updates) {
        for change in changes {
            table.apply(change, &delivered)?;
        }
    }
    Ok(updates)
}

/// What a position in this partition is to remember of all gold topics.
fn remembered(tables: &[Table], partition: i32) -> String {
    let all = tables
        .iter()
        .filter_map(|table| table.remembered(partition));
    all.collect::<Vec<_>>().join(",")
}

fn write(
    config: &Config,
    producer: &TransactionalProducer,
    tables: &[Table],
    updates: &Updates,
    by_partition: &BTreeMap<i32, (RecordBatch, Vec<&Record<'_>>)>,
) -> anyhow::Result<()> {
    for (table, changes) in tables.iter().zip(updates) {
        for change in changes {
            table.send(producer, change)?;
            let from = &by_partition[&change.partition].1;
            for (row, reason) in &change.refused {
                send_refused(config, producer, from[*row], reason)?;
            }
        }
    }
    Ok(())
}

/// The copy in rejected_events of an event that a gold query fails on; it stays in clean_events.
fn send_refused(
    config: &Config,
    producer: &TransactionalProducer,
    record: &Record<'_>,
    reason: &Reason,
) -> Result<(), BrokerError> {
    producer.send(Outgoing {
        topic: &config.rejected,
        partition: None,
        key: record.key(),
        value: record.value(),
        timestamp_ms: record.timestamp_ms(),
        headers: headers(record, Job::Gold.name(), reason),
        tag: COPY,
    })
}

/// What a refusal by size means; both kinds in one transaction are told one after the other.
fn too_large(tags: &[usize], rejected: &str) -> anyhow::Error {
    if tags.iter().all(|tag| *tag == COPY) {
        return anyhow!(
            "the copy of an event that a gold query refuses is larger than {rejected} takes\nhint: raise max.message.bytes of {rejected}: a rejected event needs the room of the clean one and its headers"
        );
    }
    anyhow!(
        "a gold row with its state is larger than its topic takes\nhint: raise max.message.bytes of the gold topics, or use an aggregate with a smaller state (approx_distinct rather than COUNT(DISTINCT))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_copy_is_not_taken_for_a_gold_row() {
        for (tags, expected) in [
            (&[COPY][..], "raise max.message.bytes of refused:"),
            (&[COPY, COPY], "raise max.message.bytes of refused:"),
            (&[0], "raise max.message.bytes of the gold topics"),
            (&[7, COPY], "raise max.message.bytes of the gold topics"),
        ] {
            let said = too_large(tags, "refused").to_string();
            let hint = said.lines().last().unwrap();
            assert!(
                hint.starts_with("hint: ") && hint.contains(expected),
                "{said}"
            );
        }
    }
}
