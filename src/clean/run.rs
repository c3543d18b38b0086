//! The loop of the clean job: poll a batch, judge it, write it in one transaction with its positions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::batch::{Cleaned, Cleaner, Fate};
use super::duplicates::Bounds;
use crate::broker::{
    Admin, Assignment, BrokerError, Commit, Kafka, NextOffset, Outgoing, Record, place_of,
};
use crate::rejected::{SOURCE, copied, headers};
use crate::sql::Pipeline;
use crate::status::{Job, Ledger, Status};
use crate::worker::{self, Member, Seat, Session, Work};

/// How often a transaction is tried again before the job gives up.
const MOST_TRIES: u32 = 5;

/// Records between two moments in which librdkafka may call back.
const SERVE_EVERY: usize = 4096;

/// What the job needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where raw events come from.
    pub raw: String,
    /// Where clean events go.
    pub clean: String,
    /// Where refused events go.
    pub rejected: String,
    /// The consumer group, and the stem of the transactional id.
    pub group: String,
    /// How far back duplicates are looked for.
    pub duplicates: Bounds,
    /// Most events in a transaction.
    pub batch_events: usize,
    /// Longest wait of an event for its batch to fill.
    pub batch_interval: Duration,
}

/// Works until `stop`; what was read by then is committed or read again by whoever comes next.
///
/// # Errors
/// What the job cannot get over: no broker at the start, a missing topic, positions that cannot be trusted.
pub fn run(
    config: &Config,
    member: &Member<'_>,
    kafka: &Kafka,
    pipeline: Arc<Pipeline>,
    status: &Status,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let seat = Seat {
        job: Job::Clean,
        thread: member.thread,
        slot: member.slot.to_owned(),
        group: config.group.clone(),
        topic: config.raw.clone(),
        outputs: vec![config.clean.clone(), config.rejected.clone()],
        batch_events: config.batch_events,
        batch_interval: config.batch_interval,
        look_back: config.duplicates.events,
        transactional: false,
    };
    let mut job = CleanJob {
        config,
        status,
        cleaner: Cleaner::new(pipeline, &config.raw, config.duplicates)
            .context("preparing the clean columns")?,
        committed: HashMap::new(),
        new: Vec::new(),
    };
    worker::run(&seat, kafka, &mut job, status, stop)
}

struct CleanJob<'a> {
    config: &'a Config,
    status: &'a Status,
    cleaner: Cleaner,
    /// The group's positions at the last assignment: what lies before was judged already.
    committed: HashMap<i32, i64>,
    /// Assigned and not yet read. There is nothing to restore: what has to be remembered is read again.
    new: Vec<i32>,
}

impl Work for CleanJob<'_> {
    fn check(&mut self, admin: &Admin) -> anyhow::Result<()> {
        for topic in [&self.config.clean, &self.config.rejected] {
            admin.require(topic)?;
        }
        Ok(())
    }

    fn assigned(&mut self, given: &[Assignment]) -> anyhow::Result<()> {
        for given in given {
            self.cleaner.forget(given.partition);
            let committed = given.committed.map_or(0, NextOffset::get);
            self.committed.insert(given.partition, committed);
            self.new.push(given.partition);
        }
        Ok(())
    }

    fn revoked(&mut self, partitions: &[i32]) -> anyhow::Result<()> {
        for partition in partitions {
            self.cleaner.forget(*partition);
            self.committed.remove(partition);
        }
        self.new.retain(|new| !partitions.contains(new));
        Ok(())
    }

    fn restore(&mut self, _budget: Duration) -> anyhow::Result<Vec<i32>> {
        Ok(std::mem::take(&mut self.new))
    }

    fn process(&mut self, session: &Session, records: &[Record<'_>]) -> anyhow::Result<()> {
        let started = Instant::now();
        let cleaned = commit_batch(
            self.config,
            session,
            &mut self.cleaner,
            records,
            &self.committed,
        )
        .with_context(|| format!("cleaning {}", place_of(records)))?;
        report(self.status, records, &cleaned, started.elapsed());
        Ok(())
    }
}

/// Judges and writes a batch; what can be tried again is, with the same verdicts.
fn commit_batch(
    config: &Config,
    session: &Session,
    cleaner: &mut Cleaner,
    records: &[Record<'_>],
    committed: &HashMap<i32, i64>,
) -> anyhow::Result<Cleaned> {
    let mut size = Sizes::default();
    let mut tries = 0;
    loop {
        let cleaned = cleaner.clean(records, committed, &size.too_large, now_us())?;
        if cleaned.fates.iter().all(|fate| *fate == Fate::Remembered) {
            cleaner.commit();
            return Ok(cleaned);
        }
        let error = match write(config, session, records, &cleaned, &size.alone) {
            Ok(()) => {
                cleaner.commit();
                return Ok(cleaned);
            }
            Err(error) => error,
        };
        cleaner.abort();
        match error {
            BrokerError::TooLarge { tags } => {
                session.producer.abort()?;
                size.refused(config, records, &cleaned, &tags)?;
            }
            BrokerError::Aborted { .. } if tries < MOST_TRIES => {
                tries += 1;
                warn!(%error, tries, "transaction aborted, trying again");
                session.producer.abort()?;
            }
            other => return Err(other.into()),
        }
    }
}

/// What is known of the events that the broker has refused as too large.
#[derive(Debug, Default)]
struct Sizes {
    /// Refused together with others, so each is tried in a request of its own.
    alone: HashSet<usize>,
    /// Refused alone: their clean event is what is too large.
    too_large: HashSet<(i32, i64)>,
}

impl Sizes {
    /// The broker refuses whole requests: a neighbour's size is no verdict on an event.
    fn refused(
        &mut self,
        config: &Config,
        records: &[Record<'_>],
        cleaned: &Cleaned,
        tags: &[usize],
    ) -> anyhow::Result<()> {
        for tag in tags {
            let record = &records[*tag];
            if tags.len() > 1 && self.alone.insert(*tag) {
                continue;
            }
            if !matches!(cleaned.fates[*tag], Fate::Clean { .. }) {
                let (topic, partition, offset) =
                    (record.topic(), record.partition(), record.offset());
                let place = format!(
                    "writing {topic}[{partition}] {offset} to {}",
                    config.rejected
                );
                return Err(BrokerError::TooLarge { tags: vec![*tag] }).context(place);
            }
            self.too_large.insert((record.partition(), record.offset()));
        }
        Ok(())
    }
}

/// One transaction: the clean events, the refused ones, the positions.
fn write(
    config: &Config,
    session: &Session,
    records: &[Record<'_>],
    cleaned: &Cleaned,
    alone: &HashSet<usize>,
) -> Result<(), BrokerError> {
    let Session { consumer, producer } = session;
    producer.begin()?;
    let mut positions: BTreeMap<i32, NextOffset> = BTreeMap::new();
    for (tag, (record, fate)) in records.iter().zip(&cleaned.fates).enumerate() {
        if *fate == Fate::Remembered {
            continue;
        }
        if let Some(outgoing) = outgoing(config, record, fate, cleaned, tag) {
            let alone = alone.contains(&tag);
            if alone {
                producer.settle()?;
            }
            producer.send(outgoing)?;
            if alone {
                producer.settle()?;
            }
        }
        positions.insert(record.partition(), NextOffset::after(record.offset()));
        if tag % SERVE_EVERY == 0 {
            producer.serve();
        }
    }
    let positions: Vec<(i32, NextOffset)> = positions.into_iter().collect();
    producer.commit(&Commit {
        positions: &positions,
        outputs: &BTreeMap::new(),
        consumer,
    })
}

/// What is written about a record; nothing about a duplicate.
fn outgoing<'a>(
    config: &'a Config,
    record: &'a Record<'_>,
    fate: &Fate,
    cleaned: &'a Cleaned,
    tag: usize,
) -> Option<Outgoing<'a>> {
    let timestamp_ms = record.timestamp_ms();
    match fate {
        Fate::Remembered | Fate::Duplicate => None,
        Fate::Clean { row } => {
            let key = cleaned.key(*row);
            Some(Outgoing {
                topic: &config.clean,
                // Without a key there is nothing to spread by, and the rows of the NULL key have to meet.
                partition: if key.is_none() { Some(0) } else { None },
                key,
                value: Some(cleaned.value(*row)),
                timestamp_ms,
                headers: copied(record).with(
                    SOURCE,
                    Some(format!("{}:{}", record.partition(), record.offset()).as_bytes()),
                ),
                tag,
            })
        }
        Fate::Rejected(reason) => Some(Outgoing {
            topic: &config.rejected,
            partition: None,
            key: record.key(),
            value: record.value(),
            timestamp_ms,
            headers: headers(record, Job::Clean.name(), reason),
            tag,
        }),
    }
}

/// One log line and one entry in the books for a batch.
fn report(status: &Status, records: &[Record<'_>], cleaned: &Cleaned, took: Duration) {
    let mut ledger: BTreeMap<i32, Ledger> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut total = Ledger::default();
    for (record, fate) in records.iter().zip(&cleaned.fates) {
        if *fate == Fate::Remembered {
            continue;
        }
        for slot in [ledger.entry(record.partition()).or_default(), &mut total] {
            slot.consumed += 1;
            match fate {
                Fate::Clean { .. } => slot.clean += 1,
                Fate::Duplicate => slot.duplicate += 1,
                Fate::Rejected(_) => slot.rejected += 1,
                Fate::Remembered => {}
            }
        }
        if let Fate::Rejected(reason) = fate {
            *reasons.entry(&reason.code).or_default() += 1;
        }
    }
    if total.consumed == 0 {
        info!(
            remembered = records.len(),
            "earlier events looked at again for duplicates"
        );
        return;
    }
    info!(
        consumed = total.consumed,
        clean = total.clean,
        rejected = ?reasons,
        duplicates = total.duplicate,
        ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "batch cleaned"
    );
    status.cleaned(&ledger, &reasons, took);
}

fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
