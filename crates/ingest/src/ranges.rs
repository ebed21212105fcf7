//! Lists of networks that somebody else keeps, such as those a provider publishes.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;

use crate::address::canonical_network;

/// A list of networks that may be replaced while it is in use. Cheap to clone; all clones are one.
///
/// Until it is set it is not known, and whoever is allowed by it alone is not let in: a list that can't be had never opens a
/// source to everybody.
#[derive(Debug, Clone, Default)]
pub struct AddressRanges(Arc<RwLock<Option<Arc<[IpNet]>>>>);

impl AddressRanges {
    /// Replaces the list.
    pub fn set(&self, networks: Vec<IpNet>) {
        let networks = networks.into_iter().map(canonical_network).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(networks);
    }

    /// Whether an address, not one of IPv4 written as IPv6, is in the list; none while the list is not known.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> Option<bool> {
        let networks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(networks.iter().any(|network| network.contains(&address)))
    }
}
