//! Sources in the settings, and the variables that give them their secrets.

use std::net::IpAddr;

use domain::{SourceName, TenantId};
use figment::value::{Dict, Value};
use ingest::{FactOptions, ProofOptions, SchemeKind, Secret, SourceOptions};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::layer::Layer;
use super::{Settings, SettingsError, legacy};

/// The variable with the secret of each source that has an old name.
const SECRET_VARIABLES: &[(&str, &str)] = &[
    ("GITHUB_WEBHOOK_SECRET", "github"),
    ("GITLAB_WEBHOOK_SECRET", "gitlab"),
    ("LINEAR_WEBHOOK_SECRET", "linear"),
    ("STANDARD_WEBHOOK_SECRET", "standard"),
    ("CODEGEN_WEBHOOK_SECRET", "codegen"),
    ("CLAUDE_CODE_WEBHOOK_SECRET", "claude-code"),
];

/// The old variable with the tolerance in seconds.
const TOLERANCE: &str = "WEBHOOK_VALIDATOR_TIMESTAMP";

/// A configured sender, `[source.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SourceSettings {
    /// The signature scheme; without it that of the source's name, else `github`.
    pub(crate) scheme: Option<SchemeKind>,
    /// What its proof looks like, for schemes that leave it open.
    pub(crate) proof: ProofOptions,
    /// Where its facts stand, for schemes that leave it open.
    pub(crate) facts: FactOptions,
    /// Secrets, all active; a text, or a table that binds it to a tenant or a hook.
    pub(crate) secrets: Vec<SecretSettings>,
    /// A path of its own beside `/api/webhooks/NAME`.
    pub(crate) path: Option<String>,
    /// Whether deliveries have to prove where they come from.
    pub(crate) verify: bool,
    /// Event types to keep, `event` or `event.action`; empty keeps all.
    pub(crate) events: Vec<String>,
    /// Repositories to keep, as globs; empty keeps all.
    pub(crate) repositories: Vec<String>,
    /// Networks that may deliver; empty, without `address_ranges`, takes `server.webhook_addresses`.
    pub(crate) addresses: Vec<IpNet>,
    /// Lists of networks that may deliver too, by their names in `[address_ranges]`.
    pub(crate) address_ranges: Vec<SourceName>,
    /// Whether the User-Agent has to be the sender's.
    pub(crate) user_agent_check: bool,
    /// Its own tolerance for the time signed.
    pub(crate) tolerance_ms: Option<u64>,
    /// Its own window for repeated content.
    pub(crate) dedup_window_ms: Option<u64>,
    /// Its own limit for a body.
    pub(crate) body_bytes_max: Option<u64>,
    /// Verified deliveries a minute; 0 for no limit.
    pub(crate) source_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    pub(crate) source_rate_burst: u32,
    /// Verified deliveries a minute of one repository; 0 for no limit.
    pub(crate) repository_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    pub(crate) repository_rate_burst: u32,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            scheme: None,
            proof: ProofOptions::default(),
            facts: FactOptions::default(),
            secrets: Vec::new(),
            path: None,
            verify: true,
            events: Vec::new(),
            repositories: Vec::new(),
            addresses: Vec::new(),
            address_ranges: Vec::new(),
            user_agent_check: false,
            tolerance_ms: None,
            dedup_window_ms: None,
            body_bytes_max: None,
            source_rate_per_minute: 0,
            source_rate_burst: 0,
            repository_rate_per_minute: 0,
            repository_rate_burst: 0,
        }
    }
}

impl SourceSettings {
    /// The signature scheme of the source of this name.
    pub(crate) fn scheme(&self, name: &SourceName) -> SchemeKind {
        self.scheme
            .or_else(|| SchemeKind::named(name.as_str()))
            .unwrap_or_default()
    }
}

/// A secret of a source.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum SecretSettings {
    /// Only the secret.
    Plain(SecretString),
    /// The secret, and whose it is.
    Bound(BoundSecret),
}

/// A secret bound to a tenant, to a hook, or to both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoundSecret {
    /// What events say instead of the secret.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The secret.
    pub(crate) value: SecretString,
    /// Whose deliveries it verifies.
    #[serde(default)]
    pub(crate) tenant: TenantId,
    /// The hook it belongs to.
    #[serde(default)]
    pub(crate) hook: Option<String>,
}

impl SecretSettings {
    /// The secret itself.
    pub(crate) const fn value(&self) -> &SecretString {
        match self {
            Self::Plain(value) => value,
            Self::Bound(bound) => &bound.value,
        }
    }
}

/// The settings that a variable about sources gives; `None` for all other variables.
pub(super) fn layers_of(name: &str, value: &str, origin: &str) -> Result<Option<Vec<Layer>>, SettingsError> {
    if let Some((_, source)) = SECRET_VARIABLES.iter().find(|(variable, _)| *variable == name) {
        let secret = Dict::from([
            ("id".to_owned(), Value::from(name)),
            ("value".to_owned(), Value::from(value)),
        ]);
        let secrets = Value::from(vec![Value::from(secret)]);
        return Ok(Some(vec![Layer::new(
            origin.into(),
            format!("source.{source}.secrets"),
            secrets,
        )]));
    }
    if name == TOLERANCE {
        return tolerance(value, origin).map(|layer| Some(vec![layer]));
    }
    if name != legacy::ADDRESS_LIST {
        return Ok(None);
    }
    let mut networks = Vec::new();
    for entry in value.split(',').map(str::trim).filter(|e| !e.is_empty()) {
        let network = entry
            .parse::<IpNet>()
            .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| SettingsError::Invalid {
            origin: origin.into(),
            key: "server.webhook_addresses".into(),
            problem: format!("{entry:?} is neither an address nor a network such as 192.30.252.0/22"),
        })?;
        networks.push(Value::from(network.to_string()));
    }
    Ok(Some(vec![Layer::new(
        origin.into(),
        "server.webhook_addresses",
        Value::from(networks),
    )]))
}

/// The old tolerance counts seconds.
fn tolerance(value: &str, origin: &str) -> Result<Layer, SettingsError> {
    let key = "ingest.tolerance_ms";
    let seconds = value.trim().parse::<u32>().map_err(|_| SettingsError::Invalid {
        origin: origin.into(),
        key: key.into(),
        problem: format!("{value:?} is no whole number of seconds"),
    })?;
    Ok(Layer::new(
        origin.into(),
        key,
        Value::from(u64::from(seconds) * 1000),
    ))
}

impl Settings {
    /// A source with one secret, to send as it: the configured one, else what its name says.
    pub(crate) fn sender_of(&self, source: &str, secret: &str) -> anyhow::Result<SourceOptions> {
        let name: SourceName = source.parse()?;
        let configured = self.sources(|_| Ok(secret.into()))?;
        let configured = configured.into_iter().find(|options| options.name == name);
        let unconfigured = || SourceOptions {
            scheme: SchemeKind::named(source).unwrap_or_default(),
            ..SourceOptions::new(name, Vec::new())
        };
        Ok(SourceOptions {
            secrets: vec![Secret::new("sender", secret)],
            ..configured.unwrap_or_else(unconfigured)
        })
    }

    /// The first secret of a source: the configured one, else the generated one of the data directory.
    pub(crate) fn secret_of(&self, source: &str) -> anyhow::Result<String> {
        let name: SourceName = source.parse()?;
        let configured = self.source.get(&name).and_then(|s| s.secrets.first());
        if let Some(secret) = configured {
            return Ok(secret.value().expose_secret().to_owned());
        }
        let file = self.data.dir.join("secrets").join(source);
        let secret = std::fs::read_to_string(&file).map_err(|error| {
            anyhow::anyhow!(
                "no secret of {source} is configured, and {} can't be read ({error}); of a source that was added while the \
                 server runs, give it with --secret-file",
                file.display()
            )
        })?;
        Ok(secret.trim().to_owned())
    }
}
