//! The port to leases: which of several processes does a part of the work.
//!
//! A lease only saves work. Whoever works without one, because it slept through its end or because the store of leases can't
//! be reached, does what another does too; rows that are idempotent, sequences and revisions that are expected make that
//! harmless. So nothing here fences, and nobody may rely on being alone.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The work that is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedWork {
    /// Publishing the log.
    Relay,
    /// Filling the read models.
    Project,
    /// Handing deliveries on.
    React,
}

impl SharedWork {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Project => "project",
            Self::React => "react",
        }
    }
}

/// A part of it that one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseName {
    /// The work.
    pub work: SharedWork,
    /// Which part of it, from 0.
    pub part: u32,
}

impl LeaseName {
    /// A part of some work.
    #[must_use]
    pub const fn new(work: SharedWork, part: u32) -> Self {
        Self { work, part }
    }
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.work.as_str(), self.part)
    }
}

/// Text that names no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lease is named by its work and its part, such as project.3")]
pub struct InvalidLeaseName;

impl FromStr for LeaseName {
    type Err = InvalidLeaseName;
    fn from_str(text: &str) -> Result<Self, InvalidLeaseName> {
        let (work, part) = text.split_once('.').ok_or(InvalidLeaseName)?;
        let all = [SharedWork::Relay, SharedWork::Project, SharedWork::React];
        let work = all.into_iter().find(|known| known.as_str() == work);
        Ok(Self {
            work: work.ok_or(InvalidLeaseName)?,
            part: part.parse().map_err(|_| InvalidLeaseName)?,
        })
    }
}

/// A process that holds leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Of this run of the process, a UUIDv7.
    pub instance: Uuid,
    /// The machine it runs on.
    pub host: String,
    /// Its roles, for people.
    pub roles: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.instance, self.host)
    }
}

/// How this process stands for a part of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseStanding {
    /// It holds the lease.
    Held,
    /// Another one does, or nobody yet.
    Standby(Option<Holder>),
    /// It works without: the store of leases could not be reached for too long, and whoever holds it may be gone.
    Unleased,
}

impl LeaseStanding {
    /// Whether to do the work.
    #[must_use]
    pub const fn works(&self) -> bool {
        match self {
            Self::Held | Self::Unleased => true,
            Self::Standby(_) => false,
        }
    }
}

/// Leases on shared work.
pub trait Leases: Send + Sync {
    /// Stands for a part of the work until what this returns is dropped.
    fn stand_for(&self, name: LeaseName) -> Box<dyn Lease>;

    /// Whether there may be other processes to share with.
    fn are_shared(&self) -> bool {
        true
    }
}

/// A lease that a process stands for. Dropping it gives up what is held.
#[async_trait]
pub trait Lease: Send + Sync {
    /// How it stands now.
    fn standing(&self) -> LeaseStanding;

    /// Waits until it stands otherwise than when this returned last; at first, than when it was made. Cancel-safe.
    async fn changed(&mut self);

    /// Nothing that was begun under the lease is under way any more. A part of [`SharedWork::React`] that is asked for goes to
    /// another process only after this, so that what is on its way is not sent again.
    fn settled(&self) {}
}

impl dyn Lease + '_ {
    /// Waits until the work is to be done here.
    pub async fn gained(&mut self) {
        while !self.standing().works() {
            self.changed().await;
        }
    }

    /// Waits until the work is not to be done here any more.
    pub async fn lost(&mut self) {
        while self.standing().works() {
            self.changed().await;
        }
    }
}

/// One process does everything: nobody to share with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unshared;

impl Leases for Unshared {
    fn stand_for(&self, _: LeaseName) -> Box<dyn Lease> {
        Box::new(Self)
    }

    fn are_shared(&self) -> bool {
        false
    }
}

#[async_trait]
impl Lease for Unshared {
    fn standing(&self) -> LeaseStanding {
        LeaseStanding::Held
    }

    async fn changed(&mut self) {
        std::future::pending().await
    }
}

/// Others do everything: a process that only wants to know how they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Onlooker;

impl Leases for Onlooker {
    fn stand_for(&self, _: LeaseName) -> Box<dyn Lease> {
        Box::new(Self)
    }
}

#[async_trait]
impl Lease for Onlooker {
    fn standing(&self) -> LeaseStanding {
        LeaseStanding::Standby(None)
    }

    async fn changed(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_by_its_work_and_its_part() {
        for work in [SharedWork::Relay, SharedWork::Project, SharedWork::React] {
            let name = LeaseName::new(work, 12);
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in ["", "relay", "relay.", "relay.x", "others.0", "relay.-1"] {
            assert_eq!(bad.parse::<LeaseName>(), Err(InvalidLeaseName), "{bad}");
        }
    }
}
