//! One try to hand a delivery to a destination, and how it ended.

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, HeaderFact, Timestamp};

/// The most characters of an error's message that are kept.
const MESSAGE_CHARS_MAX: usize = 500;
/// The most characters of an answer that are kept.
const EXCERPT_CHARS_MAX: usize = 500;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The kind.
    pub code: ErrorCode,
    /// What a person should know, at most 500 characters, never a secret.
    pub message: String,
    /// Whether a later try may succeed.
    pub retryable: bool,
}

impl Failure {
    /// A failure of a kind; whether it can be tried again follows from the kind.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self {
            code,
            message: cut(message.as_ref(), MESSAGE_CHARS_MAX),
            retryable: code.retryable(),
        }
    }
}

/// What the destination answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The beginning of its body, as text.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub excerpt: String,
}

impl Response {
    /// An answer, its body cut to 500 characters.
    #[must_use]
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            excerpt: cut(body, EXCERPT_CHARS_MAX),
        }
    }
}

/// Which headers a request carried, told by what they are beside those that the delivery came with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SentHeaders {
    /// Those added: ours and those of the settings, with what is secret in them masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<HeaderFact>,
    /// Names of those that the delivery came with and that did not go on, in lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl SentHeaders {
    /// All that went out: of a delivery with these headers.
    #[must_use]
    pub fn over(&self, received: &[HeaderFact]) -> Vec<HeaderFact> {
        let goes_on = |HeaderFact(name, _): &&HeaderFact| {
            !self.left_out.iter().any(|out| out.eq_ignore_ascii_case(name))
        };
        let passed = received.iter().filter(goes_on);
        passed.chain(&self.added).cloned().collect()
    }
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which one of its round, from 1, without gap or repeat in the log. The receiver of one that two replicas, or two lives
    /// of one, made at once may have been told the number before.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Where it went: a URL without credentials and query, or `nats:<subject>`.
    pub target: String,
    /// The key by which the receiver recognises a repeat; the same for every attempt of a round.
    pub idempotency_key: String,
    /// The headers it carried; none where that was not taken down, as by older versions, or where there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub headers: Option<SentHeaders>,
    /// What was answered, if anything was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response: Option<Response>,
    /// Why it failed; none when it succeeded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
}

impl Attempt {
    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Timestamp {
        let taken = i64::try_from(self.duration_us).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.started_at.as_micros().saturating_add(taken))
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}
