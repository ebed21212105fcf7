//! How many live clients there may be, in all and of one key or address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::KeyId;

use crate::access::Caller;
use crate::access::failures::network;
use crate::failure::{Code, Failure};

/// Seconds after which to ask for a place again.
const RETRY_SECS: u64 = 5;

/// Whose places are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Key(KeyId),
    Address(IpAddr),
}

impl Owner {
    /// All who share a key, or, without one, an address.
    pub(crate) fn of(caller: &Caller, address: Option<IpAddr>) -> Self {
        match &caller.key {
            Some(key) => Self::Key(key.clone()),
            None => Self::at(address),
        }
    }

    /// All at an address.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        Self::Address(network(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))))
    }
}

/// The places of one kind of client.
#[derive(Debug)]
pub(crate) struct Places {
    kind: &'static str,
    max: usize,
    per_owner_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_owner: HashMap<Owner, usize>,
}

/// A place, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    owner: Owner,
}

impl Places {
    pub(crate) fn new(kind: &'static str, max: usize, per_owner_max: usize) -> Arc<Self> {
        Arc::new(Self {
            kind,
            max,
            per_owner_max,
            taken: Mutex::default(),
        })
    }

    /// Takes one.
    ///
    /// # Errors
    /// 503 when there is none, 429 when its owner has too many.
    pub(crate) fn take(self: &Arc<Self>, owner: Owner) -> Result<Place, Failure> {
        let mut taken = self.taken();
        if taken.all >= self.max {
            return Err(self.full());
        }
        let of_owner = taken.by_owner.get(&owner).copied().unwrap_or(0);
        if of_owner >= self.per_owner_max {
            metrics::counter!("hooklog_live_refused_total", "kind" => self.kind, "reason" => "client")
                .increment(1);
            let message = format!("{of_owner} live clients of this key or address are the most at once");
            return Err(Failure {
                retry_after_secs: Some(RETRY_SECS),
                ..Failure::new(Code::RateLimit, message)
            });
        }
        taken.all += 1;
        taken.by_owner.insert(owner.clone(), of_owner + 1);
        drop(taken);
        metrics::gauge!("hooklog_live_clients", "kind" => self.kind).increment(1.0);
        Ok(Place {
            places: Arc::clone(self),
            owner,
        })
    }

    /// Looks whether there is one, without taking it.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn has_room(&self) -> Result<(), Failure> {
        if self.taken().all >= self.max {
            return Err(self.full());
        }
        Ok(())
    }

    /// Whether none is taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken().all == 0
    }

    fn full(&self) -> Failure {
        metrics::counter!("hooklog_live_refused_total", "kind" => self.kind, "reason" => "full").increment(1);
        Failure::later("too many live clients at once; try again later", RETRY_SECS)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) const fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_owner.get_mut(&self.owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_owner.remove(&self.owner);
            }
        }
        drop(taken);
        metrics::gauge!("hooklog_live_clients", "kind" => self.places.kind).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_and_given_back() {
        let places = Places::new("test", 3, 2);
        let at = |n: u32| Owner::at(Some(IpAddr::V4(n.into())));
        let code = |owner| places.take(owner).map_err(|failure| failure.code);
        let first = code(at(1)).unwrap();
        let _second = code(at(1)).unwrap();
        assert_eq!(code(at(1)).unwrap_err(), Code::RateLimit);
        let _third = code(at(2)).unwrap();
        assert_eq!(code(at(3)).unwrap_err(), Code::Unavailable);
        drop(first);
        let _again = code(at(1)).unwrap();
        assert_eq!(places.taken().by_owner.len(), 2);
    }
}
