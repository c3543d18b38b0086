//! Trouble at the warehouse or with Kafka: when it began, when to try again, and who has been told. One line at its beginning and one when it
//! is over, however often is tried in between.

use std::time::{Duration, Instant, SystemTime};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tracing::{debug, info, warn};

use super::SinkError;
use crate::warehouse::Backoff;

/// First and longest wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The same when the warehouse asks for it.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Trouble that is over sooner is not worth anybody's attention.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// A call that has not ended by then counts as trouble: an answer that never comes is told as soon as one that says no.
const SLOW_AFTER: Duration = Duration::from_secs(20);

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Trouble has lasted for so long that somebody should know.
    Trouble(String),
    /// What was told is over.
    Over,
}

/// Where trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Warehouse,
    Kafka,
}

/// The trouble that there is, if there is any.
pub(super) struct Trouble {
    who: Who,
    since: Option<(Instant, SystemTime)>,
    what: String,
    hint: Option<String>,
    told: bool,
    waits: Backoff<StdRng>,
    next_try: Instant,
}

impl Trouble {
    pub(super) fn none(who: Who) -> Self {
        Self {
            who,
            since: None,
            what: String::new(),
            hint: None,
            told: false,
            waits: Backoff::new(FIRST_WAIT, LONGEST_WAIT, StdRng::from_os_rng()),
            next_try: Instant::now(),
        }
    }

    /// Whether it is time for the next try.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        now >= self.next_try
    }

    /// Whether there is trouble.
    pub(super) fn is_there(&self) -> bool {
        self.since.is_some()
    }

    /// A try has failed that may work later.
    pub(super) fn failed(&mut self, error: &SinkError, now: Instant) {
        self.begin(now);
        self.what = described(error);
        self.hint = error.hint();
        let wait = self.waits.next().unwrap_or(LONGEST_WAIT);
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        let wait = wait.min(LONGEST_WAIT).max(asked);
        self.next_try = now + wait;
        debug!(
            who = ?self.who,
            error = self.what,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "call failed"
        );
    }

    /// A try runs that began at `start`.
    pub(super) fn running(&mut self, start: Instant, now: Instant) {
        if self.since.is_none() && now.saturating_duration_since(start) >= SLOW_AFTER {
            self.begin(start);
            self.what = "the warehouse has not answered yet".to_owned();
        }
    }

    fn begin(&mut self, at: Instant) {
        let ago = at.elapsed();
        self.since.get_or_insert_with(|| {
            (
                at,
                SystemTime::now()
                    .checked_sub(ago)
                    .unwrap_or(SystemTime::UNIX_EPOCH),
            )
        });
    }

    /// A try has worked.
    pub(super) fn worked(&mut self, now: Instant) -> Option<News> {
        let told = self.told;
        if let Some((since, _)) = self.since.filter(|_| told) {
            let lasted = now.saturating_duration_since(since);
            let seconds = lasted.as_secs();
            match self.who {
                Who::Warehouse => info!(seconds, "the warehouse takes rows again"),
                Who::Kafka => info!(seconds, "kafka answers again, reading on"),
            }
        }
        *self = Self::none(self.who);
        told.then_some(News::Over)
    }

    /// For how long there has been trouble.
    pub(super) fn lasts(&self, now: Instant) -> Option<Duration> {
        let (since, _) = self.since?;
        Some(now.saturating_duration_since(since))
    }

    /// Says once what is worth saying.
    pub(super) fn news(&mut self, now: Instant) -> Option<News> {
        if self.told || self.lasts(now)? < TELL_AFTER {
            return None;
        }
        self.told = true;
        let (error, hint) = (&self.what, &self.hint);
        match self.who {
            Who::Warehouse => {
                warn!(
                    error,
                    hint, "rows wait, the warehouse does not take them; trying on"
                );
            }
            Who::Kafka => warn!(
                error,
                hint, "no row is read, kafka does not answer; trying on"
            ),
        }
        self.told().map(News::Trouble)
    }

    /// What was said of trouble that is not over.
    pub(super) fn told(&self) -> Option<String> {
        let (_, began) = self.since.filter(|_| self.told)?;
        let since = humantime::format_rfc3339_seconds(began);
        let stands = match self.who {
            Who::Warehouse => "no load",
            Who::Kafka => "no answer from kafka",
        };
        Some(format!("{stands} since {since}: {}", self.what))
    }
}

/// The error with what caused it, on one line.
pub(super) fn described(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::Error;

    fn unavailable() -> SinkError {
        SinkError::Warehouse {
            call: "the load",
            source: Error::Unavailable {
                call: "submitting a statement",
                reason: "no reply".to_owned(),
                retry_after: None,
                source: None,
            },
        }
    }

    #[test]
    fn trouble_is_told_once_and_its_end_once() {
        let mut trouble = Trouble::none(Who::Warehouse);
        let start = Instant::now();
        let mut told = Vec::new();
        for second in 0..60 {
            let now = start + Duration::from_secs(second);
            trouble.failed(&unavailable(), now);
            told.extend(trouble.news(now).map(|news| (second, news)));
        }
        let [(10, News::Trouble(what))] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert!(
            what.contains("the load failed: warehouse unavailable while"),
            "{what}"
        );
        assert_eq!(trouble.worked(start), Some(News::Over));
        assert_eq!((trouble.worked(start), trouble.news(start)), (None, None));
    }

    #[test]
    fn a_passing_failure_is_not_told() {
        let mut trouble = Trouble::none(Who::Warehouse);
        let start = Instant::now();
        trouble.failed(&unavailable(), start);
        assert_eq!(trouble.news(start + Duration::from_secs(9)), None);
        assert_eq!(trouble.worked(start), None);
    }

    #[test]
    fn an_answer_that_never_comes_is_trouble_from_its_beginning() {
        let mut trouble = Trouble::none(Who::Warehouse);
        let start = Instant::now();
        let later = start + Duration::from_secs(19);
        trouble.running(start, later);
        assert_eq!(trouble.news(later), None);
        let later = start + Duration::from_secs(20);
        trouble.running(start, later);
        assert!(matches!(trouble.news(later), Some(News::Trouble(_))));
    }

    #[test]
    fn tries_come_less_and_less_often_but_at_least_every_half_minute() {
        let mut trouble = Trouble::none(Who::Warehouse);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            trouble.failed(&unavailable(), now);
            waits.push(trouble.next_try - now);
            assert!(!trouble.may_try(now));
            now = trouble.next_try;
            assert!(trouble.may_try(now));
        }
        assert!(waits[0] <= FIRST_WAIT, "{waits:?}");
        assert!(
            waits[11] >= LONGEST_WAIT / 2 && waits.iter().all(|wait| *wait <= LONGEST_WAIT),
            "{waits:?}"
        );
    }

    #[test]
    fn trouble_is_told_by_who_has_it() {
        let start = Instant::now();
        for (who, says) in [
            (Who::Warehouse, "no load since"),
            (Who::Kafka, "no answer from kafka since"),
        ] {
            let mut trouble = Trouble::none(who);
            trouble.failed(&unavailable(), start);
            assert_eq!(trouble.told(), None);
            let Some(News::Trouble(what)) = trouble.news(start + TELL_AFTER) else {
                panic!("nothing is told");
            };
            assert!(what.starts_with(says), "{what}");
            assert_eq!(trouble.told(), Some(what));
        }
    }
}
