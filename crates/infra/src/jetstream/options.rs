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
    /// A file with the token, instead.
    pub token_file: Option<PathBuf>,
    /// A file with the password, instead.
    pub password_file: Option<PathBuf>,
    /// The seed of an nkey of a user, if the server wants one.
    pub nkey_seed: Option<SecretString>,
    /// A file with the seed, instead.
    pub nkey_seed_file: Option<PathBuf>,
    /// A NATS credentials file (`.creds`), if the server wants one.
    pub credentials_file: Option<PathBuf>,
    /// Whether the connection has to be private, whatever the address and the server say. Any of the files below asks for it too.
    pub tls: bool,
    /// Certificates of the authorities to believe, PEM; those of the system without it.
    pub tls_ca_file: Option<PathBuf>,
    /// Our certificate, PEM, if the server wants one.
    pub tls_certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// The name that the server's certificate has to be for, where it is not the host of the address.
    pub tls_server_name: Option<String>,
    /// Whether the server speaks TLS from the first byte (`handshake_first`).
    pub tls_first: bool,
    /// Name of the stream.
    pub stream: String,
    /// Copies of our streams that a cluster keeps. A stream that has fewer gets more; one that has more keeps them.
    pub replicas: usize,
    /// The cluster, of several that are connected, that keeps our streams; any of them without it. Only used when we create one.
    pub placement_cluster: Option<String>,
    /// What servers that keep our streams have to be tagged with. Only used when we create one.
    pub placement_tags: Vec<String>,
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
            token_file: None,
            password_file: None,
            nkey_seed: None,
            nkey_seed_file: None,
            credentials_file: None,
            tls: false,
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_server_name: None,
            tls_first: false,
            stream: "HOOKLOG".into(),
            replicas: 1,
            placement_cluster: None,
            placement_tags: Vec::new(),
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

impl JetStreamOptions {
    /// Whether nothing may go over the wire that others can read. A password sent in the clear because a file was named and not
    /// used would be too late to take back.
    #[must_use]
    pub fn wants_tls(&self) -> bool {
        self.tls
            || self.tls_first
            || self.tls_ca_file.is_some()
            || self.tls_certificate_file.is_some()
            || self.tls_server_name.is_some()
    }

    /// The same for a server that was started here, on loopback, which asks for a token alone.
    #[must_use]
    pub fn embedded(self, url: String, token: SecretString) -> Self {
        Self {
            url,
            token: Some(token),
            stream: self.stream,
            bytes_max: self.bytes_max,
            duplicate_window_ms: self.duplicate_window_ms,
            window_messages_max: self.window_messages_max,
            window_bytes_max: self.window_bytes_max,
            ack_timeout_ms: self.ack_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            connect_timeout_ms: self.connect_timeout_ms,
            reconnect_delay_max_ms: self.reconnect_delay_max_ms,
            quiet_check_ms: self.quiet_check_ms,
            follow_messages_max: self.follow_messages_max,
            // One server keeps one copy, and is asked for nothing else.
            ..Self::default()
        }
    }

    /// Says which of the settings contradict each other.
    ///
    /// # Errors
    /// Names them.
    pub fn check(&self) -> Result<(), String> {
        let ways = [
            ("token", self.token.is_some() || self.token_file.is_some()),
            ("user", self.user.is_some()),
            (
                "nkey_seed",
                self.nkey_seed.is_some() || self.nkey_seed_file.is_some(),
            ),
            ("credentials_file", self.credentials_file.is_some()),
        ];
        let used: Vec<&str> = ways
            .iter()
            .filter(|(_, used)| *used)
            .map(|(name, _)| *name)
            .collect();
        if used.len() > 1 {
            return Err(format!(
                "one way to be let in is enough, not {}",
                used.join(" and ")
            ));
        }
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return Err("a certificate needs tls_certificate_file and tls_key_file".into());
        }
        if !matches!(self.replicas, 1..=5) {
            return Err("replicas: from 1 to 5, as many as JetStream keeps".into());
        }
        if self.url.is_empty() && self.replicas > 1 {
            return Err(
                "replicas: a server that is started here keeps one copy; name those of a cluster in url"
                    .into(),
            );
        }
        Ok(())
    }
}
