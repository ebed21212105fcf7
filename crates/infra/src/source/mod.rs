//! Sources that are added while the program runs: kept in the log, known to every replica, told to receiving.
//!
//! Never here: what a scheme is. A secret in clear passes through on its way from whoever gives it to the log, where it is
//! ciphertext, and from there to receiving; nothing here keeps or logs it.

mod keeper;
mod known;
mod order;
mod receiving;

#[cfg(test)]
mod tests;

pub use keeper::{Configured, SourceKeeper, SourceKeeperOptions};
