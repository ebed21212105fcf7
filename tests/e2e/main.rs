//! Hooklog from the outside: the real binary with its real engines, clients and signers that are not ours.
//!
//! One module for each group of promises. Nothing here may name a crate of the workspace: what a user can't reach, these
//! tests can't either. `docs/testing.md` says how to run one of them and which knobs there are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails loudly, and what it says helps"
)]

mod access;
mod api;
mod attack;
mod backup;
mod catalogue;
mod cli;
mod cluster_log;
mod crash;
mod crash_matrix;
mod dashboard;
mod data_directory;
mod deployment;
mod destinations;
mod duplicates;
mod engines;
mod gate;
mod gitlab;
mod guide;
mod harness;
mod live;
mod memory;
mod odd_inputs;
mod payloads;
mod readme;
mod rebuild;
mod reconcile;
mod rejected;
mod replay;
mod schema;
mod senders;
mod sources;
mod statistics;
mod stop;
mod terminal;
mod tls;
mod trouble;
mod verify;
