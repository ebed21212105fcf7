//! Sources, as the API shows them. Never here: a secret.

use std::collections::BTreeMap;

use domain::{SecretFacts, SourceKnown, SourceStatus};
use poem_openapi::Object;
use serde::Serialize;
use serde_json::Value;

/// A source: who delivers, and how they prove it.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Source", rename_all = "camelCase")]
pub(crate) struct SourceShape {
    /// Its name.
    name: String,
    /// Whose it is. Whose its deliveries are say its secrets.
    tenant: String,
    /// `settings`: it stands in the settings file or the environment and is changed there; `log`: it was added while the
    /// server ran.
    origin: String,
    /// `active`; `paused` or `unavailable` when it takes no deliveries and asks senders to come back.
    status: String,
    /// Why it is paused, or what of it can't be used.
    status_reason: Option<String>,
    /// Who paused it.
    paused_by: Option<String>,
    /// Since when it is paused.
    paused_since: Option<String>,
    /// What its sender posts to.
    url: String,
    /// The paths that it takes deliveries at; those without `/api`, and of connections within it, are left out.
    paths: Vec<String>,
    #[serde(flatten)]
    #[oai(flatten)]
    terms: TermsShape,
    /// What is known of the secrets that verify, in the order in which they came.
    secrets: Vec<SecretShape>,
    /// Who added it; null for one of the settings.
    added_by: Option<String>,
    /// When.
    added_at: Option<String>,
    /// How often it was changed; null for one of the settings.
    revision: Option<u64>,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
struct TermsShape {
    /// How deliveries are proved.
    scheme: String,
    /// Whether they have to be.
    verify: bool,
    /// A path of its own.
    path: Option<String>,
    /// Event types that are kept; empty keeps all.
    events: Vec<String>,
    /// Repositories that are kept, as globs; empty keeps all.
    repositories: Vec<String>,
    /// Networks that may deliver; empty takes the list for all sources.
    addresses: Vec<String>,
    /// Whether the User-Agent has to be the sender's.
    user_agent_check: bool,
    /// How far a signed time may be from ours; null for the usual.
    tolerance_ms: Option<u64>,
    /// How long equal content is marked as a duplicate; null for the usual.
    dedup_window_ms: Option<u64>,
    /// The longest body; null for the usual.
    body_bytes_max: Option<u64>,
    /// Verified deliveries a minute; 0 for no limit.
    source_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    source_rate_burst: u32,
    /// Verified deliveries a minute of one repository; 0 for no limit.
    repository_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    repository_rate_burst: u32,
    /// What the proof looks like, as in the settings.
    proof: BTreeMap<String, Value>,
    /// Where the facts stand, as in the settings.
    facts: BTreeMap<String, Value>,
}

/// What may be known of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Secret", rename_all = "camelCase")]
struct SecretShape {
    /// What it is called; deliveries say by it which one verified them.
    id: String,
    /// Whose deliveries it verifies.
    tenant: String,
    /// The hook or connection that it belongs to; null for all that have none of their own.
    hook: Option<String>,
    /// Since when it is known; null for one of the settings.
    added_at: Option<String>,
    /// Until when it verifies; null for no end.
    valid_until: Option<String>,
}

impl From<SecretFacts> for SecretShape {
    fn from(secret: SecretFacts) -> Self {
        Self {
            id: secret.id,
            tenant: secret.tenant.to_string(),
            hook: secret.hook,
            added_at: secret.added_at.map(|at| at.to_string()),
            valid_until: secret.valid_until.map(|at| at.to_string()),
        }
    }
}

impl SourceShape {
    /// A source as it is known, of a server that is reached at `base_url`.
    pub(crate) fn new(known: SourceKnown, base_url: &str) -> Self {
        let usual_path = format!("/api/webhooks/{}", known.name);
        let status = known.status.as_str().to_owned();
        let (paused_by, paused_since, status_reason) = match known.status {
            SourceStatus::Active => (None, None, None),
            SourceStatus::Paused { by, since, reason } => (Some(by), Some(since.to_string()), reason),
            SourceStatus::Unavailable(why) => (None, None, Some(why)),
        };
        let (added_by, added_at) = known.added.unzip();
        let terms = known.terms;
        Self {
            name: known.name.to_string(),
            tenant: known.tenant.to_string(),
            origin: known.origin.as_str().to_owned(),
            status,
            status_reason,
            paused_by,
            paused_since,
            url: format!("{}{usual_path}", base_url.trim_end_matches('/')),
            paths: std::iter::once(usual_path).chain(terms.path.clone()).collect(),
            terms: TermsShape {
                scheme: terms.scheme,
                verify: terms.verify,
                path: terms.path,
                events: terms.events,
                repositories: terms.repositories,
                addresses: terms.addresses,
                user_agent_check: terms.user_agent_check,
                tolerance_ms: terms.tolerance_ms,
                dedup_window_ms: terms.dedup_window_ms,
                body_bytes_max: terms.body_bytes_max,
                source_rate_per_minute: terms.source_rate_per_minute,
                source_rate_burst: terms.source_rate_burst,
                repository_rate_per_minute: terms.repository_rate_per_minute,
                repository_rate_burst: terms.repository_rate_burst,
                proof: terms.proof.into_iter().collect(),
                facts: terms.facts.into_iter().collect(),
            },
            secrets: known.secrets.into_iter().map(SecretShape::from).collect(),
            added_by,
            added_at: added_at.map(|at| at.to_string()),
            revision: known.revision.map(domain::Revision::get),
        }
    }
}

/// All sources.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct SourceList {
    /// By name.
    pub(crate) sources: Vec<SourceShape>,
}

/// A source that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub(crate) struct SourceGone {
    /// What it was called.
    pub(crate) name: String,
    /// Always true.
    pub(crate) removed: bool,
}

/// What encrypting anew came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub(crate) struct Resealed {
    /// How many secrets were encrypted with an older key until now.
    pub(crate) resealed: u64,
}
