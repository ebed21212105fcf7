//! Secrets that are sent in clear, compared without telling by the time it takes how much of one was right.

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::Check;
use crate::options::Secret;

/// A token that was compared with all candidates. The body takes no part in it.
pub(super) struct PlainCheck {
    fits: Option<usize>,
}

impl PlainCheck {
    /// Compares hashes, which have one length, so that not even the length of a secret can be measured. `candidates` go
    /// with their numbers.
    pub(super) fn new<'s>(given: &[u8], candidates: impl IntoIterator<Item = (usize, &'s Secret)>) -> Self {
        let given = Sha256::digest(given);
        let (mut found, mut which) = (Choice::from(0), 0_u64);
        for (at, secret) in candidates {
            let fits = Sha256::digest(secret.value.expose_secret().as_bytes()).ct_eq(&given);
            which.conditional_assign(&(at as u64), fits & !found);
            found |= fits;
        }
        let fits = bool::from(found).then_some(which);
        Self {
            fits: fits.and_then(|at| usize::try_from(at).ok()),
        }
    }
}

impl Check for PlainCheck {
    fn update(&mut self, _piece: &[u8]) {}

    fn finish(self: Box<Self>) -> Option<usize> {
        self.fits
    }
}
