//! The partitions that this process fills, by its leases.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Lease, LeaseName, Leases, SharedWork};
use futures_util::future::select_all;

/// The leases on partitions. A lease is about a partition of all projections: they are fed together, so that each event is
/// read once. It is about that number in every build, however many partitions a build has.
pub(crate) struct Shares {
    leases: Arc<dyn Leases>,
    parts: Vec<Box<dyn Lease>>,
    ours: BTreeSet<u32>,
}

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) gained: bool,
    pub(crate) lost: BTreeSet<u32>,
}

impl Shares {
    pub(crate) fn new(leases: Arc<dyn Leases>, partitions: u32) -> Self {
        let mut shares = Self {
            leases,
            parts: Vec::new(),
            ours: BTreeSet::new(),
        };
        shares.stand_for(partitions);
        shares.look();
        shares
    }

    /// Whether there is anybody to share with.
    pub(crate) fn is_shared(&self) -> bool {
        self.leases.are_shared()
    }

    /// The partitions to fill.
    pub(crate) const fn ours(&self) -> &BTreeSet<u32> {
        &self.ours
    }

    /// Stands for so many partitions, if it does not yet. What that gains is told by [`Shares::changed`].
    pub(crate) fn stand_for(&mut self, partitions: u32) {
        let known = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        for part in known..partitions.max(1) {
            let name = LeaseName::new(SharedWork::Project, part);
            self.parts.push(self.leases.stand_for(name));
        }
    }

    /// Stands for none any more, until it does again; what was ours.
    pub(crate) fn leave(&mut self) -> BTreeSet<u32> {
        self.parts.clear();
        std::mem::take(&mut self.ours)
    }

    /// Waits until a lease is gained or lost. Cancel-safe.
    pub(crate) async fn changed(&mut self) -> Change {
        if self.parts.is_empty() {
            return std::future::pending().await;
        }
        loop {
            // First: what changed since the last time has to be told, whoever waited for it then.
            let before = self.ours.clone();
            self.look();
            let change = Change {
                gained: !self.ours.is_subset(&before),
                lost: before.difference(&self.ours).copied().collect(),
            };
            if change.gained || !change.lost.is_empty() {
                return change;
            }
            select_all(self.parts.iter_mut().map(|part| part.changed())).await;
        }
    }

    fn look(&mut self) {
        let working = self
            .parts
            .iter()
            .zip(0..)
            .filter(|(part, _)| part.standing().works());
        self.ours = working.map(|(_, partition)| partition).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::testing::TestLeases;
    use tokio::time::timeout;

    use super::*;

    /// The projector stands for what there is whenever it looks; what changed meanwhile must not get lost in that.
    #[tokio::test(start_paused = true)]
    async fn what_is_gained_or_lost_while_more_is_stood_for_is_told() {
        let share = |part| LeaseName::new(SharedWork::Project, part);
        let leases = TestLeases::new();
        let mut shares = Shares::new(Arc::new(leases.clone()), 2);
        let told = async |shares: &mut Shares| {
            let change = timeout(Duration::from_secs(1), shares.changed()).await;
            change.ok()
        };
        assert_eq!(told(&mut shares).await, None);
        leases.give(share(1));
        shares.stand_for(2);
        let gained = Change {
            gained: true,
            lost: BTreeSet::new(),
        };
        assert_eq!(told(&mut shares).await, Some(gained));
        leases.take(share(1));
        shares.stand_for(3);
        let lost = Change {
            gained: false,
            lost: BTreeSet::from([1]),
        };
        assert_eq!(told(&mut shares).await, Some(lost));
        assert_eq!(told(&mut shares).await, None);
    }
}
