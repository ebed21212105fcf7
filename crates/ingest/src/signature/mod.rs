//! How senders prove themselves: one file per scheme, behind one trait.
//!
//! A scheme reads what the headers say, checks the raw bytes of the body while they arrive, and says where its facts
//! stand. It never parses the body, never decides what is answered beyond a [`Rejection`], and never lets anything but
//! equality, in constant time, decide about a proof.

mod claude_code;
mod codegen;
mod configured;
mod content;
mod github;
mod gitlab;
mod hmac;
mod key;
mod linear;
mod mac;
mod plain;
mod preset;
mod shape;
mod stamp;
mod standard;
mod template;
#[cfg(test)]
mod tests;
mod token;
mod verified;

use domain::Timestamp;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

pub(crate) use shape::{ListShape, MacShape, Shape, TokenShape};
pub(crate) use stamp::Stamp;
pub use stamp::TimeUnit;
pub(crate) use verified::{Verification, VerifiedRequest};

use configured::ConfiguredFacts;
use hmac::HmacScheme;

use crate::head::Head;
use crate::json::Path;
use crate::options::{FactOptions, IngestOptions, ProofOptions, SchemeKind, Secret, SourceOptions};
use crate::rejection::Rejection;

/// What the headers of a delivery say about it, none of it proven yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    /// The sender's hook, where it names one.
    pub(crate) hook_id: Option<String>,
    /// The sender's id of the delivery, where a header gives one.
    pub(crate) delivery_id: Option<String>,
    /// The event type, where a header says it.
    pub(crate) event: Option<String>,
    /// When it was signed, where a header says it.
    pub(crate) signed_at: Option<Stamp>,
    /// Whether the document is the field `payload` of a form.
    pub(crate) form: bool,
}

/// Where a scheme's facts stand in the document. Of several places the first that holds something counts, and what the
/// document says goes before what a header says: documents are signed, most headers are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FactPaths {
    /// Whether the document has to be a JSON object.
    pub(crate) object_required: bool,
    /// The event type.
    pub(crate) event: Vec<Path>,
    /// The action.
    pub(crate) action: Vec<Path>,
    /// The repository.
    pub(crate) repository: Vec<Path>,
    /// Whoever caused it.
    pub(crate) sender: Vec<Path>,
    /// What it is about, with the name of its kind; without a name that of the event.
    pub(crate) entity: Vec<(Option<&'static str>, Path)>,
    /// The sender's id of the delivery.
    pub(crate) delivery_id: Option<Path>,
    /// When it was signed, in milliseconds since 1970.
    pub(crate) signed_at: Option<Path>,
}

/// A delivery to be signed.
pub(crate) struct ToSign<'a> {
    pub(crate) event: &'a str,
    pub(crate) delivery_id: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

/// A delivery to be made up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Example<'a> {
    pub(crate) event: &'a str,
    pub(crate) action: Option<&'a str>,
    pub(crate) repository: &'a str,
    pub(crate) now: Timestamp,
}

/// Why a delivery can't be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A value that no header can carry.
    #[error("the header {0} can't carry it")]
    Header(String),
    /// The secret only verifies.
    #[error("a public key can't sign")]
    PublicKey,
}

/// A way of proving where a delivery comes from.
pub(crate) trait Scheme: Send + Sync {
    /// The name in settings and events.
    fn name(&self) -> &'static str;

    /// How the sender's program names itself, for sources that check it.
    fn user_agent(&self) -> Option<&'static str> {
        None
    }

    /// Headers that carry this scheme's secret in clear.
    fn secret_headers(&self) -> &[HeaderName] {
        &[]
    }

    /// The header with the proof, where the settings name it: a name that nobody else can know.
    fn proof_header(&self) -> Option<&HeaderName> {
        None
    }

    /// Refuses a secret that could never verify, and says why without showing it.
    fn check_secret(&self, _secret: &Secret) -> Result<(), &'static str> {
        Ok(())
    }

    /// How far the time signed may be from ours unless the settings say otherwise, in milliseconds; none where no time is
    /// signed.
    fn tolerance_ms(&self) -> Option<u64> {
        None
    }

    /// Whether the proof by a secret covers the time of signing.
    fn signs_time(&self, _secret: &Secret) -> bool {
        self.tolerance_ms().is_some()
    }

    /// Reads the headers; refuses a delivery that lacks what the scheme needs.
    fn claim(&self, head: &Head) -> Result<Claim, Rejection>;

    /// Begins to check a body against all candidates at once; none when no proof can be read from the headers.
    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>>;

    /// What a proof of this scheme looks like, for a request and the secrets that are tried on it.
    fn shape(&self, head: &Head, candidates: &[&Secret]) -> Shape<'_>;

    /// Where the facts stand.
    fn paths(&self, claim: &Claim) -> FactPaths;

    /// A small body with facts where this scheme has them.
    fn example(&self, of: &Example<'_>) -> Value;

    /// The headers of a delivery signed with a secret, as its sender would set them.
    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError>;
}

/// A check under way.
pub(crate) trait Check: Send {
    /// Takes the next raw bytes of the body.
    fn update(&mut self, piece: &[u8]);

    /// Which of the candidates the proof fits, if any. Takes the same time whatever it finds.
    fn finish(self: Box<Self>) -> Option<usize>;
}

/// The scheme of a source.
///
/// # Errors
/// Says which of its settings can't be used and why.
pub(crate) fn scheme(source: &SourceOptions, limits: &IngestOptions) -> Result<Box<dyn Scheme>, String> {
    let (kind, signatures_max) = (source.scheme, limits.signatures_max);
    let (proof, facts) = (&source.proof, &source.facts);
    let proof_fixed = matches!(
        kind,
        SchemeKind::Github | SchemeKind::Gitlab | SchemeKind::Linear | SchemeKind::Standard
    );
    if proof_fixed && *proof != ProofOptions::default() {
        return Err("proof: this scheme has its own; leave it out, or use the scheme hmac or token".into());
    }
    if proof_fixed && kind != SchemeKind::Standard && *facts != FactOptions::default() {
        return Err("facts: with this scheme they stand where its sender puts them; leave them out".into());
    }
    let configured = || ConfiguredFacts::build(facts);
    Ok(match kind {
        SchemeKind::Github => Box::new(github::Github),
        SchemeKind::Gitlab => Box::new(gitlab::Gitlab { signatures_max }),
        SchemeKind::Linear => Box::new(linear::Linear),
        SchemeKind::Standard => Box::new(standard::Standard::build(facts, signatures_max)?),
        SchemeKind::Hmac => Box::new(HmacScheme::build("hmac", proof, configured()?, signatures_max)?),
        SchemeKind::Token => Box::new(token::Token::build(proof, configured()?)?),
        SchemeKind::Codegen => Box::new(codegen::CODEGEN.build(proof, facts, signatures_max)?),
        SchemeKind::ClaudeCode => Box::new(claude_code::CLAUDE_CODE.build(proof, facts, signatures_max)?),
    })
}

/// Sets a header of a delivery to be signed.
fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), SignError> {
    let refused = || SignError::Header(name.to_owned());
    let of = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
    headers.insert(of, HeaderValue::from_str(value).map_err(|_| refused())?);
    Ok(())
}
