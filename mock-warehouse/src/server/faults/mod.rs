//! Faults on demand: rules in, and for each request what is to go wrong with it out; counted, and the same again for the
//! same seed.

mod act;
mod admin;
mod answer;
mod rule;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) use act::{Moment, Slow, act};
pub(super) use admin::routes as admin_routes;
pub use rule::{Fault, FaultKind, HowOften, Step, WrongFault};

/// The rules of a warehouse and what it has counted. Clones share them; rules may come and go while it serves.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    book: Arc<Mutex<Book>>,
}

/// What the server has been asked for and has done since it began. Numbers only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests by step, those that met a fault included; a step without any is absent.
    pub requests: BTreeMap<Step, u64>,
    /// Requests of no step: heartbeats, closed sessions, telemetry, paths that do not exist. Not `/health`, not `/admin`.
    pub other_requests: u64,
    /// SQL statements that began to run, each of a request of several counted.
    pub statements: u64,
    /// Bytes of objects and parts that were written to stages.
    pub bytes_staged: u64,
    /// Requests whose handler panicked: a bug of this server.
    pub panics: u64,
}

/// A rule and how it fared.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleState {
    /// As [`Faults::add`] gave it.
    pub id: u64,
    /// The rule.
    pub fault: Fault,
    /// Requests of its step since it was added.
    pub seen: u64,
    /// How many of them it struck.
    pub struck: u64,
}

#[derive(Debug, Default)]
struct Book {
    seed: u64,
    last_id: u64,
    rules: Vec<(RuleState, Dice)>,
    counters: Counters,
}

/// What is to happen to one request.
#[derive(Debug, Default, PartialEq)]
struct Strikes {
    /// In the order in which the rules were added.
    changes: Vec<FaultKind>,
    /// At most one.
    reply: Option<FaultKind>,
}

impl Faults {
    /// Adds a rule and returns its number. Rules are asked in the order in which they came.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut book = self.book();
        book.last_id += 1;
        let id = book.last_id;
        let dice = Dice(book.seed ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (seen, struck) = (0, 0);
        let rule = RuleState {
            id,
            fault,
            seen,
            struck,
        };
        book.rules.push((rule, dice));
        id
    }

    /// Takes a rule away; false when it was not there.
    pub fn remove(&self, id: u64) -> bool {
        let mut book = self.book();
        let before = book.rules.len();
        book.rules.retain(|(rule, _)| rule.id != id);
        book.rules.len() < before
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.book().rules.clear();
    }

    /// For the probabilities of rules that are added from now on; 0 unless it is set.
    pub fn set_seed(&self, seed: u64) {
        self.book().seed = seed;
    }

    /// The rules that are in force.
    pub fn rules(&self) -> Vec<RuleState> {
        let book = self.book();
        book.rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// How often the rule struck; `None` when it is gone.
    pub fn struck(&self, id: u64) -> Option<u64> {
        let rules = self.rules();
        rules.iter().find(|rule| rule.id == id).map(|r| r.struck)
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.book().counters.clone()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.book().counters);
    }

    /// Counts the request and asks each rule of its step.
    fn strikes(&self, step: Step) -> Strikes {
        let mut book = self.book();
        *book.counters.requests.entry(step).or_default() += 1;
        let mut strikes = Strikes::default();
        for (rule, dice) in &mut book.rules {
            if rule.fault.step != step {
                continue;
            }
            rule.seen += 1;
            let is_change = rule.fault.kind.is_change();
            if rule.seen <= rule.fault.skip || (!is_change && strikes.reply.is_some()) {
                continue;
            }
            let strikes_now = match rule.fault.how_often {
                HowOften::Always => true,
                HowOften::Times(times) => rule.struck < times,
                HowOften::Chance(chance) => dice.throw() < chance,
            };
            if !strikes_now {
                continue;
            }
            rule.struck += 1;
            tracing::info!(fault = %rule.fault, struck = rule.struck, "fault strikes");
            if is_change {
                strikes.changes.push(rule.fault.kind.clone());
            } else {
                strikes.reply = Some(rule.fault.kind.clone());
            }
        }
        strikes
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SplitMix64: enough for faults, the same for ever.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// 0 up to but without 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // 32 bits are exact in a float.
        f64::from((mixed >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(rules: &[&str], seed: u64, requests: usize) -> Vec<bool> {
        let faults = Faults::default();
        faults.set_seed(seed);
        for rule in rules {
            faults.add(rule.parse().unwrap());
        }
        let strike = |_| faults.strikes(Step::Submit).reply.is_some();
        (0..requests).map(strike).collect()
    }

    #[test]
    fn a_rule_skips_strikes_and_is_done() {
        let pattern = struck(&["500@submit+1=2", "500@poll"], 0, 5);
        assert_eq!(pattern, [false, true, true, false, false]);
    }

    #[test]
    fn of_two_replies_the_second_waits_for_its_turn() {
        assert_eq!(
            struck(&["500@submit=1", "503@submit=1"], 0, 3),
            [true, true, false]
        );
    }

    #[test]
    fn a_probability_is_kept_and_the_same_for_the_same_seed() {
        let one = struck(&["500@submit=10%"], 7, 10_000);
        let hits = one.iter().filter(|hit| **hit).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert_eq!(one, struck(&["500@submit=10%"], 7, 10_000));
        assert_ne!(one, struck(&["500@submit=10%"], 8, 10_000));
    }

    #[test]
    fn changes_strike_beside_a_reply() {
        let faults = Faults::default();
        let sql = faults.add("sql:SELECT 1@submit=1".parse().unwrap());
        faults.add("500@submit".parse().unwrap());
        let strikes = faults.strikes(Step::Submit);
        assert_eq!(strikes.changes.len(), 1);
        assert_eq!(strikes.reply, Some(FaultKind::Status(500, None)));
        assert_eq!(faults.struck(sql), Some(1));
        assert!(faults.remove(sql) && !faults.remove(sql));
        assert_eq!(faults.counters().requests[&Step::Submit], 1);
    }
}
