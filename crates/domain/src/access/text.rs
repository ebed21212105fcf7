//! The text of a key: `hk_<id>_<43 characters of base64url>`, 32 random bytes behind an id by which it is looked up.
//!
//! What is hashed is the whole text, so that no second spelling opens the same door.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ContentHash;

const PREFIX: &str = "hk_";
/// 32 bytes in base64url without padding.
const SECRET_CHARS: usize = 43;
const ID_CHARS_MAX: usize = 32;
/// Digits and letters that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: u32 = 12;

/// By what a key is looked up. It is no secret: it stands in lists and in the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Box<str>);

/// Text that is no id of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key is 1 to 32 of the characters a-z and 0-9")]
pub struct InvalidKeyId;

impl KeyId {
    /// The id that random bits give; 60 of them are used.
    #[must_use]
    pub fn of_random(bits: u64) -> Self {
        let five = |n: u32| usize::try_from((bits >> (5 * n)) & 31).unwrap_or(0);
        let digits = (0..ID_CHARS).filter_map(|n| ALPHABET.get(five(n)));
        Self(digits.map(|digit| char::from(*digit)).collect::<String>().into())
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;
    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if plain && (1..=ID_CHARS_MAX).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKeyId)
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;
    fn try_from(text: String) -> Result<Self, InvalidKeyId> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.0.into()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key in clear. It lives from the moment that it is made until it was shown, once.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl KeyText {
    /// The key that an id and 32 random bytes give.
    #[must_use]
    pub fn new(id: &KeyId, secret: &[u8; 32]) -> Self {
        Self(format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret)))
    }

    /// What the log keeps of it.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        ContentHash::of(self.0.as_bytes())
    }

    /// The text itself, to be shown to whoever asked for the key and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(hidden)")
    }
}

/// What somebody presents as a key: its id, and the hash of the whole. The text itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedKey {
    /// By what it is looked up.
    pub id: KeyId,
    /// To be compared, in constant time, with what the log keeps.
    pub hash: ContentHash,
}

impl PresentedKey {
    /// Reads a key; `None` for what has not its form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let of_base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if secret.len() != SECRET_CHARS || !secret.bytes().all(of_base64) {
            return None;
        }
        Some(Self {
            id: id.parse().ok()?,
            hash: ContentHash::of(text.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        for secret in [[0; 32], [255; 32], [62; 32], *b"0123456789abcdef0123456789abcdef"] {
            let id = KeyId::of_random(0x0123_4567_89ab_cdef);
            let key = KeyText::new(&id, &secret);
            let presented = PresentedKey::parse(key.expose()).unwrap();
            assert_eq!((presented.id, presented.hash), (id, key.hash()));
            assert!(!format!("{key:?}").contains(&key.expose()[16..]), "{key:?}");
        }
    }

    #[test]
    fn an_id_is_twelve_plain_characters() {
        let id = KeyId::of_random(u64::MAX);
        assert_eq!(id.as_str(), "zzzzzzzzzzzz");
        assert_eq!(KeyId::of_random(0).as_str(), "000000000000");
        assert_ne!(KeyId::of_random(1), KeyId::of_random(2));
        assert_eq!(id.as_str().parse(), Ok(id));
        for bad in ["", "A", "a_b", "a.b", "a-b", &"a".repeat(33)] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_has_not_the_form_of_a_key_is_none() {
        let key = KeyText::new(&KeyId::of_random(7), &[1; 32]);
        let good = key.expose();
        for bad in [
            "",
            "hk_",
            "hk__",
            "hk_abc_short",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}A"),
            &format!(" {good}"),
            &good.replace("hk_", "HK_"),
            &format!("{}=", &good[..good.len() - 1]),
            &format!("{}ä", &good[..good.len() - 2]),
        ] {
            assert_eq!(PresentedKey::parse(bad), None, "{bad:?}");
        }
        // Another spelling of the same bytes is another text, and so another hash.
        let last = if good.ends_with('E') { 'F' } else { 'E' };
        let other = format!("{}{last}", &good[..good.len() - 1]);
        assert_ne!(PresentedKey::parse(&other).unwrap().hash, key.hash());
    }
}
