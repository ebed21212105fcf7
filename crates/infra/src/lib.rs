//! The adapters behind the ports: log, bodies, stream, tables, and what the program stands on: the data directory, its room,
//! its backups, the embedded engines. Nothing here knows what the data means.

pub mod access;
pub mod backup;
pub mod body;
pub mod budget;
mod category;
pub mod checkpoint;
pub mod clickhouse;
pub mod data_dir;
pub mod engine;
pub mod eventstore;
pub mod guard;
pub mod jetstream;
pub mod lease;
pub mod log;
pub mod migrate;
pub mod secret;
pub mod source;
mod tls;
