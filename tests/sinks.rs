//! The sink alone: several that share the partitions, one that is frozen and replaced, and a warehouse that is away.

use std::time::{Duration, Instant};

use crate::support::books::{Books, events};
use crate::support::kafka::Kafka;
use crate::support::proxy::{Proxy, Way};
use crate::support::running::Running;

const LIMIT: Duration = Duration::from_secs(120);

/// What the operator is promised: trouble is told within this time.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

const BEGINNING: &str = "rows wait, the warehouse does not take them";
const GIVEN: &str = "partitions given by the group";
const END: &str = "the warehouse takes rows again";

/// How often the log has a line with this.
fn said(service: &Running, words: &str) -> usize {
    let log = service.log();
    log.lines().filter(|line| line.contains(words)).count()
}

fn loaded(service: &Running) -> u64 {
    service.metric("sluicebox_load_rows_total")
}

#[test]
fn a_warehouse_that_is_away_is_told_once_and_nothing_is_lost() {
    let books = Books::open("outage");
    let proxy = Proxy::to(books.deployment.warehouse());
    let url = format!("warehouse.url={}", proxy.url());
    let run = ["--set", &url, "--set", "sink.flush_interval=300ms", "run"];
    let all = events(9_000, 21);
    let mut service = books.deployment.start(&run);
    service.wait_ready();
    books.produce(&all[..3_000]);
    service.wait_for("rows are loaded", LIMIT, |service| loaded(service) > 0);

    let went = Instant::now();
    proxy.set(Way::Refused);
    books.produce(&all[3_000..6_000]);
    service.wait_for("readiness and the metric say so", TOLD_WITHIN, |service| {
        let page = service.page("/health/ready").unwrap_or_default();
        let metrics = service.page("/metrics").unwrap_or_default();
        let delayed = metrics
            .lines()
            .find_map(|line| line.strip_prefix("sluicebox_sink_delayed_seconds "));
        page.contains("sink: delayed") && delayed.is_some_and(|seconds| seconds != "0")
    });
    // Then it is reached, and answers nothing.
    proxy.set(Way::Silent);
    books.produce(&all[6_000..]);
    std::thread::sleep(Duration::from_secs(25).saturating_sub(went.elapsed()));
    proxy.set(Way::Open);
    service.wait_for("the end is said", LIMIT, |service| said(service, END) == 1);
    service.wait_ready();
    assert_eq!(said(&service, BEGINNING), 1, "{}", service.log());
    books.assert_exact(&mut service);
}

#[test]
fn a_stop_while_the_warehouse_is_away_is_soon_and_the_next_start_goes_on() {
    let books = Books::open("outage-end");
    let proxy = Proxy::to(books.deployment.warehouse());
    let url = format!("warehouse.url={}", proxy.url());
    let mut service = books.deployment.start(&["--set", &url, "run"]);
    service.wait_ready();
    proxy.set(Way::Refused);
    books.produce(&events(2_000, 22));
    service.wait_for("events are counted", LIMIT, |service| {
        service.log().contains("batch counted")
    });
    // `terminate` asserts that it does not take longer than promised.
    assert!(service.terminate().success(), "{}", service.log());
    assert_eq!(
        said(&service, "the next start goes on from the control table"),
        1
    );
    books.assert_exact(&mut books.deployment.start(&["run"]));
}

#[test]
fn a_sink_that_was_frozen_and_replaced_writes_nothing_when_it_wakes_and_joins_again() {
    let books = Books::open_on(Kafka::shared(), 4, "sinks");
    let sink = [
        "--set",
        "kafka.session_timeout=6s",
        "--set",
        "sink.flush_interval=300ms",
        "run",
        "sink",
    ];
    let mut makers = books.deployment.start(&["run", "clean", "gold"]);
    let mut first = books.deployment.start(&sink);
    let mut second = books.deployment.start(&sink);
    first.wait_ready();
    second.wait_ready();
    let all = events(12_000, 23);
    let mut parts = all.chunks(4_000);
    let mut next = || books.produce(parts.next().expect("a part for each act"));
    next();
    for sink in [&mut first, &mut second] {
        sink.wait_for("both have a share", LIMIT, |sink| loaded(sink) > 0);
    }

    let (first_given, second_given) = (said(&first, GIVEN), said(&second, GIVEN));
    first.signal("STOP");
    next();
    second.wait_for("it has the other's share", LIMIT, |second| {
        said(second, GIVEN) > second_given
    });
    let before = loaded(&second);
    second.wait_for("and loads it", LIMIT, |second| loaded(second) > before);
    first.signal("CONT");
    next();
    first.wait_for("it has a share again", LIMIT, |first| {
        said(first, GIVEN) > first_given
    });
    assert!(second.terminate().success());
    books.assert_exact(&mut first);
    assert!(makers.terminate().success());
}
