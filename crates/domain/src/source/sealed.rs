//! A secret as events hold it: encrypted, beside what has to be known without opening it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::TenantId;

const ID_BYTES_MAX: usize = 63;

/// What events, lists and deliveries say instead of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretId(Box<str>);

/// Text that is no id of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a secret is 1 to 63 of the characters a-z, A-Z, 0-9, ., _ and -")]
pub struct InvalidSecretId;

impl SecretId {
    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretId {
    type Err = InvalidSecretId;
    fn from_str(text: &str) -> Result<Self, InvalidSecretId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSecretId)
        }
    }
}

impl TryFrom<String> for SecretId {
    type Error = InvalidSecretId;
    fn try_from(text: String) -> Result<Self, InvalidSecretId> {
        text.parse()
    }
}

impl From<SecretId> for String {
    fn from(id: SecretId) -> String {
        id.0.into()
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that only the holder of the right key can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecret {
    /// What it is called; in one source an id is given once, for ever.
    pub id: SecretId,
    /// Whose deliveries it verifies.
    pub tenant: TenantId,
    /// The hook or connection it belongs to; none for all that have no secret of their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hook: Option<String>,
    /// Which key opens it: what can be told of a key without telling the key.
    pub sealed_with: String,
    /// The nonce, base64.
    pub nonce: String,
    /// The ciphertext with its tag, base64.
    pub ciphertext: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_secret_is_a_plain_word() {
        for good in ["a", "GITHUB_WEBHOOK_SECRET", "2026-11.b", &"x".repeat(63)] {
            assert_eq!(good.parse::<SecretId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(64)] {
            assert!(bad.parse::<SecretId>().is_err(), "{bad:?}");
        }
    }
}
