//! Stops and starts in the middle of the stream: no event is lost, none is counted twice.

use std::time::Duration;

use chrono::{SubsecRound, Utc};
use sluicebox::generate::{Event, Events, Options};

use crate::support::books::Books;
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
    let events: Vec<_> = Events::new(Options::new(3, Utc::now().trunc_subsecs(6)))
        .take(EVENTS)
        .collect();
    let mut parts = parts(&events).into_iter();
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
    let clean: Vec<_> = judged
        .iter()
        .filter_map(|(_, verdict)| verdict.clean())
        .collect();
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
    books.await_loaded(&mut service, clean.len());
    assert!(service.terminate().success());
    books.assert_hold(&clean);
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
