//! The warehouse is away for long: nothing is lost, memory stays, somebody is told.

use std::fs;
use std::time::{Duration, Instant};

use super::arena::{Arena, Member};
use super::judge::judge;
use super::{SEED, setting};
use crate::support::proxy::Way;
use crate::support::wait_until;

/// How long the warehouse is away, unless `SLUICEBOX_OUTAGE_SECONDS` says otherwise.
const AWAY: u64 = 35;

/// Events a second, unless `SLUICEBOX_OUTAGE_RATE` says otherwise.
const RATE: u64 = 1_000;

/// Within which the operator has to be told.
const TOLD: Duration = Duration::from_secs(30);

/// What memory may grow by while the warehouse is away: the buffers of a load, and what the allocator keeps.
const GROWTH_KIB: u64 = 150 * 1024;

#[test]
fn a_warehouse_that_is_away_is_told_of_once_and_caught_up_with_in_bounded_memory() {
    let away = Duration::from_secs(setting("SLUICEBOX_OUTAGE_SECONDS").unwrap_or(AWAY));
    let rate = setting("SLUICEBOX_OUTAGE_RATE").unwrap_or(RATE);
    let rate = u32::try_from(rate).expect("a rate fits");
    let mut arena = Arena::at_work("outage", 1, SEED, rate);
    let before = resident_kib(&arena.members[0]);
    let warned = warnings(&arena.members[0]);

    arena.proxy.set(Way::Refused);
    let began = Instant::now();
    let member = &arena.members[0];
    let told = wait_until(TOLD, || {
        !member.process.is_ready() && delayed_seconds(member) > 0.0
    });
    assert!(
        told,
        "ready after {TOLD:?}\n{}",
        member.process.log_tail(20)
    );
    let after = began.elapsed();
    std::thread::sleep(away.saturating_sub(after));
    let during = resident_kib(&arena.members[0]);
    assert_eq!(
        warnings(&arena.members[0]) - warned,
        1,
        "{}",
        arena.members[0].process.log_tail(200)
    );
    arena.proxy.set(Way::Open);

    let opened = Instant::now();
    arena.recover("the warehouse was back");
    arena.settle();
    eprintln!(
        "away for {away:?}, told after {after:?}, caught up {:?} after it was back; resident {before} KiB before, {during} KiB at its end",
        opened.elapsed(),
    );
    let judgement = judge(&arena.books);
    assert!(judgement.is_exact(), "{judgement}");
    assert!(
        during < before + GROWTH_KIB,
        "memory grew from {before} KiB to {during} KiB"
    );
    arena.close();
}

/// For how long the sink has been waiting, as its gauge says.
fn delayed_seconds(member: &Member) -> f64 {
    let page = member.process.page("/metrics").unwrap_or_default();
    let mut values = page
        .lines()
        .filter_map(|line| line.strip_prefix("sluicebox_sink_delayed_seconds "));
    values
        .next()
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// Lines of the sink's log that an operator should look at.
fn warnings(member: &Member) -> usize {
    let log = member.process.log();
    let lines = log
        .lines()
        .filter(|line| line.contains(r#""level":"WARN""#));
    lines
        .filter(|line| line.contains("sluicebox::sink") || line.contains("sluicebox::warehouse"))
        .count()
}

/// Memory that the process holds, as Linux counts it.
fn resident_kib(member: &Member) -> u64 {
    let path = format!("/proc/{}/status", member.process.id());
    let status = fs::read_to_string(path).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("Linux tells a number")
}
