//! The key under which a delivery is in the log at most once, for ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, EventId, SourceName, escape_part};

/// The longest key in bytes; a longer one is `~` and the SHA-256 of its raw parts.
const KEY_BYTES_MAX: usize = 200;

/// `<source>.<hook or _>.<sender's id, else event id>`, parts escaped; unique within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryKey(Box<str>);

/// Text that cannot be a delivery key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a delivery key is <source>.<hook or _>.<id>, at most 200 bytes")]
pub struct InvalidKey;

impl DeliveryKey {
    /// The key of a delivery to which its sender gave an id.
    #[must_use]
    pub fn of_sender(source: &SourceName, hook: Option<&str>, sender_id: &str) -> Self {
        let hook = hook.filter(|h| !h.is_empty());
        let key = format!(
            "{source}.{}.{}",
            hook.map_or("_".into(), escape_part),
            escape_part(sender_id)
        );
        if key.len() <= KEY_BYTES_MAX {
            return Self(key.into());
        }
        // NUL cannot occur in a header value, so the raw parts stay apart under the hash.
        let raw = format!("{source}\0{}\0{sender_id}", hook.unwrap_or("_"));
        Self(format!("{source}.~{}", ContentHash::of(raw.as_bytes())).into())
    }

    /// The key of a delivery without an id of its sender: every request is its own.
    #[must_use]
    pub fn of_event(source: &SourceName, hook: Option<&str>, event: EventId) -> Self {
        Self::of_sender(source, hook, &event.to_string())
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryKey {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'%' | b'~');
        if text.is_empty() || text.len() > KEY_BYTES_MAX || !text.bytes().all(plain) {
            return Err(InvalidKey);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for DeliveryKey {
    type Error = InvalidKey;
    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<DeliveryKey> for String {
    fn from(key: DeliveryKey) -> String {
        key.0.into()
    }
}

impl fmt::Display for DeliveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hook: Option<&str>, id: &str) -> String {
        DeliveryKey::of_sender(&"github".parse().unwrap(), hook, id).to_string()
    }

    #[test]
    fn a_key_names_source_hook_and_sender_id() {
        assert_eq!(key(Some("41"), "72d3162e-cc78"), "github.41.72d3162e-cc78");
        assert_eq!(key(None, "72d3162e"), "github._.72d3162e");
        assert_eq!(key(Some("a.b"), "x*"), "github.a%2Eb.x%2A");
    }

    #[test]
    fn a_long_key_is_hashed_and_still_told_apart() {
        let (one, other) = (key(None, &"x".repeat(300)), key(None, &"x".repeat(301)));
        assert!(one.starts_with("github.~") && one.len() < 200);
        assert_ne!(one, other);
        assert!(one.parse::<DeliveryKey>().is_ok());
    }

    /// Keys stand in URLs and headers as they are.
    #[test]
    fn a_text_that_no_delivery_could_have_for_a_key_is_not_read_as_one() {
        let read = |text: &str| serde_json::from_value::<DeliveryKey>(text.into());
        assert_eq!(read("github.41.72d3162e").unwrap().as_str(), "github.41.72d3162e");
        for bad in ["", "a b", "a\r\nx: y", "ü", "a/../b", &"x".repeat(201)] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
