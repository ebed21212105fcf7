//! Places that all bodies share, so that however many come at once, they take no more memory and disk than is set aside.
//!
//! Of the rare ones, decoders and uploads, no address has more than its share: whoever holds their own for long keeps the
//! others' free.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::address::address_key;
use crate::options::IngestOptions;

/// What all bodies share.
pub(crate) struct Places {
    pub(crate) memory_bytes: Semaphore,
    pub(crate) decoders: SharedPlaces,
    pub(crate) uploads: SharedPlaces,
}

impl Places {
    /// As many as the options say, and at least enough for one body.
    pub(crate) fn new(options: &IngestOptions) -> Self {
        let memory_bytes = options.memory_bytes_max.max(options.inline_bytes_max);
        Self {
            memory_bytes: Semaphore::new(memory_bytes.min(Semaphore::MAX_PERMITS)),
            decoders: SharedPlaces::new(options.decoders_max, options.decoders_per_address_max),
            uploads: SharedPlaces::new(options.uploads_max, options.uploads_per_address_max),
        }
    }
}

/// Places of one kind.
pub(crate) struct SharedPlaces {
    all: Semaphore,
    /// The most of one address; none for as many as there are.
    share: Option<usize>,
    /// The share of each address that holds a place, or waits for one.
    of_address: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// A place, for as long as it lives.
pub(crate) struct Place<'p> {
    _place: SemaphorePermit<'p>,
    _own: Option<Own<'p>>,
}

/// A place among those of an address.
struct Own<'p> {
    _place: OwnedSemaphorePermit,
    _claim: Claim<'p>,
}

/// Keeps the share of an address known; the last one to go takes it along.
struct Claim<'p> {
    places: &'p SharedPlaces,
    key: IpAddr,
    /// There until it is dropped.
    share: Option<Arc<Semaphore>>,
}

impl SharedPlaces {
    /// So many, at least one, and so many of one address; 0 for as many as there are.
    fn new(places: usize, per_address: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Semaphore::new(places),
            share: (1..places).contains(&per_address).then_some(per_address),
            of_address: Mutex::default(),
        }
    }

    /// A place for an address, as soon as it is its turn. This machine is not held to a share: a proxy on it that nobody told us
    /// of brings all senders.
    pub(crate) async fn acquire(&self, address: Option<IpAddr>) -> Result<Place<'_>, AcquireError> {
        let key = address.map(address_key).filter(|address| !address.is_loopback());
        let own = match (key, self.share) {
            (Some(key), Some(share)) => Some(self.own(key, share).await?),
            (None, _) | (_, None) => None,
        };
        Ok(Place {
            _place: self.all.acquire().await?,
            _own: own,
        })
    }

    async fn own(&self, key: IpAddr, share: usize) -> Result<Own<'_>, AcquireError> {
        let share = {
            let mut of_address = self.of_address();
            let share = of_address
                .entry(key)
                .or_insert_with(|| Arc::new(Semaphore::new(share)));
            Arc::clone(share)
        };
        let claim = Claim {
            places: self,
            key,
            share: Some(Arc::clone(&share)),
        };
        Ok(Own {
            _place: share.acquire_owned().await?,
            _claim: claim,
        })
    }

    fn of_address(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Semaphore>>> {
        self.of_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut of_address = self.places.of_address();
        // Under the lock, as new ones come: of two that go at once, the second finds itself the last.
        drop(self.share.take());
        if of_address
            .get(&self.key)
            .is_some_and(|share| Arc::strong_count(share) == 1)
        {
            of_address.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_no_more_and_is_forgotten_when_it_has_none() {
        let places = SharedPlaces::new(4, 2);
        let take = |n| places.acquire(address(n)).now_or_never().map(Result::unwrap);
        let (first, second) = (take(1).unwrap(), take(1).unwrap());
        assert!(take(1).is_none(), "its share is taken");
        let others = (take(2).unwrap(), take(3).unwrap());
        assert!(take(4).is_none(), "all are taken");
        assert_eq!(places.of_address().len(), 3, "who gave up waiting is forgotten");
        drop(first);
        drop(others);
        assert!(take(1).is_some());
        drop(second);
        assert!(places.of_address().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_place_of_their_share_gets_it() {
        let places = SharedPlaces::new(4, 1);
        let held = places.acquire(address(1)).await.unwrap();
        let mut waiting = Box::pin(places.acquire(address(1)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test]
    async fn without_a_share_one_address_may_have_all() {
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        for (share, address) in [
            (0, address(1)),
            (3, address(1)),
            (9, address(1)),
            (1, here),
            (1, None),
        ] {
            let places = SharedPlaces::new(3, share);
            let take = || places.acquire(address).now_or_never().map(Result::unwrap);
            let held = (take().unwrap(), take().unwrap(), take().unwrap());
            assert!(take().is_none() && places.of_address().is_empty());
            drop(held);
        }
    }
}
