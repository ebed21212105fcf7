//! What a source is, but for its secrets: everything that `[source.NAME]` of the settings can say.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::SourceName;

/// The schemes that deliveries are proved by, by their wire names.
pub const SOURCE_SCHEMES: [&str; 8] = [
    "github",
    "gitlab",
    "linear",
    "standard",
    "hmac",
    "token",
    "codegen",
    "claude-code",
];

/// The scheme of a source whose name says nothing.
const USUAL_SCHEME: &str = "github";

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

const fn yes() -> bool {
    true
}

/// What a source is. The names are those of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceTerms {
    /// The signature scheme, by its wire name.
    pub scheme: String,
    /// Whether deliveries have to prove where they come from.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub verify: bool,
    /// A path of its own beside `/api/webhooks/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Event types to keep, `event` or `event.action`; empty keeps all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Repositories to keep, as globs; empty keeps all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// Networks that may deliver, in CIDR notation; empty takes the list for all sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Whether the User-Agent has to be the sender's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub user_agent_check: bool,
    /// How far a signed time may be from ours, in milliseconds; none for the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance_ms: Option<u64>,
    /// How long equal content is marked as a duplicate, in milliseconds; none for the usual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_window_ms: Option<u64>,
    /// The longest body in bytes; none for the usual limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes_max: Option<u64>,
    /// Verified deliveries a minute; 0 for no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub source_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub source_rate_burst: u32,
    /// Verified deliveries a minute of one repository; 0 for no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repository_rate_per_minute: u32,
    /// How many of them at once; 0 for as many as in a minute.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repository_rate_burst: u32,
    /// What its proof looks like, for schemes that leave it open; as in `[source.NAME.proof]`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub proof: Map<String, Value>,
    /// Where its facts stand, for schemes that leave it open; as in `[source.NAME.facts]`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

impl SourceTerms {
    /// The scheme of a source unless another is given: that of its name.
    #[must_use]
    pub fn usual_scheme(name: &SourceName) -> &'static str {
        let named = SOURCE_SCHEMES.into_iter().find(|scheme| *scheme == name.as_str());
        named.unwrap_or(USUAL_SCHEME)
    }

    /// A source of a scheme, with the usual for everything.
    #[must_use]
    pub fn of_scheme(scheme: impl Into<String>) -> Self {
        Self {
            scheme: scheme.into(),
            verify: true,
            path: None,
            events: Vec::new(),
            repositories: Vec::new(),
            addresses: Vec::new(),
            user_agent_check: false,
            tolerance_ms: None,
            dedup_window_ms: None,
            body_bytes_max: None,
            source_rate_per_minute: 0,
            source_rate_burst: 0,
            repository_rate_per_minute: 0,
            repository_rate_burst: 0,
            proof: Map::new(),
            facts: Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_its_scheme_is() {
        let usual = |name: &str| SourceTerms::usual_scheme(&name.parse().unwrap());
        assert_eq!(usual("linear"), "linear");
        assert_eq!(usual("claude-code"), "claude-code");
        assert_eq!(usual("payments"), "github");
    }

    #[test]
    fn what_is_usual_is_not_written_and_comes_back() {
        let terms = SourceTerms::of_scheme("standard");
        let text = serde_json::to_string(&terms).unwrap();
        assert_eq!(text, r#"{"scheme":"standard"}"#);
        assert_eq!(serde_json::from_str::<SourceTerms>(&text).unwrap(), terms);
    }
}
