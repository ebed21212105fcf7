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
    /// How long a client may take nothing before its stream is ended, or, of Socket.IO, its last words, in milliseconds.
    pub stall_timeout_ms: u64,
    /// The most connections of Socket.IO at once.
    pub sockets_max: usize,
    /// The most of one key, or of one address for those without.
    pub sockets_per_address_max: usize,
    /// The most connections of Socket.IO that have not shown that they may listen; for one more an old one gives way.
    pub arrivals_max: usize,
    /// The most subscriptions of one client in a namespace.
    pub subscriptions_max: usize,
    /// The most events that may wait for a client of Socket.IO; one more, and it is dropped.
    pub socket_buffer_events: usize,
    /// The most bytes that may wait for one; an event that would be more, and it is dropped.
    pub socket_buffer_bytes: usize,
    /// The most bytes that may wait for all; then each has its share of them.
    pub sockets_buffer_bytes: usize,
    /// The largest message that a client may send, in bytes; of polling, all of a request.
    pub message_bytes_max: usize,
    /// The most bytes in the answer to a poll; a larger event goes alone.
    pub poll_bytes_max: usize,
    /// How long a client may be connected and in no namespace, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How often a client of Socket.IO is asked whether it is there, in milliseconds.
    pub ping_interval_ms: u64,
    /// How long it may take to answer, in milliseconds.
    pub ping_timeout_ms: u64,
    /// The largest body whose object is sent in a typed event, in bytes; of a larger one, where to read it.
    pub object_bytes_max: usize,
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
            sockets_max: 2000,
            sockets_per_address_max: 500,
            arrivals_max: 500,
            subscriptions_max: 100,
            socket_buffer_events: 512,
            socket_buffer_bytes: 4 * 1024 * 1024,
            sockets_buffer_bytes: 128 * 1024 * 1024,
            message_bytes_max: 65_536,
            poll_bytes_max: 1024 * 1024,
            connect_timeout_ms: 10_000,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            object_bytes_max: 256 * 1024,
            recheck_ms: 1000,
        }
    }
}
