//! How long a worker whose session was lost waits before the next one, and when it gives up.

use std::time::{Duration, Instant};

use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::broker::Remedy;

/// First and longest wait before joining anew.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Sessions in a row that end in a way that nobody knows, with nothing done in them, before the job gives up.
const MOST_FRUITLESS: u32 = 10;

/// A session that worked for so long was none that failed at once, whatever ended it.
pub(crate) const LONG_SESSION: Duration = Duration::from_secs(60);

/// What is left of it: less after each session that brought nothing.
#[derive(Debug)]
pub(crate) struct Patience {
    fruitless: u32,
    wait: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            fruitless: 0,
            wait: WAITS.0,
        }
    }

    /// The wait before the session that comes after one that ended so; None when there is to be none.
    pub(crate) fn after(&mut self, remedy: Remedy, fruitful: bool) -> Option<Duration> {
        if fruitful {
            *self = Self::new();
        }
        match remedy {
            Remedy::GiveUp => return None,
            Remedy::Rejoin => {}
            Remedy::SameCall | Remedy::Again => self.fruitless += 1,
        }
        if self.fruitless > MOST_FRUITLESS {
            return None;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(WAITS.1);
        Some(rand::rng().random_range(wait / 2..=wait))
    }
}

/// Waits, but not longer than until the stop.
pub(crate) fn pause(wait: Duration, stop: &CancellationToken) {
    let deadline = Instant::now() + wait;
    while Instant::now() < deadline && !stop.is_cancelled() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_sessions_that_bring_nothing_and_comes_back_with_one_that_does() {
        let mut patience = Patience::new();
        for _ in 0..100 {
            assert!(patience.after(Remedy::Rejoin, false) <= Some(WAITS.1));
        }
        for _ in 0..2 {
            assert!(patience.after(Remedy::Again, true) <= Some(WAITS.0));
            for _ in 1..MOST_FRUITLESS {
                assert!(patience.after(Remedy::SameCall, false).is_some());
            }
        }
        assert_eq!(patience.after(Remedy::Again, false), None);
        assert_eq!(Patience::new().after(Remedy::GiveUp, true), None);
    }
}
