//! Where NATS is, how large the stream may grow and how far publishing runs ahead of its acknowledgements.

use std::path::PathBuf;

use secrecy::SecretString;

/// Settings of the fan-out.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JetStreamOptions {
    /// Addresses, separated by commas, such as `nats://127.0.0.1:4222`. Put no password here: it would be shown.
    pub url: String,
    /// Token, if the server wants one.
    pub token: Option<SecretString>,
    /// User, if the server wants one.
    pub user: Option<String>,
    /// The user's password.
    pub password: SecretString,
    /// A NATS credentials file (`.creds`), if the server wants one.
    pub credentials_file: Option<PathBuf>,
    /// Name of the stream.
    pub stream: String,
    /// Copies of the stream that a cluster keeps; only used when we create it.
    pub replicas: usize,
    /// The most bytes that the stream keeps; the oldest messages are discarded beyond it.
    pub bytes_max: u64,
    /// How long the stream remembers message ids, in milliseconds. Short: a second copy is kept out by the sequence and
    /// id that each message says it follows, and an emptied stream must take the same messages again.
    pub duplicate_window_ms: u64,
    /// The most messages published and not yet acknowledged.
    pub window_messages_max: usize,
    /// The most bytes published and not yet acknowledged.
    pub window_bytes_max: usize,
    /// How long an acknowledgement may take, in milliseconds.
    pub ack_timeout_ms: u64,
    /// How long any other request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// How long one try to connect may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest pause between two tries to connect, in milliseconds.
    pub reconnect_delay_max_ms: u64,
    /// How often a quiet subscription asks whether the stream is still the one it follows, in milliseconds.
    pub quiet_check_ms: u64,
    /// The most messages that a subscription fetches ahead; each is at most about 450 KiB.
    pub follow_messages_max: u32,
}

impl Default for JetStreamOptions {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".into(),
            token: None,
            user: None,
            password: SecretString::default(),
            credentials_file: None,
            stream: "HOOKLOG".into(),
            replicas: 1,
            bytes_max: 1024 * 1024 * 1024,
            duplicate_window_ms: 100,
            window_messages_max: 512,
            window_bytes_max: 8 * 1024 * 1024,
            ack_timeout_ms: 5_000,
            request_timeout_ms: 5_000,
            connect_timeout_ms: 5_000,
            reconnect_delay_max_ms: 2_000,
            quiet_check_ms: 2_000,
            follow_messages_max: 256,
        }
    }
}
