//! The keys of Standard Webhooks: `whsec_` for HMAC-SHA256, `whpk_` and `whsk_` for ed25519, each with its key in base64
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use secrecy::{ExposeSecret as _, SecretSlice};
use zeroize::Zeroizing;

use crate::options::Secret;

/// The start of a secret for HMAC.
pub(super) const SHARED: &str = "whsec_";
const PUBLIC: &str = "whpk_";
const PRIVATE: &str = "whsk_";

/// The shortest key for HMAC, in bytes. The specification asks for 24, and its own examples have 18.
const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES: usize = 32;

/// A key, read.
pub(super) enum Key {
    /// Signs and verifies with HMAC-SHA256.
    Shared(SecretSlice<u8>),
    /// Verifies ed25519.
    Public(VerifyingKey),
    /// Signs ed25519, and verifies what it signed.
    Private(Box<SigningKey>),
}

impl Key {
    /// Reads a secret. Without a prefix it is the base64 of a key for HMAC, as the reference libraries take it.
    ///
    /// # Errors
    /// Says what is wrong with it, never what it is.
    pub(super) fn parse(secret: &Secret) -> Result<Self, &'static str> {
        let text = secret.value.expose_secret();
        if let Some(encoded) = text.strip_prefix(PUBLIC) {
            let key = VerifyingKey::from_bytes(&key_of(encoded)?)
                .ok()
                .filter(|key| !key.is_weak());
            return key
                .map(Self::Public)
                .ok_or("is whpk_ with bytes that are no public key of ed25519");
        }
        if let Some(encoded) = text.strip_prefix(PRIVATE) {
            return Ok(Self::Private(Box::new(SigningKey::from_bytes(&key_of(encoded)?))));
        }
        let bytes = decoded(text.strip_prefix(SHARED).unwrap_or(text))?;
        if bytes.len() < KEY_BYTES_MIN {
            return Err("has a key of less than 16 bytes; make one with: openssl rand -base64 32");
        }
        Ok(Self::Shared(bytes.to_vec().into()))
    }
}

/// 32 bytes of a key; a private one may be followed by its public one.
fn key_of(encoded: &str) -> Result<[u8; KEY_BYTES], &'static str> {
    let bytes = decoded(encoded)?;
    let whole = bytes.len() == KEY_BYTES || bytes.len() == 2 * KEY_BYTES;
    let key = bytes.first_chunk::<KEY_BYTES>().filter(|_| whole);
    key.copied()
        .ok_or("is whpk_ or whsk_ with another number of bytes than a key of ed25519 has, 32")
}

fn decoded(encoded: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let bytes = STANDARD.decode(encoded);
    bytes.map(Zeroizing::new).map_err(
        |_| "has to be whsec_ (or whpk_ for ed25519) and the key in standard base64, with its padding",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> &'static str {
        Key::parse(&Secret::new("x", text)).err().unwrap()
    }

    #[test]
    fn a_secret_of_each_kind_is_read() {
        let of = |text: &str| Key::parse(&Secret::new("x", text)).unwrap();
        assert!(matches!(of("whsec_plJ3nmyCDGBKInavdOK15jsl"), Key::Shared(_)));
        assert!(matches!(of("plJ3nmyCDGBKInavdOK15jsl"), Key::Shared(_)));
        let seed = STANDARD.encode([7; 32]);
        assert!(matches!(of(&format!("whsk_{seed}")), Key::Private(_)));
        let public = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let public = STANDARD.encode(public.as_bytes());
        assert!(matches!(of(&format!("whpk_{public}")), Key::Public(_)));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for (text, why) in [
            ("swordfish is no base64", "standard base64"),
            ("whsec_swordfish!", "standard base64"),
            ("whsec_", "less than 16"),
            ("whsec_c2hvcnQ=", "less than 16"),
            ("whsec_plJ3nmyCDGBKInavdOK15js", "standard base64"),
            ("whpk_c2hvcnQ=", "another number"),
            ("whsk_c2hvcnQ=", "another number"),
            (
                "whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                "no public key",
            ),
        ] {
            let problem = problem(text);
            assert!(problem.contains(why), "{text}: {problem}");
            assert!(!problem.contains("swordfish"), "{problem}");
        }
    }
}
