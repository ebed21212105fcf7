//! API keys: lists them, makes and revokes them.

use std::sync::Arc;

use domain::{KeyDirectory, KeyState, NewKey, Scope, TenantId, Timestamp};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use super::Group;
use crate::access::Caller;
use crate::access::audit::AuditNote;
use crate::answer::Answer;
use crate::failure::{Code, Failure};
use crate::json_body::{Command, JsonBody};
use crate::param::{Limit, Number, Text, parse_time, spelt};
use crate::shape::access::{KeyMade, KeyPage, KeyShape};
use crate::state::State;

pub(crate) struct KeysApi {
    pub(crate) state: Arc<State>,
}

/// A key to make.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
struct KeyRequest {
    /// What people call it: a-z, 0-9, _ and -, at most 63. It stands wherever is kept who asked for something. Needed.
    name: Option<String>,
    /// `read`, `operate` or `admin`, each with what the former may. Needed.
    scopes: Option<Vec<String>>,
    /// Whose deliveries it sees; the caller's own tenant unless given. Only keys of the tenant `default` may name another.
    tenant: Option<String>,
    /// From when on it opens nothing; never unless given. A date alone is its start.
    expires_at: Option<String>,
}

impl Command for KeyRequest {
    const WHAT: &'static str = "The key to make";
    const EXPECTED: &'static str = "a JSON object with name, scopes, tenant and expiresAt is expected";
    const REQUIRED: bool = true;
}

#[OpenApi(prefix_path = "/api/keys", tag = "Group::Access")]
impl KeysApi {
    /// List the API keys, the newest first; never the keys themselves.
    ///
    /// A key of the tenant `default` sees those of all tenants, any other those of its own.
    #[oai(path = "/", method = "get", operation_id = "listKeys")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Only those of this tenant.
        tenant: Query<Option<Text>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000.
        offset: Query<Option<Number>>,
    ) -> Result<Answer<KeyPage>, Failure> {
        spelt(request, &["tenant", "limit", "offset"])?;
        let limit = self.state.limit(limit.0.as_ref(), self.state.options.page_rows);
        let offset = self.state.offset(offset.0.as_ref())?;
        let (directory, now) = (self.directory()?, self.state.clock.now());
        let of_tenant = |key: &&KeyState| {
            let asked = tenant
                .0
                .as_ref()
                .is_none_or(|text| text.0 == key.created.tenant.as_str());
            asked && sees(&caller, key)
        };
        let mut keys: Vec<&KeyState> = directory.iter().filter(of_tenant).collect();
        keys.sort_by_key(|key| std::cmp::Reverse((key.created_at, key.created.key.clone())));
        let page = keys.iter().skip(offset as usize).take(limit as usize);
        Ok(Answer(KeyPage {
            keys: page.map(|key| KeyShape::new(key, now)).collect(),
            total: keys.len() as u64,
            limit,
            offset,
        }))
    }

    /// Make an API key. It is shown in this answer, and never again.
    #[oai(path = "/", method = "post", operation_id = "createKey")]
    async fn create(
        &self,
        caller: Data<&Caller>,
        note: Data<&AuditNote>,
        body: JsonBody<KeyRequest>,
    ) -> Result<Answer<KeyMade>, Failure> {
        let asked = body.read(&self.state.options).await?;
        let order = order(asked, &caller)?;
        note.set(format!("{} of {}", order.name, order.tenant));
        let made = self.state.keys.create(order).await?;
        let created = &made.key.created;
        note.set(format!(
            "{} ({} of {})",
            created.key, created.name, created.tenant
        ));
        Ok(Answer(KeyMade {
            row: KeyShape::new(&made.key, self.state.clock.now()),
            key: made.text.expose().to_owned(),
        }))
    }

    /// Revoke an API key. From this answer on it opens nothing, nor do logins that were made with it.
    ///
    /// Revoking it again changes nothing.
    #[oai(path = "/:id", method = "delete", operation_id = "revokeKey")]
    async fn revoke(
        &self,
        caller: Data<&Caller>,
        /// The id of the key, its middle part.
        id: Path<String>,
    ) -> Result<Answer<KeyShape>, Failure> {
        let directory = self.directory()?;
        let known = id.0.parse().ok().and_then(|id| directory.get(&id));
        let known = known.filter(|key| sees(&caller, key));
        let known = known.ok_or_else(|| Failure::not_found("there is no key of this id"))?;
        let by = caller.name.clone();
        let revoked = self.state.keys.revoke(&known.created.key, by).await?;
        Ok(Answer(KeyShape::new(&revoked, self.state.clock.now())))
    }
}

impl KeysApi {
    fn directory(&self) -> Result<Arc<KeyDirectory>, Failure> {
        let directory = self.state.keys.directory();
        directory.ok_or_else(|| Failure::later("the keys are still being read from the log", 1))
    }
}

fn sees(caller: &Caller, key: &KeyState) -> bool {
    caller.runs_the_instance() || key.created.tenant == caller.tenant
}

fn order(asked: KeyRequest, caller: &Caller) -> Result<NewKey, Failure> {
    let name = asked
        .name
        .ok_or_else(|| Failure::field("name", "say what to call it, such as \"ci\""))?;
    let scopes = asked.scopes.unwrap_or_default();
    let scopes: Result<Vec<Scope>, _> = scopes.iter().map(|text| text.parse()).collect();
    let refuse = |error: domain::InvalidScope| Failure::field("scopes", &error.to_string());
    Ok(NewKey {
        tenant: tenant(asked.tenant.as_deref(), caller)?,
        name: name
            .parse()
            .map_err(|error: domain::InvalidName| Failure::field("name", &error.to_string()))?,
        scopes: scopes.map_err(refuse)?,
        expires_at: asked.expires_at.as_deref().map(expiry).transpose()?,
        created_by: caller.name.clone(),
    })
}

/// Whose things are asked about: the caller's own, or, by who runs the instance, another's.
pub(super) fn tenant(asked: Option<&str>, caller: &Caller) -> Result<TenantId, Failure> {
    let Some(asked) = asked else {
        return Ok(caller.tenant.clone());
    };
    let asked: TenantId = asked
        .parse()
        .map_err(|error: domain::InvalidName| Failure::field("tenant", &error.to_string()))?;
    if asked != caller.tenant && !caller.runs_the_instance() {
        let message = "not allowed: only a key of the tenant default may name another tenant";
        return Err(Failure::new(Code::Forbidden, message));
    }
    Ok(asked)
}

fn expiry(text: &str) -> Result<Timestamp, Failure> {
    let expected = "a time such as 2027-01-31T00:00:00Z, or a date such as 2027-01-31, is expected";
    parse_time(text).ok_or_else(|| Failure::field("expiresAt", expected))
}
