//! Carries out a plan, and says what came of it.

use std::time::{Duration, Instant};

use super::arena::{Arena, Tally};
use super::judge::{Judgement, judge};
use super::plan::{Act, Plan, Replaced, Step};
use crate::support::proxy::Way;
use crate::support::wait_until;

/// Longest time until a member comes to a point that it was told to die at.
const POINT_LIMIT: Duration = Duration::from_secs(60);

/// Longest wait for a load whose reply is to be dropped.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

/// Events a second.
const RATE: u32 = 300;

/// One run of the chaos: an arena, a seed, and what was counted.
pub(crate) struct Run {
    arena: Arena,
    seed: u64,
    kinds: &'static [&'static str],
    began: Instant,
    acts: Tally,
    kills: u32,
    /// Points that were armed and not met in time.
    missed: u32,
}

impl Run {
    /// With a seed, so many members, and acts of these kinds only.
    pub(crate) fn start(
        name: &str,
        seed: u64,
        members: usize,
        kinds: &'static [&'static str],
    ) -> Self {
        eprintln!("chaos: seed {seed}, {members} members, {RATE} events/s");
        Self {
            arena: Arena::at_work(name, members, seed, RATE),
            seed,
            kinds,
            began: Instant::now(),
            acts: Tally::new(),
            kills: 0,
            missed: 0,
        }
    }

    /// Members die at each of these points.
    ///
    /// # Panics
    /// If no member comes to a point.
    pub(crate) fn die_at(&mut self, points: &[&str]) {
        for points in points.chunks(self.arena.members.len()) {
            for (at, point) in points.iter().enumerate() {
                self.kills += 1;
                self.arena.members[at].process.kill();
                self.arena.revive(at, Some(&format!("{point}=abort")));
            }
            let mut left: Vec<_> = points.iter().enumerate().collect();
            let deadline = Instant::now() + POINT_LIMIT;
            while !left.is_empty() {
                assert!(
                    Instant::now() < deadline,
                    "{left:?} not met within {POINT_LIMIT:?}"
                );
                left.retain(|(at, point)| {
                    let died = self.has_died_at(*at, point);
                    if died {
                        self.kills += 1;
                        self.arena.revive(*at, None);
                    }
                    !died
                });
                std::thread::sleep(Duration::from_millis(50));
            }
            self.arena.recover(&format!("deaths at {points:?}"));
            let took = self.arena.recoveries.last().expect("it has just recovered");
            let at = self.began.elapsed().as_secs_f64();
            eprintln!(
                "{at:8.1} s  died at {points:?}: worked again after {:.1} s",
                took.as_secs_f64()
            );
        }
        let met = u32::try_from(points.len()).expect("there are few points");
        *self.acts.entry("crash point".to_owned()).or_default() += met;
    }

    /// Carries out the steps of the plan while `more` says so.
    pub(crate) fn carry_out(&mut self, mut more: impl FnMut(u32, Duration) -> bool) {
        for (number, step) in (0..).zip(Plan::new(self.seed, self.kinds)) {
            if !more(number, self.began.elapsed()) {
                return;
            }
            std::thread::sleep(step.pause);
            self.arena.supervise();
            let at = self.began.elapsed().as_secs_f64();
            self.act(step);
            *self.acts.entry(step.act.kind().to_owned()).or_default() += 1;
            self.arena.recover(&format!("act {number}, {}", step.act));
            let took = self.arena.recoveries.last().expect("it has just recovered");
            eprintln!(
                "{at:8.1} s  {number:4}  {}: worked again after {:.1} s",
                step.act,
                took.as_secs_f64()
            );
        }
    }

    fn act(&mut self, step: Step) {
        let at = step.member % self.arena.members.len();
        match step.act {
            Act::Kill => {
                self.kills += 1;
                self.arena.kill(at);
            }
            Act::KillAll => {
                for at in 0..self.arena.members.len() {
                    self.kills += 1;
                    self.arena.members[at].process.kill();
                }
                for at in 0..self.arena.members.len() {
                    self.arena.revive(at, None);
                }
            }
            Act::Crash(point, visit) => self.crash(at, point, visit),
            Act::Freeze(time, replaced) => self.freeze(at, time, replaced),
            Act::BrokerKill(time) => {
                let kafka = &self.arena.books.deployment.kafka;
                kafka.kill();
                std::thread::sleep(time);
                kafka.restart();
            }
            Act::BrokerFreeze(time) => {
                let kafka = &self.arena.books.deployment.kafka;
                kafka.freeze();
                std::thread::sleep(time);
                kafka.thaw();
            }
            Act::DropReply => self.drop_reply(),
            Act::Refuse(time) => self.on_the_way(Way::Refused, time),
            Act::Silence(time) => self.on_the_way(Way::Silent, time),
            Act::Slow(time) => self.on_the_way(Way::Slow(time / 4), time * 3),
            Act::Join => {
                self.arena.join();
                let last = self.arena.members.last_mut().expect("it has just joined");
                last.process.wait_ready();
                self.arena.recover("a join");
                let last = self.arena.members.len() - 1;
                self.arena.end(last);
                self.arena.members.pop();
            }
            Act::Leave => {
                self.arena.end(at);
                self.arena.revive(at, None);
            }
        }
    }

    /// Kills a member and starts it with a plan to die at this point; then starts it as it was.
    fn crash(&mut self, at: usize, point: &str, visit: u32) {
        self.kills += 1;
        self.arena.members[at].process.kill();
        self.arena
            .revive(at, Some(&format!("{point}@{visit}=abort")));
        if self.died_at(at, point) {
            self.kills += 1;
        } else {
            self.missed += 1;
            self.arena.members[at].process.kill();
        }
        self.arena.revive(at, None);
    }

    /// Whether a member comes to the point that it is to die at.
    fn died_at(&mut self, at: usize, point: &str) -> bool {
        wait_until(POINT_LIMIT, || self.has_died_at(at, point))
    }

    /// Whether a member has died, which it may at this point only.
    fn has_died_at(&mut self, at: usize, point: &str) -> bool {
        let process = &mut self.arena.members[at].process;
        let died = process.ended().is_some();
        let there = !died || process.log().contains(&format!("crash point {point}"));
        assert!(
            there,
            "a member ended before it came to {point}\n{}",
            process.log_tail(40)
        );
        died
    }

    fn freeze(&mut self, at: usize, time: Duration, replaced: Replaced) {
        self.arena.members[at].process.signal("STOP");
        self.arena.members[at].zombie = true;
        if replaced == Replaced::Yes {
            self.arena.join();
        }
        std::thread::sleep(time);
        self.arena.members[at].process.signal("CONT");
        if replaced == Replaced::Yes {
            self.arena.recover("a frozen member went on");
            let last = self.arena.members.len() - 1;
            self.arena.end(last);
            self.arena.members.pop();
        }
    }

    fn drop_reply(&mut self) {
        let before = self.arena.proxy.dropped();
        self.arena.proxy.drop_next_reply();
        let proxy = &self.arena.proxy;
        let dropped = wait_until(LOAD_LIMIT, || proxy.dropped() > before);
        assert!(dropped, "no load came by within {LOAD_LIMIT:?}");
    }

    fn on_the_way(&self, way: Way, time: Duration) {
        self.arena.proxy.set(way);
        std::thread::sleep(time);
        self.arena.proxy.set(Way::Open);
    }

    /// Lets everything settle, judges it, and checks that the chaos was real.
    pub(crate) fn finish(mut self) -> Judgement {
        self.arena.settle();
        let judgement = judge(&self.arena.books);
        eprintln!(
            "seed {}; {} in {:.0} s",
            self.seed,
            judgement,
            self.began.elapsed().as_secs_f64()
        );
        let mut recoveries = std::mem::take(&mut self.arena.recoveries);
        recoveries.sort();
        let total: u32 = self.acts.values().sum();
        for (kind, count) in &self.acts {
            eprintln!(
                "  {kind}: {count} ({:.0} %)",
                100.0 * f64::from(*count) / f64::from(total)
            );
        }
        eprintln!(
            "  {} kills, {} restarts, {} points not met; work again after {:.1} s (median), {:.1} s (longest)",
            self.kills,
            self.arena.restarts,
            self.missed,
            recoveries[recoveries.len() / 2].as_secs_f64(),
            recoveries.last().map_or(0.0, Duration::as_secs_f64),
        );
        assert!(judgement.is_exact(), "{judgement}");
        // What the service's own tool says, from Kafka and the warehouse alone.
        eprintln!("{}", self.arena.books.deployment.done(&["reconcile"]));
        for &kind in self.kinds {
            assert!(self.acts.contains_key(kind), "{kind} did not happen");
        }
        self.arena.close();
        judgement
    }
}
