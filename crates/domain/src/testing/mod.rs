//! For tests of every adapter: an in-memory log, deliveries and outcomes to fill it with, the contract that each log keeps,
//! and notes that fail as told.

mod checkpoint;
pub mod contract;
mod delivery;
pub mod fuzzing;
mod lease;
mod memory_log;
mod outcome;
mod rejected;
mod rows;

pub use checkpoint::MemoryCheckpoints;
pub use delivery::{ManualClock, TestDelivery, recorded};
pub use lease::TestLeases;
pub use memory_log::MemoryLog;
pub use outcome::{Ending, Step, TestStream, any_steps, attempted, decide_and_append, recorded_as, replayed};
pub use rejected::{MemoryRejected, rejected};
pub use rows::rows_as_json;
