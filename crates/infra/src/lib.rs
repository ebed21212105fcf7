//! infra
pub mod clickhouse;
