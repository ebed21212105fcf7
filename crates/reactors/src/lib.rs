//! What happens because of a delivery: it is handed to destinations, tried again, given up, and replayed.
//!
//! The rules are pure and live in `domain`; here are the hands. The runtime (`runtime/`) follows the log, keeps what is open,
//! decides what is due, has a [`Target`] do it, and appends the outcome with the revision it saw. Replays (`replay/`) read a
//! part of the log again and ask for its deliveries anew.
//!
//! Never here: a delivery that is open only in memory. Whatever this crate knows can be found again by reading the log.

pub mod destination;
mod options;
mod plan;
pub mod replay;
mod runtime;
mod target;

pub use options::{DestinationOptions, Ordering, Priority, ReactorOptions};
pub use plan::{BreakerPolicy, DestinationPlan, RetryPolicy};
pub use runtime::{
    ReactorError, ReactorHandle, ReactorPorts, ReactorStatus, Reactors, RememberedDeadLetters,
};
pub use target::{Dispatch, Sent, Target};
