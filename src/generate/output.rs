//! Where events go: a Kafka topic, or lines of text.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use anyhow::Context;

use super::Event;
use crate::broker::load::{Counts, LoadProducer, Offered};

/// Messages handed to the producer between two looks at its delivery reports.
const POLL_EVERY: u32 = 256;

/// Longest wait for what is on its way when the run ends.
const FINISH_LIMIT: Duration = Duration::from_secs(30);

/// What became of an event that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Taken, or counted as failed.
    Yes,
    /// Not now: offer it again.
    NotYet,
    /// The reader has gone; nothing more is wanted.
    Closed,
}

/// Takes events one by one.
pub(super) enum Output {
    /// Records in a topic.
    Kafka {
        producer: LoadProducer,
        since_poll: u32,
    },
    /// One line an event.
    Lines {
        writer: BufWriter<Box<dyn Write>>,
        written: u64,
    },
}

impl Output {
    pub(super) fn kafka(producer: LoadProducer) -> Self {
        Self::Kafka {
            producer,
            since_poll: 0,
        }
    }

    pub(super) fn lines(writer: Box<dyn Write>) -> Self {
        Self::Lines {
            writer: BufWriter::with_capacity(64 << 10, writer),
            written: 0,
        }
    }

    /// Hands over one event.
    pub(super) fn offer(&mut self, event: &Event) -> anyhow::Result<Taken> {
        match self {
            Self::Kafka {
                producer,
                since_poll,
            } => {
                *since_poll += 1;
                if *since_poll >= POLL_EVERY {
                    *since_poll = 0;
                    producer.poll(false);
                }
                Ok(match producer.offer(event.key, &event.value)? {
                    Offered::Taken => Taken::Yes,
                    Offered::Full => {
                        producer.poll(true);
                        Taken::NotYet
                    }
                })
            }
            Self::Lines { writer, written } => {
                let line = writer
                    .write_all(&event.value)
                    .and_then(|()| writer.write_all(b"\n"));
                let taken = unless_closed(line)?;
                *written += u64::from(taken == Taken::Yes);
                Ok(taken)
            }
        }
    }

    /// Uses a pause between two events.
    pub(super) fn idle(&mut self, pause: Duration) -> anyhow::Result<Taken> {
        let taken = match self {
            Self::Kafka { producer, .. } => {
                producer.poll(false);
                Taken::Yes
            }
            Self::Lines { writer, .. } => unless_closed(writer.flush())?,
        };
        std::thread::sleep(pause);
        Ok(taken)
    }

    /// What has become of the events so far.
    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Kafka { producer, .. } => producer.counts(),
            Self::Lines { written, .. } => Counts {
                delivered: *written,
                ..Counts::default()
            },
        }
    }

    /// Waits for all that is on its way.
    pub(super) fn finish(self) -> anyhow::Result<Counts> {
        match self {
            Self::Kafka { producer, .. } => Ok(producer.finish(FINISH_LIMIT)),
            Self::Lines {
                mut writer,
                written,
            } => {
                unless_closed(writer.flush())?;
                Ok(Counts {
                    delivered: written,
                    ..Counts::default()
                })
            }
        }
    }
}

/// A reader that has gone (`| head`) is no failure.
fn unless_closed(written: io::Result<()>) -> anyhow::Result<Taken> {
    match written {
        Ok(()) => Ok(Taken::Yes),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Taken::Closed),
        Err(error) => Err(error).context("writing events to stdout"),
    }
}
