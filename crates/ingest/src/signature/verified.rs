//! A request whose proof was checked over the very bytes it carries.
//!
//! The fields of [`VerifiedRequest`] are private and [`VerifiedRequest::read`] is the only way to one, so that whoever
//! holds one knows that its body was verified, by which secret, and for whom.

use domain::{ContentHash, ContentHasher, Proof, TenantId};

use super::{Check, Claim};
use crate::body::{BodyReader, Incoming, ReceivedBody};
use crate::head::{Head, TrustedLocal};
use crate::options::Secret;
use crate::rejection::Rejection;
use crate::source::Source;

/// What remains to be shown about a request before its body may be trusted.
pub(crate) struct Verification<'s> {
    source: &'s Source,
    claim: Claim,
    hasher: ContentHasher,
    proof: ProofDue<'s>,
}

enum ProofDue<'s> {
    /// One of these secrets has to fit.
    Secret {
        candidates: Vec<&'s Secret>,
        check: Box<dyn Check>,
    },
    /// The source asks for none, and the sender is a true loopback client.
    Waived(TrustedLocal),
}

/// A request that has shown where it comes from.
pub(crate) struct VerifiedRequest {
    claim: Claim,
    tenant: TenantId,
    proof: Proof,
    sha256: ContentHash,
    body: ReceivedBody,
}

impl<'s> Verification<'s> {
    /// Chooses the candidates, by hook, and refuses what gives no proof at all.
    pub(crate) fn begin(
        source: &'s Source,
        claim: Claim,
        head: &Head,
        connection: Option<&str>,
        local: Option<TrustedLocal>,
    ) -> Result<Self, Rejection> {
        let proof = if source.verify {
            let candidates = source.candidates(&claim, connection);
            let check = source
                .scheme
                .check(head, &candidates)
                .ok_or(Rejection::SignatureInvalid)?;
            ProofDue::Secret { candidates, check }
        } else {
            ProofDue::Waived(local.ok_or(Rejection::SignatureInvalid)?)
        };
        Ok(Self {
            source,
            claim,
            hasher: ContentHasher::default(),
            proof,
        })
    }

    fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        match &mut self.proof {
            ProofDue::Secret { check, .. } => check.update(piece),
            ProofDue::Waived(_) => {}
        }
    }

    fn finish(self, body: ReceivedBody) -> Result<VerifiedRequest, Rejection> {
        let (tenant, proof) = match self.proof {
            ProofDue::Secret { candidates, check } => {
                let which = check.finish().ok_or(Rejection::SignatureInvalid)?;
                let secret = candidates.get(which).ok_or(Rejection::SignatureInvalid)?;
                let secret_id = secret.id.clone();
                (secret.tenant.clone(), Proof::Verified { secret_id })
            }
            ProofDue::Waived(_) => (TenantId::default(), Proof::Unverified),
        };
        Ok(VerifiedRequest {
            claim: self.claim,
            tenant,
            proof,
            sha256: self.hasher.finish(),
            body,
        })
    }
}

impl VerifiedRequest {
    /// Reads the body within its limits while the proof is computed over it.
    pub(crate) async fn read(
        mut verification: Verification<'_>,
        incoming: &mut Incoming,
        reader: &mut BodyReader<'_>,
    ) -> Result<Self, Rejection> {
        let limit = verification.source.raw_bytes_max(&verification.claim);
        let body = reader
            .read(incoming, limit, |piece| verification.update(piece))
            .await?;
        verification.finish(body)
    }

    /// What its headers say.
    pub(crate) const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The tenant of the secret that fitted.
    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// How it proved itself.
    pub(crate) const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// SHA-256 of its body.
    pub(crate) const fn sha256(&self) -> ContentHash {
        self.sha256
    }

    /// Length of its body.
    pub(crate) const fn body_bytes(&self) -> u64 {
        self.body.byte_len()
    }

    /// The body, to be read.
    pub(crate) const fn body(&mut self) -> &mut ReceivedBody {
        &mut self.body
    }

    /// The body, to be kept.
    pub(crate) fn into_body(self) -> ReceivedBody {
        self.body
    }
}
