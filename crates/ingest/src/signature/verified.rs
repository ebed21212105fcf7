//! A request whose proof was checked over the very bytes it carries.
//!
//! The fields of [`VerifiedRequest`] are private and finishing a [`Verification`] is the only way to one, so that whoever
//! holds one knows that its body was verified, by which secret, and for whom.

use bytes::Bytes;
use domain::{ContentHash, ContentHasher, Proof, TenantId, Timestamp};

use super::{Check, Claim, Stamp};
use crate::body::{BodyReader, Incoming, ReceivedBody};
use crate::head::{Head, TrustedLocal};
use crate::options::Secret;
use crate::rejected::Seen;
use crate::rejection::Rejection;
use crate::source::Source;

/// What remains to be shown about a request before its body may be trusted.
pub(crate) struct Verification<'s> {
    source: &'s Source,
    claim: Claim,
    hasher: ContentHasher,
    bytes: u64,
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
    /// Whether the proof covers a time, which then has to be fresh.
    time_is_signed: bool,
}

impl<'s> Verification<'s> {
    /// Chooses the candidates, by hook, and refuses what gives no proof at all.
    pub(crate) fn begin(
        source: &'s Source,
        claim: Claim,
        head: &Head,
        connection: Option<&str>,
        local: Option<TrustedLocal>,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let candidates = source.candidates(&claim, connection, now);
        Self::among(candidates, source, claim, head, local)
    }

    /// The same with the candidates given, where not all of a source's may be tried.
    pub(crate) fn among(
        candidates: Vec<&'s Secret>,
        source: &'s Source,
        claim: Claim,
        head: &Head,
        local: Option<TrustedLocal>,
    ) -> Result<Self, Rejection> {
        let proof = if source.verify {
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
            bytes: 0,
            proof,
        })
    }

    fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        match &mut self.proof {
            ProofDue::Secret { check, .. } => check.update(piece),
            ProofDue::Waived(_) => {}
        }
    }

    fn finish(self, body: ReceivedBody) -> Result<VerifiedRequest, Rejection> {
        let (tenant, proof, time_is_signed) = match self.proof {
            ProofDue::Secret { candidates, check } => {
                let which = check.finish().ok_or(Rejection::SignatureInvalid)?;
                let secret = candidates.get(which).ok_or(Rejection::SignatureInvalid)?;
                let secret_id = secret.id.clone();
                let time_is_signed = self.source.scheme.signs_time(secret);
                (
                    secret.tenant.clone(),
                    Proof::Verified { secret_id },
                    time_is_signed,
                )
            }
            ProofDue::Waived(_) => (TenantId::default(), Proof::Unverified, false),
        };
        Ok(VerifiedRequest {
            claim: self.claim,
            tenant,
            proof,
            sha256: self.hasher.finish(),
            body,
            time_is_signed,
        })
    }
}

impl VerifiedRequest {
    /// Reads the body within its limits while the proof is computed over it.
    pub(crate) async fn read(
        mut verification: Verification<'_>,
        incoming: &mut Incoming,
        reader: &mut BodyReader<'_>,
        seen: &mut Seen,
    ) -> Result<Self, Rejection> {
        let limit = verification.source.raw_bytes_max(&verification.claim);
        let read = reader
            .read(incoming, limit, |piece| verification.update(piece))
            .await;
        if incoming.has_begun() {
            seen.read(verification.bytes, verification.hasher.clone().finish());
        }
        let body = read?;
        if let ReceivedBody::Memory(bytes) = &body {
            seen.whole(bytes);
        }
        verification.finish(body)
    }

    /// The same over a body that is in memory as a whole.
    pub(crate) fn of_memory(mut verification: Verification<'_>, body: Bytes) -> Result<Self, Rejection> {
        verification.update(&body);
        verification.finish(ReceivedBody::Memory(body))
    }

    /// What its headers say.
    pub(crate) const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Adds what the verified document says and no header said.
    pub(crate) fn complete(&mut self, delivery_id: Option<String>, signed_at: Option<Stamp>) {
        self.claim.delivery_id = delivery_id.or(self.claim.delivery_id.take());
        self.claim.signed_at = signed_at.or(self.claim.signed_at);
    }

    /// Refuses what was signed too long ago, or too far ahead of our clock; 0 takes any time. Whoever keeps a delivery
    /// and sends it again later has only the old time.
    pub(crate) fn check_freshness(&self, tolerance_ms: u64, now: Timestamp) -> Result<(), Rejection> {
        if !self.time_is_signed || tolerance_ms == 0 {
            return Ok(());
        }
        match self.claim.signed_at {
            Some(at) if at.is_fresh(now, tolerance_ms) => Ok(()),
            at => Err(Rejection::TooOld {
                age_ms: at.map(|at| at.age_ms(now)),
            }),
        }
    }

    /// Whether the proof covers a time, which has to be fresh.
    pub(crate) const fn time_is_signed(&self) -> bool {
        self.time_is_signed
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
