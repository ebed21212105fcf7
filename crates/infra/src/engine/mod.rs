//! The engines that `hooklog serve` brings along when no address of one is given: a NATS server and a
//! ClickHouse, fetched once, run as supervised children of this process, on loopback, locked down.
//!
//! Invariants:
//! - No child outlives its parent, however that ends.
//! - Ports and secrets stay the same while this process lives, so that clients simply reconnect.
//! - Nothing here knows what the engines are used for: it hands out addresses and secrets, no more.
//! - Engines hold derived data only; what is lost with them is built again from the log.

pub mod child;
mod config;
mod credential;
mod error;
pub mod fetch;
pub mod http;
mod launch;
mod native;
mod output;
mod port;
mod private_file;
mod probe;
mod process;
mod running;
mod spawner;
mod supervisor;

use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

pub use error::EngineError;
pub use supervisor::Engines;

/// The header that every request to the embedded ClickHouse carries; its value is
/// [`ClickHouseEndpoint::token`]. Requests without it are answered 404.
pub const TOKEN_HEADER: &str = "X-Hooklog-Token";

/// How the engines run.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineOptions {
    /// Where the engines keep their data, configuration and secrets (made with mode 0700).
    pub data_dir: PathBuf,
    /// Where fetched engines are kept, shared by every data directory of this machine.
    pub engines_dir: PathBuf,
    /// Whether to run a NATS server.
    pub nats: bool,
    /// Whether to run a ClickHouse.
    pub clickhouse: bool,
    /// Whether a missing engine may be fetched. Otherwise only what is there already is used.
    pub fetch: bool,
    /// The longest time fetching one engine may take.
    pub fetch_timeout_ms: u64,
    /// The loopback port of NATS; 0 takes the one of last time if it is free, else any free one.
    pub nats_port: u16,
    /// The loopback port of ClickHouse; 0 as above.
    pub clickhouse_port: u16,
    /// The memory ClickHouse may use; queries and inserts beyond it are refused.
    pub clickhouse_memory_bytes_max: u64,
    /// The disk space JetStream may use: the sum of the limits of its streams can't exceed it.
    pub jetstream_bytes_max: u64,
    /// The largest message NATS accepts.
    pub nats_message_bytes_max: u32,
    /// The longest time an engine may take until it answers.
    pub start_timeout_ms: u64,
    /// The longest time an engine may take to stop before it is killed.
    pub stop_timeout_ms: u64,
    /// How long an engine that runs may go without an answer before it is killed and started again.
    pub silence_timeout_ms: u64,
    /// The first pause before a dead engine is started again; it doubles with each failure.
    pub backoff_ms_min: u64,
    /// The longest such pause. An engine that ran longer than this starts over with the shortest.
    pub backoff_ms_max: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data/engines"),
            engines_dir: PathBuf::from("engines"),
            nats: true,
            clickhouse: true,
            fetch: true,
            fetch_timeout_ms: 900_000,
            nats_port: 0,
            clickhouse_port: 0,
            clickhouse_memory_bytes_max: 2 << 30,
            jetstream_bytes_max: 8 << 30,
            nats_message_bytes_max: 1 << 20,
            start_timeout_ms: 60_000,
            stop_timeout_ms: 8_000,
            silence_timeout_ms: 60_000,
            backoff_ms_min: 200,
            backoff_ms_max: 10_000,
        }
    }
}

/// One of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// The NATS server.
    Nats,
    /// ClickHouse.
    ClickHouse,
}

impl EngineKind {
    /// Its name in settings, folders, commands and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::ClickHouse => "clickhouse",
        }
    }

    /// Its name as people write it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nats => "NATS server",
            Self::ClickHouse => "ClickHouse",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Where the engines listen and what opens them; absent for one that wasn't asked for.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The NATS server.
    pub nats: Option<NatsEndpoint>,
    /// ClickHouse.
    pub clickhouse: Option<ClickHouseEndpoint>,
}

/// How to reach the NATS server.
#[derive(Debug, Clone)]
pub struct NatsEndpoint {
    /// `nats://127.0.0.1:<port>`.
    pub url: String,
    /// The token a client has to present.
    pub token: SecretString,
}

/// How to reach ClickHouse.
#[derive(Debug, Clone)]
pub struct ClickHouseEndpoint {
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    /// The value of the header [`TOKEN_HEADER`], needed by both users.
    pub token: SecretString,
    /// The user that owns every database whose name starts with `hooklog`.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// The user that may only read those databases, for SQL clients and Grafana.
    pub reader: String,
    /// Its password.
    pub reader_password: SecretString,
}

/// What an engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// Started, not answering yet, or not any more.
    Starting,
    /// It answers.
    Ready,
    /// It died, or could not be started; it is started again after a pause.
    Waiting,
    /// It was asked to stop.
    Stopped,
}

/// An engine at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// Which one, as in [`EngineKind::name`].
    pub name: &'static str,
    /// What it is doing.
    pub state: EngineState,
    /// How often it was started again.
    pub restarts: u64,
    /// The process of the child, while there is one.
    pub pid: Option<u32>,
    /// The version it reported.
    pub version: String,
    /// The loopback port it listens on.
    pub port: u16,
    /// Why it isn't ready, if it isn't.
    pub reason: Option<String>,
}
