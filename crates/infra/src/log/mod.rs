//! The segmented log, the embedded adapter of `domain::EventLog`: `docs/format.md` on disk, one writer, one sync per batch.
//!
//! It must never show, answer or remember anything that is not durable, and never repair by guessing: what was
//! acknowledged and is damaged is refused, naming segment and offset.

mod catch_up;
mod category;
mod content_keys;
mod decide;
mod dump;
mod error;
pub(crate) mod extent;
mod file;
mod format;
mod index;
mod indexer;
mod keys;
mod newest;
mod options;
mod pending;
mod queue;
mod read;
mod recent;
mod recover;
mod scan;
mod segment;
mod segmented;
mod shared;
mod signal;
mod space;
mod take_over;
mod verify;
mod writer;

#[cfg(feature = "testing")]
pub mod fuzzing;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(test), allow(dead_code, reason = "a simulation uses a part of it"))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a model for tests fails loudly"
)]
mod power_cut;
#[cfg(feature = "testing")]
pub mod simulated;
#[cfg(test)]
mod tests;

pub use dump::{Dump, dump};
pub use error::{Damage, OpenError};
pub use options::LogOptions;
pub use segmented::SegmentedLog;
pub use verify::{VerifyReport, verify};
