//! The loop of clean and gold: join the group, poll, process, commit; and when the place in the group is lost, drop everything
//! and join anew.
//!
//! A session is one connected producer and consumer. What a job has in memory belongs to the partitions that the session gave
//! it, and goes with them. Before its first session a worker gives up when no broker answers: that is a wrong setting. After
//! it, it waits for the broker for as long as it takes.

mod ends;
mod patience;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use metrics::{counter, gauge};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::broker::{
    Admin, Assignment, BrokerError, Change, GroupConsumer, Identity, Kafka, NextOffset, Reading,
    Record, Remedy, TransactionalProducer,
};
use crate::status::{Job, Stage, Status};
use ends::Ends;
pub(crate) use patience::{LONG_SESSION, Patience, pause};

/// Longest time that restores have between two polls.
const RESTORE_SLICE: Duration = Duration::from_millis(100);

/// Between two questions whether the broker is back.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);

/// Longest wait for the clients of a session that was lost; what takes longer ends by itself beside the next session.
const LONGEST_CLOSE: Duration = Duration::from_secs(10);

/// Which worker this is, and what it works on.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) job: Job,
    /// Its number among the job's workers in this process.
    pub(crate) thread: usize,
    /// Names the process, the same after a restart.
    pub(crate) slot: String,
    /// The consumer group.
    pub(crate) group: String,
    /// The topic that is read.
    pub(crate) topic: String,
    /// The topics that hold what was made from it.
    pub(crate) outputs: Vec<String>,
    /// Most records in a batch.
    pub(crate) batch_events: usize,
    /// Longest wait of a record for its batch to fill.
    pub(crate) batch_interval: Duration,
    /// How far before the committed positions reading begins, in offsets.
    pub(crate) look_back: u64,
    /// Whether every record of the topic is of a transaction, as what the service writes is.
    pub(crate) transactional: bool,
}

/// Which of a job's workers one is.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Names the process, the same after a restart.
    pub slot: &'a str,
    /// Its number among the job's workers in this process.
    pub thread: usize,
}

/// The clients of a worker.
pub(crate) struct Session {
    pub(crate) consumer: GroupConsumer,
    pub(crate) producer: TransactionalProducer,
}

/// What a job does with what the loop brings.
pub(crate) trait Work {
    /// Looks at the topics before a member joins, and begins with nothing in hand.
    fn check(&mut self, admin: &Admin) -> anyhow::Result<()>;

    /// Partitions that are this member's from now on.
    fn assigned(&mut self, given: &[Assignment]) -> anyhow::Result<()>;

    /// Partitions that are not this member's any more: whatever is kept of them is dropped.
    fn revoked(&mut self, partitions: &[i32]) -> anyhow::Result<()>;

    /// Goes on with restoring for about `budget`; answers with the partitions that can be read from now on.
    fn restore(&mut self, budget: Duration) -> anyhow::Result<Vec<i32>>;

    /// What a position in this partition is to remember of the topics that hold what was made up to it; empty for nothing.
    fn outputs(&self, _partition: i32) -> String {
        String::new()
    }

    /// Processes and commits records of restored partitions. After an error nothing of them is kept.
    fn process(&mut self, session: &Session, records: &[Record<'_>]) -> anyhow::Result<()>;
}

/// Works until `stop`; what was read by then is committed, or read again by whoever comes next.
///
/// # Errors
/// What the job cannot get over: no broker at the start, and what only a person can mend.
pub(crate) fn run(
    seat: &Seat,
    kafka: &Kafka,
    work: &mut impl Work,
    status: &Status,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut worker = Worker {
        seat,
        kafka,
        status,
        stop,
        assigned: BTreeMap::new(),
        restoring: BTreeSet::new(),
        ends: Ends::default(),
        joined: false,
        lost: None,
        probed: Instant::now(),
        fruitful: false,
        worked_since: None,
    };
    let _span =
        tracing::info_span!("worker", job = seat.job.name(), thread = seat.thread).entered();
    worker.stage(Stage::Starting);
    let mut had_session = false;
    let mut patience = Patience::new();
    while !stop.is_cancelled() {
        let opened = worker.open(work);
        let ended = match opened {
            Ok(session) => {
                had_session = true;
                let ended = worker.session(&session, work);
                worker.drop_all(work);
                close(session);
                ended
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { break };
        let worked = worker.worked_since.take();
        let long = worked.is_some_and(|since| since.elapsed() >= LONG_SESSION);
        let fruitful = std::mem::take(&mut worker.fruitful) || long;
        let remedy = remedy_of(&error).filter(|_| had_session);
        let Some(wait) = remedy.and_then(|remedy| patience.after(remedy, fruitful)) else {
            return Err(error);
        };
        counter!("sluicebox_rejoins_total", "job" => seat.job.name()).increment(1);
        worker.say_lost(&error);
        pause(wait, stop);
    }
    worker.stage(Stage::Stopped);
    Ok(())
}

/// What to do about an error; None for one that is not the broker's.
fn remedy_of(error: &anyhow::Error) -> Option<Remedy> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<BrokerError>())
        .map(BrokerError::remedy)
}

/// The close of a consumer asks the broker; it is not waited for longer than is useful.
pub(crate) fn close<T: Send + 'static>(clients: T) {
    let (done, closed) = std::sync::mpsc::channel::<()>();
    let closing = std::thread::Builder::new()
        .name("closing".to_owned())
        .spawn(move || {
            drop(clients);
            drop(done);
        });
    if closing.is_ok() {
        // Ends with an error either way: the sender is dropped, or the time is over.
        let _ = closed.recv_timeout(LONGEST_CLOSE);
    }
}

struct Worker<'a> {
    seat: &'a Seat,
    kafka: &'a Kafka,
    status: &'a Status,
    stop: &'a CancellationToken,
    /// The partitions that are this member's, each with the position that the group has committed.
    assigned: BTreeMap<i32, i64>,
    restoring: BTreeSet<i32>,
    ends: Ends,
    /// Whether the group has said what this member is given, be it nothing.
    joined: bool,
    /// Since when the worker cannot get on, once that was said.
    lost: Option<Instant>,
    probed: Instant,
    /// Whether the session has committed anything.
    fruitful: bool,
    /// Since when nothing is left to be restored in this session.
    worked_since: Option<Instant>,
}

impl Worker<'_> {
    fn open(&self, work: &mut impl Work) -> anyhow::Result<Session> {
        let seat = self.seat;
        let admin = Admin::connect(self.kafka)?;
        work.check(&admin)?;
        let identity: Identity = admin.identity(&seat.topic)?;
        let member = format!("{}-{}", seat.slot, seat.thread);
        let producer = TransactionalProducer::connect(
            self.kafka,
            seat.job.name(),
            &format!("{}-{member}", seat.group),
        )?;
        let reading = Reading {
            group: &seat.group,
            member: &member,
            topic: &seat.topic,
            identity: &identity,
            outputs: &seat.outputs,
            look_back: seat.look_back,
            transactional: seat.transactional,
        };
        let consumer = GroupConsumer::join(self.kafka, &reading)?;
        Ok(Session { consumer, producer })
    }

    fn session(&mut self, session: &Session, work: &mut impl Work) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            self.step(session, work)?;
        }
        Ok(())
    }

    fn step(&mut self, session: &Session, work: &mut impl Work) -> anyhow::Result<()> {
        let consumer = &session.consumer;
        let wait = if self.restoring.is_empty() {
            self.seat.batch_interval
        } else {
            Duration::ZERO
        };
        let polled = consumer.poll(self.seat.batch_events, wait, self.stop)?;
        for change in polled.changes {
            self.apply(change, consumer, work)?;
        }
        if !self.restoring.is_empty() {
            let restored = work.restore(RESTORE_SLICE)?;
            if !restored.is_empty() {
                consumer.resume(&restored)?;
                for partition in restored {
                    self.restoring.remove(&partition);
                }
                self.settle();
            }
        }
        if !polled.records.is_empty() {
            work.process(session, &polled.records)?;
            self.fruitful = true;
            for record in &polled.records {
                // What is read again to be remembered lies before the committed position.
                if let Some(committed) = self.assigned.get_mut(&record.partition()) {
                    *committed = (*committed).max(NextOffset::after(record.offset()).get());
                }
                self.ends.written(record.partition());
            }
        }
        self.ends.reached(
            polled
                .ended
                .into_iter()
                .filter(|ended| !self.restoring.contains(ended)),
        );
        let outputs = |partition| work.outputs(partition);
        self.ends
            .commit(session, &mut self.assigned, &self.restoring, outputs)?;
        for (partition, end) in consumer.ends() {
            if let Some(committed) = self.assigned.get(&partition) {
                self.show_lag(partition, end - committed);
            }
        }
        self.look_after(consumer);
        Ok(())
    }

    fn apply(
        &mut self,
        change: Change,
        consumer: &GroupConsumer,
        work: &mut impl Work,
    ) -> anyhow::Result<()> {
        match change {
            Change::Revoked(partitions) => {
                info!(?partitions, "partitions revoked");
                work.revoked(&partitions)?;
                for partition in &partitions {
                    self.assigned.remove(partition);
                    self.restoring.remove(partition);
                    self.ends.forget(*partition);
                    self.show_lag(*partition, 0);
                }
                if consumer.is_eager() {
                    // All of them went, and what comes back is still to be said.
                    self.joined = false;
                    self.stage(Stage::Starting);
                }
            }
            Change::Assigned(partitions) => {
                info!(?partitions, "partitions assigned");
                let given = consumer.take_up(&partitions)?;
                self.joined = true;
                for given in &given {
                    self.assigned.insert(given.partition, given.position.get());
                    if given.is_unwritten {
                        self.ends.unwritten(given.partition);
                    }
                }
                self.restoring.extend(&partitions);
                work.assigned(&given)?;
                if !partitions.is_empty() {
                    self.worked_since = None;
                    self.stage(Stage::Starting);
                }
            }
            Change::Failed(source) => {
                let call = "a rebalance";
                return Err(BrokerError::Lost { call, source })
                    .with_context(|| format!("joining the group {}", self.seat.group));
            }
        }
        self.settle();
        Ok(())
    }

    /// The worker works when the group has given it its partitions and nothing is left to be restored, and be it that it got
    /// none.
    fn settle(&mut self) {
        if !self.joined || !self.restoring.is_empty() {
            return;
        }
        self.worked_since.get_or_insert_with(Instant::now);
        if let Some(since) = self.lost.take() {
            info!(after_ms = millis(since), "kafka answers again, working on");
        }
        self.stage(Stage::Running);
    }

    /// Says when no broker answers any more, and when one does again.
    fn look_after(&mut self, consumer: &GroupConsumer) {
        if self.lost.is_none() {
            if let Some(trouble) = consumer.trouble() {
                self.say_lost(&trouble.into());
                self.probed = Instant::now();
            }
        } else if self.probed.elapsed() > BETWEEN_PROBES {
            self.probed = Instant::now();
            if consumer.answers() {
                self.settle();
            }
        }
    }

    fn drop_all(&mut self, work: &mut impl Work) {
        let partitions: Vec<i32> = std::mem::take(&mut self.assigned).into_keys().collect();
        if let Err(error) = work.revoked(&partitions) {
            debug!(
                error = format!("{error:#}"),
                "a restore was not ended cleanly"
            );
        }
        self.restoring.clear();
        self.ends = Ends::default();
        self.joined = false;
    }

    /// As `kafka-consumer-groups` counts it: from the committed position to the end of the log, markers included.
    fn show_lag(&self, partition: i32, lag: i64) {
        let job = self.seat.job.name();
        gauge!("sluicebox_lag_records", "job" => job, "partition" => partition.to_string())
            .set(f64::from(u32::try_from(lag.max(0)).unwrap_or(u32::MAX)));
    }

    /// One line when it begins.
    fn say_lost(&mut self, error: &anyhow::Error) {
        if self.lost.is_some() {
            debug!(error = format!("{error:#}"), "still not back");
            return;
        }
        self.lost = Some(Instant::now());
        let hint = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<BrokerError>())
            .map(BrokerError::hint);
        warn!(
            error = format!("{error:#}"),
            hint, "cannot go on, trying again until it works"
        );
        self.stage(Stage::Delayed(format!("{error:#}")));
    }

    fn stage(&self, stage: Stage) {
        let delayed = matches!(stage, Stage::Delayed(_) | Stage::Stopped);
        // Until it is over, the reason is worth more than what is done about it.
        if delayed || self.lost.is_none() {
            self.status.stage_of(self.seat.job, self.seat.thread, stage);
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
