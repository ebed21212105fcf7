//! The embedded engines, for real: that only we get in, that they come back, and that they never outlive us.

mod clickhouse;
mod harness;
mod lifetime;
mod nats;
mod restart;
