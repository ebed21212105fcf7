//! Rates per address, source and repository, in bounded memory.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

/// How often at most keys that have recovered are forgotten while the table is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many keys share when the table is full of keys that have not recovered.
const SHARED: u64 = 1024;

/// One rate.
pub(crate) struct Rate {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Rate {
    /// A rate of so many a minute; none for 0.
    pub(crate) fn per_minute(rate: u32) -> Option<Self> {
        Some(Self {
            limiter: RateLimiter::direct(Quota::per_minute(NonZeroU32::new(rate)?)),
            clock: DefaultClock::default(),
        })
    }

    /// Counts one; otherwise how long to wait.
    pub(crate) fn check(&self) -> Result<(), Duration> {
        let verdict = self.limiter.check();
        verdict.map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// A rate for each key. Keys beyond the most that are counted apart share one of some, so that a flood of them is
/// limited too.
pub(crate) struct KeyedRate<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    shared: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    keys_max: usize,
    swept: Mutex<Option<Instant>>,
    clock: DefaultClock,
}

impl<K: Hash + Eq + Clone> KeyedRate<K> {
    /// A rate of so many a minute; none for 0. At most `keys_max` keys are counted apart.
    pub(crate) fn per_minute(rate: u32, keys_max: usize) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(rate)?);
        Some(Self {
            limiter: RateLimiter::keyed(quota),
            shared: RateLimiter::keyed(quota),
            hasher: RandomState::new(),
            keys_max,
            swept: Mutex::new(None),
            clock: DefaultClock::default(),
        })
    }

    /// Counts one for the key; otherwise how long to wait.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        let verdict = if self.has_room() {
            self.limiter.check_key(key)
        } else {
            self.shared.check_key(&(self.hasher.hash_one(key) % SHARED))
        };
        verdict.map_err(|not_until: NotUntil<_>| not_until.wait_time_from(self.clock.now()))
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

    #[test]
    fn a_rate_lets_so_many_a_minute_through() {
        let rate = Rate::per_minute(3).unwrap();
        assert_eq!((0..10).filter(|_| rate.check().is_ok()).count(), 3);
        assert!(Rate::per_minute(0).is_none());
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let rate = KeyedRate::per_minute(2, 10).unwrap();
        assert!(rate.check(&"a").is_ok());
        assert!(rate.check(&"a").is_ok());
        let wait = rate.check(&"a").unwrap_err();
        assert!(
            wait > Duration::from_secs(20) && wait <= Duration::from_secs(30),
            "{wait:?}"
        );
        assert!(rate.check(&"b").is_ok());
        assert!(KeyedRate::<u8>::per_minute(0, 10).is_none());
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_still_limited() {
        let rate = KeyedRate::per_minute(1, 100).unwrap();
        let taken = (0..100_000_u32).filter(|key| rate.check(key).is_ok()).count();
        assert!(rate.keys() <= 100 + 1024, "{}", rate.keys());
        assert!(taken <= 100 + 1024, "{taken}");
    }
}
