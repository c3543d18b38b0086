//! The loop of `sluicebox generate`: the next event when it is due, until something ends the run.
//!
//! | ended by | what happens |
//! |---|---|
//! | `--count`, `--duration`, or `stop` (Ctrl-C) | what is on its way is waited for; the summary counts it |
//! | a reader of stdout that has gone | quietly nothing more |
//! | a refused message | it is counted, the run goes on; the command exits with 1 |

use std::fmt;
use std::io;
use std::iter::Peekable;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::output::{Output, Taken};
use super::pace::Pace;
use super::{Events, GenerateArgs, Options};
use crate::broker::load::{ClientConfig, Counts, LoadProducer};

/// Longest pause between two looks at the clock and at `stop`.
const TICK: Duration = Duration::from_millis(1);

/// Events between two looks at them when there is no time to pause.
const BURST: u64 = 256;

/// How often progress is written.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Largest event that is not oversize.
const USUAL_BYTES: usize = 1024;

/// The Kafka to write to.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// How to reach it.
    pub client: ClientConfig,
    /// The topic when the command line names none.
    pub topic: String,
}

/// What a run has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Events that have arrived: acknowledged by Kafka, or written to stdout.
    pub sent: u64,
    /// Events that have not.
    pub failed: u64,
    /// Why the first of those has not.
    pub first_error: Option<String>,
    /// From the first event to the last acknowledgement.
    pub elapsed: Duration,
    /// What gives the same events again.
    pub options: Options,
}

impl Summary {
    /// 0, or 1 if any event did not arrive.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let rate = per_second(self.sent, self.elapsed);
        write!(
            f,
            "sent {} events in {seconds:.1} s, {rate}/s, {} failed",
            self.sent, self.failed
        )?;
        if let Some(error) = &self.first_error {
            write!(f, " (the first: {error})")?;
        }
        let now = self.options.now.format("%Y-%m-%dT%H:%M:%S%.fZ");
        write!(f, "; again with --seed {} --now {now}", self.options.seed)
    }
}

/// Generates until the count or the time is reached or `stop` is cancelled, with a line of progress on stderr every
/// second and a summary at the end. Blocks: give it a thread of its own.
///
/// # Errors
/// [`UsageError`](super::UsageError) if the flags contradict each other; otherwise if Kafka cannot be reached or the
/// topic is missing, or stdout cannot be written to. A message that is refused is no error but is counted.
pub fn run(
    args: &GenerateArgs,
    kafka: &Kafka,
    stop: &CancellationToken,
) -> anyhow::Result<Summary> {
    let options = args.options()?;
    let output = if args.stdout {
        Output::lines(Box::new(io::stdout().lock()))
    } else {
        let topic = args.topic.as_deref().unwrap_or(&kafka.topic);
        let largest = if options.oversize.is_zero() {
            USUAL_BYTES
        } else {
            options.oversize_bytes.max(USUAL_BYTES)
        };
        Output::kafka(LoadProducer::connect(&kafka.client, topic, largest)?)
    };
    Generator::new(args, options, output).run(stop)
}

/// One run.
struct Generator {
    options: Options,
    events: Peekable<std::iter::Take<Events>>,
    pace: Pace,
    limit: Option<Duration>,
    output: Output,
    progress: Progress,
}

impl Generator {
    fn new(args: &GenerateArgs, options: Options, output: Output) -> Self {
        let count = args.count.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        });
        Self {
            events: Events::new(options.clone()).take(count).peekable(),
            options,
            pace: Pace::new(args.events_per_second()),
            limit: args.duration,
            output,
            progress: Progress::default(),
        }
    }

    fn run(mut self, stop: &CancellationToken) -> anyhow::Result<Summary> {
        let started = Instant::now();
        let mut taken: u64 = 0;
        let mut outcome = Taken::Yes;
        while outcome != Taken::Closed && self.events.peek().is_some() {
            let elapsed = started.elapsed();
            self.progress.report(elapsed, || self.output.counts());
            if stop.is_cancelled() || self.limit.is_some_and(|limit| elapsed >= limit) {
                break;
            }
            let due = self.pace.due(elapsed).saturating_sub(taken);
            outcome = if due == 0 {
                self.output.idle(TICK)?
            } else {
                let (more, outcome) = self.burst(due.min(BURST))?;
                taken += more;
                outcome
            };
        }
        let Counts {
            delivered,
            failed,
            first_error,
        } = self.output.finish()?;
        let summary = Summary {
            sent: delivered,
            failed,
            first_error,
            elapsed: started.elapsed(),
            options: self.options,
        };
        if outcome != Taken::Closed {
            eprintln!("{summary}");
        }
        Ok(summary)
    }

    /// Hands over up to `most` events; says how many were taken, and how the last offer went.
    fn burst(&mut self, most: u64) -> anyhow::Result<(u64, Taken)> {
        for taken in 0..most {
            let Some(event) = self.events.peek() else {
                return Ok((taken, Taken::Yes));
            };
            match self.output.offer(event)? {
                Taken::Yes => self.events.next(),
                other => return Ok((taken, other)),
            };
        }
        Ok((most, Taken::Yes))
    }
}

/// What was last written to stderr, and when.
#[derive(Default)]
struct Progress {
    at: Duration,
    sent: u64,
}

impl Progress {
    /// Writes a line if the last is long enough ago.
    fn report(&mut self, elapsed: Duration, counts: impl FnOnce() -> Counts) {
        let since = elapsed - self.at;
        if since < PROGRESS_EVERY {
            return;
        }
        let Counts {
            delivered, failed, ..
        } = counts();
        eprintln!(
            "sent {delivered} events, {}/s, {failed} failed",
            per_second(delivered - self.sent, since)
        );
        *self = Self {
            at: elapsed,
            sent: delivered,
        };
    }
}

/// Whole events per second.
fn per_second(events: u64, elapsed: Duration) -> u128 {
    u128::from(events) * 1_000_000_000 / elapsed.as_nanos().max(1)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
