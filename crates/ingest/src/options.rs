//! What can be set: limits for all sources, and the sources themselves.

use domain::{SourceName, TenantId, Timestamp};
use ipnet::IpNet;
use secrecy::SecretString;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Error as _, IntoDeserializer as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::coding::ContentCoding;
use crate::explain::ExplainOptions;
use crate::ranges::AddressRanges;
use crate::signature::TimeUnit;

/// Limits of receiving. Every one of them is a bound; 0 turns only the rates and the window off.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestOptions {
    /// The longest body in bytes: exactly this is taken, one more is answered 413. For a form it holds for the decoded
    /// payload. GitHub and GitLab send up to 25 MiB, the rest is a margin.
    pub body_bytes_max: u64,
    /// Bodies up to this many bytes stay in memory and go into the log itself, longer ones stream to the body store.
    pub inline_bytes_max: usize,
    /// The most bytes of bodies that are in memory at once, all requests together; more wait.
    pub memory_bytes_max: usize,
    /// The codings of `Content-Encoding` that are decoded; empty takes no encoded body. The limit of a body holds for the
    /// encoded and for the decoded bytes.
    pub content_codings: Vec<ContentCoding>,
    /// The most bodies that are decoded at once; more wait.
    pub decoders_max: usize,
    /// The most of them for one address (of IPv6: one /64); 0 for as many as there are.
    pub decoders_per_address_max: usize,
    /// The most headers of a request.
    pub headers_max: usize,
    /// The most bytes of all header names and values together.
    pub header_bytes_max: usize,
    /// The longest time for a whole body, in milliseconds. GitHub gives up after 10 s; a slow forger holds a turn no longer.
    pub body_timeout_ms: u64,
    /// The longest silence between two pieces of a body, in milliseconds.
    pub body_idle_timeout_ms: u64,
    /// The least bytes a second of a body, over any `body_grace_ms`; 0 for no limit. It is far below what any network does, and
    /// far above what somebody sends who wants to hold a connection.
    pub body_bytes_per_second_min: u64,
    /// How long a body may be slower than that, in milliseconds.
    pub body_grace_ms: u64,
    /// The longest time for an append, retries after an unknown outcome included, in milliseconds. GitHub waits 10 s.
    pub append_timeout_ms: u64,
    /// The most bodies that stream to the body store at once; more wait.
    pub uploads_max: usize,
    /// The most of them for one address (of IPv6: one /64); 0 for as many as there are.
    pub uploads_per_address_max: usize,
    /// How long a body waits for memory, for a decoder, or for its turn to stream to the body store, before it is answered
    /// 503, in milliseconds.
    pub upload_wait_ms: u64,
    /// Requests a minute from one address, 0 for no limit: GitHub does not send again what was refused.
    pub address_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    pub address_rate_burst: u32,
    /// What is done while the log is behind.
    pub pressure: PressureOptions,
    /// How far it is looked for what is wrong with a signature, when somebody asks.
    pub explain: ExplainOptions,
    /// The most addresses, and per source the most repositories, whose rate is counted apart; beyond that they share.
    pub rate_keys_max: usize,
    /// How long the same body from the same source is marked as a duplicate, in milliseconds; 0 turns it off.
    pub dedup_window_ms: u64,
    /// How far the time that a sender signed may be from ours, in milliseconds; none for the usual of each scheme (60 s for
    /// Linear, 300 s for all others), 0 for no matter how far.
    pub tolerance_ms: Option<u64>,
    /// The most signatures that one delivery may carry, for schemes that allow several.
    pub signatures_max: usize,
    /// What `Retry-After` says on a 503, in seconds.
    pub retry_after_s: u64,
    /// The most bytes still read from a body that is refused, so that the sender gets to read why.
    pub linger_bytes_max: u64,
    /// The longest time for that, in milliseconds.
    pub linger_timeout_ms: u64,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 25 * 1024 * 1024 + 64 * 1024,
            inline_bytes_max: 256 * 1024,
            memory_bytes_max: 256 * 1024 * 1024,
            content_codings: vec![ContentCoding::Gzip, ContentCoding::Deflate, ContentCoding::Br],
            decoders_max: 16,
            decoders_per_address_max: 4,
            headers_max: 100,
            header_bytes_max: 32 * 1024,
            body_timeout_ms: 20_000,
            body_idle_timeout_ms: 10_000,
            body_bytes_per_second_min: 240,
            body_grace_ms: 5_000,
            append_timeout_ms: 8_000,
            uploads_max: 32,
            uploads_per_address_max: 8,
            upload_wait_ms: 5_000,
            address_rate_per_minute: 0,
            address_rate_burst: 0,
            pressure: PressureOptions::default(),
            explain: ExplainOptions::default(),
            rate_keys_max: 100_000,
            dedup_window_ms: 60_000,
            tolerance_ms: None,
            signatures_max: 8,
            retry_after_s: 5,
            linger_bytes_max: 32 * 1024 * 1024,
            linger_timeout_ms: 5_000,
        }
    }
}

/// What receiving does while the log is behind.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PressureOptions {
    /// From which latency of appends on, in milliseconds, requests are held back and count for more; 0 for never.
    pub slow_latency_ms: u64,
    /// The longest that a request is held back, in milliseconds; a second at most.
    pub delay_ms_max: u64,
    /// As how many requests one counts at most.
    pub cost_max: u32,
    /// From which latency of appends on, in milliseconds, requests are answered 503 unread; 0 for never.
    pub shed_latency_ms: u64,
    /// From how full a queue of appends on, in percent, requests are answered 503 unread; 0 for never. At 100 they would have
    /// been refused all the same, after they were read.
    pub shed_queue_percent: u8,
}

impl Default for PressureOptions {
    fn default() -> Self {
        Self {
            slow_latency_ms: 0,
            delay_ms_max: 1000,
            cost_max: 8,
            shed_latency_ms: 0,
            shed_queue_percent: 100,
        }
    }
}

/// How a sender proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeKind {
    /// `X-Hub-Signature-256` over the raw body.
    #[default]
    Github,
    /// `X-Gitlab-Token`, or a signing token by Standard Webhooks.
    Gitlab,
    /// `Linear-Signature` over the raw body, with a time in the body.
    Linear,
    /// Standard Webhooks, as by Svix and many others.
    Standard,
    /// An HMAC in any header.
    Hmac,
    /// The secret itself in a header.
    Token,
    /// Codegen, on `hmac`.
    Codegen,
    /// Claude Code, on `hmac`.
    ClaudeCode,
}

impl SchemeKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Github,
        Self::Gitlab,
        Self::Linear,
        Self::Standard,
        Self::Hmac,
        Self::Token,
        Self::Codegen,
        Self::ClaudeCode,
    ];

    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Linear => "linear",
            Self::Standard => "standard",
            Self::Hmac => "hmac",
            Self::Token => "token",
            Self::Codegen => "codegen",
            Self::ClaudeCode => "claude-code",
        }
    }

    /// The scheme of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::deserialize(name.into_deserializer() as StrDeserializer<'_, ValueError>).ok()
    }
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashKind {
    /// SHA-1, for old senders.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal, in any case.
    #[default]
    Hex,
    /// Standard base64, with its padding.
    Base64,
}

/// How a secret is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// Its text is the key.
    #[default]
    Text,
    /// The key in hexadecimal.
    Hex,
    /// The key in standard base64.
    Base64,
}

/// What the proof of a sender looks like, for the schemes `hmac` and `token` and the presets built on them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProofOptions {
    /// The header with the signature or the token; of tokens `Authorization` unless given.
    pub header: Option<String>,
    /// What stands before it, such as `sha256=`; before a token in `Authorization` it is `Bearer` unless given.
    pub prefix: Option<String>,
    /// How a signature is written.
    pub encoding: Option<Encoding>,
    /// The hash.
    pub hash: Option<HashKind>,
    /// How the secret is written.
    pub secret_encoding: Option<SecretEncoding>,
    /// The key of the signatures, where the header is a list of `key=value` as `t=1700000000,v1=…`.
    pub signature_key: Option<String>,
    /// The header with the time of signing.
    pub timestamp_header: Option<String>,
    /// The key of the time of signing in such a list.
    pub timestamp_key: Option<String>,
    /// In what the time counts.
    pub timestamp_unit: Option<TimeUnit>,
    /// What is signed, with `{body}`, `{timestamp}` and `{id}` in it; `{body}` unless given, with a time
    /// `{timestamp}.{body}`.
    pub content: Option<String>,
}

/// Where the facts of a delivery stand, for schemes whose senders differ in it: names of headers, and JSON pointers (RFC
/// 6901) into the body. Where both say something the body is believed: it is signed, most headers are not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactOptions {
    /// The header with the sender's id of the delivery.
    pub id_header: Option<String>,
    /// The id in the body.
    pub id_pointer: Option<String>,
    /// The header with the event type.
    pub event_header: Option<String>,
    /// The event type in the body.
    pub event_pointer: Option<String>,
    /// The action in the body.
    pub action_pointer: Option<String>,
    /// The repository in the body.
    pub repository_pointer: Option<String>,
    /// Whoever caused it, in the body.
    pub sender_pointer: Option<String>,
}

/// One active secret of a source. Several at once make a rotation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Names the secret in events, logs and metrics.
    pub id: String,
    /// The secret itself, never printed.
    #[serde(deserialize_with = "secret_text")]
    pub value: SecretString,
    /// Whose deliveries it verifies.
    #[serde(default)]
    pub tenant: TenantId,
    /// Binds it to the sender's hook or to the connection in the path. A hook with secrets of its own is verified by
    /// those alone, every other one by the secrets without a hook.
    #[serde(default)]
    pub hook: Option<String>,
    /// From when on it verifies nothing; none for no end.
    #[serde(skip)]
    pub valid_until: Option<Timestamp>,
}

/// Reads a secret. What else stands in its place is not shown: it may be a secret of digits without its quotes.
fn secret_text<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    let text = String::deserialize(from).map_err(|_| D::Error::custom("a secret has to be a text"))?;
    Ok(SecretString::from(text))
}

impl Secret {
    /// A secret of the default tenant, bound to no hook.
    #[must_use]
    pub fn new(id: &str, value: &str) -> Self {
        Self {
            id: id.to_owned(),
            value: SecretString::from(value),
            tenant: TenantId::default(),
            hook: None,
            valid_until: None,
        }
    }

    /// Whether it verifies at a time.
    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

const fn yes() -> bool {
    true
}

/// A configured sender.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// Its name, unique across tenants, in the path of its webhooks.
    pub name: SourceName,
    /// How its deliveries prove themselves.
    #[serde(default)]
    pub scheme: SchemeKind,
    /// What its proof looks like, for schemes that leave it open.
    #[serde(default)]
    pub proof: ProofOptions,
    /// Where its facts stand, for schemes that leave it open.
    #[serde(default)]
    pub facts: FactOptions,
    /// Its active secrets; at least one unless `verify` is off.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// A path of its own, beside the usual ones.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether proof is asked for. Without it only true loopback clients are let in.
    #[serde(default = "yes")]
    pub verify: bool,
    /// The events kept, as `event` or `event.action`, without regard to case; empty keeps all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Globs of the repositories kept, such as `octo-org/*`, without regard to case; empty keeps all, those of
    /// deliveries without a repository included.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// The networks it may send from; empty, without `address_ranges`, allows all.
    #[serde(default)]
    pub address_allow: Vec<IpNet>,
    /// Lists that it may send from too.
    #[serde(skip)]
    pub address_ranges: Vec<AddressRanges>,
    /// Whether the `User-Agent` has to be the sender's own (`GitHub-Hookshot/…`).
    #[serde(default)]
    pub user_agent_check: bool,
    /// Its own tolerance for the time signed, in milliseconds; 0 for no matter how far.
    #[serde(default)]
    pub tolerance_ms: Option<u64>,
    /// Its own window for duplicates of content, in milliseconds.
    #[serde(default)]
    pub dedup_window_ms: Option<u64>,
    /// Its own limit of a body, in bytes.
    #[serde(default)]
    pub body_bytes_max: Option<u64>,
    /// Verified deliveries a minute, 0 for no limit.
    #[serde(default)]
    pub source_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    #[serde(default)]
    pub source_rate_burst: u32,
    /// Verified deliveries a minute of one repository, 0 for no limit.
    #[serde(default)]
    pub repository_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    #[serde(default)]
    pub repository_rate_burst: u32,
}

impl SourceOptions {
    /// A source of the scheme `github` that keeps everything which one of these secrets verifies.
    #[must_use]
    pub fn new(name: SourceName, secrets: Vec<Secret>) -> Self {
        Self {
            name,
            scheme: SchemeKind::Github,
            proof: ProofOptions::default(),
            facts: FactOptions::default(),
            secrets,
            path: None,
            verify: true,
            events: Vec::new(),
            repositories: Vec::new(),
            address_allow: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_found_by_its_wire_name() {
        for scheme in SchemeKind::ALL {
            assert_eq!(SchemeKind::named(scheme.as_str()), Some(scheme));
        }
    }
}
