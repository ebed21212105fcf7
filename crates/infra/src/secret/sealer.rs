//! Encrypts secrets with the newest key, and opens them with any of those it was given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{SealedSecret, SecretId, SourceName, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::MasterKey;

/// The longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 1024;
/// What is authenticated with a ciphertext begins with this: another use of the key can't be taken for this one.
const LABEL: &[u8] = b"hooklog source secret 1";

/// Why a secret is not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is none, or far too long for one.
    #[error("a secret is 1 to {SECRET_BYTES_MAX} bytes")]
    Length,
    /// There is no randomness, or the cipher fails.
    #[error("the secret can't be encrypted")]
    Cipher,
}

/// Why a secret stays closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was encrypted with another key.
    #[error(
        "secret {secret} is encrypted with the key {key}, which is not there: name its file in `secrets.old_key_files`"
    )]
    KeyMissing {
        /// The secret.
        secret: SecretId,
        /// The id of the key.
        key: String,
    },
    /// It was changed, or belongs elsewhere.
    #[error("secret {0} is not what was encrypted")]
    Damaged(SecretId),
}

struct Key {
    id: String,
    aead: LessSafeKey,
}

/// The keys of secrets.
pub struct Sealer {
    newest: Key,
    old: Vec<Key>,
}

impl Key {
    fn new(key: &MasterKey) -> Self {
        // The only thing that could be wrong with a key is its length, which its type fixes.
        let unbound = UnboundKey::new(&AES_256_GCM, key.bytes())
            .unwrap_or_else(|_| unreachable!("a key for AES-256 has 32 bytes"));
        Self {
            id: key.id().to_owned(),
            aead: LessSafeKey::new(unbound),
        }
    }
}

impl Sealer {
    /// Encrypts with the newest key; the old ones open what was encrypted before.
    #[must_use]
    pub fn new(newest: &MasterKey, old: &[MasterKey]) -> Self {
        Self {
            newest: Key::new(newest),
            old: old.iter().map(Key::new).collect(),
        }
    }

    /// The id of the newest key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.newest.id
    }

    /// Encrypts a secret of a source. It opens only under the same name, tenant and hook.
    ///
    /// # Errors
    /// When its length is none of a secret's.
    pub fn seal(
        &self,
        source: &SourceName,
        (id, tenant, hook): (SecretId, TenantId, Option<String>),
        secret: &SecretString,
    ) -> Result<SealedSecret, SealError> {
        let text = secret.expose_secret();
        if text.is_empty() || text.len() > SECRET_BYTES_MAX {
            return Err(SealError::Length);
        }
        let bytes: [u8; NONCE_LEN] = rand::random();
        let mut sealed = SealedSecret {
            id,
            tenant,
            hook,
            sealed_with: self.newest.id.clone(),
            nonce: STANDARD.encode(bytes),
            ciphertext: String::new(),
        };
        let aad = Aad::from(authenticated(source, &sealed));
        let mut buffer = Zeroizing::new(text.as_bytes().to_vec());
        let tag = self
            .newest
            .aead
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(bytes), aad, &mut buffer)
            .map_err(|_| SealError::Cipher)?;
        let whole = [buffer.as_slice(), tag.as_ref()].concat();
        sealed.ciphertext = STANDARD.encode(whole);
        Ok(sealed)
    }

    /// Opens a secret of a source.
    ///
    /// # Errors
    /// When its key is not there, or it is not what was encrypted.
    pub fn open(&self, source: &SourceName, sealed: &SealedSecret) -> Result<SecretString, OpenError> {
        let mut keys = std::iter::once(&self.newest).chain(&self.old);
        let key = keys
            .find(|key| key.id == sealed.sealed_with)
            .ok_or_else(|| OpenError::KeyMissing {
                secret: sealed.id.clone(),
                key: sealed.sealed_with.clone(),
            })?;
        let damaged = || OpenError::Damaged(sealed.id.clone());
        let nonce = STANDARD.decode(&sealed.nonce).map_err(|_| damaged())?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
        let mut buffer = Zeroizing::new(STANDARD.decode(&sealed.ciphertext).map_err(|_| damaged())?);
        let aad = Aad::from(authenticated(source, sealed));
        let opened = key
            .aead
            .open_in_place(nonce, aad, &mut buffer)
            .map_err(|_| damaged())?;
        let text = std::str::from_utf8(opened).map_err(|_| damaged())?;
        Ok(SecretString::from(text))
    }

    /// Whether a secret is encrypted with another key than the newest.
    #[must_use]
    pub fn is_old(&self, sealed: &SealedSecret) -> bool {
        sealed.sealed_with != self.newest.id
    }
}

/// What a ciphertext belongs to, each part behind its length, so that no two places read the same.
fn authenticated(source: &SourceName, sealed: &SealedSecret) -> Vec<u8> {
    let mut bytes = LABEL.to_vec();
    let mut add = |part: Option<&str>| {
        let len = part.map_or(u64::MAX, |part| part.len() as u64);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(part.unwrap_or_default().as_bytes());
    };
    add(Some(source.as_str()));
    add(Some(sealed.id.as_str()));
    add(Some(sealed.tenant.as_str()));
    add(sealed.hook.as_deref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> MasterKey {
        MasterKey::new([n; 32])
    }

    fn shop() -> SourceName {
        "shop".parse().unwrap()
    }

    fn sealed(sealer: &Sealer, text: &str) -> SealedSecret {
        let id = "first".parse().unwrap();
        let place = (id, TenantId::default(), Some("41".to_owned()));
        sealer.seal(&shop(), place, &SecretString::from(text)).unwrap()
    }

    #[test]
    fn a_secret_opens_where_it_was_sealed_and_nowhere_else() {
        let sealer = Sealer::new(&key(1), &[]);
        let whole = sealed(&sealer, "swordfish");
        assert_eq!(sealer.open(&shop(), &whole).unwrap().expose_secret(), "swordfish");
        assert!(!format!("{whole:?}").contains("swordfish"));
        assert_ne!(
            sealed(&sealer, "swordfish").ciphertext,
            whole.ciphertext,
            "a nonce was used twice"
        );
        let elsewhere = [
            SealedSecret {
                id: "second".parse().unwrap(),
                ..whole.clone()
            },
            SealedSecret {
                tenant: "team-a".parse().unwrap(),
                ..whole.clone()
            },
            SealedSecret {
                hook: None,
                ..whole.clone()
            },
            SealedSecret {
                hook: Some("4".into()),
                ..whole.clone()
            },
            SealedSecret {
                nonce: "AAAA".into(),
                ..whole.clone()
            },
            SealedSecret {
                ciphertext: "!".into(),
                ..whole.clone()
            },
            SealedSecret {
                ciphertext: String::new(),
                ..whole.clone()
            },
        ];
        for moved in elsewhere {
            assert!(
                matches!(sealer.open(&shop(), &moved), Err(OpenError::Damaged(_))),
                "{moved:?}"
            );
        }
        assert!(sealer.open(&"shop2".parse().unwrap(), &whole).is_err());
    }

    #[test]
    fn no_flipped_bit_opens() {
        let sealer = Sealer::new(&key(1), &[]);
        let whole = sealed(&sealer, "swordfish");
        for (n, text) in [&whole.nonce, &whole.ciphertext].into_iter().enumerate() {
            let bytes = STANDARD.decode(text).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = STANDARD.encode(flipped);
                let mut changed = whole.clone();
                if n == 0 {
                    changed.nonce = flipped
                } else {
                    changed.ciphertext = flipped
                }
                assert!(sealer.open(&shop(), &changed).is_err(), "bit {bit} of part {n}");
            }
        }
    }

    #[test]
    fn an_old_key_opens_and_does_not_seal() {
        let before = sealed(&Sealer::new(&key(1), &[]), "swordfish");
        let after = Sealer::new(&key(2), &[key(1)]);
        assert!(after.is_old(&before));
        let open = after.open(&shop(), &before).unwrap();
        assert!(!after.is_old(&sealed(&after, open.expose_secret())));
        let without = Sealer::new(&key(2), &[]).open(&shop(), &before).unwrap_err();
        assert!(without.to_string().contains(key(1).id()), "{without}");
    }

    #[test]
    fn a_secret_has_a_length() {
        let sealer = Sealer::new(&key(1), &[]);
        for text in [String::new(), "x".repeat(SECRET_BYTES_MAX + 1)] {
            let place = ("first".parse().unwrap(), TenantId::default(), None);
            assert!(matches!(
                sealer.seal(&shop(), place, &SecretString::from(text)),
                Err(SealError::Length)
            ));
        }
        let longest = "ä".repeat(SECRET_BYTES_MAX / 2);
        assert_eq!(
            sealer
                .open(&shop(), &sealed(&sealer, &longest))
                .unwrap()
                .expose_secret(),
            longest
        );
    }
}
