//! Replays: an order to read a part of the log again and have its deliveries done, or published, again.
//!
//! A replay is an aggregate with a stream of its own; what it does to each delivery stands in that delivery's stream.

mod event;
mod filter;
mod state;
#[cfg(test)]
mod tests;

pub use event::{
    ReplayCancelled, ReplayCompleted, ReplayCounts, ReplayEvent, ReplayFailed, ReplayProgressed,
    ReplayRequested,
};
pub use filter::{InvalidReplayFilter, ReplayFilter, ReplayMatch};
pub use state::{ReplayCommand, ReplayRejection, ReplayState, ReplayStatus};
