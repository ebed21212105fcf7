//! Says what receiving would do with a request, which check fails, and, where no secret fits, why that may be.
//!
//! It goes the way of receiving, by the same code: the scheme's `claim` and `check`, the facts, freshness, the filter. It
//! leaves out what depends on more than the request: addresses, rates, and the append.
//!
//! Never here: a signature or a secret in what is told, nor anything that leads to one. It only ever says whether what it was
//! given fits. Of a secret that is another tenant's a caller learns no more than receiving tells every sender: that a hook has
//! secrets of its own, so that a general one is not tried.

mod explanation;
mod form;
mod options;
mod recoded;
mod reserialised;
mod search;
mod walk;
mod words;

use bytes::Bytes;
use domain::{Hold, TenantId, Timestamp};
use poem::http::HeaderMap;

pub use explanation::{CheckName, CheckOutcome, Checked, Explanation, WouldBe};
pub use options::ExplainOptions;

use explanation::Finding;
use walk::{Found, Walk};

use crate::build_error::BuildError;
use crate::head::Head;
use crate::options::{IngestOptions, Secret, SourceOptions};
use crate::source::Source;

/// A request that somebody asks about.
#[derive(Clone)]
pub struct Question {
    /// Who asks.
    pub asker: Asker,
    /// The source that it was sent to.
    pub source: String,
    /// The connection in its path.
    pub connection: Option<String>,
    /// Its headers, as on the wire.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// When it is taken to be received; now unless given.
    pub at: Option<Timestamp>,
}

/// Whose secrets somebody may hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Whoever runs the instance: those of all.
    Instance,
    /// A tenant: its own.
    Tenant(TenantId),
}

impl Asker {
    fn sees(&self, secret: &Secret) -> bool {
        match self {
            Self::Instance => true,
            Self::Tenant(tenant) => secret.tenant == *tenant,
        }
    }

    /// Whether a source is one that they may hear of.
    fn knows(&self, source: &Source) -> bool {
        match self {
            Self::Instance => true,
            Self::Tenant(_) => source.secrets().any(|secret| self.sees(secret)),
        }
    }
}

/// The sources as they are at this moment, and the time.
pub(crate) struct Known<'a> {
    pub(crate) options: &'a IngestOptions,
    pub(crate) sources: &'a [&'a Source],
    /// Those that take no deliveries now, and why.
    pub(crate) held: &'a [(&'a str, Hold)],
    pub(crate) now: Timestamp,
}

impl Known<'_> {
    /// Explains a request.
    pub(crate) async fn explain(&self, question: &Question) -> Explanation {
        let named = self.sources.iter().find(|s| s.name.as_str() == question.source);
        let Some(source) = named.filter(|source| question.asker.knows(source)) else {
            return self.unknown(question);
        };
        let head = Head::new(None, question.headers.clone());
        let mut walk = Walk {
            known: self,
            question,
            source,
            head: &head,
            now: question.at.unwrap_or(self.now),
            found: Found::default(),
        };
        let outcome = Box::pin(walk.run()).await;
        walk.told(outcome)
    }

    fn unknown(&self, question: &Question) -> Explanation {
        let mut held = self.held.iter().filter(|(name, _)| *name == question.source);
        // Whose it is, is not known of one that is held: only whoever runs the instance hears of it.
        let held = held.next().filter(|_| question.asker == Asker::Instance);
        let finding = match held {
            Some((_, why)) => words::held(*why),
            None => words::unknown_source(self, &question.asker),
        };
        let checks = vec![Checked {
            name: CheckName::Source,
            outcome: CheckOutcome::Failed,
            message: finding.message,
            hint: finding.hint,
        }];
        Explanation {
            source: question.source.clone(),
            scheme: None,
            verified: false,
            would_be: WouldBe::Rejected,
            checks,
            secret_id: None,
            tenant: None,
            event: None,
            action: None,
            repository: None,
            delivery_id: None,
        }
    }
}

/// Explains requests by sources of its own, where nothing is received: for whoever has the secret and the request at hand.
pub struct Explainer {
    options: IngestOptions,
    sources: Vec<Source>,
}

impl Explainer {
    /// Checks the sources.
    ///
    /// # Errors
    /// When one can't be used as configured.
    pub fn build(options: IngestOptions, sources: Vec<SourceOptions>) -> Result<Self, BuildError> {
        let built: Result<Vec<Source>, _> = sources.into_iter().map(|s| Source::build(s, &options)).collect();
        Ok(Self {
            sources: built?,
            options,
        })
    }

    /// Explains a request, at the time that it names or else now.
    pub async fn explain(&self, question: &Question, now: Timestamp) -> Explanation {
        let sources: Vec<&Source> = self.sources.iter().collect();
        let known = Known {
            options: &self.options,
            sources: &sources,
            held: &[],
            now,
        };
        known.explain(question).await
    }
}
