//! The embedded engines, for real: that only we get in, that they come back, and that they never outlive us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

mod clickhouse;
mod fetch;
mod harness;
mod lifetime;
mod nats;
mod restart;
