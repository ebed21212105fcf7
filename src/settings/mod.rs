//! The settings: flags before environment before `hooklog.toml` before the commented default file.
//!
//! The only place that reads the environment.

mod check;
mod error;
mod layer;
mod legacy;
mod print;
mod ranges;
mod rejected;
mod source;

use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format as _, Toml};
use figment::{Figment, Metadata};
use serde::Deserialize;

pub(crate) use error::SettingsError;
use layer::Layer;
pub(crate) use print::{masked_url, print};
pub(crate) use ranges::RangeSettings;
pub(crate) use source::{SecretSettings, SourceSettings};

use crate::serve::http::tls::TlsOptions;
use crate::serve::http::{Limits, Proxies};
use crate::telemetry::TelemetryOptions;

/// Every setting with its default and what it does; also the reference for users.
pub(crate) const DEFAULT_FILE: &str = include_str!("hooklog.default.toml");
/// The file that is read when none is named.
const FILE: &str = "hooklog.toml";
const PREFIX: &str = "HOOKLOG_";

/// Variables of ours that are not `HOOKLOG_<SECTION>__<KEY>`; with no key, they belong to make and the tests.
const PLAIN: &[(&str, Option<&str>)] = &[
    ("HOOKLOG_ENGINES", Some("engines.dir")),
    ("HOOKLOG_EVENTSTORE_URL", Some("log.eventstore.url")),
    ("HOOKLOG_SECRET_KEY", Some("secrets.key")),
    ("HOOKLOG_API_KEY", None),
    ("HOOKLOG_CACERT", None),
    ("HOOKLOG_NEW_SECRET", None),
    ("HOOKLOG_CACHE", None),
    ("HOOKLOG_KILLS", None),
    ("HOOKLOG_POWER_CUTS", None),
    ("HOOKLOG_SEED", None),
    ("HOOKLOG_SEEDS", None),
    ("HOOKLOG_BENCH_SECONDS", None),
    ("HOOKLOG_MATRIX", None),
    ("HOOKLOG_DRILL_TEST", None),
];

/// All settings, as they take effect.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: ServerOptions,
    pub(crate) data: DataOptions,
    pub(crate) log: LogSettings,
    pub(crate) bodies: infra::body::BodyOptions,
    pub(crate) ingest: ingest::IngestOptions,
    #[serde(default)]
    pub(crate) source: std::collections::BTreeMap<domain::SourceName, SourceSettings>,
    #[serde(default)]
    pub(crate) address_ranges: std::collections::BTreeMap<domain::SourceName, RangeSettings>,
    pub(crate) rejected: rejected::RejectedSettings,
    pub(crate) nats: infra::jetstream::JetStreamOptions,
    pub(crate) leases: infra::lease::LeaseOptions,
    pub(crate) relay: projections::RelayOptions,
    pub(crate) clickhouse: infra::clickhouse::ClickHouseOptions,
    pub(crate) projections: projections::ProjectorOptions,
    pub(crate) reactors: reactors::ReactorOptions,
    #[serde(default)]
    pub(crate) destination: Vec<reactors::DestinationOptions>,
    pub(crate) metrics: projections::MeterOptions,
    pub(crate) api: query_api::ApiOptions,
    pub(crate) live: query_api::LiveOptions,
    pub(crate) keys: infra::access::KeyOptions,
    pub(crate) sources: infra::source::SourceKeeperOptions,
    pub(crate) secrets: SecretsOptions,
    pub(crate) engines: EngineSettings,
    pub(crate) telemetry: TelemetryOptions,
}

/// Where the server listens and how it stops.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerOptions {
    pub(crate) host: std::net::IpAddr,
    pub(crate) port: u16,
    pub(crate) base_url: String,
    pub(crate) webhook_addresses: Vec<ipnet::IpNet>,
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    pub(crate) forwarded_header: domain::ForwardedHeader,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    pub(crate) head_bytes_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) idle_timeout_ms: u64,
    pub(crate) drain_delay_ms: u64,
    pub(crate) shutdown_timeout_ms: u64,
    pub(crate) tls_certificate: String,
    pub(crate) tls_key: String,
    pub(crate) tls_handshake_timeout_ms: u64,
    pub(crate) tls_check_ms: u64,
}

impl ServerOptions {
    /// How connections are made private, if they are.
    pub(crate) fn tls(&self) -> Option<TlsOptions> {
        self.has_tls().then(|| TlsOptions {
            certificate: self.tls_certificate.clone().into(),
            key: self.tls_key.clone().into(),
            handshake_timeout: Duration::from_millis(self.tls_handshake_timeout_ms),
            check: Duration::from_millis(self.tls_check_ms.max(100)),
        })
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn has_tls(&self) -> bool {
        !self.tls_certificate.is_empty()
    }

    /// The scheme of its addresses.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.has_tls() { "https" } else { "http" }
    }

    /// How long it goes on after it was told to stop.
    pub(crate) const fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// What connections may cost.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            // More places than that no semaphore has, nor any system.
            connections_max: self.connections_max.clamp(1, 1 << 20),
            connections_per_address_max: self.connections_per_address_max,
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max.max(1),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            shutdown_timeout: Duration::from_millis(self.shutdown_timeout_ms),
        }
    }

    /// The proxies that are believed.
    pub(crate) fn proxies(&self) -> Proxies {
        Proxies::new(&self.trusted_proxies, self.forwarded_header)
    }

    /// The address of the API as others reach it.
    pub(crate) fn base_url(&self) -> String {
        if self.base_url.is_empty() {
            let address = std::net::SocketAddr::new(self.host, self.port);
            format!("{}://{address}", self.scheme())
        } else {
            self.base_url.trim_end_matches('/').to_owned()
        }
    }
}

/// Where data is kept and how much of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataOptions {
    pub(crate) dir: PathBuf,
    pub(crate) budget: infra::budget::DiskBudgetOptions,
}

/// The key that secrets of sources are encrypted with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretsOptions {
    pub(crate) key: secrecy::SecretString,
    pub(crate) key_file: PathBuf,
    pub(crate) keychain: String,
    pub(crate) old_key_files: Vec<PathBuf>,
    pub(crate) core_dumps: bool,
}

/// Which log, and its options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSettings {
    pub(crate) backend: LogBackend,
    pub(crate) embedded: infra::log::LogOptions,
    pub(crate) eventstore: infra::eventstore::EventStoreOptions,
}

impl LogSettings {
    /// Whether several processes may work on it.
    pub(crate) const fn is_shared(&self) -> bool {
        match self.backend {
            LogBackend::Embedded => false,
            LogBackend::Eventstore => true,
        }
    }
}

/// The kinds of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogBackend {
    /// The segmented log in the data directory, of one process.
    Embedded,
    /// A log on EventStoreDB or KurrentDB, of any number of processes (experimental).
    Eventstore,
}

/// The embedded engines, used for whatever has no URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineSettings {
    pub(crate) dir: String,
    pub(crate) fetch: bool,
    pub(crate) fetch_timeout_ms: u64,
    pub(crate) nats_port: u16,
    pub(crate) clickhouse_port: u16,
    pub(crate) clickhouse_memory_bytes_max: u64,
    pub(crate) start_timeout_ms: u64,
    pub(crate) stop_timeout_ms: u64,
    pub(crate) silence_timeout_ms: u64,
    pub(crate) backoff_ms_min: u64,
    pub(crate) backoff_ms_max: u64,
}

impl EngineSettings {
    /// Where fetched engines are kept.
    pub(crate) fn dir(&self) -> PathBuf {
        if !self.dir.is_empty() {
            return self.dir.clone().into();
        }
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        home.join(".cache/hooklog/engines")
    }
}

/// The settings and the layers they were made of.
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) figment: Figment,
    /// What to tell about variables that change nothing.
    pub(crate) notices: Vec<String>,
}

impl Settings {
    /// Those of somebody who set nothing.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Overrides::default()
            .load_with(std::iter::empty())
            .unwrap()
            .settings
    }
}

/// What the command line says about settings.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    file: Option<PathBuf>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Overrides {
    /// Names the settings file.
    pub(crate) fn file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file;
        self
    }

    /// A flag that was given: its name, the setting, the value.
    pub(crate) fn flag(
        mut self,
        name: &'static str,
        key: &'static str,
        value: Option<impl ToString>,
    ) -> Self {
        self.flags.extend(value.map(|v| (name, key, v.to_string())));
        self
    }

    /// Reads all layers.
    ///
    /// # Errors
    /// When a key is unknown, a value does not fit, or the file can't be read.
    pub(crate) fn load(self) -> Result<Loaded, SettingsError> {
        self.load_with(
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    fn load_with(self, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, SettingsError> {
        let mut figment = Figment::from(Toml::string(DEFAULT_FILE));
        let file = self
            .file
            .clone()
            .or_else(|| Path::new(FILE).exists().then(|| FILE.into()));
        if let Some(file) = file {
            // Read here, so that an unreadable file is an error of its own and not an empty layer.
            let text = std::fs::read_to_string(&file).map_err(|e| SettingsError::File {
                path: file.display().to_string(),
                problem: e.to_string(),
            })?;
            text.parse::<toml::Table>().map_err(|e| SettingsError::File {
                path: file.display().to_string(),
                problem: error::without_the_line(&e, &text),
            })?;
            figment = figment.merge(Toml::file_exact(&file));
        }
        let mut env: Vec<(String, String)> = env.collect();
        env.sort();
        let mut notices = Vec::new();
        for (name, value) in env {
            let why = legacy::notice(&name);
            notices.extend(why.map(|why| format!("{name} has no effect: {why}")));
            for layer in layers_of(&name, &value)? {
                figment = figment.merge(layer);
            }
        }
        for (name, key, value) in self.flags {
            figment = figment.merge(Layer::parsed(format!("flag {name}"), key, &value));
        }
        let settings: Settings = figment.extract()?;
        Ok(Loaded {
            settings,
            figment,
            notices,
        })
    }
}

/// The settings that a variable gives.
fn layers_of(name: &str, value: &str) -> Result<Vec<Layer>, SettingsError> {
    let origin = format!("variable {name}");
    if let Some(layers) = source::layers_of(name, value, &origin)? {
        return Ok(layers);
    }
    if let Some(legacy) = legacy::HONOURED.iter().find(|legacy| legacy.name == name) {
        return Ok(vec![Layer::parsed(origin, legacy.key, value)]);
    }
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Ok(Vec::new());
    };
    if let Some((_, key)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
        return Ok(key
            .map(|key| Layer::new(origin, key, value.into()))
            .into_iter()
            .collect());
    }
    if rest.contains("__") {
        return Ok(vec![Layer::parsed(
            origin,
            rest.to_lowercase().replace("__", "."),
            value,
        )]);
    }
    let nearest = error::nearest(name, PLAIN.iter().map(|(plain, _)| *plain));
    Err(SettingsError::Unknown {
        origin: "environment".into(),
        key: name.into(),
        nearest,
    })
}

/// What the tools of the providers of object stores take from the environment, such as `AWS_ACCESS_KEY_ID`.
pub(crate) fn provider_environment() -> Vec<(String, secrecy::SecretString)> {
    const PREFIXES: &[&str] = &["AWS_", "GOOGLE_", "AZURE_"];
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    variables
        .filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// Where a layer came from, in words.
pub(crate) fn origin_of(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ if metadata.name.starts_with("TOML") => "default".to_owned(),
        _ => metadata.name.to_string(),
    }
}

#[cfg(test)]
mod tests;
