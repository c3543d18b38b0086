//! Workers that come, go, freeze and are replaced: every event is counted once, and the service goes on by itself.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer};

use crate::support::books::{Books, events};
use crate::support::kafka::{Kafka, jars_folder};
use crate::support::running::Running;
use crate::support::stream::Stream;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(120);

/// Clean and gold only: who works on which partition is their matter.
const WORKERS: [&str; 15] = [
    "--set",
    "kafka.membership=dynamic",
    "--set",
    "kafka.session_timeout=6s",
    "--set",
    "clean.threads=2",
    "--set",
    "gold.threads=2",
    "--set",
    "clean.batch_events=400",
    "--set",
    "gold.batch_events=300",
    "run",
    "clean",
    "gold",
];

fn rejoins(service: &Running, job: &str) -> u64 {
    service.metric(&format!("sluicebox_rejoins_total{{job=\"{job}\"}}"))
}

fn await_work(service: &mut Running) {
    service.wait_for("a batch is counted", LIMIT, |service| {
        service.log().contains("batch counted")
    });
}

#[test]
fn two_threads_in_each_of_several_processes_share_the_partitions_through_joins_and_leaves() {
    let books = Books::open_on(Kafka::shared(), 6, "members");
    let deployment = &books.deployment;
    let stream = Stream::start(&mut deployment.kafka.client(), &deployment.raw, 11, 1_000);
    let join = || {
        let mut service = deployment.start(&WORKERS);
        service.wait_ready();
        await_work(&mut service);
        service
    };
    let (mut first, mut second) = (join(), join());
    let mut third = join();
    assert!(second.terminate().success());
    // Without a farewell: its partitions come back after the session's time-out.
    first.kill();
    let mut fourth = join();
    assert!(third.terminate().success());
    let mut fifth = join();
    stream.finish();
    for service in [&mut fourth, &mut fifth] {
        assert!(service.terminate().success());
    }
    books.assert_exact(&mut books.deployment.start(&["run"]));
}

#[test]
fn a_worker_whose_transactional_id_was_taken_joins_anew_and_counts_each_event_once() {
    let books = Books::open("fenced");
    let all = events(9_000, 12);
    let mut service = books.deployment.start(&["run"]);
    books.produce(&all[..3_000]);
    await_work(&mut service);
    let slot = std::fs::read_to_string(books.deployment.path().join("state/0/id")).unwrap();
    for (number, job) in (1..).zip(["clean", "gold"]) {
        let group = format!("sluicebox-{}-{job}", books.deployment.clean);
        let mut config = books.deployment.kafka.client();
        config.set("transactional.id", format!("{group}-{}-0", slot.trim()));
        let thief: BaseProducer = config.create().unwrap();
        thief.init_transactions(LIMIT).unwrap();
        books.produce(&all[3_000 * number..3_000 * (number + 1)]);
        service.wait_for("the worker joins anew", LIMIT, |service| {
            rejoins(service, job) > 0
        });
    }
    books.assert_exact(&mut service);
    let log = service.log();
    assert!(log.contains("working on"), "{log}");
}

#[test]
fn a_broker_that_is_frozen_for_forty_seconds_is_survived_and_told_of() {
    let books = Books::open_on(Arc::new(Kafka::start()), 3, "frozen");
    let all = events(12_000, 13);
    let mut service = books.deployment.start(&["run"]);
    service.wait_ready();
    books.produce(&all[..6_000]);
    await_work(&mut service);
    books.produce(&all[6_000..]);
    books.deployment.kafka.freeze();
    let frozen = Instant::now();
    service.wait_for("readiness says so", Duration::from_secs(30), |service| {
        let page = service.page("/health/ready").unwrap_or_default();
        page.contains("clean: delayed") && page.contains("gold: delayed")
    });
    let thaw = Duration::from_secs(40).saturating_sub(frozen.elapsed());
    std::thread::sleep(thaw);
    books.deployment.kafka.thaw();
    service.wait_ready();
    books.assert_exact(&mut service);
    for job in ["clean", "gold"] {
        let log = service.log();
        let told = log.lines().filter(|line| {
            line.contains("cannot go on") && line.contains(&format!("\"job\":\"{job}\""))
        });
        // Not one a try: a second one when something fails while it comes back.
        assert!((1..=2).contains(&told.count()), "{job}\n{log}");
    }
}

#[test]
fn the_service_ends_in_time_while_its_broker_is_frozen() {
    let books = Books::open_on(Arc::new(Kafka::start()), 3, "frozen-end");
    let mut service = books.deployment.start(&["run"]);
    service.wait_ready();
    books.produce(&events(20_000, 14));
    books.deployment.kafka.freeze();
    let ended = service.terminate();
    books.deployment.kafka.thaw();
    assert!(ended.success(), "{ended}");
    books.assert_exact(&mut books.deployment.start(&["run"]));
}

#[test]
fn the_lag_is_the_one_that_kafka_consumer_groups_shows() {
    let books = Books::open("lag");
    let mut service = books.deployment.start(&["run"]);
    books.produce(&events(3_000, 15));
    await_work(&mut service);
    for job in ["clean", "gold"] {
        let mut seen = (Vec::new(), Vec::new());
        let agree = wait_until(LIMIT, || {
            seen = (told_lag(&books, job), own_lag(&service, job));
            // Positions are committed behind the marker of the last transaction too.
            seen.0 == [0; 3] && seen.0 == seen.1
        });
        assert!(agree, "{job}: kafka tells {:?}, we {:?}", seen.0, seen.1);
    }
    assert!(service.terminate().success());
}

/// What Kafka's own tool says, by partition.
fn told_lag(books: &Books, job: &str) -> Vec<u64> {
    let group = format!("sluicebox-{}-{job}", books.deployment.clean);
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp"])
        .arg(jars_folder().join("*"))
        .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
        .args(["--describe", "--group", &group, "--bootstrap-server"])
        .arg(books.deployment.kafka.bootstrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lags: Vec<(u64, u64)> = said
        .lines()
        .filter(|line| line.starts_with(&group))
        .filter_map(|line| {
            // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG
            let columns: Vec<&str> = line.split_whitespace().collect();
            // A dash where nothing was committed yet: there all of the log is left.
            let lag = match *columns.get(5)? {
                "-" => columns.get(4)?,
                lag => lag,
            };
            Some((columns.get(2)?.parse().ok()?, lag.parse().ok()?))
        })
        .collect();
    lags.sort_unstable();
    lags.into_iter().map(|(_, lag)| lag).collect()
}

/// What the gauge says, by partition; nothing while it is missing.
fn own_lag(service: &Running, job: &str) -> Vec<u64> {
    let page = service.page("/metrics").unwrap_or_default();
    let lag = |partition: i32| {
        let series = format!("sluicebox_lag_records{{job=\"{job}\",partition=\"{partition}\"}} ");
        let value = page.lines().find_map(|line| line.strip_prefix(&series))?;
        value.parse().ok()
    };
    (0..3).filter_map(lag).collect()
}
