//! Stops and starts in the middle of the stream: no event is lost, none is counted twice.

use std::time::{Duration, Instant};

use chrono::Utc;
use sluicebox::generate::Event;

use crate::support::books::{Books, events};
use crate::support::oracle::Verdict;

const EVENTS: usize = 20_000;
const STOPS: usize = 3;

/// Events of the part before a stop that come again after it.
const AGAIN: usize = 60;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn stops_and_starts_in_the_middle_of_the_stream_lose_no_event_and_count_none_twice() {
    let books = Books::open("restarts");
    let small_batches = [
        "run",
        "--set",
        "clean.batch_events=700",
        "--set",
        "gold.batch_events=500",
        "--set",
        "sink.flush_interval=300ms",
    ];
    let mut parts = parts(&events(EVENTS, 3)).into_iter();
    for part in parts.by_ref().take(STOPS) {
        let mut service = books.deployment.start(&small_batches);
        std::thread::scope(|scope| {
            scope.spawn(|| books.deployment.produce(part));
            service.wait_for("a batch is cleaned", LIMIT, |service| {
                service.log().contains("batch cleaned")
            });
            let status = service.terminate();
            assert!(status.success(), "{status}");
        });
    }
    books
        .deployment
        .produce(parts.next().expect("a part for the last run"));
    let judged = books.judged();
    for kind in [
        Verdict::Duplicate,
        Verdict::Rejected("conflicting_duplicate".to_owned()),
    ] {
        let found = judged
            .iter()
            .filter(|(_, verdict)| *verdict == kind)
            .count();
        assert!(found > STOPS, "{found} of {kind:?}");
    }

    let mut service = books.deployment.start(&small_batches);
    books.assert_exact(&mut service);
}

/// What is produced before each stop, and after the last. Each part begins with events of the one before: half of them
/// as they were, half with other bytes.
fn parts(events: &[Event]) -> Vec<Vec<(Option<&'static str>, Vec<u8>)>> {
    let parts: Vec<&[Event]> = events.chunks(EVENTS / (STOPS + 1)).collect();
    let mut produced = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let before = number
            .checked_sub(1)
            .map_or(&[][..], |before| parts[before]);
        let again = before
            .iter()
            .rev()
            .take(AGAIN)
            .enumerate()
            .map(|(at, event)| {
                let blank: &[u8] = if at % 2 == 0 { b"" } else { b" " };
                (event.key, [event.value.as_slice(), blank].concat())
            });
        let fresh = part.iter().map(|event| (event.key, event.value.clone()));
        produced.push(again.chain(fresh).collect());
    }
    produced
}

/// From the start of a process to its first committed rows, with a state of [`KEYS`].
const FIRST_OUTPUT: Duration = Duration::from_secs(5);
const KEYS: usize = 10_000;
/// The tests share the machine with others, so a restart may be slow once.
const TRIES: usize = 3;

/// Events of as many customers, so that each is a key of its own.
fn customers(round: usize, count: usize) -> Vec<(Option<String>, Vec<u8>)> {
    let now = Utc::now().to_rfc3339();
    let event = |number: usize| {
        let customer = format!("CUST_{number}");
        let value = format!(
            r#"{{"event_id":"{round}-{number}","customer_id":"{customer}","event_type":"PAGE_VIEW","amount":1.5,"currency":"USD","event_timestamp":"{now}"}}"#
        );
        (Some(customer), value.into_bytes())
    };
    (0..count).map(event).collect()
}

#[test]
fn a_stop_under_load_ends_within_ten_seconds_and_a_restart_with_ten_thousand_keys_works_within_five()
 {
    let books = Books::open("restart-time");
    books.deployment.produce(customers(0, KEYS));
    let mut service = books.deployment.start(&["run"]);
    let keys = format!("sluicebox_gold_state_keys{{table=\"{}\"}}", books.gold);
    service.wait_for("all keys are counted", LIMIT, |service| {
        usize::try_from(service.metric(&keys)) == Ok(KEYS)
    });
    let mut took = Vec::new();
    for round in 1..=TRIES {
        // It has something to do, and is told to end in the middle of it.
        books.deployment.produce(customers(round, KEYS));
        assert!(service.terminate().success());
        books.deployment.produce(customers(round + TRIES, 100));
        let started = Instant::now();
        service = books.deployment.start(&["run"]);
        service.wait_for("rows are committed", LIMIT, |service| {
            service.log().contains("batch counted")
        });
        took.push(started.elapsed());
        if started.elapsed() <= FIRST_OUTPUT {
            break;
        }
    }
    assert!(
        took.last().is_some_and(|last| *last <= FIRST_OUTPUT),
        "{took:?}"
    );
    assert!(service.terminate().success());
}
