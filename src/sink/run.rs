//! The sink's loop: take over what the group gives, read, push, load when it is time; from the warehouse's position until it is
//! told to stop.
//!
//! What is sent to the warehouse runs beside the loop, one thing at a time, so that the group is answered and records are read
//! while the warehouse thinks or is down. As much waits as one load takes, then nothing is read any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::buffer::Record;
use super::control::ControlRow;
use super::loader::{Claim, Loaded, Pending};
use super::look::Found;
use super::position::start_offset;
use super::trouble::{News, Trouble, Who};
use super::{Flushed, Sink, SinkError};
use super::{lag, look};
use crate::broker::{
    self, Admin, BrokerError, GroupMember, Held, Met, Partition, PartitionReader, Share,
};
use crate::crash;

mod end;

/// Most records between two looks at the clock.
const MOST_AT_ONCE: usize = 10_000;

/// Longest wait for a record: how soon a stop, a rebalance or a load that is due is noticed.
const LONGEST_POLL: Duration = Duration::from_millis(100);

/// Between two looks at how far the ends of the topics are.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// What the loop has to tell a status page.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The first partitions are taken over; reading begins.
    Started,
    /// Rows were loaded.
    Flushed(&'a Flushed),
    /// The warehouse takes nothing or Kafka does not answer, and that for a while; it is tried on.
    Delayed(String),
    /// Both work again.
    Recovered,
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Kafka could not be read.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Rows could not be loaded.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl RunError {
    /// What can be done about it, where anything can.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Broker(error) => Some(error.hint()),
            Self::Sink(error) => error.hint(),
        }
    }
}

/// Something that was sent to the warehouse, and what came of it.
enum Sent {
    Claim(Result<Vec<(ControlRow, Held)>, SinkError>),
    Load(Arc<Pending>, Result<Loaded, SinkError>),
}

/// What the loop works with.
pub struct Parts<'a> {
    /// What waits.
    pub sink: &'a mut Sink,
    /// Says which partitions are this sink's.
    pub member: &'a GroupMember,
    /// Reads them.
    pub reader: &'a Arc<PartitionReader>,
    /// Says which topics they are of.
    pub admin: &'a Arc<Admin>,
    /// Where the calls to the warehouse run.
    pub runtime: &'a Handle,
    /// Told what happens.
    pub report: &'a mut dyn FnMut(Progress<'_>),
}

struct Work<'a> {
    parts: Parts<'a>,
    /// What the group gave and the warehouse does not know of yet.
    wanted: BTreeSet<Partition>,
    /// What the broker is asked about the partitions that are wanted, and what it has said.
    looks: JoinSet<Result<BTreeMap<Partition, Found>, SinkError>>,
    found: BTreeMap<Partition, Found>,
    claim: Option<Arc<Claim>>,
    /// At most one thing at a time.
    sent: JoinSet<Sent>,
    sent_at: Instant,
    warehouse: Trouble,
    kafka: Trouble,
    started: bool,
    /// Whether anything was loaded.
    has_loaded: bool,
    next_look: Instant,
}

/// Loads until `stop`; then what waits is loaded once more. Blocks: it wants a thread of its own, outside of the runtime.
pub fn run(parts: Parts<'_>, stop: &CancellationToken) -> Result<(), RunError> {
    let mut work = Work::new(parts);
    while !stop.is_cancelled() {
        work.turn()?;
    }
    work.end()
}

impl<'a> Work<'a> {
    fn new(parts: Parts<'a>) -> Self {
        let now = Instant::now();
        Self {
            parts,
            wanted: BTreeSet::new(),
            looks: JoinSet::new(),
            found: BTreeMap::new(),
            claim: None,
            sent: JoinSet::new(),
            sent_at: now,
            warehouse: Trouble::none(Who::Warehouse),
            kafka: Trouble::none(Who::Kafka),
            started: false,
            has_loaded: false,
            next_look: now,
        }
    }
}

impl Work<'_> {
    /// Everything once, without waiting for long.
    fn turn(&mut self) -> Result<(), RunError> {
        let full = self.parts.sink.is_full();
        let wait = if full { LONGEST_POLL } else { Duration::ZERO };
        self.follow_the_group(wait)?;
        if let Some(sent) = self.sent.try_join_next() {
            self.settle(sent.expect("a call to the warehouse does not panic"))?;
        }
        self.look()?;
        let now = Instant::now();
        if !self.sent.is_empty() {
            self.warehouse.running(self.sent_at, now);
        } else if self.warehouse.may_try(now) {
            self.send(self.parts.sink.should_flush(now))?;
        }
        if !full {
            self.read()?;
        }
        if now >= self.next_look {
            self.next_look = now + BETWEEN_LOOKS;
            self.look_at_the_ends();
            self.publish();
        }
        self.tell(now);
        Ok(())
    }

    /// Says what there is to say of trouble.
    fn tell(&mut self, now: Instant) {
        for trouble in [&mut self.warehouse, &mut self.kafka] {
            if let Some(News::Trouble(what)) = trouble.news(now) {
                (self.parts.report)(Progress::Delayed(what));
            }
        }
        let lasts = self.warehouse.lasts(now).max(self.kafka.lasts(now));
        gauge!("sluicebox_sink_delayed_seconds").set(lasts.unwrap_or_default().as_secs_f64());
    }

    /// Trouble is over; there may be other trouble.
    fn over(&mut self, news: Option<&News>) {
        if news == Some(&News::Over) {
            let other = self.warehouse.told().or_else(|| self.kafka.told());
            (self.parts.report)(other.map_or(Progress::Recovered, Progress::Delayed));
        }
    }

    /// How far the ends of the topics are. librdkafka goes on trying by itself when no broker answers, and so it is here that
    /// this is noticed; but only what is to be claimed says that the trouble with a claim is over.
    fn look_at_the_ends(&mut self) {
        match lag::show(self.parts.sink, self.parts.reader) {
            Err(error) => self.kafka.failed(&SinkError::from(error), Instant::now()),
            Ok(()) if self.wanted.is_empty() || !self.found.is_empty() => {
                let news = self.kafka.worked(Instant::now());
                self.over(news.as_ref());
            }
            Ok(()) => {}
        }
    }

    /// Asks about the partitions that are wanted, beside the loop.
    fn look(&mut self) -> Result<(), RunError> {
        if let Some(looked) = self.looks.try_join_next() {
            match looked.expect("a look does not panic") {
                Ok(found) => {
                    self.found = found;
                    let news = self.kafka.worked(Instant::now());
                    self.over(news.as_ref());
                }
                Err(error) => self.failed(error)?,
            }
        }
        let claiming = self.claim.is_some() && !self.sent.is_empty();
        let asked = self.wanted.iter().eq(self.found.keys()) || !self.looks.is_empty();
        if !claiming && !asked && self.kafka.may_try(Instant::now()) {
            let (admin, reader) = (self.parts.admin, self.parts.reader);
            let looking = look::look(Arc::clone(admin), Arc::clone(reader), self.wanted.clone());
            self.looks.spawn_on(looking, self.parts.runtime);
        }
        Ok(())
    }

    /// Takes what the group gives and gives up what it takes.
    fn follow_the_group(&mut self, wait: Duration) -> Result<(), RunError> {
        for share in self.parts.member.poll(wait)? {
            match share {
                Share::Assigned(given) => {
                    info!(partitions = given.len(), "partitions given by the group");
                    self.wanted.extend(given);
                    self.say_started();
                }
                Share::Revoked(gone) => {
                    info!(partitions = gone.len(), "partitions taken by the group");
                    self.release(&gone)?;
                }
            }
        }
        Ok(())
    }

    fn release(&mut self, gone: &[Partition]) -> Result<(), RunError> {
        self.wanted.retain(|at| !gone.contains(at));
        self.parts.sink.release(gone);
        lag::forget(gone);
        Ok(self.parts.reader.assign(&self.parts.sink.read())?)
    }

    /// A member may have been given nothing, which is as good a start as any.
    fn say_started(&mut self) {
        if !self.started && self.wanted.is_empty() {
            self.started = true;
            (self.parts.report)(Progress::Started);
        }
    }

    /// Sends the next thing: what was given is taken over before anything else is loaded.
    fn send(&mut self, load: bool) -> Result<(), RunError> {
        let loader = self.parts.sink.loader();
        if !self.wanted.is_empty() && self.wanted.iter().eq(self.found.keys()) {
            let claim = self.parts.sink.claim(&std::mem::take(&mut self.found))?;
            let same = self
                .claim
                .take()
                .filter(|same| same.partitions == claim.partitions);
            let claim = same.unwrap_or_else(|| Arc::new(claim));
            self.claim = Some(Arc::clone(&claim));
            let reader = Arc::clone(self.parts.reader);
            let call = async move {
                Sent::Claim(match loader.raise(&claim).await {
                    Ok(rows) => look::held(reader, rows).await,
                    Err(error) => Err(error),
                })
            };
            self.sent.spawn_on(call, self.parts.runtime);
        } else if load && let Some(pending) = self.parts.sink.begin()? {
            let call = async move {
                let loaded = loader.load(&pending).await;
                Sent::Load(pending, loaded)
            };
            self.sent.spawn_on(call, self.parts.runtime);
        }
        self.sent_at = Instant::now();
        Ok(())
    }

    fn settle(&mut self, sent: Sent) -> Result<(), RunError> {
        let settled = match sent {
            Sent::Claim(Ok(rows)) => self.begin_reading(&rows),
            Sent::Load(pending, Ok(loaded)) => self.loaded(&pending, &loaded),
            Sent::Claim(Err(error)) | Sent::Load(_, Err(error)) => return self.failed(error),
        };
        settled?;
        let news = self.warehouse.worked(Instant::now());
        self.over(news.as_ref());
        Ok(())
    }

    /// What may work later is tried again.
    fn failed(&mut self, error: SinkError) -> Result<(), RunError> {
        match error {
            SinkError::Broker(broker) if matches!(*broker, BrokerError::Unavailable { .. }) => {
                // What is asked under the claim's id once more would be answered as before, and others may have loaded meanwhile.
                self.claim = None;
                self.kafka
                    .failed(&SinkError::Broker(broker), Instant::now());
            }
            SinkError::Broker(broker) => return Err((*broker).into()),
            error if error.is_transient() => self.warehouse.failed(&error, Instant::now()),
            // It took the key before: whoever took it back, or set a clock, can undo that while this goes on.
            error if self.started && error.is_about_the_token() => {
                self.warehouse.failed(&error, Instant::now());
            }
            error => return Err(error.into()),
        }
        Ok(())
    }

    /// The fences are raised: reads on from where the warehouse stands.
    fn begin_reading(&mut self, rows: &[(ControlRow, Held)]) -> Result<(), RunError> {
        self.claim = None;
        for (row, held) in rows {
            // Given up meanwhile: whoever has it raises the fence again.
            if !self.wanted.contains(&row.at) {
                continue;
            }
            let start = start_offset(held, row.next_offset).map_err(SinkError::from)?;
            self.parts.sink.assign(row, start)?;
            self.wanted.remove(&row.at);
        }
        self.parts.reader.assign(&self.parts.sink.read())?;
        self.say_started();
        self.publish();
        Ok(())
    }

    fn loaded(&mut self, pending: &Arc<Pending>, loaded: &Loaded) -> Result<(), RunError> {
        let settled = self.parts.sink.settle(pending, loaded);
        if settled.flushed.files > 0 {
            self.has_loaded = true;
            (self.parts.report)(Progress::Flushed(&settled.flushed));
            self.publish();
        }
        if settled.fenced.is_empty() {
            return Ok(());
        }
        // The group may not have said so yet, e.g. because this process was frozen; or a sink of another group works here too.
        let partitions: Vec<_> = settled.fenced.iter().map(Partition::to_string).collect();
        warn!(
            ?partitions,
            "another sink has taken partitions over: what waited of them is dropped, joining the group again"
        );
        self.release(&settled.fenced)?;
        Ok(self.parts.member.rejoin()?)
    }

    /// Reads what comes until there is enough or nothing.
    fn read(&mut self) -> Result<(), RunError> {
        let sink = &mut *self.parts.sink;
        self.parts
            .reader
            .poll(MOST_AT_ONCE, LONGEST_POLL, |met| match met {
                Met::Record(record) => push(sink, &record),
                Met::Reached(at, position) if sink.has(&at.topic, at.number) => sink
                    .reached(&at.topic, at.number, position)
                    .map_err(RunError::from),
                Met::Reached(..) => Ok(()),
            })
    }

    fn publish(&self) {
        crash::point("sink", "offsets.before");
        let done = self.parts.sink.done();
        if !done.is_empty()
            && let Err(error) = self.parts.member.publish(&done)
        {
            warn!(%error, "group offsets not written, lag tools see old ones");
        }
        crash::point("sink", "offsets.after");
    }
}

/// Records of partitions that are not ours any more are passed over.
fn push(sink: &mut Sink, record: &broker::Record<'_>) -> Result<(), RunError> {
    if !sink.has(record.topic(), record.partition()) {
        return Ok(());
    }
    let row = Record {
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key: record.key(),
        value: record.value(),
    };
    Ok(sink.push(record.topic(), record.partition(), row, Instant::now())?)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
