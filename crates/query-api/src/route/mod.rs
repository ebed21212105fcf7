//! The endpoints, one file per group. They read parameters, ask, and shape the answer; nothing else.

pub(crate) mod audit;
pub(crate) mod causes;
pub(crate) mod deliveries;
pub(crate) mod destinations;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod page;
pub(crate) mod projections;
pub(crate) mod rejected;
pub(crate) mod replays;
pub(crate) mod repositories;
pub(crate) mod runs;
pub(crate) mod sources;
pub(crate) mod statistics;
pub(crate) mod stream;
pub(crate) mod system;
pub(crate) mod test;
pub(crate) mod types;
pub(crate) mod verify;

use poem_openapi::Tags;

/// Groups of endpoints in the document.
#[derive(Debug, Clone, Copy, Tags)]
pub(crate) enum Group {
    /// Deliveries: lists, one in full, its exact bytes.
    Deliveries,
    /// Doing it again: one delivery, all that fits a filter, the dead letters.
    Replays,
    /// Who delivers, and how they prove it.
    Sources,
    /// Where deliveries go.
    Destinations,
    /// Statistics and health.
    Statistics,
    /// What happens in repositories.
    Repositories,
    /// Jobs, workflow runs and runners.
    Jobs,
    /// Who may ask, and what they did.
    Access,
    /// The service itself.
    Service,
}
