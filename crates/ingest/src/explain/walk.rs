//! The way of a request through the checks of receiving, and what it leaves behind.

use bytes::{Bytes, BytesMut};
use domain::{Proof, Timestamp};
use futures_util::stream;
use poem::http::header::CONTENT_ENCODING;

use super::search::Search;
use super::{CheckName, CheckOutcome, Checked, Explanation, Finding, Known, Question, WouldBe, form, words};
use crate::body::Incoming;
use crate::coding::{ContentCoding, Decoder};
use crate::facts::{self, Facts};
use crate::head::{Head, TrustedLocal};
use crate::options::Secret;
use crate::rejection::Rejection;
use crate::signature::{Claim, Verification, VerifiedRequest};
use crate::source::Source;

/// A request on its way.
pub(super) struct Walk<'a> {
    pub(super) known: &'a Known<'a>,
    pub(super) question: &'a Question,
    pub(super) source: &'a Source,
    pub(super) head: &'a Head,
    pub(super) now: Timestamp,
    pub(super) found: Found<'a>,
}

/// What is known of a request so far.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) claim: Option<Claim>,
    /// The secrets that are tried, of those that the caller may hear of.
    pub(super) candidates: Vec<&'a Secret>,
    /// The body, decoded.
    pub(super) body: Option<Bytes>,
    pub(super) request: Option<VerifiedRequest>,
    pub(super) facts: Option<Facts>,
}

impl<'a> Walk<'a> {
    /// Goes as far as receiving would, in its order.
    pub(super) async fn run(&mut self) -> Result<WouldBe, Rejection> {
        let (source, options) = (self.source, self.known.options);
        if !source.has(self.connection(), self.now) || self.is_foreign_connection() {
            return Err(Rejection::UnknownSource);
        }
        self.head.check_size(options)?;
        source.check_user_agent(self.head)?;
        let claim = source.scheme.claim(self.head)?;
        self.found.claim = Some(claim.clone());
        let coding = self.head.content_coding(&options.content_codings)?;
        self.found.candidates = self.candidates(&claim);
        let bytes_max = source.raw_bytes_max(&claim);
        let candidates = self.found.candidates.clone();
        let local = Some(TrustedLocal::made_here());
        let verification = Verification::among(candidates, source, claim, self.head, local)?;
        let body = decoded(coding, &self.question.body, bytes_max).await?;
        self.found.body = Some(body.clone());
        let request = VerifiedRequest::of_memory(verification, body)?;
        let request = self.found.request.insert(request);
        let facts = facts::read(source, request).await?;
        let facts = self.found.facts.insert(facts);
        request.check_freshness(source.tolerance_ms, self.now)?;
        Ok(if facts.are_wanted(&source.filter) {
            WouldBe::Accepted
        } else {
            WouldBe::Ignored
        })
    }

    /// The connection in the path.
    pub(super) fn connection(&self) -> Option<&'a str> {
        self.question.connection.as_deref()
    }

    /// A connection whose secrets are all another tenant's is one that does not exist.
    fn is_foreign_connection(&self) -> bool {
        let Some(connection) = self.connection().filter(|_| self.source.verify) else {
            return false;
        };
        let mut bound = self.source.secrets();
        !bound.any(|s| s.hook.as_deref() == Some(connection) && self.question.asker.sees(s))
    }

    /// Those that receiving would try, as far as the caller may hear of them. Chosen before that is looked at: a hook that has
    /// secrets of its own is verified by those alone, whosever they are.
    fn candidates(&self, claim: &Claim) -> Vec<&'a Secret> {
        let mut chosen = self.source.candidates(claim, self.connection(), self.now);
        chosen.retain(|secret| self.question.asker.sees(secret));
        chosen
    }

    /// Tells what came of it.
    pub(super) fn told(self, outcome: Result<WouldBe, Rejection>) -> Explanation {
        let failed = match &outcome {
            Ok(WouldBe::Ignored) => Some((CheckName::EventFilter, words::unwanted())),
            Ok(WouldBe::Accepted | WouldBe::Rejected) => None,
            Err(rejection) => Some(self.why(rejection)),
        };
        let checks = CheckName::ALL
            .into_iter()
            .filter_map(|name| self.checked(name, failed.as_ref()));
        let checks = checks.collect();
        let Found { request, facts, .. } = self.found;
        let secret_id = request.as_ref().and_then(|request| match request.proof() {
            Proof::Verified { secret_id } => Some(secret_id.clone()),
            Proof::Unverified | Proof::Imported => None,
        });
        let of_facts = |of: fn(&Facts) -> Option<String>| facts.as_ref().and_then(of);
        Explanation {
            source: self.question.source.clone(),
            scheme: Some(self.source.scheme.name().to_owned()),
            verified: outcome.is_ok() && secret_id.is_some(),
            would_be: outcome.unwrap_or(WouldBe::Rejected),
            checks,
            tenant: secret_id
                .is_some()
                .then(|| request.as_ref().map(|request| request.tenant().to_string()))
                .flatten(),
            secret_id,
            event: of_facts(|facts| Some(facts.event.clone())),
            action: of_facts(|facts| facts.action.clone()),
            repository: of_facts(|facts| facts.repository.clone()),
            delivery_id: request.and_then(|request| request.claim().delivery_id.clone()),
        }
    }

    /// One line of the answer; none for a check that does not apply.
    fn checked(&self, name: CheckName, failed: Option<&(CheckName, Finding)>) -> Option<Checked> {
        let made = |outcome, message: String, hint| {
            Some(Checked {
                name,
                outcome,
                message,
                hint,
            })
        };
        match failed {
            Some((at, finding)) if *at == name => made(
                CheckOutcome::Failed,
                finding.message.clone(),
                finding.hint.clone(),
            ),
            _ if !self.applies(name) => None,
            Some((at, _)) if *at < name => made(
                CheckOutcome::Skipped,
                format!("not looked at, because of {}", at.as_str()),
                None,
            ),
            Some(_) | None => {
                let (outcome, message) = words::passed(self, name);
                made(outcome, message, None)
            }
        }
    }

    fn applies(&self, name: CheckName) -> bool {
        match name {
            CheckName::Connection => self.question.connection.is_some(),
            CheckName::ContentEncoding => self.head.headers.contains_key(CONTENT_ENCODING),
            // Told where it failed, which it only can where it is asked for.
            CheckName::UserAgent => false,
            CheckName::Source
            | CheckName::Headers
            | CheckName::SignatureForm
            | CheckName::Body
            | CheckName::Signature
            | CheckName::JsonObject
            | CheckName::Freshness
            | CheckName::EventFilter => true,
        }
    }

    /// Which check it was, and what is to say about it.
    fn why(&self, rejection: &Rejection) -> (CheckName, Finding) {
        match rejection {
            Rejection::UnknownSource => (CheckName::Connection, words::unknown_connection(self)),
            Rejection::UserAgentRefused => (CheckName::UserAgent, words::of(rejection)),
            Rejection::HeadersTooLarge => (CheckName::Headers, words::of(rejection)),
            Rejection::HeaderMissing(_)
            | Rejection::HeaderDuplicated(_)
            | Rejection::HeaderInvalid(_)
            | Rejection::ContentType => (
                CheckName::Headers,
                self.or_elsewhere(words::of(rejection)),
            ),
            Rejection::ContentEncoding => (CheckName::ContentEncoding, words::of(rejection)),
            Rejection::BodyNotDecodable => (CheckName::ContentEncoding, words::not_decodable(rejection)),
            Rejection::SignatureInvalid => self.why_no_secret_fits(),
            Rejection::NotJsonObject(_) => (CheckName::JsonObject, words::of(rejection)),
            Rejection::TooOld { age_ms } => {
                (CheckName::Freshness, words::too_old(*age_ms, self.source.tolerance_ms))
            }
            Rejection::BodyTooLarge(_)
            | Rejection::BodyTimeout
            | Rejection::BodyIncomplete
            // These come from what is not done here.
            | Rejection::AddressNotAllowed
            | Rejection::AddressRate(_)
            | Rejection::SourceRate(_)
            | Rejection::RepositoryRate(_)
            | Rejection::OnlyVerifies
            | Rejection::SourcePaused
            | Rejection::SourceUnavailable
            | Rejection::Stopping
            | Rejection::Busy
            | Rejection::LogBehind
            | Rejection::Unavailable(_)
            | Rejection::Refused => (CheckName::Body, words::of(rejection)),
        }
    }

    fn why_no_secret_fits(&self) -> (CheckName, Finding) {
        let shape = self.source.scheme.shape(self.head, &self.found.candidates);
        let signatures_max = self.known.options.signatures_max;
        if let Some(finding) = form::problem(&shape, self.head, signatures_max) {
            return (CheckName::SignatureForm, self.or_elsewhere(finding));
        }
        (CheckName::Signature, Search::new(self).why())
    }

    /// Whether another source would take it says more than what this one misses.
    fn or_elsewhere(&self, finding: Finding) -> Finding {
        match Search::new(self).taken_elsewhere() {
            Some(hint) => finding.with(hint),
            None => finding,
        }
    }
}

/// The body as its signature covers it.
async fn decoded(coding: Option<ContentCoding>, body: &Bytes, bytes_max: u64) -> Result<Bytes, Rejection> {
    if body.len() as u64 > bytes_max {
        return Err(Rejection::BodyTooLarge(bytes_max));
    }
    let Some(coding) = coding else {
        return Ok(body.clone());
    };
    let pieces = stream::iter([Ok(body.clone())]);
    let mut incoming = Incoming::new(Box::pin(pieces), Some(body.len() as u64));
    let mut decoder = Decoder::new(coding, &mut incoming, bytes_max);
    let mut whole = BytesMut::new();
    while let Some(piece) = decoder.next().await {
        let piece = piece?;
        if (whole.len() + piece.len()) as u64 > bytes_max {
            return Err(Rejection::BodyTooLarge(bytes_max));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
