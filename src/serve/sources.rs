//! Sources of the log and of the settings, side by side: what receiving takes of each, and the key of their secrets.

use std::net::IpAddr;
use std::sync::Arc;

use domain::{
    EventLog, Hold, OpenSource, SecretFacts, SourceKnown, SourceName, SourceOrigin, SourceStatus,
    SourceTerms, TenantId, UseSources,
};
use infra::data_dir::DataDir;
use infra::secret::{MasterKey, Sealer, read_key_file};
use infra::source::{Configured, SourceKeeper};
use ingest::{Ingest, SchemeKind, Secret, SourceOptions};
use ipnet::IpNet;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::clock::SystemClock;
use crate::serve::keychain;
use crate::settings::Settings;

/// Knows the sources of the log, and has receiving wait until they were read.
///
/// # Errors
/// When the key of their secrets can't be used.
pub(crate) fn keeper(
    settings: &Settings,
    data: &DataDir,
    log: Arc<dyn EventLog>,
    ingest: &Ingest,
) -> anyhow::Result<Arc<SourceKeeper>> {
    let configured = configured(settings)?;
    let replaceable = configured.iter().filter(|source| source.replaceable);
    ingest.await_sources(replaceable.map(|source| source.known.name.clone()).collect());
    let receiver = ReceivingSources {
        ingest: ingest.clone(),
        bounds: Bounds {
            addresses: settings.server.webhook_addresses.clone(),
            body_bytes_max: settings.ingest.body_bytes_max,
        },
    };
    Ok(Arc::new(SourceKeeper::new(
        settings.sources.clone(),
        configured,
        log,
        Arc::new(SystemClock),
        sealer(settings, data)?,
        Arc::new(receiver),
    )))
}

/// The keys of secrets: the newest from the variable or its file, else the one of the data directory, which opens what it
/// once encrypted in any case.
fn sealer(settings: &Settings, data: &DataDir) -> anyhow::Result<Sealer> {
    let secrets = &settings.secrets;
    let mut old = Vec::new();
    for file in &secrets.old_key_files {
        old.push(read_key_file(file)?);
    }
    let text = secrets.key.expose_secret();
    let newest = if !text.is_empty() {
        MasterKey::parse(text, "HOOKLOG_SECRET_KEY (the setting secrets.key)")?
    } else if !secrets.key_file.as_os_str().is_empty() {
        read_key_file(&secrets.key_file)?
    } else if !secrets.keychain.is_empty() {
        keychain::key(&secrets.keychain)?
    } else {
        return Ok(Sealer::new(&read_key_file(&data.master_key()?)?, &old));
    };
    if let Some(file) = data.master_key_file() {
        old.push(read_key_file(&file)?);
    }
    Ok(Sealer::new(&newest, &old))
}

/// The sources of the settings as the API shows them. Those with a generated secret give way to sources of the log.
fn configured(settings: &Settings) -> anyhow::Result<Vec<Configured>> {
    // The secrets do not matter here, only what may be known of them.
    let sources = settings.sources(|_| Ok("generated".into()))?;
    let configured = sources.into_iter().map(|source| {
        let chosen = settings.source.get(&source.name);
        Configured {
            replaceable: chosen.is_some_and(|settings| settings.verify && settings.secrets.is_empty()),
            known: known_of(source),
        }
    });
    Ok(configured.collect())
}

fn known_of(source: SourceOptions) -> SourceKnown {
    let secrets = source.secrets.into_iter().map(|secret| SecretFacts {
        id: secret.id,
        tenant: secret.tenant,
        hook: secret.hook,
        added_at: None,
        valid_until: None,
    });
    SourceKnown {
        name: source.name,
        tenant: TenantId::default(),
        origin: SourceOrigin::Settings,
        secrets: secrets.collect(),
        terms: SourceTerms {
            verify: source.verify,
            path: source.path,
            events: source.events,
            repositories: source.repositories,
            addresses: source.address_allow.iter().map(ToString::to_string).collect(),
            user_agent_check: source.user_agent_check,
            tolerance_ms: source.tolerance_ms,
            dedup_window_ms: source.dedup_window_ms,
            body_bytes_max: source.body_bytes_max,
            source_rate_per_minute: source.source_rate_per_minute,
            source_rate_burst: source.source_rate_burst,
            repository_rate_per_minute: source.repository_rate_per_minute,
            repository_rate_burst: source.repository_rate_burst,
            proof: said(&source.proof),
            facts: said(&source.facts),
            ..SourceTerms::of_scheme(source.scheme.as_str())
        },
        status: SourceStatus::Active,
        added: None,
        revision: None,
    }
}

/// What of some options was said at all.
fn said(options: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(options) {
        Ok(Value::Object(map)) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

/// Receiving, as the keeper of sources commands it.
struct ReceivingSources {
    ingest: Ingest,
    bounds: Bounds,
}

/// What the settings say of sources that are added.
struct Bounds {
    /// The networks for sources that name none.
    addresses: Vec<IpNet>,
    /// No source that is added may take longer bodies than the settings allow.
    body_bytes_max: u64,
}

impl Bounds {
    fn options_of(&self, source: &OpenSource) -> Result<SourceOptions, String> {
        let terms = &source.terms;
        let scheme = SchemeKind::named(&terms.scheme).ok_or_else(|| {
            let known = SchemeKind::ALL.map(SchemeKind::as_str).join(", ");
            format!("there is no scheme {:?}: it is one of {known}", terms.scheme)
        })?;
        if terms
            .body_bytes_max
            .is_some_and(|bytes| bytes > self.body_bytes_max)
        {
            return Err(format!(
                "bodyBytesMax: at most {} (`ingest.body_bytes_max`)",
                self.body_bytes_max
            ));
        }
        let secrets = source.secrets.iter().map(|secret| Secret {
            tenant: secret.tenant.clone(),
            hook: secret.hook.clone(),
            valid_until: secret.valid_until,
            ..Secret::new(secret.id.as_str(), secret.value.expose_secret())
        });
        Ok(SourceOptions {
            scheme,
            proof: read("proof", &terms.proof)?,
            facts: read("facts", &terms.facts)?,
            path: terms.path.clone(),
            verify: terms.verify,
            events: terms.events.clone(),
            repositories: terms.repositories.clone(),
            address_allow: self.networks(&terms.addresses)?,
            user_agent_check: terms.user_agent_check,
            tolerance_ms: terms.tolerance_ms,
            dedup_window_ms: terms.dedup_window_ms,
            body_bytes_max: terms.body_bytes_max,
            source_rate_per_minute: terms.source_rate_per_minute,
            source_rate_burst: terms.source_rate_burst,
            repository_rate_per_minute: terms.repository_rate_per_minute,
            repository_rate_burst: terms.repository_rate_burst,
            ..SourceOptions::new(source.name.clone(), secrets.collect())
        })
    }

    fn networks(&self, addresses: &[String]) -> Result<Vec<IpNet>, String> {
        if addresses.is_empty() {
            return Ok(self.addresses.clone());
        }
        let network = |text: &String| {
            let network = text
                .parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                format!("addresses: {text:?} is neither an address nor a network such as 192.30.252.0/22")
            })
        };
        addresses.iter().map(network).collect()
    }
}

fn read<T: DeserializeOwned>(name: &str, map: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(map.clone())).map_err(|error| format!("{name}: {error}"))
}

impl UseSources for ReceivingSources {
    fn check(&self, source: &OpenSource) -> Result<(), String> {
        let checked = self.ingest.check_source(self.bounds.options_of(source)?);
        checked.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    fn put(&self, source: &OpenSource) -> Result<(), String> {
        let put = self.ingest.put_source(self.bounds.options_of(source)?);
        put.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    fn hold(&self, name: &SourceName, path: Option<&str>, why: Hold) {
        self.ingest.hold_source(name, path, why);
    }

    fn remove(&self, name: &SourceName) {
        self.ingest.remove_source(name);
    }

    fn complete(&self) {
        self.ingest.sources_complete();
    }
}

#[cfg(test)]
mod tests;
