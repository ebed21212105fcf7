//! The log on a cluster: the contract of every log, what the client gets wrong, and who is the original of a content.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod appends;
mod contract;
mod duplicates;
mod harness;
mod migrate;
mod outages;
mod throughput;
mod tls;
