//! Local copies of gold states: a restart reads them and the end of the topic, whatever has happened to either.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{SubsecRound, Utc};
use rdkafka::producer::Producer;
use serde_json::Value;
use sluicebox::generate::{Event, Events, Options};
use tempfile::TempDir;

use crate::restore::{assert_counted, rebuild};
use crate::support::books::Books;
use crate::support::deployment::PARTITIONS;
use crate::support::kafka::Kafka;
use crate::support::running::Running;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// A reset waits that long for static members to be gone.
const SESSION_TIMEOUT: &str = "kafka.session_timeout=6s";

/// A deployment, and the folder that its service keeps between two runs.
struct Kept {
    books: Books,
    state: TempDir,
    events: std::vec::IntoIter<Event>,
}

impl Kept {
    fn new(name: &str, seed: u64) -> Self {
        let events: Vec<_> = Events::new(Options::new(seed, Utc::now().trunc_subsecs(6)))
            .take(9_000)
            .collect();
        Self {
            books: Books::open(name),
            state: tempfile::tempdir().unwrap(),
            events: events.into_iter(),
        }
    }

    fn produce(&mut self, count: usize) {
        let events = self.events.by_ref().take(count);
        let values: Vec<_> = events.map(|event| (event.key, event.value)).collect();
        self.books.deployment.produce(values);
    }

    /// Starts the two jobs that need no warehouse, in many small transactions with copies in between; dies at `crash`.
    fn start(&self, crash: &str) -> Running {
        let folder = format!("state.folder={}", self.state.path().display());
        let mut arguments = vec!["run", "clean", "gold"];
        for setting in [
            folder.as_str(),
            "clean.batch_events=100",
            "gold.batch_events=100",
            "gold.snapshot_interval=100ms",
            SESSION_TIMEOUT,
        ] {
            arguments.extend(["--set", setting]);
        }
        let mut command = self.books.deployment.command(&arguments);
        command.env("SLUICEBOX_CRASH", crash);
        Running::start(command, self.state.path())
    }

    /// Counts some more events, and ends as one should.
    fn run(&mut self, count: usize) -> Vec<Value> {
        self.produce(count);
        let mut service = self.start("");
        assert_counted(&self.books, &mut service);
        assert!(service.terminate().success());
        lines(&service)
    }

    fn snapshots(&self) -> Vec<PathBuf> {
        let folder = self.state.path().join("0/gold").join(&self.books.gold);
        let files = fs::read_dir(folder).map(|files| files.map(|file| file.unwrap().path()));
        let files = files.into_iter().flatten();
        files
            .filter(|path| path.extension().is_some_and(|end| end == "snapshot"))
            .collect()
    }
}

fn lines(service: &Running) -> Vec<Value> {
    let log = service.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

fn messages<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let fields = lines.iter().map(|line| &line["fields"]);
    fields
        .filter(|fields| fields["message"] == message)
        .collect()
}

/// Restores that began with keys of a copy.
fn from_copies(lines: &[Value]) -> usize {
    let begun = messages(lines, "restore begins");
    let copied = begun
        .iter()
        .filter(|fields| fields["copied"].as_u64() > Some(0));
    copied.count()
}

#[test]
fn a_restart_reads_the_copy_and_the_end_of_the_topic() {
    let mut kept = Kept::new("copies", 31);
    assert_eq!(from_copies(&kept.run(2_000)), 0);
    let files = kept.snapshots();
    assert!(!files.is_empty());
    let ends = Kafka::shared().ends(&kept.books.gold);
    let log = kept.run(1_000);
    let begun = messages(&log, "restore begins");
    assert_eq!(from_copies(&log), files.len());
    for fields in begun {
        let (from, end): (i64, i64) = (
            fields["from"].as_str().unwrap().parse().unwrap(),
            fields["end"].as_str().unwrap().parse().unwrap(),
        );
        // What is left are the markers of transactions.
        assert!(end - from <= 2, "from {from} to {end} of {ends:?}");
    }
    kept.run(1_000);
}

#[test]
fn death_around_a_copy_and_before_a_commit_behind_it_changes_no_total() {
    let mut kept = Kept::new("copies-crash", 32);
    kept.run(500);
    for crash in [
        "gold.snapshot.before@2",
        "gold.snapshot.written@3",
        "gold.snapshot.after@2",
        "gold.produce.after@6",
        "gold.commit.before@5",
        "gold.commit.after@6",
    ] {
        kept.produce(1_200);
        let mut service = kept.start(&format!("{crash}=abort"));
        let mut ended = None;
        let died = wait_until(LIMIT, || {
            ended = service.ended();
            ended.is_some()
        });
        assert!(died, "{crash} was not met\n{}", service.log());
        assert!(service.log().contains(crash.split('@').next().unwrap()));
        let log = kept.run(10);
        assert!(from_copies(&log) > 0, "{crash}");
    }
}

#[test]
fn a_damaged_copy_and_one_of_a_topic_that_was_made_anew_are_told_and_ignored() {
    let mut kept = Kept::new("copies-damaged", 33);
    kept.run(1_000);
    for file in kept.snapshots() {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&file, bytes).unwrap();
    }
    let ignored = |log: &[Value], reason: &str| {
        let ignored = messages(log, "snapshot ignored, reading the whole topic");
        ignored
            .iter()
            .filter(|fields| fields["reason"] == reason)
            .count()
    };
    let damaged = kept.snapshots().len();
    let log = kept.run(500);
    assert_eq!(ignored(&log, "it is damaged"), damaged);
    assert_eq!(from_copies(&log), 0);

    // The topic with the same records, but made anew: nobody can know that they are the same, so that is for a person to say.
    let records = Kafka::shared().read_all(&kept.books.gold);
    rebuild(&kept.books.gold, &records, &[])
        .commit_transaction(LIMIT)
        .unwrap();
    let copies = kept.snapshots().len();
    assert!(copies <= usize::try_from(PARTITIONS).unwrap() && copies > 0);
    let mut service = kept.start("");
    assert!(wait_until(LIMIT, || service.ended().is_some()));
    let said = service.log();
    assert!(said.contains("was deleted and made again"), "{said}");
    let reset = ["--set", SESSION_TIMEOUT, "reset", "gold", "--yes"];
    kept.books.deployment.done(&reset);
    let log = kept.run(500);
    assert_eq!(ignored(&log, "it is of another topic"), copies);
    assert_eq!(from_copies(&log), 0);
}
