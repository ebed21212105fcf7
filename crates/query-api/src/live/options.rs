//! What can be set about the live streams.

use serde::Deserialize;

/// Settings of the live streams. Whatever a client could make grow has a bound here.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveOptions {
    /// The most events kept in memory for those who follow closely; who falls behind them reads the log.
    pub ring_events_max: usize,
    /// The most bytes of them, bodies included.
    pub ring_bytes_max: usize,
    /// The most events of one page read from the log for one client.
    pub page_events_max: usize,
    /// The most bytes of such a page.
    pub page_bytes_max: usize,
    /// The most clients that read a page of the log at the same time; others wait for their turn.
    pub log_reads_max: usize,
    /// How long the stream may be silent before the head of the log is looked at, in milliseconds.
    pub silent_ms: u64,
    /// The longest that a subscription to the stream may take, in milliseconds.
    pub follow_timeout_ms: u64,
    /// The pause before the stream is tried again after a failure, in milliseconds; it doubles up to the other.
    pub backoff_ms_min: u64,
    /// The longest such pause, in milliseconds.
    pub backoff_ms_max: u64,
    /// The most server-sent event streams at once.
    pub streams_max: usize,
    /// The most of one key, or of one address for those without.
    pub streams_per_client_max: usize,
    /// How often a stream on which nothing happens says that it is alive, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long a client may take nothing before its stream is ended, in milliseconds.
    pub stall_timeout_ms: u64,
    /// How often it is looked at whether a client may still listen, in milliseconds.
    pub recheck_ms: u64,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            ring_events_max: 16_384,
            ring_bytes_max: 32 * 1024 * 1024,
            page_events_max: 500,
            page_bytes_max: 1024 * 1024,
            log_reads_max: 4,
            silent_ms: 1000,
            follow_timeout_ms: 5000,
            backoff_ms_min: 200,
            backoff_ms_max: 5000,
            streams_max: 1000,
            streams_per_client_max: 100,
            heartbeat_ms: 15_000,
            stall_timeout_ms: 10_000,
            recheck_ms: 1000,
        }
    }
}
