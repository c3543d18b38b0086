//! `sluicebox run`: the jobs, each on its own thread, and the pages about them, until a signal or a failure.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Signals, logging, runtime, tables};
use crate::broker::Kafka;
use crate::config::Config;
use crate::sink::run::Progress;
use crate::sink::session::{Seat, run_sessions};
use crate::sink::table::TargetTable;
use crate::sql::Pipeline;
use crate::state_folder::Slot;
use crate::status::{Job, Stage, Status};
use crate::warehouse::setup::TableContract;
use crate::worker::Member;
use crate::{clean, gold, sink, web};

/// Longest wait for the jobs after they were asked to end. What is not done by then is done again by whoever comes next.
const LONGEST_DRAIN: Duration = Duration::from_secs(9);

/// Runs the jobs until Ctrl-C or SIGTERM.
///
/// # Errors
/// What stops a job, or what keeps it from starting.
pub fn run(config: Config, jobs: &[Job]) -> anyhow::Result<()> {
    logging::start(&config.log)?;
    let work = Arc::new(Work::prepare(config, jobs)?);
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        // Before anything is said: whoever has read it may send a signal at once.
        let signals = Signals::listen()?;
        let listen = work.config.web.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            anyhow::anyhow!(
                "cannot listen on {listen}: {error}\nhint: set web.listen to a free address"
            )
        })?;
        info!(address = %listener.local_addr()?, "pages served");
        let stop = CancellationToken::new();
        let mut tasks = work.start(&stop)?;
        let metrics = web::metrics()?;
        let pages = web::serve(listener, Arc::clone(&work.status), metrics, stop.clone());
        tasks.spawn(async move { pages.await.context("serving the pages") });
        // Apart from the jobs: nobody waits for a signal that does not come.
        let mut waiting = JoinSet::new();
        let on_signal = stop.clone();
        waiting.spawn(async move { signals.stop(&on_signal).await });
        await_all(tasks, &stop).await
    });
    runtime.shutdown_background();
    done
}

/// A job's consumer group, by the clean topic: pipelines may share their raw events, but never what they write.
pub(super) fn group(config: &Config, job: Job) -> String {
    format!("sluicebox-{}-{}", config.topics.clean, job.name())
}

/// A checked configuration and a planned pipeline.
pub(super) struct Work {
    pub(super) config: Config,
    pub(super) status: Arc<Status>,
    pipeline: Arc<Pipeline>,
    kafka: Kafka,
    jobs: Vec<Job>,
    /// Who this process is.
    slot: Slot,
    targets: Vec<TargetTable>,
}

impl Work {
    /// Everything that can be found wrong without a broker or a warehouse is found here.
    pub(super) fn prepare(config: Config, jobs: &[Job]) -> anyhow::Result<Self> {
        web::metrics()?;
        let pipeline = Arc::new(Pipeline::load(
            &config.pipeline.folder,
            config.pipeline_settings(),
        )?);
        let targets = tables::targets(&config, &pipeline)?;
        gold::check_keep(&pipeline, &config.gold.keep)?;
        if jobs.contains(&Job::Sink) {
            config.require_warehouse()?;
            tables::check_scripts(&pipeline, &targets)?;
        }
        let kafka = Kafka::new((&config.kafka).into());
        let slot = Slot::take(&config.state.folder)?;
        Ok(Self {
            slot,
            kafka,
            status: Arc::default(),
            pipeline,
            jobs: jobs.to_vec(),
            targets,
            config,
        })
    }

    /// The planned pipeline.
    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What the warehouse's tables have to take.
    pub(super) fn contracts(&self) -> Vec<TableContract> {
        tables::contracts(&self.targets)
    }

    /// Starts the jobs, each on a thread of its own.
    pub(super) fn start(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
        // What can fail comes before the first job is started.
        let mut sink = if self.jobs.contains(&Job::Sink) {
            Some(tables::sink(&self.config, self.targets.clone())?)
        } else {
            None
        };
        let mut tasks = JoinSet::new();
        for job in &self.jobs {
            let threads = match job {
                Job::Clean => self.config.clean.threads,
                Job::Gold => self.config.gold.threads,
                Job::Sink => 1,
            };
            for thread in 0..threads {
                self.status.stage_of(*job, thread, Stage::Starting);
            }
            for thread in 0..threads {
                let (work, stop) = (Arc::clone(self), stop.clone());
                match job {
                    Job::Clean => {
                        tasks.spawn_blocking(move || work.clean(thread, &stop).context("clean"))
                    }
                    Job::Gold => {
                        tasks.spawn_blocking(move || work.gold(thread, &stop).context("gold"))
                    }
                    Job::Sink => {
                        let sink = sink.take().expect("a job is named once");
                        let handle = tokio::runtime::Handle::current();
                        tasks
                            .spawn_blocking(move || work.sink(sink, &handle, &stop).context("sink"))
                    }
                };
            }
        }
        Ok(tasks)
    }

    fn member(&self, thread: usize) -> Member<'_> {
        Member {
            slot: self.slot.id(),
            thread,
        }
    }

    fn group(&self, job: Job) -> String {
        group(&self.config, job)
    }

    fn clean(&self, thread: usize, stop: &CancellationToken) -> anyhow::Result<()> {
        let config = clean::Config {
            raw: self.config.topics.raw.clone(),
            clean: self.config.topics.clean.clone(),
            rejected: self.config.topics.rejected.clone(),
            group: self.group(Job::Clean),
            duplicates: clean::Bounds {
                events: self.config.clean.duplicate_window_events,
                time: self.config.clean.duplicate_window_time,
            },
            batch_events: self.config.clean.batch_events,
            batch_interval: self.config.clean.batch_interval,
        };
        clean::run(
            &config,
            &self.member(thread),
            &self.kafka,
            Arc::clone(&self.pipeline),
            &self.status,
            stop,
        )
    }

    fn gold(&self, thread: usize, stop: &CancellationToken) -> anyhow::Result<()> {
        let config = gold::Config {
            clean: self.config.topics.clean.clone(),
            rejected: self.config.topics.rejected.clone(),
            group: self.group(Job::Gold),
            keep: self.config.gold.keep.clone(),
            snapshots: self.slot.path().join("gold"),
            snapshot_interval: self.config.gold.snapshot_interval,
            batch_events: self.config.gold.batch_events,
            batch_interval: self.config.gold.batch_interval,
        };
        gold::run(
            &config,
            &self.member(thread),
            &self.kafka,
            &self.pipeline,
            &self.status,
            stop,
        )
    }

    fn sink(
        &self,
        mut sink: sink::Sink,
        handle: &tokio::runtime::Handle,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let group = self.group(Job::Sink);
        let name = format!("{}-sink", self.slot.id());
        let status = &self.status;
        let mut report = |progress: Progress<'_>| match progress {
            Progress::Started | Progress::Recovered => status.stage(Job::Sink, Stage::Running),
            Progress::Flushed(flushed) => {
                info!(
                    tables = ?flushed.tables,
                    rows = flushed.rows,
                    files = flushed.files,
                    ms = u64::try_from(flushed.took.as_millis()).unwrap_or(u64::MAX),
                    "rows loaded"
                );
                let rows = u64::try_from(flushed.rows).unwrap_or(u64::MAX);
                status.loaded(rows, Some(flushed.newest_record_ms), flushed.took);
            }
            Progress::Delayed(what) => status.stage(Job::Sink, Stage::Delayed(what)),
        };
        let seat = Seat {
            kafka: &self.kafka,
            group: &group,
            name: &name,
            runtime: handle,
        };
        run_sessions(seat, &mut sink, &mut report, stop)?;
        status.stage(Job::Sink, Stage::Stopped);
        Ok(())
    }
}

/// The first task to end cancels the rest; then all are waited for, not for ever.
pub(super) async fn await_all(
    mut tasks: JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut first_error = None;
    let mut drain = None;
    loop {
        let ended = match drain {
            None => tasks.join_next().await,
            Some(until) => match tokio::time::timeout_at(until, tasks.join_next()).await {
                Ok(ended) => ended,
                Err(_) => {
                    warn!(
                        "not everything was done in time; the next start goes on where the last transaction ended"
                    );
                    break;
                }
            },
        };
        let Some(ended) = ended else { break };
        if let Err(error) = ended.context("a job panicked").flatten() {
            // One that ends because another has failed is not the cause.
            if first_error.is_none() {
                first_error = Some(error);
            }
        }
        stop.cancel();
        drain.get_or_insert_with(|| tokio::time::Instant::now() + LONGEST_DRAIN);
    }
    match first_error {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
