//! Keys, logins and the audit trail, as the API shows them. Never here: a key, but for the one answer that makes it.

use domain::{AuditRecord, KeyState, Timestamp};
use poem_openapi::Object;
use serde::Serialize;

/// An API key: what is known of it, which is not the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Key", rename_all = "camelCase")]
pub(crate) struct KeyShape {
    /// Its id, the middle part of the key.
    id: String,
    /// What people call it.
    name: String,
    /// Whose deliveries it sees.
    tenant: String,
    /// What it may do; `admin` includes `operate`, which includes `read`.
    scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    status: String,
    created_at: String,
    /// Who made it.
    created_by: String,
    /// From when on it opens nothing.
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// Who revoked it.
    revoked_by: Option<String>,
}

impl KeyShape {
    pub(crate) fn new(key: &KeyState, now: Timestamp) -> Self {
        let created = &key.created;
        let (revoked, revoked_at) = key.revoked.as_ref().map(|(fact, at)| (fact, at)).unzip();
        Self {
            id: created.key.to_string(),
            name: created.name.to_string(),
            tenant: created.tenant.to_string(),
            scopes: created.scopes.iter().map(ToString::to_string).collect(),
            status: key.standing(now).as_str().to_owned(),
            created_at: key.created_at.to_string(),
            created_by: created.created_by.clone(),
            expires_at: created.expires_at.map(|at| at.to_string()),
            revoked_at: revoked_at.map(ToString::to_string),
            revoked_by: revoked.map(|fact| fact.revoked_by.clone()),
        }
    }
}

/// A page of keys.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct KeyPage {
    pub(crate) keys: Vec<KeyShape>,
    pub(crate) total: u64,
    pub(crate) limit: u32,
    pub(crate) offset: u32,
}

/// A key that was just made, with the key itself: it is shown here, once, and kept nowhere.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct KeyMade {
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) row: KeyShape,
    /// The key.
    pub(crate) key: String,
}

/// A login.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct LoginShape {
    /// The name of the key.
    pub(crate) name: String,
    pub(crate) tenant: String,
    /// The greatest scope of the key.
    pub(crate) scope: Option<String>,
    /// Until when the cookie holds.
    pub(crate) expires_at: String,
}

/// Whoever asks.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Caller", rename_all = "camelCase")]
pub(crate) struct CallerShape {
    /// The name of the key, or `loopback`, `local` (the socket in the data directory) or `anonymous`.
    pub(crate) name: String,
    /// The id of the key; null without one.
    pub(crate) key: Option<String>,
    /// Whose deliveries are seen.
    pub(crate) tenant: String,
    /// What may be done: `read`, then `operate`, then `admin`, each with what the former may.
    pub(crate) scopes: Vec<String>,
    /// Whether the instance as a whole is seen: its parts, its projections, the keys of all tenants.
    pub(crate) runs_the_instance: bool,
    /// Whether a request from this machine needs no key, because there never was one.
    pub(crate) keyless: bool,
    /// Until when a login holds; null when it is none.
    pub(crate) expires_at: Option<String>,
}

/// The end of a login.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct LogoutShape {
    pub(crate) logged_out: bool,
}

/// Something that was done, or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "AuditedAction", rename_all = "camelCase")]
pub(crate) struct AuditShape {
    /// The id of its event in the log.
    id: String,
    /// When it began.
    at: String,
    /// When it ended.
    ended_at: Option<String>,
    /// Who: the name of a key, or `loopback`, `local` (the socket in the data directory) or `anonymous`.
    by: String,
    /// The id of the key.
    key: Option<String>,
    /// What, such as `replay.start`.
    action: String,
    /// On what; of an attempt that was refused, the path.
    target: Option<String>,
    /// From which address.
    remote: Option<String>,
    /// `done`, `failed`, `refused`; `begun` when its end is not known.
    outcome: String,
    /// The status that was answered.
    status: Option<u16>,
    /// As in `X-Request-Id` and in the logs.
    request_id: String,
    /// Attempts refused before this one that are not in the trail.
    unwritten: u64,
}

impl From<AuditRecord> for AuditShape {
    fn from(record: AuditRecord) -> Self {
        let action = record.action;
        Self {
            id: record.id.to_string(),
            at: record.at.to_string(),
            ended_at: record.ended_at.map(|at| at.to_string()),
            by: action.by,
            key: action.key.map(|key| key.to_string()),
            action: action.action,
            target: action.target,
            remote: action.remote,
            outcome: action.outcome.as_str().to_owned(),
            status: action.status,
            request_id: action.request_id,
            unwritten: action.unwritten,
        }
    }
}

/// A page of the audit trail.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct AuditTrail {
    pub(crate) actions: Vec<AuditShape>,
    pub(crate) limit: u32,
    pub(crate) next_cursor: Option<String>,
}
