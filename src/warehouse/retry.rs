//! The one retry loop: decided by `Error::is_transient`, spread by chance, bounded in time.

use std::{error::Error as _, iter, time::Duration};

use rand::Rng;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Error;

/// Delays that double from `first` to `longest`, each between half of that and all of it, so that clients that failed
/// together do not come back together.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub(crate) struct Backoff<R> {
    next: Duration,
    longest: Duration,
    random: R,
}

impl<R: Rng> Backoff<R> {
    pub(crate) fn new(first: Duration, longest: Duration, random: R) -> Self {
        Self {
            next: first,
            longest,
            random,
        }
    }
}

impl<R: Rng> Iterator for Backoff<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let most = self.next;
        self.next = (most * 2).min(self.longest);
        Some(self.random.random_range(most / 2..=most))
    }
}

/// When to try again. Knows no clock, so that it is told the time.
struct Retries<D> {
    deadline: Instant,
    delays: D,
}

impl<D: Iterator<Item = Duration>> Retries<D> {
    /// How long to wait after this failure; the failure itself when it lasts, or when the next try would come too late.
    fn delay_after(&mut self, failure: Error, now: Instant) -> Result<Duration, Error> {
        let Some(delay) = self.delays.next().filter(|_| failure.is_transient()) else {
            return Err(failure);
        };
        let delay = failure
            .retry_after()
            .map_or(delay, |asked| asked.max(delay));
        if now + delay > self.deadline {
            return Err(failure);
        }
        // The innermost cause says most: "connection refused" rather than "error sending request".
        let cause = iter::successors(failure.source(), |&cause| cause.source())
            .last()
            .map(ToString::to_string);
        warn!(error = %failure, cause, delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), "warehouse call failed, trying again");
        Ok(delay)
    }
}

/// Calls until it works, fails for good, or the next try would begin later than `limit` from now.
pub(super) async fn retrying<T, F: Future<Output = Result<T, Error>>>(
    limit: Duration,
    delays: impl Iterator<Item = Duration>,
    mut call: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut retries = Retries {
        deadline: Instant::now() + limit,
        delays,
    };
    loop {
        match call().await {
            Ok(value) => return Ok(value),
            Err(failure) => sleep(retries.delay_after(failure, Instant::now())?).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn unavailable(retry_after: Option<Duration>) -> Error {
        Error::Unavailable {
            call: "testing",
            reason: "no".into(),
            retry_after,
            source: None,
        }
    }

    fn backoff() -> Backoff<ChaCha8Rng> {
        Backoff::new(
            Duration::from_millis(200),
            Duration::from_secs(10),
            ChaCha8Rng::seed_from_u64(1),
        )
    }

    #[test]
    fn delays_double_up_to_the_longest_and_vary() {
        let delays: Vec<_> = backoff().take(10).collect();
        let mut most = Duration::from_millis(200);
        for delay in &delays {
            assert!((most / 2..=most).contains(delay), "{delay:?} of {most:?}");
            most = (most * 2).min(Duration::from_secs(10));
        }
        assert_ne!(delays[8], delays[9]);
    }

    #[test]
    fn trying_again_ends_in_time() {
        let start = Instant::now();
        let mut retries = Retries {
            deadline: start + MINUTE,
            delays: backoff(),
        };
        let mut now = start;
        while let Ok(delay) = retries.delay_after(unavailable(None), now) {
            now += delay;
        }
        let waited = now - start;
        assert!(
            waited > Duration::from_secs(45) && waited <= MINUTE,
            "{waited:?}"
        );
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait_but_not_for_one_that_is_too_long() {
        let now = Instant::now();
        let mut retries = Retries {
            deadline: now + MINUTE,
            delays: backoff(),
        };
        let asked = Duration::from_secs(7);
        assert_eq!(
            retries.delay_after(unavailable(Some(asked)), now).unwrap(),
            asked
        );
        assert!(
            retries
                .delay_after(unavailable(Some(Duration::ZERO)), now)
                .unwrap()
                > Duration::ZERO
        );
        retries
            .delay_after(unavailable(Some(MINUTE * 2)), now)
            .unwrap_err();
    }

    #[test]
    fn a_lasting_failure_is_not_tried_again() {
        let now = Instant::now();
        let mut retries = Retries {
            deadline: now + MINUTE,
            delays: backoff(),
        };
        retries
            .delay_after(
                Error::Unreadable {
                    reason: "no".into(),
                },
                now,
            )
            .unwrap_err();
    }
}
