//! infra

pub mod body;
pub mod budget;
pub mod clickhouse;
pub mod data_dir;
pub mod engine;
pub mod jetstream;
pub mod log;
