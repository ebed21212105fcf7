//! Where ClickHouse is and how much a statement may take.

use std::path::PathBuf;

use secrecy::SecretString;

/// Settings of the client.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouseOptions {
    /// HTTP addresses, separated by commas, such as `http://127.0.0.1:8123`. Of several the first is asked; while it is away the next.
    pub url: String,
    /// User.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// A file with the password, instead.
    pub password_file: Option<PathBuf>,
    /// Certificates of the authorities to believe, PEM; those of the system without it.
    pub tls_ca_file: Option<PathBuf>,
    /// Our certificate, PEM, if the servers want one.
    pub tls_certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// The name that the servers' certificate has to be for, where it is not the host of the address.
    pub tls_server_name: Option<String>,
    /// The cluster on all of whose servers tables are made, as `system.clusters` calls it; one server without it.
    pub cluster: Option<String>,
    /// How many replicas of a shard have to have a block before an insert is done: a number, or `auto` for most of them.
    #[serde(deserialize_with = "text_or_number")]
    pub insert_quorum: String,
    /// How long a server that did not answer is passed over, in milliseconds.
    pub host_pause_ms: u64,
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

/// A number of replicas need not be written as a text.
fn text_or_number<'de, D: serde::Deserializer<'de>>(given: D) -> Result<String, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Given {
        Number(u8),
        Text(String),
    }
    Ok(match serde::Deserialize::deserialize(given)? {
        Given::Number(number) => number.to_string(),
        Given::Text(text) => text,
    })
}

impl Default for ClickHouseOptions {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".into(),
            user: "default".into(),
            password: SecretString::default(),
            password_file: None,
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_server_name: None,
            cluster: None,
            insert_quorum: "auto".into(),
            host_pause_ms: 5_000,
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

impl ClickHouseOptions {
    /// Whether any of the servers is reached in private.
    #[must_use]
    pub fn wants_tls(&self) -> bool {
        self.url.split(',').any(|url| url.trim().starts_with("https://"))
    }

    /// The same for an engine that was started here, on loopback: what is said about reaching one is about another.
    #[must_use]
    pub fn embedded(self, url: &str, user: &str, password: SecretString, token: SecretString) -> Self {
        Self {
            url: url.to_owned(),
            user: user.to_owned(),
            password,
            token: Some(token),
            password_file: None,
            tls_server_name: None,
            cluster: None,
            ..self
        }
    }

    /// Says which of the settings contradict each other.
    ///
    /// # Errors
    /// Names them.
    pub fn check(&self) -> Result<(), String> {
        let urls: Vec<&str> = self
            .url
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .collect();
        let files = [&self.tls_ca_file, &self.tls_certificate_file, &self.tls_key_file];
        let asks_for_tls = files.iter().any(|file| file.is_some()) || self.tls_server_name.is_some();
        // A password sent in the clear because of a missing letter would be too late to take back.
        if asks_for_tls && urls.iter().any(|url| !url.starts_with("https://")) {
            return Err("url: with settings of TLS each address begins with https://".into());
        }
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return Err("a certificate needs tls_certificate_file and tls_key_file".into());
        }
        if self.insert_quorum != "auto"
            && !self
                .insert_quorum
                .parse::<u8>()
                .is_ok_and(|replicas| replicas > 0)
        {
            return Err("insert_quorum: a number of replicas from 1 on, or \"auto\"".into());
        }
        match self.cluster.as_deref() {
            Some("") => Err("cluster: the name of a cluster, or leave it out".into()),
            Some(_) if urls.is_empty() => Err(
                "cluster: a server that is started here is in none; name those of the cluster in url".into(),
            ),
            _ => Ok(()),
        }
    }
}
