//! Rates per address, source and repository, in bounded memory.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock, QuantaInstant};
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, InsufficientCapacity, NotUntil, Quota, RateLimiter,
};

/// How often at most keys that have recovered are forgotten while the table is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many keys share when the table is full of keys that have not recovered.
const SHARED: u64 = 1024;

/// How many a minute, and how many of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    per_minute: u32,
    burst: u32,
}

impl Allowed {
    /// So many a minute, 0 for no limit; so many of them at once, 0 for all of a minute.
    pub(crate) const fn new(per_minute: u32, burst: u32) -> Self {
        Self { per_minute, burst }
    }

    fn quota(self) -> Option<Quota> {
        let quota = Quota::per_minute(NonZeroU32::new(self.per_minute)?);
        Some(NonZeroU32::new(self.burst).map_or(quota, |burst| quota.allow_burst(burst)))
    }
}

/// One rate.
pub(crate) struct Rate {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
    clock: DefaultClock,
}

impl Rate {
    /// A rate; none where there is no limit.
    pub(crate) fn new(allowed: Allowed) -> Option<Self> {
        let quota = allowed.quota()?;
        Some(Self {
            limiter: RateLimiter::direct(quota),
            burst: quota.burst_size(),
            clock: DefaultClock::default(),
        })
    }

    /// Counts one as so many; otherwise how long to wait.
    pub(crate) fn check(&self, cost: NonZeroU32) -> Result<(), Duration> {
        let verdict = self.limiter.check_n(cost.min(self.burst));
        waiting(verdict, &self.clock)
    }
}

/// How long to wait after a verdict. More than a burst is never asked for.
fn waiting(
    verdict: Result<Result<(), NotUntil<QuantaInstant>>, InsufficientCapacity>,
    clock: &DefaultClock,
) -> Result<(), Duration> {
    verdict
        .unwrap_or(Ok(()))
        .map_err(|not_until| not_until.wait_time_from(clock.now()))
}

/// A rate for each key. Keys beyond the most that are counted apart share one of some, so that a flood of them is
/// limited too.
pub(crate) struct KeyedRate<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    shared: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    burst: NonZeroU32,
    keys_max: usize,
    swept: Mutex<Option<Instant>>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> KeyedRate<K> {
    /// A rate; none where there is no limit. At most `keys_max` keys are counted apart.
    pub(crate) fn new(allowed: Allowed, keys_max: usize) -> Option<Self> {
        let quota = allowed.quota()?;
        Some(Self {
            limiter: RateLimiter::keyed(quota),
            shared: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            burst: quota.burst_size(),
            keys_max,
            swept: Mutex::new(None),
            clock: DefaultClock::default(),
        })
    }

    /// Counts one as so many for the key; otherwise how long to wait.
    pub(crate) fn check(&self, key: &K, cost: NonZeroU32) -> Result<(), Duration> {
        let cost = cost.min(self.burst);
        let verdict = if self.has_room() {
            self.limiter.check_key_n(key, cost)
        } else {
            self.shared
                .check_key_n(&(self.hasher.hash_one(key) % SHARED), cost)
        };
        waiting(verdict, &self.clock)
    }

    fn has_room(&self) -> bool {
        if self.limiter.len() < self.keys_max {
            return true;
        }
        // Whoever comes while another sweeps goes on without.
        if let Ok(mut swept) = self.swept.try_lock()
            && swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY)
        {
            self.limiter.retain_recent();
            *swept = Some(Instant::now());
        }
        self.limiter.len() < self.keys_max
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.limiter.len() + self.shared.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn per_minute(rate: u32) -> Allowed {
        Allowed::new(rate, 0)
    }

    #[test]
    fn a_rate_lets_so_many_a_minute_through() {
        let rate = Rate::new(per_minute(3)).unwrap();
        assert_eq!((0..10).filter(|_| rate.check(ONE).is_ok()).count(), 3);
        assert!(Rate::new(per_minute(0)).is_none());
    }

    #[test]
    fn a_burst_bounds_how_many_come_at_once() {
        let rate = Rate::new(Allowed::new(600, 5)).unwrap();
        assert_eq!((0..10).filter(|_| rate.check(ONE).is_ok()).count(), 5);
        let wait = rate.check(ONE).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        let generous = Rate::new(Allowed::new(60, 100)).unwrap();
        assert_eq!((0..200).filter(|_| generous.check(ONE).is_ok()).count(), 100);
    }

    #[test]
    fn one_that_counts_as_several_leaves_room_for_fewer() {
        let four = NonZeroU32::new(4).unwrap();
        let rate = Rate::new(per_minute(12)).unwrap();
        assert_eq!((0..10).filter(|_| rate.check(four).is_ok()).count(), 3);
        let keyed = KeyedRate::new(per_minute(12), 10).unwrap();
        assert_eq!((0..10).filter(|_| keyed.check(&"a", four).is_ok()).count(), 3);
        // One is let through however much it counts for.
        let small = Rate::new(per_minute(2)).unwrap();
        assert_eq!((0..10).filter(|_| small.check(four).is_ok()).count(), 1);
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let rate = KeyedRate::new(per_minute(2), 10).unwrap();
        assert!(rate.check(&"a", ONE).is_ok());
        assert!(rate.check(&"a", ONE).is_ok());
        let wait = rate.check(&"a", ONE).unwrap_err();
        assert!(
            wait > Duration::from_secs(20) && wait <= Duration::from_secs(30),
            "{wait:?}"
        );
        assert!(rate.check(&"b", ONE).is_ok());
        assert!(KeyedRate::<u8>::new(per_minute(0), 10).is_none());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_still_limited() {
        let rate = KeyedRate::new(per_minute(1), 100).unwrap();
        let taken = (0..100_000_u32)
            .filter(|key| rate.check(key, ONE).is_ok())
            .count();
        assert!(rate.keys() <= 100 + 1024, "{}", rate.keys());
        assert!(taken <= 100 + 1024, "{taken}");
    }
}
