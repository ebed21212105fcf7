//! Leases kept in a store that several processes share: taken, renewed, lost and given back.
//!
//! No clock is compared with another. Each write of a lease gives it a new revision, and a standby that sees the same revision
//! for the time of a lease, by its own clock, takes it over with a write that expects that revision. Time in which it could
//! not look does not count. A holder that can't renew goes on: it is told only once another one has the lease.
//!
//! Parts of one work spread by asking: a process with fewer parts asks one with at least two more, which gives one up.
//!
//! Never here: a promise that a holder is alone.

mod line;
mod options;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Holder, Lease, LeaseName, LeaseStanding, Leases, LogId, SharedWork};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use line::Line;
use store::{LeaseStore, StoreError};

pub use options::{LeaseOptions, UseLeases};

/// Keeps the leases of this process.
#[derive(Clone)]
pub struct LeaseKeeper(Arc<Shared>);

struct Shared {
    store: Arc<dyn LeaseStore>,
    holder: Holder,
    /// Of every key: leases are about the work on one log.
    prefix: String,
    options: LeaseOptions,
    desks: Mutex<BTreeMap<SharedWork, Arc<Desk>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What this process stands for of one work.
#[derive(Default)]
struct Desk {
    places: Mutex<BTreeMap<u32, Place>>,
    /// Somebody stands for one more part, or for one less.
    changed: Notify,
}

struct Place {
    standing: watch::Sender<LeaseStanding>,
    /// How many stand for it in this process.
    tickets: usize,
    /// Nothing that was begun under the lease is under way.
    settled: bool,
}

struct Ticket {
    desk: Arc<Desk>,
    part: u32,
    standing: watch::Receiver<LeaseStanding>,
}

impl LeaseKeeper {
    /// Leases on the work on a log, in a store. It needs a runtime to be running when somebody stands for a part.
    #[must_use]
    pub fn new(store: Arc<dyn LeaseStore>, log: LogId, holder: Holder, options: LeaseOptions) -> Self {
        Self(Arc::new(Shared {
            store,
            holder,
            prefix: log.to_string(),
            options,
            desks: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// How this process stands for every part that it stands for.
    #[must_use]
    pub fn standings(&self) -> Vec<(LeaseName, LeaseStanding)> {
        let mut standings = Vec::new();
        for (work, desk) in self.0.desks().iter() {
            let places = desk.places();
            let of_work = places.iter().map(|(part, place)| {
                let standing = place.standing.borrow().clone();
                (LeaseName::new(*work, *part), standing)
            });
            standings.extend(of_work);
        }
        standings
    }

    /// Who holds the first so many parts of some work, as the store says: for a process that stands for none of them. One that
    /// died is named until its lease is taken over.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn holders(
        &self,
        work: SharedWork,
        parts: u32,
    ) -> Result<Vec<(LeaseName, Option<Holder>)>, StoreError> {
        let mut holders = Vec::new();
        for part in 0..parts {
            let name = LeaseName::new(work, part);
            let kept = self.0.store.read(&self.0.key(name)).await?;
            holders.push((name, line::holder_of(&kept)));
        }
        Ok(holders)
    }

    /// Gives everything back, so that others need not wait for leases to run out, and keeps nothing any more. To be called once the
    /// work is done.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let patience = Duration::from_millis(self.0.options.ttl_ms);
        if tokio::time::timeout(patience, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("leases could not be given back: others wait until they run out");
        }
    }
}

impl Leases for LeaseKeeper {
    fn stand_for(&self, name: LeaseName) -> Box<dyn Lease> {
        let mut desks = self.0.desks();
        let desk = desks.entry(name.work).or_insert_with(|| {
            let desk = Arc::<Desk>::default();
            let line = Line::new(Arc::clone(&self.0), Arc::clone(&desk), name.work);
            self.0.tasks.spawn(line.run());
            desk
        });
        let standing = desk.enter(name.part);
        Box::new(Ticket {
            desk: Arc::clone(desk),
            part: name.part,
            standing,
        })
    }
}

impl Shared {
    fn key(&self, name: LeaseName) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn desks(&self) -> MutexGuard<'_, BTreeMap<SharedWork, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn places(&self) -> MutexGuard<'_, BTreeMap<u32, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, part: u32) -> watch::Receiver<LeaseStanding> {
        let mut places = self.places();
        let place = places.entry(part).or_insert_with(|| Place {
            standing: watch::Sender::new(LeaseStanding::Standby(None)),
            tickets: 0,
            settled: false,
        });
        place.tickets += 1;
        let standing = place.standing.subscribe();
        drop(places);
        self.changed.notify_one();
        standing
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.desk.places();
        if let Some(place) = places.get_mut(&self.part) {
            place.tickets = place.tickets.saturating_sub(1);
        }
        drop(places);
        self.desk.changed.notify_one();
    }
}

#[async_trait]
impl Lease for Ticket {
    fn standing(&self) -> LeaseStanding {
        self.standing.borrow().clone()
    }

    async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            // The keeper is closed: it stays as it was.
            std::future::pending().await
        }
    }

    fn settled(&self) {
        if let Some(place) = self.desk.places().get_mut(&self.part) {
            place.settled = true;
        }
        self.desk.changed.notify_one();
    }
}
