//! The only way to learn the time.

use crate::Timestamp;

/// Gives the time of day. The binary passes the system's clock, tests pass one they set.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}
