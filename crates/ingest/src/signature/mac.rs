//! HMACs over a body as it arrives, and the one comparison that decides about them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Check;
use crate::options::HashKind;

/// An HMAC under one key.
#[derive(Clone)]
pub(super) enum KeyedHash {
    Sha1(Box<Hmac<Sha1>>),
    Sha256(Box<Hmac<Sha256>>),
    Sha512(Box<Hmac<Sha512>>),
}

impl KeyedHash {
    /// HMAC takes keys of any length, so that this is always some.
    pub(super) fn new(hash: HashKind, key: &[u8]) -> Option<Self> {
        Some(match hash {
            HashKind::Sha1 => Self::Sha1(Box::new(Hmac::new_from_slice(key).ok()?)),
            HashKind::Sha256 => Self::Sha256(Box::new(Hmac::new_from_slice(key).ok()?)),
            HashKind::Sha512 => Self::Sha512(Box::new(Hmac::new_from_slice(key).ok()?)),
        })
    }

    pub(super) fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }
}

/// The HMAC of a text at once.
pub(super) fn mac_of(hash: HashKind, key: &[u8], text: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = KeyedHash::new(hash, key)?;
    for piece in text {
        mac.update(piece);
    }
    Some(mac.finish())
}

/// Checks the signatures given, any of which may be by any of the candidates.
pub(super) struct MacCheck {
    given: Vec<Vec<u8>>,
    macs: Vec<(usize, KeyedHash)>,
    after: Vec<u8>,
}

impl MacCheck {
    /// Signatures over the body alone; `keys` go with the number of their candidate.
    pub(super) fn new<'k>(
        hash: HashKind,
        keys: impl IntoIterator<Item = (usize, &'k [u8])>,
        given: Vec<Vec<u8>>,
    ) -> Option<Self> {
        let macs = keys
            .into_iter()
            .map(|(at, key)| Some((at, KeyedHash::new(hash, key)?)));
        Some(Self {
            given,
            macs: macs.collect::<Option<_>>()?,
            after: Vec::new(),
        })
    }

    /// Signs what stands before the body, and after it.
    pub(super) fn around(mut self, before: &[u8], after: &[u8]) -> Self {
        Check::update(&mut self, before);
        self.after = after.to_vec();
        self
    }
}

impl Check for MacCheck {
    fn update(&mut self, piece: &[u8]) {
        for (_, mac) in &mut self.macs {
            mac.update(piece);
        }
    }

    fn finish(self: Box<Self>) -> Option<usize> {
        let (mut found, mut which) = (Choice::from(0), 0_u64);
        for (at, mut mac) in self.macs {
            mac.update(&self.after);
            let computed = mac.finish();
            let mut fits = Choice::from(0);
            for given in &self.given {
                fits |= computed.ct_eq(given);
            }
            which.conditional_assign(&(at as u64), fits & !found);
            found |= fits;
        }
        bool::from(found)
            .then_some(which)
            .and_then(|at| usize::try_from(at).ok())
    }
}
