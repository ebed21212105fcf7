//! For tests of every adapter: an in-memory log, deliveries to fill it with, and the contract that each log keeps.

pub mod contract;
mod delivery;
mod memory_log;

pub use delivery::{ManualClock, TestDelivery, recorded};
pub use memory_log::MemoryLog;
