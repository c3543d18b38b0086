//! The sink's loop: read, push, flush when it is time; from the warehouse's position until it is told to stop.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::buffer::Record;
use super::position::start_offset;
use super::{Flushed, Sink, SinkError};
use crate::broker::{self, BrokerError, Met, PartitionReader};

/// Most records between two looks at the clock.
const MOST_AT_ONCE: usize = 10_000;

/// Longest wait for a record: how soon a stop or a flush that is due is noticed.
const LONGEST_POLL: Duration = Duration::from_millis(100);

/// Longest time that is read on for after a stop.
const LONGEST_DRAIN: Duration = Duration::from_secs(3);

/// Wait before a load is tried again that failed for a passing reason. The client has by then tried for long itself.
const BEFORE_NEXT_TRY: Duration = Duration::from_secs(5);

/// What the loop has to tell a status page.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The partitions are taken over; reading begins.
    Started,
    /// Rows were loaded.
    Flushed(&'a Flushed),
    /// A load failed for a passing reason, and will be tried again.
    Delayed(&'a SinkError),
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

/// Loads until `stop`; then what waits is loaded once more. Blocks: it wants a thread of its own, outside of `runtime`.
pub fn run(
    mut sink: Sink,
    reader: &PartitionReader,
    runtime: &Handle,
    stop: &CancellationToken,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<(), RunError> {
    start(&mut sink, reader, runtime)?;
    report(Progress::Started);
    while !stop.is_cancelled() {
        read(&mut sink, reader)?;
        if !sink.should_flush(Instant::now()) {
            continue;
        }
        match flush(&mut sink, reader, runtime, report) {
            Err(error) if error.is_transient() => {
                warn!(%error, "load failed, trying again");
                report(Progress::Delayed(&error));
                // Nothing is read meanwhile, so what waits stays bounded.
                runtime.block_on(async {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(BEFORE_NEXT_TRY) => {}
                    }
                });
            }
            flushed => flushed?,
        }
    }
    // A load that failed before is done first; then what was read behind it.
    flush(&mut sink, reader, runtime, report)?;
    if let Err(error) = drain(&mut sink, reader) {
        warn!(%error, "what was written last is not read any more, the next start does");
    }
    Ok(flush(&mut sink, reader, runtime, report)?)
}

/// Reads what comes until there is enough or nothing.
fn read(sink: &mut Sink, reader: &PartitionReader) -> Result<(), RunError> {
    reader.poll(MOST_AT_ONCE, LONGEST_POLL, |met| match met {
        Met::Record(record) => push(sink, &record),
        Met::Reached(at, position) => sink
            .reached(&at.topic, at.number, position)
            .map_err(RunError::from),
    })
}

/// Reads on to where the topics end now, so that what the other jobs wrote before they ended is loaded too; not for long and
/// no more than one load takes, since the next start goes on from here anyway.
fn drain(sink: &mut Sink, reader: &PartitionReader) -> Result<(), RunError> {
    let deadline = Instant::now() + LONGEST_DRAIN;
    let mut ends = Vec::new();
    for (at, _) in sink.read() {
        if Instant::now() > deadline {
            return Ok(());
        }
        ends.push(reader.held(&at)?.high);
    }
    let behind = |sink: &Sink| {
        sink.read()
            .iter()
            .zip(&ends)
            .any(|((_, position), end)| position < end)
    };
    while behind(sink) && !sink.should_flush(Instant::now()) && Instant::now() < deadline {
        read(sink, reader)?;
    }
    Ok(())
}

/// Takes all partitions over and begins to read where the warehouse stands.
fn start(sink: &mut Sink, reader: &PartitionReader, runtime: &Handle) -> Result<(), RunError> {
    let mut partitions = Vec::new();
    for topic in sink.topics() {
        partitions.extend(reader.partitions(topic)?);
    }
    let mut starts = Vec::with_capacity(partitions.len());
    for (at, next) in runtime.block_on(sink.assign(&partitions))? {
        // Asked after the fence was raised: until then another sink may have loaded records that came meanwhile.
        let start = start_offset(&reader.held(&at)?, next).map_err(SinkError::from)?;
        sink.reached(&at.topic, at.number, start)?;
        starts.push((at, start));
    }
    Ok(reader.assign(&starts)?)
}

fn push(sink: &mut Sink, record: &broker::Record<'_>) -> Result<(), RunError> {
    let row = Record {
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key: record.key(),
        value: record.value(),
    };
    Ok(sink.push(record.topic(), record.partition(), row, Instant::now())?)
}

fn flush(
    sink: &mut Sink,
    reader: &PartitionReader,
    runtime: &Handle,
    report: &mut dyn FnMut(Progress<'_>),
) -> Result<(), SinkError> {
    let Some(flushed) = runtime.block_on(sink.flush())? else {
        return Ok(());
    };
    report(Progress::Flushed(&flushed));
    if let Err(error) = reader.publish(&sink.loaded()) {
        warn!(%error, "group offsets not written, lag tools see old ones");
    }
    Ok(())
}
