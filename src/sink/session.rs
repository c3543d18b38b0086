//! The sink's loop, again and again: when its place in the group or the broker's patience is lost, everything in hand is dropped and
//! a new member joins. The control table says where it goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Sink;
use super::run::{Parts, Progress, RunError, run};
use crate::broker::{Admin, BrokerError, GroupMember, Kafka, PartitionReader};
use crate::worker::{LONG_SESSION, Patience, close, pause};

/// Who reads.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    /// Where the broker is.
    pub kafka: &'a Kafka,
    /// The consumer group.
    pub group: &'a str,
    /// The member's name, the same after a restart.
    pub name: &'a str,
    /// Where the calls to the warehouse run.
    pub runtime: &'a Handle,
}

struct Clients {
    member: GroupMember,
    reader: Arc<PartitionReader>,
    admin: Arc<Admin>,
}

impl Clients {
    fn connect(seat: &Seat<'_>, sink: &Sink) -> Result<Self, BrokerError> {
        let topics: Vec<&str> = sink.topics().collect();
        Ok(Self {
            member: GroupMember::join(seat.kafka, seat.group, seat.name, &topics)?,
            reader: Arc::new(PartitionReader::connect(seat.kafka, seat.group)?),
            admin: Arc::new(Admin::connect(seat.kafka)?),
        })
    }
}

/// Loads until `stop`. Blocks, as [`run`] does.
///
/// # Errors
/// What only a person can mend; no broker at the start; trouble with the broker that comes back every time.
pub fn run_sessions(
    seat: Seat<'_>,
    sink: &mut Sink,
    report: &mut dyn FnMut(Progress<'_>),
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let mut had_session = false;
    let mut patience = Patience::new();
    let mut lost = None;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let mut fruitful = false;
        let mut watch = |progress: Progress<'_>| {
            fruitful |= matches!(progress, Progress::Flushed(_));
            if matches!(progress, Progress::Started)
                && let Some(since) = lost.take()
            {
                let after: Duration = Instant::elapsed(&since);
                info!(seconds = after.as_secs(), "the sink has joined again");
            }
            report(progress);
        };
        let ended = match Clients::connect(&seat, sink) {
            Ok(clients) => {
                had_session = true;
                let ended = session(&seat, &clients, sink, &mut watch, stop);
                sink.release_all();
                close(clients);
                ended
            }
            Err(error) => Err(error.into()),
        };
        let Err(error) = ended else { break };
        let RunError::Broker(broker) = &error else {
            return Err(error);
        };
        let fruitful = fruitful || began.elapsed() > LONG_SESSION;
        let remedy = Some(broker.remedy()).filter(|_| had_session);
        let Some(wait) = remedy.and_then(|remedy| patience.after(remedy, fruitful)) else {
            return Err(error);
        };
        counter!("sluicebox_rejoins_total", "job" => "sink").increment(1);
        if lost.is_none() {
            let (error, hint) = (described(broker), broker.hint());
            warn!(error, hint, "cannot read on, joining again until it works");
            report(Progress::Delayed(error));
            lost = Some(Instant::now());
        } else {
            debug!(error = described(broker), "still not back");
        }
        pause(wait, stop);
    }
    Ok(())
}

fn session(
    seat: &Seat<'_>,
    clients: &Clients,
    sink: &mut Sink,
    report: &mut dyn FnMut(Progress<'_>),
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let parts = Parts {
        sink,
        member: &clients.member,
        reader: &clients.reader,
        admin: &clients.admin,
        runtime: seat.runtime,
        report,
    };
    run(parts, stop)
}

fn described(error: &BrokerError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
