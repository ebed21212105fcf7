//! The whole write side through its endpoint, against the log in memory.

mod answers;
mod bodies;
mod codings;
mod explain;
mod limits;
mod memory;
mod observed;
mod once;
mod pressure;
mod reactions;
mod redelivery;
mod rejected;
mod rig;
mod secrets;
mod senders;
mod server;
mod sources;
