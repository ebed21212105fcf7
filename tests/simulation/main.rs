//! The whole of Hooklog in one process, driven by one seed: senders, the log on a disk that loses power, the relay, the read
//! models, and a world in which everything goes wrong. A reconciler then compares every delivery, one by one.
//!
//! `docs/testing.md` says what is real here, what is not, and how to repeat a seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    missing_docs,
    reason = "a test fails loudly, and its modules are its own"
)]

mod bodies;
mod chaos;
mod clickhouse;
mod destinations;
mod dice;
mod entropy;
mod jetstream;
mod log;
mod mutations;
mod notes;
mod odds;
mod process;
mod receiver;
mod reconcile;
mod run;
mod seeds;
mod sender;
mod world;
