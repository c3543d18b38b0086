//! How many events are due by now: evenly in time, and caught up with after a pause.

use std::time::Duration;

/// When each event is due, counted from the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    events_per_second: Option<u32>,
}

impl Pace {
    /// None is as fast as possible.
    pub(super) fn new(events_per_second: Option<u32>) -> Self {
        Self { events_per_second }
    }

    /// Events due after `elapsed`, in all. The first is due at once.
    pub(super) fn due(self, elapsed: Duration) -> u64 {
        let Some(rate) = self.events_per_second else {
            return u64::MAX;
        };
        let due =
            elapsed.as_nanos().saturating_mul(u128::from(rate)) / Duration::from_secs(1).as_nanos();
        u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_due_evenly() {
        for (rate, milliseconds, due) in [
            (Some(5), 0, 1),
            (Some(5), 199, 1),
            (Some(5), 200, 2),
            (Some(5), 59_999, 300),
            (Some(1000), 29_999, 30_000),
            (Some(u32::MAX), 1_000, 1 << 32),
            (None, 0, u64::MAX),
        ] {
            assert_eq!(
                Pace::new(rate).due(Duration::from_millis(milliseconds)),
                due,
                "{rate:?} {milliseconds}"
            );
        }
        assert_eq!(Pace::new(Some(u32::MAX)).due(Duration::MAX), u64::MAX);
    }
}
