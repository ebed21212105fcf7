//! Leases that a test hands out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Holder, Lease, LeaseName, LeaseStanding, Leases};

/// Leases of one process, in the hands of a test: it stands by for everything until told otherwise.
#[derive(Clone, Default)]
pub struct TestLeases {
    places: Arc<Mutex<BTreeMap<LeaseName, watch::Sender<LeaseStanding>>>>,
    settled: Arc<Mutex<BTreeSet<LeaseName>>>,
}

struct Place {
    name: LeaseName,
    standing: watch::Receiver<LeaseStanding>,
    settled: Arc<Mutex<BTreeSet<LeaseName>>>,
}

impl TestLeases {
    /// Nothing is held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// It is given a lease.
    pub fn give(&self, name: LeaseName) {
        self.place(name).send_replace(LeaseStanding::Held);
    }

    /// Whether nothing is under way any more since it was taken away.
    #[must_use]
    pub fn is_settled(&self, name: LeaseName) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.contains(&name)
    }

    /// How many stand for it.
    #[must_use]
    pub fn standing_for(&self, name: LeaseName) -> usize {
        self.place(name).receiver_count()
    }

    /// Another process has the lease now.
    pub fn take(&self, name: LeaseName) {
        self.settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name);
        let holder = Holder {
            instance: Uuid::from_u128(99),
            host: "elsewhere".to_owned(),
            roles: String::new(),
        };
        self.place(name)
            .send_replace(LeaseStanding::Standby(Some(holder)));
    }

    fn place(&self, name: LeaseName) -> watch::Sender<LeaseStanding> {
        let blank = || watch::Sender::new(LeaseStanding::Standby(None));
        self.places().entry(name).or_insert_with(blank).clone()
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<LeaseName, watch::Sender<LeaseStanding>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases for TestLeases {
    fn stand_for(&self, name: LeaseName) -> Box<dyn Lease> {
        Box::new(Place {
            name,
            standing: self.place(name).subscribe(),
            settled: Arc::clone(&self.settled),
        })
    }
}

#[async_trait]
impl Lease for Place {
    fn standing(&self) -> LeaseStanding {
        self.standing.borrow().clone()
    }

    async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }

    fn settled(&self) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.insert(self.name);
    }
}
