//! The sink's loop: take over what the group gives, read, push, load when it is time; from the warehouse's position until it is
//! told to stop.
//!
//! What is sent to the warehouse runs beside the loop, one thing at a time, so that the group is answered and records are read
//! while the warehouse thinks or is down. As much waits as one load takes, then nothing is read any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::buffer::Record;
use super::control::ControlRow;
use super::lag;
use super::loader::{Claim, Loaded, Pending};
use super::position::start_offset;
use super::trouble::{News, Trouble};
use super::{Flushed, Sink, SinkError};
use crate::broker::{
    self, Admin, BrokerError, GroupMember, Identity, Met, Partition, PartitionReader, Share,
};
use crate::crash;

/// Most records between two looks at the clock.
const MOST_AT_ONCE: usize = 10_000;

/// Longest wait for a record: how soon a stop, a rebalance or a load that is due is noticed.
const LONGEST_POLL: Duration = Duration::from_millis(100);

/// Longest time that is read on for after a stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(3);

/// Longest time from a stop to the end, and the same while the warehouse takes nothing.
const LONGEST_END: Duration = Duration::from_secs(8);
const LONGEST_END_IN_TROUBLE: Duration = Duration::from_secs(5);

/// Longest wait for the broker to say what a partition holds.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Between two looks at how far the ends of the topics are.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// What the loop has to tell a status page.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The first partitions are taken over; reading begins.
    Started,
    /// Rows were loaded.
    Flushed(&'a Flushed),
    /// The warehouse takes nothing, and has not for a while; it is tried on.
    Delayed(String),
    /// It takes rows again.
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
    Claim(Result<Vec<ControlRow>, SinkError>),
    Load(Arc<Pending>, Result<Loaded, SinkError>),
}

/// What the loop works with.
pub struct Parts<'a> {
    /// What waits.
    pub sink: Sink,
    /// Says which partitions are this sink's.
    pub member: &'a GroupMember,
    /// Reads them.
    pub reader: &'a PartitionReader,
    /// Says which topics they are of.
    pub admin: &'a Admin,
    /// Where the calls to the warehouse run.
    pub runtime: &'a Handle,
    /// Told what happens.
    pub report: &'a mut dyn FnMut(Progress<'_>),
}

struct Work<'a> {
    parts: Parts<'a>,
    /// What the group gave and the warehouse does not know of yet.
    wanted: BTreeSet<Partition>,
    claim: Option<Arc<Claim>>,
    /// At most one thing at a time.
    sent: JoinSet<Sent>,
    sent_at: Instant,
    trouble: Trouble,
    started: bool,
    next_look: Instant,
}

/// Loads until `stop`; then what waits is loaded once more. Blocks: it wants a thread of its own, outside of the runtime.
pub fn run(parts: Parts<'_>, stop: &CancellationToken) -> Result<(), RunError> {
    let now = Instant::now();
    let mut work = Work {
        parts,
        wanted: BTreeSet::new(),
        claim: None,
        sent: JoinSet::new(),
        sent_at: now,
        trouble: Trouble::none(),
        started: false,
        next_look: now,
    };
    while !stop.is_cancelled() {
        work.turn()?;
    }
    work.end()
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
        let now = Instant::now();
        if !self.sent.is_empty() {
            self.trouble.running(self.sent_at, now);
        } else if self.trouble.may_try(now) {
            self.send(self.parts.sink.should_flush(now))?;
        }
        if !full {
            self.read()?;
        }
        if let Some(News::Trouble(what)) = self.trouble.news(now) {
            (self.parts.report)(Progress::Delayed(what));
        }
        if now >= self.next_look {
            self.next_look = now + BETWEEN_LOOKS;
            lag::show(&self.parts.sink, self.parts.reader);
            self.publish();
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
        if !self.wanted.is_empty() {
            let Some(sources) = self.sources()? else {
                return Ok(());
            };
            let claim = self.parts.sink.claim(&self.wanted, &sources)?;
            let same = self
                .claim
                .take()
                .filter(|same| same.partitions == claim.partitions);
            let claim = same.unwrap_or_else(|| Arc::new(claim));
            self.claim = Some(Arc::clone(&claim));
            let call = async move { Sent::Claim(loader.raise(&claim).await) };
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

    /// What each topic is whose partitions are wanted; none while the broker does not say.
    fn sources(&mut self) -> Result<Option<BTreeMap<String, String>>, RunError> {
        let mut sources = BTreeMap::new();
        for at in &self.wanted {
            if sources.contains_key(&at.topic) {
                continue;
            }
            match self.parts.admin.identity(&at.topic) {
                Ok(Identity { cluster, topic, .. }) => {
                    let source = format!("cluster={cluster} topic={topic}");
                    sources.insert(at.topic.clone(), source);
                }
                Err(error @ BrokerError::Unavailable { .. }) => {
                    self.trouble
                        .failed(&SinkError::Broker(Box::new(error)), Instant::now());
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(sources))
    }

    fn settle(&mut self, sent: Sent) -> Result<(), RunError> {
        let settled = match sent {
            Sent::Claim(Ok(rows)) => self.begin_reading(&rows),
            Sent::Load(pending, Ok(loaded)) => self.loaded(&pending, &loaded),
            Sent::Claim(Err(error)) | Sent::Load(_, Err(error)) => Err(error.into()),
        };
        match settled {
            Ok(()) => {
                if let Some(News::Over) = self.trouble.worked(Instant::now()) {
                    (self.parts.report)(Progress::Recovered);
                }
                Ok(())
            }
            Err(RunError::Sink(error)) if error.is_transient() => {
                self.trouble.failed(&error, Instant::now());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The fences are raised: reads on from where the warehouse stands.
    fn begin_reading(&mut self, rows: &[ControlRow]) -> Result<(), RunError> {
        self.claim = None;
        for row in rows {
            // Given up meanwhile: whoever has it raises the fence again.
            if !self.wanted.contains(&row.at) {
                continue;
            }
            // Asked after the fence was raised: until then another sink may have loaded records that came meanwhile.
            let held = match self.parts.reader.held(&row.at, LONGEST_LOOK) {
                Ok(held) => held,
                Err(error @ BrokerError::Unavailable { .. }) => {
                    return Err(SinkError::Broker(Box::new(error)).into());
                }
                Err(error) => return Err(error.into()),
            };
            let start = start_offset(&held, row.next_offset).map_err(SinkError::from)?;
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
        let sink = &mut self.parts.sink;
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

    /// The stop: what runs is waited for, what the other jobs wrote last is read, and all of it is loaded; not for long, since
    /// the next start goes on from the control table anyway.
    fn end(mut self) -> Result<(), RunError> {
        let longest = if self.trouble.is_there() {
            LONGEST_END_IN_TROUBLE
        } else {
            LONGEST_END
        };
        let deadline = Instant::now() + longest;
        self.wanted.clear();
        if let Err(error) = self.drain(deadline) {
            warn!(%error, "what was written last is not read any more, the next start does");
        }
        while Instant::now() < deadline {
            let waits = if self.sent.is_empty() {
                if self.parts.sink.is_idle() {
                    return Ok(());
                }
                if self.trouble.may_try(Instant::now()) {
                    self.send(true)?;
                }
                LONGEST_POLL
            } else {
                deadline.saturating_duration_since(Instant::now())
            };
            let next = async { tokio::time::timeout(waits, self.sent.join_next()).await };
            match self.parts.runtime.block_on(next) {
                Ok(Some(sent)) => {
                    self.settle(sent.expect("a call to the warehouse does not panic"))?;
                }
                Ok(None) => std::thread::sleep(waits.min(LONGEST_POLL)),
                Err(_) => {}
            }
        }
        info!(
            "not everything read is loaded; nothing is lost, the next start goes on from the control table"
        );
        Ok(())
    }

    /// Reads on to where the topics end now.
    fn drain(&mut self, end: Instant) -> Result<(), RunError> {
        let deadline = end.min(Instant::now() + LONGEST_DRAIN);
        let mut ends = Vec::new();
        for (at, _) in self.parts.sink.read() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            ends.push(self.parts.reader.held(&at, left)?.high);
        }
        while Instant::now() < deadline && !self.parts.sink.is_full() {
            let read = self.parts.sink.read();
            if !read.iter().zip(&ends).any(|((_, at), end)| at < end) {
                break;
            }
            self.read()?;
        }
        Ok(())
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
