//! The rate of a destination, as the generic cell rate algorithm.
//!
//! Our own and not `governor`'s: that one reads a clock of its own, which paused time in tests does not stop, and it can't take
//! back a permit for an attempt that turned out not to be needed.

use std::time::Duration;

use tokio::time::Instant;

/// A burst is at most what this time allows.
const BURST: Duration = Duration::from_millis(100);

/// Lets so many through a second, evenly, but for short bursts.
pub(super) struct Rate {
    interval: Duration,
    slack: Duration,
    next: Option<Instant>,
}

impl Rate {
    /// So many a second; at least one.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let burst = BURST.as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
        Self {
            interval,
            slack: interval * u32::try_from(burst).unwrap_or(u32::MAX),
            next: None,
        }
    }

    /// When the next may go.
    pub(super) fn next_at(&self, now: Instant) -> Instant {
        self.next
            .and_then(|next| next.checked_sub(self.slack))
            .map_or(now, |at| at.max(now))
    }

    /// One goes.
    pub(super) fn take(&mut self, now: Instant) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)) + self.interval);
    }

    /// One that was taken did not go.
    pub(super) fn give_back(&mut self) {
        self.next = self.next.and_then(|next| next.checked_sub(self.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(rate: &mut Rate, from: Instant, for_ms: u64) -> u64 {
        let ms = |n| from + Duration::from_millis(n);
        let mut count = 0;
        for now in (0..for_ms).map(ms) {
            while rate.next_at(now) <= now {
                rate.take(now);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn it_lets_through_what_it_says() {
        let from = Instant::now();
        for (per_second, in_ten_seconds) in [(1, 10..=10), (5, 50..=50), (1000, 10_000..=10_101)] {
            let count = gone(&mut Rate::new(per_second), from, 10_000);
            assert!(in_ten_seconds.contains(&count), "{per_second}/s: {count}");
        }
    }

    #[test]
    fn what_was_given_back_goes_again() {
        let now = Instant::now();
        let mut rate = Rate::new(1);
        rate.take(now);
        assert_eq!(rate.next_at(now), now + Duration::from_secs(1));
        rate.give_back();
        assert_eq!(rate.next_at(now), now);
    }
}
