//! Standing in line for the parts of one work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Holder, LeaseName, LeaseStanding, SharedWork};
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::store::{Kept, StoreError};
use super::{Desk, Shared};

/// Looks in the time of a lease.
const LOOKS: u64 = 10;
/// A holder renews with every so many looks.
const RENEWED_EVERY: u64 = 2;

/// Keeps the leases of one work.
pub(super) struct Line {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    work: SharedWork,
    seats: BTreeMap<u32, Seat>,
    /// Since when the store can't be reached.
    unreachable: Option<Instant>,
    looks: u64,
}

/// Where this process is with a part.
#[derive(Debug, Clone)]
enum Seat {
    Held {
        revision: u64,
    },
    /// Another one has it, or nobody.
    Standby {
        seen: Option<Seen>,
        /// Given up for another: left alone until then.
        not_before: Option<Instant>,
    },
    Unleased,
    /// Asked for by another: nothing new is begun, and it goes once nothing is under way.
    Leaving {
        revision: u64,
    },
}

/// A lease of another, as it was seen.
#[derive(Debug, Clone)]
struct Seen {
    revision: u64,
    since: Instant,
    holder: Holder,
}

const FREE: Seat = Seat::Standby {
    seen: None,
    not_before: None,
};

impl Line {
    pub(super) const fn new(shared: Arc<Shared>, desk: Arc<Desk>, work: SharedWork) -> Self {
        Self {
            shared,
            desk,
            work,
            seats: BTreeMap::new(),
            unreachable: None,
            looks: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut ticks =
            interval((self.ttl() / u32::try_from(LOOKS).unwrap_or(1)).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (desk, stop) = (Arc::clone(&self.desk), self.shared.stop.clone());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.looks += 1,
                () = desk.changed.notified() => {}
            }
            if stop.run_until_cancelled(self.look()).await.is_none() {
                break;
            }
        }
        for (part, seat) in std::mem::take(&mut self.seats) {
            self.give_back(part, &seat).await;
        }
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(self.shared.options.ttl_ms.max(1))
    }

    /// How long a standby waits for a store that can't be reached.
    fn patience(&self) -> Duration {
        let options = &self.shared.options;
        Duration::from_millis(match self.work {
            SharedWork::Relay | SharedWork::Project => options.unreachable_ms,
            SharedWork::React => options.react_unreachable_ms,
        })
    }

    fn key(&self, part: u32) -> String {
        self.shared.key(LeaseName::new(self.work, part))
    }

    /// Where a part is asked for.
    fn asking_key(&self, part: u32) -> String {
        format!("{}.asking", self.key(part))
    }

    fn ours(&self) -> Bytes {
        // Ids and texts: serialising into memory cannot fail.
        serde_json::to_vec(&self.shared.holder).unwrap_or_default().into()
    }

    /// Looks after every part.
    async fn look(&mut self) {
        let tickets: Vec<(u32, usize)> = self
            .desk
            .places()
            .iter()
            .map(|(part, place)| (*part, place.tickets))
            .collect();
        for (part, tickets) in tickets {
            let seat = self.seats.get(&part).cloned().unwrap_or(FREE);
            if tickets == 0 {
                self.give_back(part, &seat).await;
                self.seats.remove(&part);
                self.forget(part);
                continue;
            }
            let next = match seat {
                Seat::Held { revision } => self.keep(part, revision).await,
                Seat::Standby { seen, not_before } => self.stand_by(part, seen, not_before).await,
                Seat::Unleased => self.stand_by(part, None, None).await,
                Seat::Leaving { revision } => self.leave(part, revision).await,
            };
            self.tell(part, &next);
            self.seats.insert(part, next);
        }
        self.ask().await;
    }

    /// Nobody stands for a part any more, unless somebody does again meanwhile.
    fn forget(&self, part: u32) {
        let mut places = self.desk.places();
        if places.get(&part).is_some_and(|place| place.tickets == 0) {
            places.remove(&part);
        } else if let Some(place) = places.get(&part) {
            place.standing.send_replace(LeaseStanding::Standby(None));
        }
    }

    /// Renews a lease. One that can't be renewed is kept: nobody says that another has it.
    async fn keep(&mut self, part: u32, revision: u64) -> Seat {
        if !self.looks.is_multiple_of(RENEWED_EVERY) {
            return Seat::Held { revision };
        }
        match self
            .shared
            .store
            .write(&self.key(part), self.ours(), revision)
            .await
        {
            Ok(revision) => {
                self.reached();
                self.yield_to_asking(part, revision).await
            }
            Err(StoreError::Moved) => self.stand_by(part, None, None).await,
            Err(StoreError::Unavailable(why)) => {
                self.unreached(&why);
                Seat::Held { revision }
            }
        }
    }

    /// Looks whether a lease may be taken.
    async fn stand_by(&mut self, part: u32, seen: Option<Seen>, not_before: Option<Instant>) -> Seat {
        let kept = match self.shared.store.read(&self.key(part)).await {
            Ok(kept) => kept,
            Err(StoreError::Unavailable(why)) => {
                let since = self.unreached(&why);
                if since.elapsed() >= self.patience() {
                    return Seat::Unleased;
                }
                // What could not be looked at does not count.
                return Seat::Standby {
                    seen: None,
                    not_before,
                };
            }
            Err(StoreError::Moved) => return FREE,
        };
        self.reached();
        let now = Instant::now();
        let Some(holder) = holder_of(&kept) else {
            if not_before.is_some_and(|not_before| now < not_before) {
                return Seat::Standby {
                    seen: None,
                    not_before,
                };
            }
            return self.take(part, kept.revision).await;
        };
        if holder.instance == self.shared.holder.instance {
            // A write of ours was done without our hearing of it.
            return Seat::Held {
                revision: kept.revision,
            };
        }
        let seen = match seen {
            Some(seen) if seen.revision == kept.revision => seen,
            Some(_) | None => Seen {
                revision: kept.revision,
                since: now,
                holder,
            },
        };
        if now.duration_since(seen.since) >= self.ttl() {
            tracing::warn!(lease = %LeaseName::new(self.work, part), from = %seen.holder, "lease_taken_over: it was not renewed");
            return self.take(part, seen.revision).await;
        }
        Seat::Standby {
            seen: Some(seen),
            not_before: None,
        }
    }

    async fn take(&mut self, part: u32, expected: u64) -> Seat {
        match self
            .shared
            .store
            .write(&self.key(part), self.ours(), expected)
            .await
        {
            Ok(revision) => Seat::Held { revision },
            Err(StoreError::Moved) => FREE,
            Err(StoreError::Unavailable(why)) => {
                self.unreached(&why);
                FREE
            }
        }
    }

    async fn give_back(&self, part: u32, seat: &Seat) {
        let (Seat::Held { revision } | Seat::Leaving { revision }) = *seat else {
            return;
        };
        let key = self.key(part);
        let mut cleared = self.shared.store.clear(&key, revision).await;
        // A write of ours may have been cut off after it was done.
        if cleared == Err(StoreError::Moved)
            && let Ok(kept) = self.shared.store.read(&key).await
            && holder_of(&kept).is_some_and(|holder| holder.instance == self.shared.holder.instance)
        {
            cleared = self.shared.store.clear(&key, kept.revision).await;
        }
        if let Err(error) = cleared {
            tracing::debug!(lease = %LeaseName::new(self.work, part), %error, "a lease was not given back: it runs out");
        }
    }

    fn reached(&mut self) {
        if self.unreachable.take().is_some() {
            tracing::info!(work = self.work.as_str(), "leases_are_back");
        }
    }

    /// Since when it can't be reached.
    fn unreached(&mut self, why: &str) -> Instant {
        *self.unreachable.get_or_insert_with(|| {
            tracing::warn!(
                work = self.work.as_str(),
                why,
                "leases_unreachable: who works goes on"
            );
            Instant::now()
        })
    }

    /// Tells those who stand for a part.
    fn tell(&self, part: u32, seat: &Seat) {
        let standing = match seat {
            Seat::Held { .. } => LeaseStanding::Held,
            Seat::Standby { seen, .. } => {
                LeaseStanding::Standby(seen.as_ref().map(|seen| seen.holder.clone()))
            }
            Seat::Unleased => LeaseStanding::Unleased,
            Seat::Leaving { .. } => LeaseStanding::Standby(None),
        };
        let places = self.desk.places();
        let Some(place) = places.get(&part) else { return };
        let worked = place.standing.borrow().works();
        let changed = place.standing.send_if_modified(|known| {
            let changed = *known != standing;
            known.clone_from(&standing);
            changed
        });
        if changed && worked != standing.works() {
            let outcome = if standing.works() { "gained" } else { "lost" };
            metrics::counter!("hooklog_lease_changes_total", "work" => self.work.as_str(), "outcome" => outcome)
                .increment(1);
            tracing::info!(lease = %LeaseName::new(self.work, part), outcome, "lease_changed");
        }
    }
}

/// Spreading the parts.
impl Line {
    fn held(&self) -> usize {
        let held = |seat: &&Seat| matches!(seat, Seat::Held { .. });
        self.seats.values().filter(held).count()
    }

    /// Asks whoever has the most parts for some, if it has at least two more.
    async fn ask(&self) {
        let mut parts: BTreeMap<Uuid, Vec<u32>> = BTreeMap::new();
        for (part, seat) in &self.seats {
            if let Seat::Standby { seen: Some(seen), .. } = seat {
                parts.entry(seen.holder.instance).or_default().push(*part);
            }
        }
        let mine = self.held();
        let Some(theirs) = parts.into_values().max_by_key(Vec::len) else {
            return;
        };
        let wanted = theirs.len().saturating_sub(mine) / 2;
        for part in theirs.into_iter().rev().take(wanted) {
            let key = self.asking_key(part);
            // Whoever asked before may be gone; nothing is lost where this fails.
            if let Ok(kept) = self.shared.store.read(&key).await
                && kept.value.is_none_or(|by| *by != *self.asker())
            {
                let _ = self.shared.store.write(&key, self.asker(), kept.revision).await;
            }
        }
    }

    fn asker(&self) -> Bytes {
        self.shared.holder.instance.to_string().into_bytes().into()
    }

    /// Gives up a part that another one asks for, unless it is the last.
    async fn yield_to_asking(&self, part: u32, revision: u64) -> Seat {
        let held = Seat::Held { revision };
        if self.held() < 2 {
            return held;
        }
        let key = self.asking_key(part);
        let Ok(Kept {
            revision: asked,
            value: Some(by),
        }) = self.shared.store.read(&key).await
        else {
            return held;
        };
        // Each asking counts once, whoever asked and whatever becomes of it.
        if self.shared.store.clear(&key, asked).await.is_err() || *by == *self.asker() {
            return held;
        }
        if let Some(place) = self.desk.places().get_mut(&part) {
            place.settled = self.work != SharedWork::React;
        }
        self.leave(part, revision).await
    }

    /// Gives up a part once nothing of it is under way; until then it is kept.
    async fn leave(&self, part: u32, revision: u64) -> Seat {
        let settled = self.desk.places().get(&part).is_none_or(|place| place.settled);
        if settled {
            self.give_back(part, &Seat::Held { revision }).await;
            let not_before = Some(Instant::now() + self.ttl());
            return Seat::Standby {
                seen: None,
                not_before,
            };
        }
        if !self.looks.is_multiple_of(RENEWED_EVERY) {
            return Seat::Leaving { revision };
        }
        match self
            .shared
            .store
            .write(&self.key(part), self.ours(), revision)
            .await
        {
            Ok(revision) => Seat::Leaving { revision },
            Err(StoreError::Moved) => FREE,
            Err(StoreError::Unavailable(_)) => Seat::Leaving { revision },
        }
    }
}

pub(super) fn holder_of(kept: &Kept) -> Option<Holder> {
    // What can't be read is nobody's: it is written anew.
    serde_json::from_slice(kept.value.as_ref()?).ok()
}
