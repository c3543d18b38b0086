//! How long the gold job takes to get its states back on a real Kafka: from the topic, and from local copies. Prints JSON.
//!
//! `./dev bench --bench restore`, or with another number of keys: `SLUICEBOX_BENCH_KEYS=100000 ./dev bench --bench restore`.

#[path = "../tests/support/kafka/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "a bench needs less of it than the tests do"
)]
mod kafka;
mod support {
    //! What the Kafka of the tests expects at this place.
    pub(crate) use super::wait_until;
}

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use kafka::{Kafka, Message};

const BINARY: &str = env!("CARGO_BIN_EXE_sluicebox");
const KEYS: u64 = 1_000_000;
const PARTITIONS: u64 = 6;
const LIMIT: Duration = Duration::from_secs(900);

/// Asks again and again until the condition holds; false when it has not within `limit`.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[expect(clippy::print_stdout, reason = "stdout is the data")]
fn main() {
    let keys = std::env::var("SLUICEBOX_BENCH_KEYS")
        .map_or(KEYS, |text| text.parse().expect("a number of keys"));
    let kafka = Kafka::start();
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let folder = folder.path();
    fs::write(folder.join("sluicebox.toml"), configuration(&kafka))
        .expect("the configuration can be written");
    let setup = command(folder, &["setup", "kafka"]).status();
    assert!(setup.is_ok_and(|status| status.success()), "setup failed");
    eprintln!("counting {keys} events of as many customers");
    kafka.produce("clean_events", (0..keys).map(event));
    let mut first = Job::start(folder, "first");
    first.wait("batch counted", "consumed", keys);
    first.kill();

    fs::remove_dir_all(folder.join("state")).expect("the job has kept its state");
    let mut from_topic = Job::start(folder, "topic");
    let topic = from_topic.restored(keys);
    eprintln!("from the topic: {topic:.2} s");
    let stopping = Instant::now();
    from_topic.terminate();
    let stopped = stopping.elapsed().as_secs_f64();
    let mut from_copies = Job::start(folder, "copies");
    let copies = from_copies.restored(keys);
    eprintln!("from local copies: {copies:.2} s");
    from_copies.kill();
    println!(
        "{{\"keys\": {keys}, \"partitions\": {PARTITIONS}, \"from_topic_s\": {topic:.2}, \"from_copies_s\": {copies:.2}, \
         \"stop_with_copies_s\": {stopped:.2}}}"
    );
}

/// A clean event of a customer of its own.
fn event(number: u64) -> Message {
    let customer = format!("customer-{number}");
    let time = "2026-02-24T08:30:00.000000Z";
    let value = format!(
        r#"{{"event_id":"e{number}","customer_id":"{customer}","event_type":"PURCHASE","amount":12.50,"currency":"USD","event_timestamp":"{time}","processing_timestamp":"{time}"}}"#
    );
    Message {
        key: Some(customer.into_bytes()),
        value: Some(value.into_bytes()),
        ..Message::default()
    }
}

fn configuration(kafka: &Kafka) -> String {
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/customer_metrics");
    format!(
        "[pipeline]\nfolder = \"{}\"\n[kafka]\nbootstrap_servers = \"{}\"\n[topics]\npartitions = {PARTITIONS}\n\
         [clean]\nkey = \"customer_id\"\nevent_id = \"event_id\"\n[sink]\nclean_table = \"KAFKA_EVENTS_SILVER\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n",
        pipeline.display(),
        kafka.bootstrap()
    )
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .arg("--config")
        .arg(folder.join("sluicebox.toml"))
        .args(arguments);
    command
}

/// The gold job as a process, and what it logs.
struct Job {
    process: Child,
    log: std::path::PathBuf,
}

impl Job {
    fn start(folder: &Path, name: &str) -> Self {
        let log = folder.join(name);
        let stderr = File::create(&log).expect("the folder can be written to");
        let process = command(folder, &["run", "gold"])
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        Self { process, log }
    }

    /// Waits until a number of these log lines adds up to this.
    fn wait(&mut self, message: &str, field: &str, sum: u64) {
        let done = wait_until(LIMIT, || {
            let lines = self.lines(message);
            let numbers = lines
                .iter()
                .filter_map(|line| line["fields"][field].as_u64());
            numbers.sum::<u64>() >= sum
        });
        assert!(done, "not within {LIMIT:?}: {message}");
    }

    /// Seconds from the assignment of the partitions until all keys are back.
    fn restored(&mut self, keys: u64) -> f64 {
        self.wait("restored", "keys", keys);
        let time = |line: &Value| {
            let text = line["timestamp"].as_str().expect("a line has its time");
            chrono::DateTime::parse_from_rfc3339(text).expect("it is a time")
        };
        let began = self.lines("partitions assigned").iter().map(time).min();
        let ended = self.lines("restored").iter().map(time).max();
        let took = ended.expect("it was restored") - began.expect("it was assigned");
        took.as_seconds_f64()
    }

    fn lines(&self, message: &str) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().filter(|line| line.contains(message));
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["fields"]["message"] == message)
            .collect()
    }

    fn kill(&mut self) {
        self.process.kill().expect("the job runs");
        self.process.wait().expect("the job ends");
    }

    fn terminate(&mut self) {
        let asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &self.process.id().to_string()])
            .status();
        assert!(asked.is_ok_and(|status| status.success()));
        self.process.wait().expect("the job ends");
    }
}
