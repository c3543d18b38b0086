//! The one retry loop: decided by `Error::is_transient`, spread by chance, bounded in time.

use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Error;

/// Delays that double from `first` to `longest`, each between half of that and all of it, so that clients that failed
/// together do not come back together.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
pub(super) struct Backoff<R> {
    next: Duration,
    longest: Duration,
    random: R,
}

impl<R: Rng> Backoff<R> {
    pub(super) fn new(first: Duration, longest: Duration, random: R) -> Self {
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

/// Calls until it works, fails for good, or the next try would begin later than `limit` from now.
pub(super) async fn retrying<T>(
    limit: Duration,
    delays: impl Iterator<Item = Duration>,
    mut call: impl AsyncFnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    let mut delays = delays;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(delay) = delays.next().filter(|_| error.is_transient()) else {
            return Err(error);
        };
        let delay = error.retry_after().map_or(delay, |asked| asked.max(delay));
        if Instant::now() + delay > deadline {
            return Err(error);
        }
        warn!(error = %error, delay_ms = delay.as_millis(), "warehouse call failed, trying again");
        sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

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

    #[tokio::test(start_paused = true)]
    async fn a_passing_failure_is_tried_again() {
        let mut calls = 0;
        let value = retrying(Duration::from_secs(60), backoff(), async || {
            calls += 1;
            if calls < 4 {
                Err(unavailable(None))
            } else {
                Ok(calls)
            }
        })
        .await;
        assert_eq!(value.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn trying_again_ends_in_time() {
        let start = Instant::now();
        let result = retrying(
            Duration::from_secs(60),
            backoff(),
            async || -> Result<(), _> { Err(unavailable(None)) },
        );
        assert!(result.await.unwrap_err().is_transient());
        let waited = start.elapsed();
        assert!(
            waited > Duration::from_secs(45) && waited <= Duration::from_secs(60),
            "{waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_a_longer_wait() {
        let start = Instant::now();
        let mut calls = 0;
        let result = retrying(Duration::from_secs(60), backoff(), async || {
            calls += 1;
            if calls == 1 {
                Err(unavailable(Some(Duration::from_secs(7))))
            } else {
                Ok(())
            }
        });
        result.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_is_not_tried_again() {
        let mut calls = 0;
        let result = retrying(
            Duration::from_secs(60),
            backoff(),
            async || -> Result<(), _> {
                calls += 1;
                Err(Error::Unreadable {
                    reason: "no".into(),
                })
            },
        );
        result.await.unwrap_err();
        assert_eq!(calls, 1);
    }
}
