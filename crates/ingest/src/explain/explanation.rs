//! What is told of a request: names of checks, what came of each, ids of secrets.
//!
//! Never here: a secret, a signature, a header's value, or how near a wrong one came.

use serde::Serialize;

/// A check of receiving, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Whether there is such a source.
    Source,
    /// Whether a secret is bound to the connection in the path.
    Connection,
    /// Whether the program that sent it is the sender's.
    UserAgent,
    /// Whether the headers that the scheme needs are there, once, and can be used.
    Headers,
    /// Whether the body can be decoded.
    ContentEncoding,
    /// Whether the proof is written as the scheme writes it.
    SignatureForm,
    /// Whether the body is within its limit.
    Body,
    /// Whether the proof fits a secret.
    Signature,
    /// Whether the body is a JSON object, where the scheme requires one.
    JsonObject,
    /// Whether the time that was signed is near enough.
    Freshness,
    /// Whether the source wants such an event.
    EventFilter,
}

impl CheckName {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::Source,
        Self::Connection,
        Self::UserAgent,
        Self::Headers,
        Self::ContentEncoding,
        Self::SignatureForm,
        Self::Body,
        Self::Signature,
        Self::JsonObject,
        Self::Freshness,
        Self::EventFilter,
    ];

    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Connection => "connection",
            Self::UserAgent => "user_agent",
            Self::Headers => "headers",
            Self::ContentEncoding => "content_encoding",
            Self::SignatureForm => "signature_form",
            Self::Body => "body",
            Self::Signature => "signature",
            Self::JsonObject => "json_object",
            Self::Freshness => "freshness",
            Self::EventFilter => "event_filter",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It was not made: it does not apply, or an earlier one failed.
    Skipped,
}

impl CheckOutcome {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What receiving would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WouldBe {
    /// Take it.
    Accepted,
    /// Answer 200 and not keep it, because the source does not want such events.
    Ignored,
    /// Turn it away.
    Rejected,
}

impl WouldBe {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
        }
    }
}

/// A check that was made, or was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Which one.
    pub name: CheckName,
    /// What came of it.
    pub outcome: CheckOutcome,
    /// What there is to say, in one sentence.
    pub message: String,
    /// What to look at.
    pub hint: Option<String>,
}

/// What receiving would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The source that was asked about.
    pub source: String,
    /// Its scheme; none for a source that is not known.
    pub scheme: Option<String>,
    /// Whether it proves where it comes from and would be answered 200.
    pub verified: bool,
    /// What receiving would do.
    pub would_be: WouldBe,
    /// The checks that apply, in the order of receiving.
    pub checks: Vec<Checked>,
    /// The id of the secret that fits.
    pub secret_id: Option<String>,
    /// Whose delivery it would be; only where a secret fits.
    pub tenant: Option<String>,
    /// The event, of a request that is proven, as are all that follow.
    pub event: Option<String>,
    /// The action within it.
    pub action: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The sender's id of the delivery.
    pub delivery_id: Option<String>,
}

/// What is wrong, and what to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Finding {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn with(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_written_as_it_is_called() {
        for name in CheckName::ALL {
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        let outcomes = [CheckOutcome::Passed, CheckOutcome::Failed, CheckOutcome::Skipped];
        assert!(
            outcomes
                .iter()
                .all(|o| serde_json::to_value(o).unwrap() == o.as_str())
        );
        let verdicts = [WouldBe::Accepted, WouldBe::Ignored, WouldBe::Rejected];
        assert!(
            verdicts
                .iter()
                .all(|v| serde_json::to_value(v).unwrap() == v.as_str())
        );
        assert!(
            CheckName::ALL.is_sorted(),
            "the order of the list is that of the names"
        );
    }
}
