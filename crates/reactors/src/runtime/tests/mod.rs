//! The runtime, tried on a log in memory.

mod attempts;
mod doubles;
