//! Ids that carry a time of our clock.

use domain::Timestamp;
use uuid::{NoContext, Uuid};

/// A new UUIDv7 of a time.
pub(crate) fn new_id(at: Timestamp) -> Uuid {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
}
