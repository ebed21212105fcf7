//! What a client wants to be shown, decided here and not there.

use domain::{DeliveryStatus, TenantId};

use super::item::{Facts, Item, Kind};

/// Which events of a tenant are wanted; what is not given does not matter.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) tenant: TenantId,
    /// In lower case.
    pub(crate) repository: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) action: Option<String>,
    /// One of these: of a delivery as it was received, of a change what it is then.
    pub(crate) statuses: Option<Vec<DeliveryStatus>>,
    /// Whether changes of status are wanted as well.
    pub(crate) changes: bool,
}

impl Filter {
    /// Whether an item is wanted.
    pub(crate) fn wants(&self, item: &Item) -> bool {
        match &item.kind {
            Kind::Delivery(delivery) => self.fits(&delivery.facts),
            Kind::Change(change) => self.changes && self.fits(&change.facts),
            Kind::Other => false,
        }
    }

    fn fits(&self, facts: &Facts) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        self.tenant == facts.tenant
            && same(&self.repository, facts.repository.as_deref())
            && same(&self.source, Some(&facts.source))
            && same(&self.event, Some(&facts.event))
            && same(&self.action, facts.action.as_deref())
            && self
                .statuses
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&facts.status))
    }
}
