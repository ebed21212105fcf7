//! How often an address may show a wrong key. A right one is let in whatever others at its address do: nobody guesses 256
//! bits, but anybody could lock out those behind the same proxy.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How often at most addresses that have recovered are forgotten while the table is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts failures, per address, in bounded memory.
pub(crate) struct Failures {
    of_address: Option<DefaultKeyedRateLimiter<IpAddr>>,
    /// All addresses beyond the most that are counted apart.
    of_others: Option<DefaultDirectRateLimiter>,
    addresses_max: usize,
    swept: Mutex<Option<Instant>>,
    clock: DefaultClock,
}

impl Failures {
    /// So many a minute; 0 is no limit.
    pub(crate) fn per_minute(rate: u32, addresses_max: usize) -> Self {
        let quota = NonZeroU32::new(rate).map(Quota::per_minute);
        Self {
            of_address: quota.map(RateLimiter::keyed),
            of_others: quota.map(RateLimiter::direct),
            addresses_max,
            swept: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Counts one; otherwise how long to wait.
    pub(crate) fn count(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let (Some(of_address), Some(of_others)) = (&self.of_address, &self.of_others) else {
            return Ok(());
        };
        let address = network(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let verdict = if self.has_room(of_address) {
            of_address.check_key(&address)
        } else {
            of_others.check()
        };
        verdict.map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

impl Failures {
    /// Sweeping takes as long as the table is large: whoever comes soon after a sweep, or during one, goes on without.
    fn has_room(&self, of_address: &DefaultKeyedRateLimiter<IpAddr>) -> bool {
        if of_address.len() < self.addresses_max {
            return true;
        }
        if let Ok(mut swept) = self.swept.try_lock()
            && swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY)
        {
            of_address.retain_recent();
            *swept = Some(Instant::now());
        }
        of_address.len() < self.addresses_max
    }
}

/// What counts as one address: of IPv6 the network that one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_fails_so_often_and_a_flood_of_addresses_is_bounded() {
        let failures = Failures::per_minute(2, 50);
        let address = |n: u32| Some(IpAddr::V4(n.into()));
        assert!(failures.count(address(1)).is_ok());
        assert!(failures.count(address(1)).is_ok());
        let wait = failures.count(address(1)).unwrap_err();
        assert!(
            wait > Duration::from_secs(20) && wait <= Duration::from_secs(30),
            "{wait:?}"
        );
        assert!(failures.count(address(2)).is_ok());
        let let_through = (3..10_000)
            .filter(|n| failures.count(address(*n)).is_ok())
            .count();
        assert!(let_through <= 50 + 2, "{let_through}");
        assert!(Failures::per_minute(0, 50).count(None).is_ok());
    }

    #[test]
    fn the_addresses_of_one_customer_are_one() {
        let failures = Failures::per_minute(1, 50);
        assert!(failures.count("2001:db8::1".parse().ok()).is_ok());
        assert!(failures.count("2001:db8::2".parse().ok()).is_err());
        assert!(failures.count("2001:db8:0:1::2".parse().ok()).is_ok());
    }
}
