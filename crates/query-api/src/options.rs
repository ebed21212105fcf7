//! What can be set about the API.

use serde::Deserialize;

/// What a request without a key may do from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Read everything. An explicit opt-in: without it only a true loopback client is let in.
    Read,
}

/// Settings of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiOptions {
    /// What a request without a key may do from anywhere; unset: nothing, only a true loopback client is let in.
    pub anonymous: Option<Anonymous>,
    /// Whether `/metrics` and the details of `/ready` are open to all.
    pub open_metrics: bool,
    /// Origins whose web pages may call the API, such as `https://ops.example.com`; empty by default.
    pub cors_origins: Vec<String>,
    /// Rows of a page when `limit` is not given.
    pub page_rows: u32,
    /// The most rows of a page; a larger `limit` is clamped to it.
    pub page_rows_max: u32,
    /// The largest `offset`; beyond it, page by `cursor`.
    pub offset_max: u32,
    /// How far `total` counts exactly where no rollup knows it.
    pub total_rows_max: u32,
    /// For how long answers are given from memory, in milliseconds: statistics, health, activity and job metrics, and pages of
    /// deliveries while nothing new is projected.
    pub cache_ms: u64,
    /// The most answers of one kind kept in memory.
    pub cache_entries_max: u64,
    /// The most bytes of pages, of activity and of job metrics kept in memory, each.
    pub cache_bytes_max: u64,
    /// For how long the names of the active tables are kept in memory, in milliseconds.
    pub builds_cache_ms: u64,
    /// The longest that a query may take, in milliseconds.
    pub query_timeout_ms: u64,
    /// The longest body that is shown inside `payload`, in bytes; a longer one is at `payloadUrl`.
    pub payload_bytes_max: u64,
    /// The most events of a delivery's stream shown as its history.
    pub history_events_max: usize,
    /// The most deliveries listed as `alternatives` of an id that names several.
    pub alternatives_max: usize,
    /// The longest body of a request to the API, in bytes.
    pub request_bytes_max: usize,
    /// The longest that such a body may take to arrive, in milliseconds.
    pub request_timeout_ms: u64,
    /// The longest body of a request that has another one checked (`POST /api/webhooks/verify`), in bytes: a webhook of 25 MiB
    /// in base64 fits.
    pub check_bytes_max: usize,
    /// The longest that such a request may take to arrive, and wait for its turn, each in milliseconds.
    pub check_timeout_ms: u64,
    /// The longest that comparing a projection with the log may take, in milliseconds.
    pub verify_timeout_ms: u64,
    /// How long a login of the dashboard holds, in milliseconds; never longer than its key.
    pub session_ms: u64,
    /// Wrong keys a minute from one address before it is told to wait; 0 is no limit.
    pub failures_per_minute: u32,
    /// The most addresses whose failures are counted apart.
    pub failure_addresses_max: usize,
    /// Refused attempts a minute that the audit trail keeps; the others are only counted. 0 keeps none.
    pub audit_refused_per_minute: u32,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            anonymous: None,
            open_metrics: false,
            cors_origins: Vec::new(),
            page_rows: 100,
            page_rows_max: 1000,
            offset_max: 10_000,
            total_rows_max: 10_000,
            cache_ms: 1000,
            cache_entries_max: 1000,
            cache_bytes_max: 4 * 1024 * 1024,
            builds_cache_ms: 1000,
            query_timeout_ms: 10_000,
            payload_bytes_max: 1024 * 1024,
            history_events_max: 1000,
            alternatives_max: 20,
            request_bytes_max: 64 * 1024,
            request_timeout_ms: 10_000,
            check_bytes_max: 40 * 1024 * 1024,
            check_timeout_ms: 30_000,
            verify_timeout_ms: 600_000,
            session_ms: 12 * 3600 * 1000,
            failures_per_minute: 20,
            failure_addresses_max: 10_000,
            audit_refused_per_minute: 6,
        }
    }
}
