//! Where ClickHouse is and how much a statement may take.

use secrecy::SecretString;

/// Settings of the client.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseOptions {
    /// HTTP address, such as `http://127.0.0.1:8123`.
    pub url: String,
    /// User.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Database of the read models; created when it is missing.
    pub database: String,
    /// Value of `X-Hooklog-Token`, without which the embedded engine answers nobody.
    pub token: Option<SecretString>,
    /// How long a query or another statement may take, in milliseconds, waiting for its turn included.
    pub query_timeout_ms: u64,
    /// How long an insert may take, in milliseconds, waiting for its turn included.
    pub insert_timeout_ms: u64,
    /// The most memory that one statement may take on the server, in bytes.
    pub query_memory_bytes_max: u64,
    /// The most threads of the server that one statement may use; 0 leaves it to the server.
    pub query_threads_max: u32,
    /// The largest answer taken, in bytes.
    pub answer_bytes_max: usize,
    /// The most statements under way at once; more of them wait.
    pub statements_in_flight_max: usize,
}

impl Default for ClickHouseOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            password: SecretString::default(),
            database: "hooklog".into(),
            token: None,
            query_timeout_ms: 15_000,
            insert_timeout_ms: 60_000,
            query_memory_bytes_max: 1024 * 1024 * 1024,
            query_threads_max: 0,
            answer_bytes_max: 64 * 1024 * 1024,
            statements_in_flight_max: 32,
        }
    }
}
