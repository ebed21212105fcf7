//! A server that speaks the protocol of EventStoreDB/KurrentDB, for tests only: it keeps what it is told in memory, and in a
//! file if it is given one, and does what a real server does that surprises a client.
//!
//! It writes `$` events between those of others, so positions have gaps; refuses appends over 1 MiB; takes the repeat of an
//! event id at its place for the first success; refuses to read from a position at which no event stands. On demand it closes
//! subscriptions, is no leader, loses the answer to a write that was done, holds a write, breaks off a read, stops and starts.
//!
//! It must never be part of the product, and a pass here is no pass on a real server: it knows what its authors know.

#![allow(
    clippy::result_large_err,
    reason = "the status of tonic is what every handler answers, and its size is tonic's affair"
)]

mod append;
mod batch;
mod data_file;
mod fault;
mod read;
mod server;
mod service;
mod store;

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    clippy::clone_on_ref_ptr,
    clippy::too_many_lines,
    reason = "generated from the protocol"
)]
mod protocol {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

pub use fault::{Calls, Fault, Faults, Gate};
pub use server::{Login, Node, NodeOptions, TlsIdentity};
pub use store::{APPEND_BYTES_MAX, Refused, Store};
