//! Several places that share the load of one destination: the one with the least under way comes next, in turns where they
//! are even, and a retry goes to another place than the attempt before it. One that just failed comes after the others for a
//! while: failing fast, it has the least under way, and would draw all the load to where nothing arrives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

/// Failed attempts whose place is remembered. Beyond it all are forgotten, and a retry may meet the same place again.
const FAILED_MAX: usize = 10_000;

/// How long a place that failed comes after the others.
const REST: Duration = Duration::from_secs(5);

/// The places of a destination.
pub(crate) struct Share {
    places: Vec<Place>,
    turn: AtomicUsize,
    failed: Mutex<HashMap<String, usize>>,
}

struct Place {
    url: Url,
    under_way: AtomicUsize,
    /// Until when it comes after the others; none while it works.
    rests_until: Mutex<Option<Instant>>,
}

impl Place {
    fn rests(&self, now: Instant) -> bool {
        locked(&self.rests_until).is_some_and(|until| now < until)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place taken for one attempt; given back when dropped.
pub(crate) struct Taken<'a> {
    share: &'a Share,
    index: usize,
    place: &'a Place,
}

impl Share {
    pub(crate) fn new(urls: Vec<Url>) -> Self {
        let place = |url| Place {
            url,
            under_way: AtomicUsize::new(0),
            rests_until: Mutex::default(),
        };
        Self {
            places: urls.into_iter().map(place).collect(),
            turn: AtomicUsize::new(0),
            failed: Mutex::default(),
        }
    }

    /// The places, in the order of the settings.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Url> {
        self.places.iter().map(|place| &place.url)
    }

    /// Takes the place for an attempt; none only if there is no place at all.
    pub(crate) fn take(&self, idempotency_key: &str) -> Option<Taken<'_>> {
        let avoided = match self.places.len() {
            0 | 1 => None,
            _ => locked(&self.failed).get(idempotency_key).copied(),
        };
        let now = Instant::now();
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.places.len().max(1);
        let in_turn = self.places.iter().enumerate().cycle().skip(start);
        let (index, place) = in_turn
            .take(self.places.len())
            .filter(|(index, _)| Some(*index) != avoided)
            .min_by_key(|(_, place)| (place.rests(now), place.under_way.load(Ordering::Relaxed)))?;
        place.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Taken {
            share: self,
            index,
            place,
        })
    }
}

impl Taken<'_> {
    pub(crate) fn url(&self) -> &Url {
        &self.place.url
    }

    /// Notes how the attempt ended: whether the place failed, so that the next one of the round goes elsewhere.
    pub(crate) fn note(&self, idempotency_key: &str, failed: bool) {
        if self.share.places.len() < 2 {
            return;
        }
        *locked(&self.place.rests_until) = failed.then(|| Instant::now() + REST);
        let mut places = locked(&self.share.failed);
        if !failed {
            places.remove(idempotency_key);
            return;
        }
        if places.len() >= FAILED_MAX {
            places.clear();
        }
        places.insert(idempotency_key.to_owned(), self.index);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.place.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(count: usize) -> Share {
        Share::new(
            (0..count)
                .map(|n| format!("http://h{n}/").parse().unwrap())
                .collect(),
        )
    }

    #[test]
    fn even_places_take_turns() {
        let share = share(3);
        let taken: Vec<_> = (0..6).map(|_| share.take("k").unwrap().index).collect();
        assert_eq!(taken, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_place_with_the_least_under_way_comes_next() {
        let share = share(2);
        let slow = share.take("a").unwrap();
        let others: Vec<_> = (0..3).map(|_| share.take("b").unwrap().index).collect();
        assert_eq!((slow.index, others), (0, vec![1, 1, 1]));
        drop(slow);
        assert_eq!(share.places[0].under_way.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_retry_goes_to_another_place() {
        let share = share(2);
        for _ in 0..5 {
            let first = share.take("k").unwrap();
            let failed = first.index;
            first.note("k", true);
            drop(first);
            let second = share.take("k").unwrap();
            assert_ne!(second.index, failed);
            second.note("k", false);
        }
        assert!(locked(&share.failed).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_fails_at_once_does_not_draw_all_the_load() {
        let share = share(2);
        let busy = share.take("busy").unwrap();
        let dead = share.take("a").unwrap();
        let (busy_index, dead_index) = (busy.index, dead.index);
        assert_ne!(busy_index, dead_index);
        dead.note("a", true);
        drop(dead);
        for n in 0..5 {
            assert_eq!(share.take(&n.to_string()).unwrap().index, busy_index);
        }
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
        let again = share.take("b").unwrap();
        assert_eq!(again.index, dead_index, "it is asked again after a while");
        again.note("b", false);
        drop(again);
        assert_eq!(
            share.take("c").unwrap().index,
            dead_index,
            "and is as good as any"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let share = share(2);
        for n in 0..FAILED_MAX + 10 {
            let key = n.to_string();
            share.take(&key).unwrap().note(&key, true);
        }
        assert!(locked(&share.failed).len() <= FAILED_MAX);
    }

    #[test]
    fn a_single_place_is_always_taken() {
        let share = share(1);
        let first = share.take("k").unwrap();
        first.note("k", true);
        assert_eq!(share.take("k").unwrap().index, 0);
        assert!(self::share(0).take("k").is_none());
    }
}
