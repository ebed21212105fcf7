//! From the body of a request to what becomes of a source. A secret in it is never shown: not by `Debug`, and not by the
//! error about something else that stands in its place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::{
    AddSource, ChangeSource, InvalidName, InvalidSecretId, NewSecret, Revision, RotateSourceSecret,
    SOURCE_SCHEMES, SecretId, SourceKnown, SourceName, SourceRef, SourceTerms, TenantId,
};
use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{MaybeUndefined, ParseError, ParseFromJSON, ParseResult, Type};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};
use crate::json_body::Command;

/// The longest secret, in bytes; who encrypts it takes no longer one.
const SECRET_BYTES_MAX: usize = 1024;
/// The longest name of a hook or connection, in bytes.
const HOOK_BYTES_MAX: usize = 200;

/// A secret that somebody sends us.
#[derive(Debug, Clone)]
pub(crate) struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The usual error would show what stands there: a secret of digits without its quotes.
        let text = String::deserialize(from).map_err(|_| D::Error::custom("a secret has to be a text"))?;
        Ok(Self(text.into()))
    }
}

impl Type for SecretText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "secret".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            format: Some("password"),
            min_length: Some(1),
            max_length: Some(SECRET_BYTES_MAX),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for SecretText {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text.into())),
            _ => Err(ParseError::custom("a secret has to be a text")),
        }
    }
}

/// What a source is; what is left out stays as it is, and null makes it the usual again. The names are those of the settings.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub(crate) struct TermsRequest {
    /// How deliveries are proved: `github`, `gitlab`, `linear`, `standard`, `hmac`, `token`, `codegen` or `claude-code`;
    /// usually the one of the source's name, else `github`.
    scheme: MaybeUndefined<String>,
    /// Whether they have to be proved; usually yes. Without proof only true loopback clients may deliver.
    verify: MaybeUndefined<bool>,
    /// A path of its own beside `/api/webhooks/NAME`.
    path: MaybeUndefined<String>,
    /// Event types to keep, `event` or `event.action`; empty keeps all.
    events: MaybeUndefined<Vec<String>>,
    /// Repositories to keep, as globs; empty keeps all.
    repositories: MaybeUndefined<Vec<String>>,
    /// Networks that may deliver, such as `192.30.252.0/22`; empty takes the list for all sources.
    addresses: MaybeUndefined<Vec<String>>,
    /// Whether the User-Agent has to be the sender's; usually no.
    user_agent_check: MaybeUndefined<bool>,
    /// How far a signed time may be from ours, in milliseconds; 0 for no matter how far.
    tolerance_ms: MaybeUndefined<u64>,
    /// How long equal content is marked as a duplicate, in milliseconds; 0 for never.
    dedup_window_ms: MaybeUndefined<u64>,
    /// The longest body in bytes.
    body_bytes_max: MaybeUndefined<u64>,
    /// Verified deliveries a minute; 0, the usual, for no limit.
    source_rate_per_minute: MaybeUndefined<u32>,
    /// How many of them at once; 0 for as many as in a minute.
    source_rate_burst: MaybeUndefined<u32>,
    /// Verified deliveries a minute of one repository; 0, the usual, for no limit.
    repository_rate_per_minute: MaybeUndefined<u32>,
    /// How many of them at once; 0 for as many as in a minute.
    repository_rate_burst: MaybeUndefined<u32>,
    /// What the proof looks like, for the schemes `hmac` and `token` and those built on them: `header`, `prefix`, `encoding`
    /// and so on, as in `[source.NAME.proof]` of the settings.
    proof: MaybeUndefined<BTreeMap<String, Value>>,
    /// Where the facts of a delivery stand, for schemes that leave it open: `id_header`, `event_pointer` and so on, as in
    /// `[source.NAME.facts]` of the settings.
    facts: MaybeUndefined<BTreeMap<String, Value>>,
}

impl TermsRequest {
    /// What a source is from now on.
    fn over(self, name: &SourceName, now: SourceTerms) -> Result<SourceTerms, Failure> {
        let usual = SourceTerms::of_scheme(SourceTerms::usual_scheme(name));
        let scheme = given(self.scheme, now.scheme, usual.scheme);
        if !SOURCE_SCHEMES.contains(&scheme.as_str()) {
            let expected = format!("one of {} is expected", SOURCE_SCHEMES.join(", "));
            return Err(Failure::field("scheme", &expected));
        }
        Ok(SourceTerms {
            scheme,
            verify: given(self.verify, now.verify, usual.verify),
            path: perhaps(self.path, now.path),
            events: given(self.events, now.events, usual.events),
            repositories: given(self.repositories, now.repositories, usual.repositories),
            addresses: given(self.addresses, now.addresses, usual.addresses),
            user_agent_check: given(
                self.user_agent_check,
                now.user_agent_check,
                usual.user_agent_check,
            ),
            tolerance_ms: perhaps(self.tolerance_ms, now.tolerance_ms),
            dedup_window_ms: perhaps(self.dedup_window_ms, now.dedup_window_ms),
            body_bytes_max: perhaps(self.body_bytes_max, now.body_bytes_max),
            source_rate_per_minute: given(self.source_rate_per_minute, now.source_rate_per_minute, 0),
            source_rate_burst: given(self.source_rate_burst, now.source_rate_burst, 0),
            repository_rate_per_minute: given(
                self.repository_rate_per_minute,
                now.repository_rate_per_minute,
                0,
            ),
            repository_rate_burst: given(self.repository_rate_burst, now.repository_rate_burst, 0),
            proof: object(self.proof, now.proof),
            facts: object(self.facts, now.facts),
        })
    }
}

fn given<T>(asked: MaybeUndefined<T>, now: T, usual: T) -> T {
    match asked {
        MaybeUndefined::Undefined => now,
        MaybeUndefined::Null => usual,
        MaybeUndefined::Value(value) => value,
    }
}

fn perhaps<T>(asked: MaybeUndefined<T>, now: Option<T>) -> Option<T> {
    match asked {
        MaybeUndefined::Undefined => now,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(value) => Some(value),
    }
}

fn object(asked: MaybeUndefined<BTreeMap<String, Value>>, now: Map<String, Value>) -> Map<String, Value> {
    match asked {
        MaybeUndefined::Undefined => now,
        MaybeUndefined::Null => Map::new(),
        MaybeUndefined::Value(members) => members.into_iter().collect(),
    }
}

/// A source to add.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct AddSourceRequest {
    /// What it is called: a-z, 0-9, _ and -, at most 63. It stands in its URL. Needed.
    name: Option<String>,
    /// Whose it is, and whose deliveries its secret verifies; the caller's own tenant unless given. Only keys of the tenant
    /// `default` may name another.
    pub(crate) tenant: Option<String>,
    /// Its first secret, the same as at the sender. Needed, unless nothing has to be proved. It is in no answer.
    #[oai(write_only)]
    secret: Option<SecretText>,
    /// What to call the secret; a name is made unless given.
    secret_id: Option<String>,
    /// The hook or connection that the secret belongs to; all of them unless given.
    hook: Option<String>,
    /// What it is.
    #[serde(flatten)]
    #[oai(flatten)]
    terms: TermsRequest,
}

impl Command for AddSourceRequest {
    const WHAT: &'static str = "The source to add";
    const EXPECTED: &'static str = "a JSON object with name, tenant, secret, secretId, hook and what the source is (scheme, \
                                    verify, path, events, repositories, addresses and so on) is expected";
    const REQUIRED: bool = true;
}

impl AddSourceRequest {
    pub(crate) fn name(&self) -> Result<SourceName, Failure> {
        let name = self.name.as_deref();
        let name = name.ok_or_else(|| Failure::field("name", "say what to call it, such as \"github\""))?;
        name.parse()
            .map_err(|error: InvalidName| Failure::field("name", &error.to_string()))
    }

    pub(crate) fn order(self, source: SourceRef, tenant: Option<TenantId>) -> Result<AddSource, Failure> {
        let scheme = SourceTerms::usual_scheme(&source.name);
        let terms = self.terms.over(&source.name, SourceTerms::of_scheme(scheme))?;
        let about_secret = self.secret_id.is_some() || self.hook.is_some();
        let secret = match self.secret {
            Some(text) => {
                let named = SecretRequest {
                    secret: Some(text),
                    id: self.secret_id,
                    tenant: None,
                    hook: self.hook,
                };
                Some(named.secret(tenant.clone())?)
            }
            None if terms.verify || about_secret => {
                return Err(no_secret());
            }
            None => None,
        };
        Ok(AddSource {
            source,
            tenant,
            terms,
            secret,
        })
    }
}

fn no_secret() -> Failure {
    Failure::field("secret", "a secret is needed: the one that the sender signs with")
}

/// What shall be otherwise; everything that is left out stays as it is.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct ChangeSourceRequest {
    /// The revision that the change was thought out for; if there is a newer one it is refused.
    revision: Option<u64>,
    /// What it is from now on.
    #[serde(flatten)]
    #[oai(flatten)]
    terms: TermsRequest,
}

impl Command for ChangeSourceRequest {
    const WHAT: &'static str = "What shall be otherwise";
    const EXPECTED: &'static str = "a JSON object with what shall be otherwise (scheme, verify, path, events, repositories, \
                                    addresses and so on; null for the usual) and revision is expected";
    const REQUIRED: bool = true;
}

impl ChangeSourceRequest {
    /// The order, made from what the source is now: a change that comes between refuses it.
    pub(crate) fn order(self, source: SourceRef, known: SourceKnown) -> Result<ChangeSource, Failure> {
        let newer = |now: Revision| self.revision.is_some_and(|asked| asked != now.get());
        if let Some(now) = known.revision.filter(|now| newer(*now)) {
            let message = format!("the source was changed meanwhile: it is at revision {now}; read it again");
            return Err(Failure::new(Code::Conflict, message));
        }
        Ok(ChangeSource {
            terms: self.terms.over(&source.name, known.terms)?,
            revision: known.revision,
            source,
        })
    }
}

/// A secret to add.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename = "AddSecretRequest", rename_all = "camelCase")]
pub(crate) struct SecretRequest {
    /// The secret, the same as at the sender. Needed. It is in no answer.
    #[oai(write_only)]
    secret: Option<SecretText>,
    /// What to call it; a name is made unless given. In one source a name means one secret, for ever.
    id: Option<String>,
    /// Whose deliveries it verifies; the tenant of the source unless given. Only keys of the tenant `default` may name
    /// another.
    pub(crate) tenant: Option<String>,
    /// The hook or connection that it belongs to; all that have no secret of their own unless given.
    hook: Option<String>,
}

impl Command for SecretRequest {
    const WHAT: &'static str = "The secret to add";
    const EXPECTED: &'static str = "a JSON object with secret, id, tenant and hook is expected";
    const REQUIRED: bool = true;
}

impl SecretRequest {
    pub(crate) fn secret(self, tenant: Option<TenantId>) -> Result<NewSecret, Failure> {
        let SecretText(value) = self.secret.ok_or_else(no_secret)?;
        if !(1..=SECRET_BYTES_MAX).contains(&value.expose_secret().len()) {
            let expected = format!("a text of 1 to {SECRET_BYTES_MAX} bytes is expected");
            return Err(Failure::field("secret", &expected));
        }
        let id = self.id.map(|id| id.parse::<SecretId>()).transpose();
        Ok(NewSecret {
            id: id.map_err(|error: InvalidSecretId| Failure::field("id", &error.to_string()))?,
            value,
            tenant,
            hook: hook(self.hook)?,
        })
    }
}

fn hook(hook: Option<String>) -> Result<Option<String>, Failure> {
    let fits = |hook: &String| (1..=HOOK_BYTES_MAX).contains(&hook.len()) && !hook.contains(char::is_control);
    match hook {
        Some(hook) if !fits(&hook) => Err(Failure::field("hook", "a text of 1 to 200 bytes is expected")),
        hook => Ok(hook),
    }
}

/// A secret that takes the place of others.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct RotateSecretRequest {
    /// How long those verify beside it, in seconds; 24 hours unless given.
    grace_seconds: Option<u32>,
    /// The new one.
    #[serde(flatten)]
    #[oai(flatten)]
    pub(crate) new: SecretRequest,
}

impl Command for RotateSecretRequest {
    const WHAT: &'static str = "The secret that takes the place of those of its tenant and hook";
    const EXPECTED: &'static str = "a JSON object with secret, id, tenant, hook and graceSeconds is expected";
    const REQUIRED: bool = true;
}

impl RotateSecretRequest {
    pub(crate) fn order(self, source: SourceRef, tenant: TenantId) -> Result<RotateSourceSecret, Failure> {
        Ok(RotateSourceSecret {
            source,
            secret: self.new.secret(Some(tenant))?,
            grace_ms: self.grace_seconds.map(|seconds| u64::from(seconds) * 1000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> SourceName {
        "payments".parse().unwrap()
    }

    fn now() -> SourceTerms {
        SourceTerms {
            events: vec!["invoice".into()],
            tolerance_ms: Some(1),
            source_rate_per_minute: 9,
            verify: false,
            ..SourceTerms::of_scheme("standard")
        }
    }

    fn over(json: &str) -> Result<SourceTerms, String> {
        let asked: ChangeSourceRequest = serde_json::from_str(json).map_err(|error| error.to_string())?;
        asked
            .terms
            .over(&name(), now())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_the_usual() {
        assert_eq!(over("{}").unwrap(), now());
        let changed =
            over(r#"{"events":["payment.failed"],"proof":{"header":"X-Sig"},"bodyBytesMax":5}"#).unwrap();
        assert_eq!(changed.events, ["payment.failed"]);
        assert_eq!((changed.tolerance_ms, changed.body_bytes_max), (Some(1), Some(5)));
        assert_eq!(changed.proof["header"], "X-Sig");
        let all = r#"{"scheme":null,"verify":null,"events":null,"toleranceMs":null,"sourceRatePerMinute":null,"facts":null}"#;
        assert_eq!(over(all).unwrap(), SourceTerms::of_scheme("github"));
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_name() {
        for (json, named) in [
            (r#"{"scheme":"gitbub"}"#, "`scheme`"),
            (r#"{"event":["push"]}"#, "`event`"),
            (r#"{"events":"push"}"#, "a sequence"),
            (r#"{"secret":"x"}"#, "`secret`"),
            (r#"{"verify":"no"}"#, "a boolean"),
            (r#"{"sourceRateBurst":-1}"#, "-1"),
        ] {
            let why = over(json).unwrap_err();
            assert!(why.contains(named), "{json}: {why}");
        }
    }

    #[test]
    fn no_error_and_no_debug_shows_what_stands_for_a_secret() {
        for secret in ["8675309", r#"["swordfish"]"#, r#"{"value":"swordfish"}"#, "true"] {
            let json = format!(r#"{{"secret":{secret}}}"#);
            for why in [
                serde_json::from_str::<SecretRequest>(&json).unwrap_err(),
                serde_json::from_str::<RotateSecretRequest>(&json).unwrap_err(),
                serde_json::from_str::<AddSourceRequest>(&json).unwrap_err(),
            ] {
                let why = why.to_string();
                assert!(why.contains("has to be a text"), "{why}");
                assert!(!why.contains("8675309") && !why.contains("swordfish"), "{why}");
            }
        }
        let asked: RotateSecretRequest =
            serde_json::from_str(r#"{"secret":"swordfish","graceSeconds":60,"hook":"41"}"#).unwrap();
        assert!(!format!("{asked:?}").contains("swordfish"), "{asked:?}");
        assert_eq!(
            (asked.grace_seconds, asked.new.hook.as_deref()),
            (Some(60), Some("41"))
        );
        let long = format!(r#"{{"secret":"{}"}}"#, "x".repeat(SECRET_BYTES_MAX + 1));
        let asked: SecretRequest = serde_json::from_str(&long).unwrap();
        assert!(asked.secret(None).unwrap_err().to_string().contains("`secret`"));
    }
}
