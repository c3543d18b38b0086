//! The service's processes, what they stand beside, and a stream of events: the place where the acts happen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::positions::Positions;
use crate::support::books::Books;
use crate::support::kafka::Kafka;
use crate::support::proxy::Proxy;
use crate::support::running::Running;
use crate::support::stream::Stream;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 6;

/// Longest time until work is done again after something went wrong, on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);

/// Longest time until everything is loaded once nothing goes wrong any more.
const SETTLE_LIMIT: Duration = Duration::from_secs(240);

/// How often positions are looked at.
const LOOK: Duration = Duration::from_millis(150);

/// Lines of a log that a failure shows.
const TAIL: usize = 40;

/// Settings that make everything happen often.
const HURRY: &[&str] = &[
    "kafka.session_timeout=6s",
    "clean.threads=2",
    "gold.threads=2",
    "clean.batch_events=200",
    "gold.batch_events=200",
    "gold.snapshot_interval=2s",
    "sink.flush_interval=300ms",
];

/// A process of the service, and the machine that it runs on: its folder outlives it.
pub(crate) struct Member {
    pub(crate) process: Running,
    name: String,
    /// It was frozen while others worked: it may find itself replaced and end.
    pub(crate) zombie: bool,
}

/// All of it.
pub(crate) struct Arena {
    pub(crate) books: Books,
    pub(crate) proxy: Proxy,
    pub(crate) members: Vec<Member>,
    pub(crate) restarts: u32,
    pub(crate) recoveries: Vec<Duration>,
    positions: Positions,
    stream: Option<Stream>,
    folder: PathBuf,
    settings: Vec<String>,
    /// What members run; all jobs when none is named.
    jobs: &'static [&'static str],
    named: u32,
}

impl Arena {
    /// A broker and a warehouse of its own, set up; no members yet. They will run these jobs, or all when none is named.
    pub(crate) fn of_jobs(name: &str, jobs: &'static [&'static str], settings: &[&str]) -> Self {
        let books = Books::open_on(Arc::new(Kafka::start()), PARTITIONS, name);
        let proxy = Proxy::to(books.deployment.warehouse());
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("target/ can be written to");
        let mut all: Vec<String> = HURRY
            .iter()
            .chain(settings)
            .map(|&setting| setting.to_owned())
            .collect();
        all.push(format!("warehouse.url={}", proxy.url()));
        Self {
            positions: Positions::of(&books, PARTITIONS),
            books,
            proxy,
            members: Vec::new(),
            restarts: 0,
            recoveries: Vec::new(),
            stream: None,
            folder,
            settings: all,
            jobs,
            named: 0,
        }
    }

    /// One with so many members at work on a stream of so many events a second.
    pub(crate) fn at_work(name: &str, members: usize, seed: u64, per_second: u32) -> Self {
        let mut arena = Self::of_jobs(name, &[], &[]);
        for _ in 0..members {
            arena.join();
        }
        for member in &mut arena.members {
            member.process.wait_ready();
        }
        arena.stream(seed, per_second);
        arena.recover("the start");
        arena
    }

    /// Begins to produce.
    pub(crate) fn stream(&mut self, seed: u64, per_second: u32) {
        let deployment = &self.books.deployment;
        let stream = Stream::start(
            &mut deployment.kafka.client(),
            &deployment.raw,
            seed,
            per_second,
        );
        self.stream = Some(stream);
    }

    /// Waits until so many events were produced.
    pub(crate) fn await_sent(&mut self, events: u64) {
        let deadline = Instant::now() + SETTLE_LIMIT;
        self.wait_for("events are produced", deadline, |arena| {
            arena.stream.as_ref().map_or(0, Stream::sent) >= events
        });
    }

    /// A new member on a machine of its own.
    pub(crate) fn join(&mut self) {
        self.named += 1;
        let name = format!("member-{}", self.named);
        let process = self.start(&name, None);
        self.members.push(Member {
            process,
            name,
            zombie: false,
        });
    }

    /// Starts a member's process again where it was, with this plan for its crash points.
    pub(crate) fn revive(&mut self, at: usize, crash: Option<&str>) {
        let name = self.members[at].name.clone();
        self.restarts += 1;
        let process = self.start(&name, crash);
        let member = &mut self.members[at];
        member.process = process;
        member.zombie = false;
    }

    /// SIGKILL, and a new start on the same machine.
    pub(crate) fn kill(&mut self, at: usize) {
        self.members[at].process.kill();
        self.revive(at, None);
    }

    /// Ends a member in good order.
    pub(crate) fn end(&mut self, at: usize) {
        let status = self.members[at].process.terminate();
        self.assert_good(at, status.success(), "after SIGTERM");
    }

    fn start(&self, name: &str, crash: Option<&str>) -> Running {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).expect("target/ can be written to");
        let state = format!("state.folder={}", folder.join("state").display());
        let mut arguments = vec!["run", "--set", &state];
        for setting in &self.settings {
            arguments.extend(["--set", setting]);
        }
        arguments.extend(self.jobs);
        let mut command = self.books.deployment.command(&arguments);
        command.current_dir(&folder);
        if let Some(plan) = crash {
            command.env("SLUICEBOX_CRASH", plan);
        }
        Running::start(command, &folder)
    }

    /// What a supervisor does: starts again what has ended. Only who was replaced while frozen may have ended, and only well.
    pub(crate) fn supervise(&mut self) {
        for at in 0..self.members.len() {
            let Some(status) = self.members[at].process.ended() else {
                continue;
            };
            let good = self.members[at].zombie && status.success();
            self.assert_good(at, good, &format!("by itself with {status}"));
            self.revive(at, None);
        }
    }

    fn assert_good(&self, at: usize, good: bool, how: &str) {
        let Member { name, process, .. } = &self.members[at];
        assert!(
            good,
            "{name} ended {how}; the end of its log:\n{}",
            process.log_tail(TAIL)
        );
    }

    /// Waits until the three jobs have each done something since now.
    pub(crate) fn recover(&mut self, after: &str) {
        let began = Instant::now();
        let mut before = None;
        let mut left = String::new();
        while began.elapsed() < RECOVERY_LIMIT {
            self.supervise();
            if let Some(now) = self.positions.now() {
                let before = *before.get_or_insert(now);
                if now.iter().zip(&before).all(|(now, before)| now > before) {
                    self.recoveries.push(began.elapsed());
                    return;
                }
                left = format!("from {before:?} to {now:?}");
            }
            std::thread::sleep(LOOK);
        }
        panic!(
            "no work of all three jobs within {RECOVERY_LIMIT:?} after {after}: {left}\n{}",
            self.tails()
        );
    }

    /// The ends of all logs.
    fn tails(&self) -> String {
        let tail =
            |member: &Member| format!("--- {}\n{}", member.name, member.process.log_tail(TAIL));
        self.members.iter().map(tail).collect::<Vec<_>>().join("\n")
    }

    /// Ends the stream and waits until all of it is judged.
    pub(crate) fn await_cleaned(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.finish();
        }
        let deadline = Instant::now() + SETTLE_LIMIT;
        self.wait_for("the raw topic is read", deadline, |arena| {
            arena.positions.all_cleaned(&arena.books)
        });
    }

    /// Ends the stream and waits until all of it is in the warehouse.
    pub(crate) fn await_loaded(&mut self) {
        self.await_cleaned();
        let deadline = Instant::now() + SETTLE_LIMIT;
        let judged = self.books.judged();
        let clean = judged
            .iter()
            .filter(|(_, verdict)| verdict.clean().is_some());
        let clean = i64::try_from(clean.count()).expect("a count fits");
        self.wait_for("everything is loaded", deadline, |arena| {
            let loaded = arena.books.loaded();
            assert!(
                loaded.0 <= clean && loaded.1 <= clean,
                "{clean} are clean, but {loaded:?} loaded"
            );
            loaded == (clean, clean)
        });
    }

    /// Ends the stream, waits until all of it is in the warehouse, and ends the members.
    pub(crate) fn settle(&mut self) {
        self.await_loaded();
        for at in 0..self.members.len() {
            self.end(at);
        }
        self.members.clear();
    }

    fn wait_for(&mut self, what: &str, deadline: Instant, met: impl Fn(&Self) -> bool) {
        loop {
            self.supervise();
            if met(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not within {SETTLE_LIMIT:?}\n{}",
                self.tails()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Removes what is only kept for the case of a failure.
    pub(crate) fn close(self) {
        // A log that cannot be removed harms nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a failure needs to say first: where the logs are, and how to come here again.
impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs are in {}", self.folder.display());
        }
    }
}

/// Counts by name.
pub(crate) type Tally = BTreeMap<String, u32>;
