//! The places of the hall: how many connections there are, how many of one address, and who has to go when all are taken.
//!
//! A connection that is open and asks for nothing costs its owner next to nothing, so anybody could take all places with such
//! ones. When none is free, the connection that has waited longest for a request gives up its own, unless it is so young
//! that its request may be on its way. One whose request is being answered is never cut off for another.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ingest::address_key;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connection may keep its place without a request although others wait for one.
const GRACE: Duration = Duration::from_secs(1);
/// How long somebody who was asked to leave may take before the next one is asked.
const LEAVING: Duration = Duration::from_millis(100);

/// All places.
pub(super) struct Guests {
    places: Arc<Semaphore>,
    per_address_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections by address.
    seated: HashMap<IpAddr, usize>,
    /// Those that ask for nothing now, by a number that grows: the first has waited longest.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

struct Waiting {
    since: Instant,
    leave: CancellationToken,
}

/// A place, for as long as it lives.
pub(super) struct Seat {
    guests: Arc<Guests>,
    key: IpAddr,
    leave: CancellationToken,
    doing: Mutex<Doing>,
    _place: OwnedSemaphorePermit,
}

/// What keeps a connection busy.
#[derive(Default)]
struct Doing {
    /// A request is being answered.
    served: bool,
    /// An answer is on its way that its reader has not taken yet.
    blocked: bool,
    /// Its number among those that wait, while it does neither.
    number: Option<u64>,
}

impl Guests {
    /// So many places, and so many of one address; 0 for as many as there are.
    pub(super) fn new(places: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            per_address_max,
            state: Mutex::default(),
        })
    }

    /// A free place. When there is none, one is made free as soon as somebody has waited long enough for nothing.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::pin!(place);
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place.ok(),
                () = tokio::time::sleep_until(self.due()) => {}
            }
            // One is enough: it needs a moment to go.
            if self.show_out()
                && let Ok(place) = tokio::time::timeout(LEAVING, &mut place).await
            {
                return place.ok();
            }
        }
    }

    /// When the next one may be asked to leave.
    fn due(&self) -> Instant {
        let oldest = self
            .state()
            .waiting
            .first_key_value()
            .map(|(_, waiting)| waiting.since);
        oldest.unwrap_or_else(Instant::now) + GRACE
    }

    /// Asks the one to leave that has waited longest, if it has waited long enough.
    fn show_out(&self) -> bool {
        let mut state = self.state();
        let Some(oldest) = state.waiting.first_entry() else {
            return false;
        };
        if oldest.get().since.elapsed() < GRACE {
            return false;
        }
        oldest.remove().leave.cancel();
        metrics::counter!("hooklog_http_connections_dropped_total", "reason" => "no_place").increment(1);
        true
    }

    /// Takes the place for a connection from an address; none when that has as many as it may.
    pub(super) fn seat(
        self: &Arc<Self>,
        address: IpAddr,
        exempt: bool,
        place: OwnedSemaphorePermit,
    ) -> Option<Seat> {
        let key = address_key(address);
        let mut state = self.state();
        let seated = state.seated.entry(key).or_default();
        if !exempt && self.per_address_max > 0 && *seated >= self.per_address_max {
            metrics::counter!("hooklog_http_connections_dropped_total", "reason" => "address").increment(1);
            return None;
        }
        *seated += 1;
        drop(state);
        let seat = Seat {
            guests: Arc::clone(self),
            key,
            leave: CancellationToken::new(),
            doing: Mutex::default(),
            _place: place,
        };
        seat.now(|_| ());
        Some(seat)
    }

    /// Puts a connection at the end of those that wait.
    fn line_up(&self, leave: &CancellationToken) -> u64 {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let waiting = Waiting {
            since: Instant::now(),
            leave: leave.clone(),
        };
        state.waiting.insert(number, waiting);
        number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Ready when its owner has to go.
    pub(super) fn leave(&self) -> CancellationToken {
        self.leave.clone()
    }

    /// A request came: nobody takes the place away now.
    pub(super) fn is_served(&self) {
        self.now(|doing| doing.served = true);
    }

    /// The request was answered, if its reader has taken the answer.
    pub(super) fn waits(&self) {
        self.now(|doing| doing.served = false);
    }

    /// Whether what was written waits for its reader.
    pub(super) fn is_blocked(&self, blocked: bool) {
        self.now(|doing| doing.blocked = blocked);
    }

    fn now(&self, change: impl FnOnce(&mut Doing)) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut doing);
        let busy = doing.served || doing.blocked;
        match (busy, doing.number) {
            (true, Some(number)) => {
                self.guests.state().waiting.remove(&number);
                doing.number = None;
            }
            (false, None) => doing.number = Some(self.guests.line_up(&self.leave)),
            (true, None) | (false, Some(_)) => {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.is_served();
        let mut state = self.guests.state();
        if let Some(seated) = state.seated.get_mut(&self.key) {
            *seated -= 1;
            if *seated == 0 {
                state.seated.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn for_one_newcomer_one_has_to_go() {
        let guests = Guests::new(3, 0);
        let mut seats = Vec::new();
        for _ in 0..3 {
            let place = guests.place().await.unwrap();
            seats.push(guests.seat(IpAddr::from([127, 0, 0, 1]), false, place).unwrap());
        }
        tokio::time::advance(GRACE * 2).await;
        let leave: Vec<CancellationToken> = seats.iter().map(Seat::leave).collect();
        let first = seats.remove(0);
        let goes = {
            let leave = first.leave();
            tokio::spawn(async move {
                leave.cancelled().await;
                // It needs a moment.
                tokio::time::sleep(LEAVING / 2).await;
                drop(first);
            })
        };
        assert!(guests.place().await.is_some());
        goes.await.unwrap();
        let asked: Vec<bool> = leave.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(asked, [true, false, false]);
    }
}
