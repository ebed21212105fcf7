//! How senders prove themselves: one file per scheme, behind one trait.
//!
//! A scheme reads what the headers say, checks the raw bytes of the body while they arrive, and says where its facts
//! stand. It never parses the body, never decides what is answered beyond a [`Rejection`], and never lets anything but
//! equality, in constant time, decide about a proof.

mod github;
mod verified;

use poem::http::HeaderMap;
use poem::http::header::InvalidHeaderValue;

pub(crate) use verified::{Verification, VerifiedRequest};

use crate::head::Head;
use crate::json::Path;
use crate::options::{SchemeKind, Secret};
use crate::rejection::Rejection;

/// What the headers of a delivery say about it, none of it proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The sender's hook, where it names one.
    pub(crate) hook_id: Option<String>,
    /// The sender's id of the delivery, where it gives one.
    pub(crate) delivery_id: Option<String>,
    /// The event type, where a header says it.
    pub(crate) event: Option<String>,
    /// Whether the document is the field `payload` of a form.
    pub(crate) form: bool,
}

/// Where a scheme's facts stand in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactPaths {
    /// Whether the document has to be a JSON object.
    pub(crate) object_required: bool,
    /// The event type, where no header says it.
    pub(crate) event: Option<Path>,
    /// The action.
    pub(crate) action: Option<Path>,
    /// The repository.
    pub(crate) repository: Option<Path>,
    /// Whoever caused it.
    pub(crate) sender: Option<Path>,
    /// What it is about, with the name of its kind.
    pub(crate) entity: Option<(&'static str, Path)>,
}

/// What a synthetic delivery is made of.
pub(crate) struct ToSign<'a> {
    pub(crate) event: &'a str,
    pub(crate) delivery_id: &'a str,
    pub(crate) body: &'a [u8],
}

/// A way of proving where a delivery comes from.
pub(crate) trait Scheme: Send + Sync {
    /// The name in settings and events.
    fn name(&self) -> &'static str;

    /// How the sender's program names itself, for sources that check it.
    fn user_agent(&self) -> Option<&'static str>;

    /// Headers that carry this scheme's secret in clear.
    fn secret_headers(&self) -> &'static [&'static str];

    /// Reads the headers; refuses a delivery that lacks what the scheme needs.
    fn claim(&self, head: &Head) -> Result<Claim, Rejection>;

    /// Begins to check a body against all candidates at once; none when no proof can be read from the headers.
    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>>;

    /// Where the facts stand.
    fn paths(&self, claim: &Claim) -> FactPaths;

    /// The headers of a delivery signed with a secret, as its sender would set them.
    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, InvalidHeaderValue>;
}

/// A check under way.
pub(crate) trait Check: Send {
    /// Takes the next raw bytes of the body.
    fn update(&mut self, piece: &[u8]);

    /// Which of the candidates the proof fits, if any. Takes the same time whatever it finds.
    fn finish(self: Box<Self>) -> Option<usize>;
}

/// The scheme of a kind.
pub(crate) fn scheme(kind: SchemeKind) -> Box<dyn Scheme> {
    match kind {
        SchemeKind::Github => Box::new(github::Github),
    }
}
