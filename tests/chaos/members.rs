//! Members come and go, and one that was frozen wakes up after it was replaced.

use std::time::Duration;

use super::arena::Arena;
use super::judge::judge;
use super::runner::Run;
use super::{SEED, setting};
use crate::support::kafka::Record;
use crate::support::running::Running;
use crate::support::wait_until;

/// Each is a member that joins and a member that leaves.
const ACTS: u32 = 25;

/// Longest time until a member comes to the point that it freezes at, and until a woken one is where it should be.
const LIMIT: Duration = Duration::from_secs(90);

/// How long a woken member is watched.
const WATCHED: Duration = Duration::from_secs(5);

/// How long the broker is frozen, unless `SLUICEBOX_FROZEN_SECONDS` says otherwise.
const FROZEN: u64 = 45;

#[test]
fn fifty_joins_and_leaves_lose_no_event_and_double_none() {
    let mut run = Run::start("members", SEED, 2, &["join", "leave"]);
    run.carry_out(|number, _| number < ACTS);
    run.finish();
}

#[test]
fn a_broker_that_is_frozen_for_long_is_waited_for() {
    let mut arena = Arena::at_work("frozen", 1, SEED, 200);
    let kafka = std::sync::Arc::clone(&arena.books.deployment.kafka);
    kafka.freeze();
    std::thread::sleep(Duration::from_secs(
        setting("SLUICEBOX_FROZEN_SECONDS").unwrap_or(FROZEN),
    ));
    kafka.thaw();
    // Panics if a member has ended.
    arena.recover("the broker went on");
    arena.settle();
    let judgement = judge(&arena.books);
    assert!(judgement.is_exact(), "{judgement}");
    arena.close();
}

#[test]
fn a_member_that_wakes_before_its_gold_commit_after_it_was_replaced_writes_nothing() {
    a_zombie_writes_nothing("zombie-gold", "gold.commit.before@5=stop");
}

#[test]
fn a_member_that_wakes_before_it_sends_offsets_after_it_was_replaced_writes_nothing() {
    a_zombie_writes_nothing("zombie-clean", "clean.offsets.before@5=stop");
}

#[test]
fn a_member_that_wakes_before_its_load_after_it_was_replaced_writes_nothing() {
    a_zombie_writes_nothing("zombie-sink", "sink.request.before@2=stop");
}

/// All that can be written to.
#[derive(PartialEq)]
struct World {
    topics: Vec<Vec<Record>>,
    tables: Vec<Vec<Vec<String>>>,
}

impl World {
    fn of(arena: &Arena) -> Self {
        let (books, deployment) = (&arena.books, &arena.books.deployment);
        let topics = [&deployment.clean, &deployment.rejected, &books.gold];
        let gold = [
            "customer_id",
            "event_date",
            "page_views",
            "sluicebox_version",
        ];
        Self {
            topics: topics.map(|topic| deployment.kafka.read_all(topic)).into(),
            tables: vec![
                books.sorted(&["event_id"], "KAFKA_EVENTS_SILVER"),
                books.sorted(&gold, &books.gold),
            ],
        }
    }
}

/// A member freezes at this point with work in its hands; another takes over and does all of it; then the first goes on.
fn a_zombie_writes_nothing(name: &str, point: &str) {
    let mut arena = Arena::at_work(name, 1, SEED, 200);
    arena.members[0].process.kill();
    arena.revive(0, Some(point));
    let frozen = |process: &Running| process.log().contains("crash point");
    let met = wait_until(LIMIT, || frozen(&arena.members[0].process));
    assert!(
        met,
        "no member came to {point}\n{}",
        arena.members[0].process.log_tail(40)
    );
    arena.members[0].zombie = true;
    arena.join();
    arena.recover("a replacement came");
    arena.await_loaded();
    let before = World::of(&arena);

    arena.members[0].process.signal("CONT");
    let back = wait_until(LIMIT, || {
        let process = &mut arena.members[0].process;
        match process.ended() {
            Some(status) => {
                assert!(status.success(), "{status}\n{}", process.log_tail(40));
                true
            }
            None => process.is_ready(),
        }
    });
    assert!(
        back,
        "neither at its end nor at work\n{}",
        arena.members[0].process.log_tail(40)
    );
    std::thread::sleep(WATCHED);
    assert!(
        World::of(&arena) == before,
        "the woken member wrote\n{}",
        arena.members[0].process.log_tail(40)
    );
    arena.settle();
    let judgement = judge(&arena.books);
    assert!(judgement.is_exact(), "{judgement}");
    arena.close();
}
