//! The runtime, tried on a log in memory.

mod attempts;
mod crashes;
mod doubles;
mod index;
mod marks;
mod outcomes;
mod pausing;
mod pressing;
mod shares;
mod views;
mod windows;
