//! The loop of the gold job: poll a batch, merge it into the states, write the touched rows in one transaction with their
//! positions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batch::CleanBatches;
use super::restore::Restore;
use super::table::{Merged, Table, positions};
use crate::broker::{
    Admin, BrokerError, Change, Commit, GroupConsumer, Kafka, Outgoing, Record,
    TransactionalProducer, place_of,
};
use crate::rejected::{Reason, headers};
use crate::sql::Pipeline;
use crate::status::{GoldTotals, Job, Stage, Status};

/// How often a transaction is tried again before the job gives up.
const MOST_TRIES: u32 = 5;

/// How long a restore goes on before anything else is looked at.
const RESTORE_STEP: Duration = Duration::from_millis(100);

/// What the job needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clean events come from.
    pub clean: String,
    /// Where events go that a gold query fails on.
    pub rejected: String,
    /// The consumer group, and the stem of the transactional id.
    pub group: String,
    /// Most events in a transaction.
    pub batch_events: usize,
    /// Longest wait of an event for its batch to fill.
    pub batch_interval: Duration,
}

/// Works until `stop`; what was read by then is committed or read again by whoever comes next.
///
/// # Errors
/// What the job cannot get over: no broker at the start, a missing topic, a changelog of another query, a fenced producer.
pub fn run(
    config: &Config,
    kafka: &Kafka,
    pipeline: &Arc<Pipeline>,
    status: &Status,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    status.stage(Job::Gold, Stage::Starting);
    let mut job = GoldJob::start(config, kafka, pipeline)?;
    while !stop.is_cancelled() {
        job.step(status)?;
    }
    status.stage(Job::Gold, Stage::Stopped);
    Ok(())
}

struct GoldJob<'a> {
    config: &'a Config,
    restore: Restore,
    consumer: GroupConsumer,
    producer: TransactionalProducer,
    batches: CleanBatches,
    tables: Vec<Table>,
}

/// What a batch changes: per table, then per partition.
type Updates = Vec<Vec<Merged>>;

impl<'a> GoldJob<'a> {
    fn start(
        config: &'a Config,
        kafka: &'a Kafka,
        pipeline: &Arc<Pipeline>,
    ) -> anyhow::Result<Self> {
        let admin = Admin::connect(kafka)?;
        let inputs = admin.partitions(&config.clean)?;
        for table in &pipeline.gold {
            let topic = &table.name;
            let outputs = admin.require(topic)?;
            if inputs.is_some_and(|inputs| inputs != outputs) {
                anyhow::bail!(
                    "topic {topic} has {outputs} partitions and {} has {}\nhint: a key's rows and its events share a partition number, so give both topics the same number",
                    config.clean,
                    inputs.unwrap_or_default()
                );
            }
        }
        admin.require(&config.rejected)?;
        let producer = TransactionalProducer::connect(kafka, &format!("{}-0", config.group))?;
        let consumer = GroupConsumer::join(kafka, &config.group, &config.clean, 0)?;
        let tables = (0..pipeline.gold.len())
            .map(|at| Table::new(pipeline, at))
            .collect::<anyhow::Result<_>>()?;
        let batches = CleanBatches::new(pipeline.clean.columns());
        Ok(Self {
            config,
            restore: Restore::new(kafka, pipeline)?,
            consumer,
            producer,
            batches,
            tables,
        })
    }

    fn step(&mut self, status: &Status) -> anyhow::Result<()> {
        let records = self
            .consumer
            .poll(self.config.batch_events, self.config.batch_interval)?;
        if let Some(trouble) = self.consumer.trouble() {
            warn!(error = %trouble, hint = trouble.hint(), "kafka trouble");
        }
        let changes = self.consumer.changes();
        if !changes.is_empty() {
            status.stage(Job::Gold, Stage::Starting);
            let assigned = changes
                .iter()
                .any(|change| matches!(change, Change::Assigned(_)));
            rebalance(&mut self.tables, &mut self.restore, changes)?;
            if assigned {
                status.stage(Job::Gold, Stage::Running);
            }
            return Ok(());
        }
        if records.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let updates = commit_batch(
            self.config,
            &self.consumer,
            &self.producer,
            &mut self.batches,
            &mut self.tables,
            &records,
        )
        .with_context(|| format!("counting {}", place_of(&records)))?;
        self.report(status, records.len(), &updates, started.elapsed());
        Ok(())
    }

    fn report(&self, status: &Status, batch: usize, updates: &Updates, took: Duration) {
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
            status.aggregated(table.name(), totals, took);
        }
    }
}

fn counted(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn rebalance(
    tables: &mut [Table],
    restore: &mut Restore,
    changes: Vec<Change>,
) -> anyhow::Result<()> {
    for change in changes {
        match change {
            Change::Revoked(partitions) => {
                info!(?partitions, "partitions revoked");
                for partition in &partitions {
                    restore.forget(*partition)?;
                }
                for table in tables.iter_mut() {
                    partitions
                        .iter()
                        .for_each(|partition| table.drop_state(*partition));
                }
            }
            Change::Assigned(assignments) => {
                let mut left = assignments.len();
                for given in assignments {
                    restore.begin(given.partition, given.committed)?;
                }
                while left > 0 {
                    left -= restore.advance(tables, RESTORE_STEP)?.len();
                }
            }
            Change::Failed(error) => {
                return Err(error).context("joining the group of the gold job");
            }
        }
    }
    Ok(())
}

/// Merges a batch into the states and writes what has changed; nothing of it stays in the states unless it is committed.
fn commit_batch(
    config: &Config,
    consumer: &GroupConsumer,
    producer: &TransactionalProducer,
    batches: &mut CleanBatches,
    tables: &mut [Table],
    records: &[Record<'_>],
) -> anyhow::Result<Updates> {
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
    let mut tries = 0;
    loop {
        producer.begin()?;
        let written = write(config, producer, tables, &updates, &by_partition).and_then(|()| {
            Ok(producer.commit(&Commit {
                positions: &positions,
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
            BrokerError::TooLarge { .. } => {
                producer.abort()?;
                bail!(
                    "a gold row with its state is larger than its topic takes\nhint: raise max.message.bytes of the gold topics, or use an aggregate with a smaller state (approx_distinct rather than COUNT(DISTINCT))"
                );
            }
            error => return Err(error.into()),
        }
    }
    for (table, changes) in tables.iter_mut().zip(&updates) {
        changes.iter().for_each(|change| table.apply(change));
    }
    Ok(updates)
}

fn write(
    config: &Config,
    producer: &TransactionalProducer,
    tables: &mut [Table],
    updates: &Updates,
    by_partition: &BTreeMap<i32, (RecordBatch, Vec<&Record<'_>>)>,
) -> anyhow::Result<()> {
    for (table, changes) in tables.iter_mut().zip(updates) {
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
        tag: 0,
    })
}
