//! How many events a second the jobs clean and aggregate on a real Kafka, beside the plainest possible copy of the same
//! records in transactions, in one run on one machine. Prints JSON; the numbers of the README come from here.
//!
//! `./dev bench`, or with another number of events: `SLUICEBOX_BENCH_EVENTS=5000000 ./dev bench`.

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

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use kafka::Kafka;

const BINARY: &str = env!("CARGO_BIN_EXE_sluicebox");
const EVENTS: u64 = 2_000_000;
const PARTITIONS: i32 = 6;
/// Records in a transaction, of the copy and of the jobs alike.
const BATCH: u64 = 50_000;
const LIMIT: Duration = Duration::from_secs(600);

/// Asks again and again until the condition holds; false when it has not within `limit`.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[expect(clippy::print_stdout, reason = "stdout is the data")]
fn main() {
    let events = std::env::var("SLUICEBOX_BENCH_EVENTS")
        .map_or(EVENTS, |text| text.parse().expect("a number of events"));
    let kafka = Kafka::start();
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let config = folder.path().join("sluicebox.toml");
    let port = free_port();
    fs::write(&config, configuration(&kafka, port)).expect("the configuration can be written");
    run_to_end(&config, &["setup", "kafka"]);
    eprintln!("generating {events} events");
    run_to_end(
        &config,
        &[
            "generate",
            "--seed",
            "1",
            "--rate",
            "0",
            "--count",
            &events.to_string(),
        ],
    );

    let copy = copy(&kafka, events);
    eprintln!("copy: {copy:.0} events/s");
    let (clean, clean_memory, cleaned) = job(
        &config,
        port,
        "clean",
        events,
        "sluicebox_events_consumed_total",
    );
    eprintln!("clean: {clean:.0} events/s, {clean_memory} MiB");
    let (gold, gold_memory, _) = job(
        &config,
        port,
        "gold",
        cleaned,
        "sluicebox_gold_events_total",
    );
    eprintln!("gold: {gold:.0} events/s, {gold_memory} MiB");
    println!(
        "{{\"cores\": {}, \"cpu\": \"{}\", \"events\": {events}, \"partitions\": {PARTITIONS}, \"batch\": {BATCH}, \
         \"copy_events_per_s\": {copy:.0}, \"clean_events_per_s\": {clean:.0}, \"clean_peak_mib\": {clean_memory}, \
         \"gold_events_per_s\": {gold:.0}, \"gold_peak_mib\": {gold_memory}}}",
        std::thread::available_parallelism().map_or(0, usize::from),
        cpu()
    );
}

fn configuration(kafka: &Kafka, port: u16) -> String {
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/customer_metrics");
    format!(
        "[pipeline]\nfolder = \"{}\"\n[kafka]\nbootstrap_servers = \"{}\"\n[topics]\npartitions = {PARTITIONS}\n\
         [clean]\nkey = \"customer_id\"\nevent_id = \"event_id\"\nbatch_events = {BATCH}\nbatch_interval = \"250ms\"\n\
         [gold]\nbatch_events = {BATCH}\nbatch_interval = \"250ms\"\n\
         [sink]\nclean_table = \"KAFKA_EVENTS_SILVER\"\n[web]\nlisten = \"127.0.0.1:{port}\"\n[log]\nlevel = \"warn\"\n",
        pipeline.display(),
        kafka.bootstrap()
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

fn run_to_end(config: &Path, args: &[&str]) {
    let status = Command::new(BINARY)
        .arg("--config")
        .arg(config)
        .args(args)
        .status()
        .expect("the binary starts");
    assert!(status.success(), "{args:?} failed");
}

/// Runs one job until it has consumed `events`; events/s from its first batch to its last, peak memory in MiB, and how many
/// clean events it has written.
fn job(config: &Path, port: u16, name: &str, events: u64, metric: &str) -> (f64, u64, u64) {
    let mut child: Child = Command::new(BINARY)
        .arg("--config")
        .arg(config)
        .args(["run", name])
        .spawn()
        .expect("the binary starts");
    let mut first = None;
    let mut last = (Instant::now(), 0);
    let done = wait_until(LIMIT, || {
        let seen = sum(&metrics(port), metric);
        let now = Instant::now();
        if seen > 0 && first.is_none() {
            first = Some((now, seen));
        }
        last = (now, seen);
        seen >= events
    });
    let memory = peak_mib(child.id());
    let clean = sum(&metrics(port), "sluicebox_events_clean_total");
    child.kill().expect("the job runs");
    child.wait().expect("the job ends");
    assert!(done, "{name} has consumed {} of {events} events", last.1);
    let (began, before) = first.expect("something was consumed");
    let seconds = (last.0 - began).as_secs_f64();
    let rate =
        f64::from(u32::try_from(events - before).expect("fewer than 4 billion events")) / seconds;
    (rate, memory, clean)
}

/// The text of /metrics; empty while nobody listens.
fn metrics(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let request = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        if stream.write_all(request).is_ok() && stream.read_to_string(&mut text).is_err() {
            text.clear();
        }
    }
    text
}

fn sum(text: &str, metric: &str) -> u64 {
    let lines = text.lines().filter(|line| line.starts_with(metric));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn peak_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or("0");
    let kib: u64 = line
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    kib / 1024
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

/// The limit: consumer to transactional producer, nothing in between.
fn copy(kafka: &Kafka, events: u64) -> f64 {
    kafka.create_topic("copied_events", PARTITIONS, &[]);
    let mut settings = kafka.client();
    settings
        .set("group.id", "copy")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    settings
        .set("isolation.level", "read_committed")
        .set("queued.min.messages", "1000000");
    let consumer: BaseConsumer = settings.create().expect("the settings are right");
    let mut settings = kafka.client();
    settings
        .set("transactional.id", "copy")
        .set("linger.ms", "5")
        .set("batch.size", "1000000");
    settings
        .set("queue.buffering.max.messages", "1000000")
        .set("partitioner", "murmur2_random");
    settings
        .set("retry.backoff.ms", "5")
        .set("retry.backoff.max.ms", "100");
    let producer: BaseProducer = settings.create().expect("the settings are right");
    let wait = Duration::from_secs(30);
    producer
        .init_transactions(wait)
        .expect("transactions start");
    consumer
        .subscribe(&["raw_events"])
        .expect("the topic is there");
    let (mut done, mut began) = (0, None);
    producer.begin_transaction().expect("a transaction begins");
    while done < events {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message.expect("the topic can be read");
        began.get_or_insert_with(Instant::now);
        send(
            &producer,
            message.key().unwrap_or_default(),
            message.payload().unwrap_or_default(),
        );
        done += 1;
        if done % BATCH == 0 || done == events {
            while producer.in_flight_count() > 0 {
                producer.poll(Duration::from_millis(1));
            }
            let positions = consumer.position().expect("partitions are assigned");
            let group = consumer
                .group_metadata()
                .expect("the consumer is in a group");
            producer
                .send_offsets_to_transaction(&positions, &group, wait)
                .expect("positions are taken");
            producer
                .commit_transaction(wait)
                .expect("the transaction commits");
            if done < events {
                producer.begin_transaction().expect("a transaction begins");
            }
        }
    }
    let seconds = began.expect("something was copied").elapsed().as_secs_f64();
    f64::from(u32::try_from(events).expect("fewer than 4 billion events")) / seconds
}

fn send(producer: &BaseProducer, key: &[u8], value: &[u8]) {
    let mut record = BaseRecord::to("copied_events").key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
