//! Replays: a part of the log is read again, and its deliveries are asked for anew.
//!
//! [`ReplayHandle`] takes orders and answers questions; it is the adapter of [`domain::Replays`]. [`ReplayRunner`] follows
//! the log for replays that were ordered and carries them out: `scan` finds the deliveries, `one` asks for each, `run` keeps
//! the pace and takes down how far it is. What a replay did stands in the log alone: the runner may be killed anywhere, and
//! several may run beside each other.
//!
//! Never here: an effect. A replay only appends `DeliveryReplayRequested`; the reactors and the relay do the rest.

mod bisect;
mod dead;
mod flight;
mod follow;
mod handle;
mod load;
mod note;
mod one;
mod order;
mod pace;
mod registry;
mod run;
mod runner;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::{
    Checkpoints, DeliveryReceived, DestinationName, EventId, EventLog, Leases, Position, ReplayTo,
    StreamName, TenantId,
};
use uuid::Uuid;

use crate::ReactorOptions;
use load::ReplayStates;
use registry::Registry;

pub use handle::ReplayHandle;
pub use runner::ReplayRunner;

/// Which destinations there are, under the present settings.
pub trait Wanting: Send + Sync {
    /// Those that want a delivery now.
    fn wanting(&self, received: &DeliveryReceived) -> Vec<DestinationName>;

    /// Whether the settings name such a destination of the tenant.
    fn is_destination(&self, tenant: &TenantId, name: &DestinationName) -> bool;
}

/// How busy the reactors are.
pub trait Pace: Send + Sync {
    /// How long the oldest open delivery has been due, in milliseconds; 0 when none is. What waits for a destination that
    /// is paused, broken or missing does not count: no replay would ever go on.
    fn lag_ms(&self) -> u64;
}

/// The dead letters that the reactors remember, so that a retry of all of them need not read the whole log.
pub trait DeadLetters: Send + Sync {
    /// The dead letters of a tenant; `None` while not all of them are known.
    fn remembered(&self, tenant: &TenantId) -> Option<RememberedDead>;
}

/// Dead letters, as remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RememberedDead {
    /// The streams of all deliveries that are dead. One that is not does no harm: each is looked at again.
    pub streams: Vec<StreamName>,
    /// The log was followed at least to here when they were listed.
    pub upto: Position,
}

/// No dead letter is remembered: the log is searched.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemory;

impl DeadLetters for NoMemory {
    fn remembered(&self, _: &TenantId) -> Option<RememberedDead> {
        None
    }
}

/// What replays need of the world.
#[derive(Clone)]
pub struct ReplayPorts {
    /// The log, which is read again and asked.
    pub log: Arc<dyn EventLog>,
    /// Where the runner notes how far it read.
    pub checkpoints: Arc<dyn Checkpoints>,
    /// Makes ids, UUIDv7.
    pub new_id: Arc<dyn Fn() -> Uuid + Send + Sync>,
    /// Which destinations want a delivery.
    pub router: Arc<dyn Wanting>,
    /// How busy the reactors are.
    pub pace: Arc<dyn Pace>,
    /// The dead letters that are known.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Whether this process carries replays out.
    pub leases: Arc<dyn Leases>,
}

/// What the handle, the runner and its runs share.
struct Shared {
    options: ReactorOptions,
    ports: ReplayPorts,
    registry: Registry,
    states: ReplayStates,
}

impl Shared {
    fn new_event_id(&self) -> EventId {
        EventId::new((self.ports.new_id)())
    }

    fn log(&self) -> &dyn EventLog {
        &*self.ports.log
    }
}

/// How metrics name where a replay goes.
const fn label(to: ReplayTo) -> &'static str {
    match to {
        ReplayTo::Processing => "processing",
        ReplayTo::Subjects => "subjects",
    }
}
