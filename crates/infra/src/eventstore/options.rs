//! Settings of the log on a cluster.

use secrecy::SecretString;

/// Settings of the log on an EventStoreDB or KurrentDB cluster.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventStoreOptions {
    /// The connection string, `esdb://…` or `kurrentdb://…`, with name, password and TLS as the client documents them.
    pub url: SecretString,
    /// What every stream's name begins with, so that other programs can use the same cluster: 1 to 32 of `a-z`, `0-9` and `_`.
    pub stream_prefix: String,
    /// How long a start waits for the server, in milliseconds.
    pub connect_timeout_ms: u64,
    /// After so long without an answer a single write is tried again, in milliseconds.
    pub write_timeout_ms: u64,
    /// How long an append may take with all its tries, in milliseconds.
    pub append_timeout_ms: u64,
    /// How long the server may be silent in a read, in milliseconds.
    pub read_timeout_ms: u64,
    /// How long a read is tried again while the server is away, in milliseconds.
    pub read_retry_ms: u64,
    /// The pause before a first retry, in milliseconds; it doubles up to `retry_ms_max`.
    pub retry_ms_min: u64,
    /// The longest pause between two tries, in milliseconds.
    pub retry_ms_max: u64,
    /// The most appends that may be under way or waiting; over it they are refused.
    pub queue_max: usize,
    /// The most bytes of appends that may be under way or waiting; over it they are refused.
    pub queue_bytes_max: usize,
    /// The most bytes of one append; the server's own limit is 1 MiB by default.
    pub append_bytes_max: usize,
    /// How long a delivery waits for another of the same content that was announced and is not there, in milliseconds. After
    /// it the other one is fenced off.
    pub claim_wait_ms: u64,
}

impl Default for EventStoreOptions {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            stream_prefix: "hooklog".to_owned(),
            connect_timeout_ms: 60_000,
            write_timeout_ms: 3000,
            append_timeout_ms: 8000,
            read_timeout_ms: 10_000,
            read_retry_ms: 15_000,
            retry_ms_min: 20,
            retry_ms_max: 2000,
            queue_max: 10_000,
            queue_bytes_max: 64 * 1024 * 1024,
            append_bytes_max: 1_000_000,
            claim_wait_ms: 1000,
        }
    }
}
