//! What tests stand on: a real Kafka, a deployment beside it, and an oracle that recomputes every answer.

use std::time::{Duration, Instant};

pub(crate) mod books;
pub(crate) mod deployment;
pub(crate) mod kafka;
pub(crate) mod oracle;
pub(crate) mod pipeline;
pub(crate) mod proxy;
pub(crate) mod running;
pub(crate) mod stream;

/// Asks again and again until the condition holds; false when it has not within `limit`.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
