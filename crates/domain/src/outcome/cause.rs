//! Why deliveries were given up, in words that many of them share.

use std::str::FromStr;
use std::sync::LazyLock;

use regex::bytes::{NoExpand, Regex, RegexBuilder};

use super::attempt::Failure;
use crate::ErrorCode;

/// What differs from one delivery to the next in the message of a failure: UUIDs, and numbers of five digits and more. Written so
/// that ClickHouse, which groups by the same words, reads it alike: RE2, where `\b` knows ASCII only.
pub const VARYING: &str =
    r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b|\b[0-9]{5,}\b";

/// What stands in its place.
pub const VARYING_SHOWN: &str = "…";

static VARYING_PARTS: LazyLock<Regex> = LazyLock::new(|| {
    RegexBuilder::new(VARYING)
        .unicode(false)
        .build()
        .unwrap_or_else(|_| unreachable!("the pattern is a constant, and tested"))
});

/// A message without what differs from one delivery to the next.
#[must_use]
pub fn wording(message: &str) -> String {
    let shown = VARYING_PARTS.replace_all(message.as_bytes(), NoExpand(VARYING_SHOWN.as_bytes()));
    // Only ASCII was taken away, and whole characters were put in.
    String::from_utf8_lossy(&shown).into_owned()
}

/// Which failures somebody means; what is left out does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The kind.
    pub code: Option<ErrorCode>,
    /// The words, as [`wording`] gives them.
    pub wording: Option<String>,
}

impl Cause {
    /// Whether it narrows anything.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.code.is_none() && self.wording.is_none()
    }

    /// Whether a failure is meant.
    #[must_use]
    pub fn is_of(&self, failure: &Failure) -> bool {
        self.code.is_none_or(|code| code == failure.code)
            && self
                .wording
                .as_ref()
                .is_none_or(|words| *words == wording(&failure.message))
    }
}

/// A text that names no kind of error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no code of an error")]
pub struct InvalidErrorCode(pub String);

impl FromStr for ErrorCode {
    type Err = InvalidErrorCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|code| code.as_str() == text);
        known.ok_or_else(|| InvalidErrorCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_one_delivery_to_the_next_is_left_out_of_its_words() {
        for (message, words) in [
            ("answered 422", "answered 422"),
            (
                "no answer to 019aa5c4-9d29-7a31-8e7e-0b6f2f3a9c11 within 15000 ms",
                "no answer to … within … ms",
            ),
            ("job 12345: job 1234", "job …: job 1234"),
            ("id12345 and 12345x", "id12345 and 12345x"),
            ("$1 für 99999 ünïcode…", "$1 für … ünïcode…"),
            ("12345é67890", "…é…"),
            ("", ""),
        ] {
            assert_eq!(wording(message), words, "{message}");
            assert_eq!(wording(words), words, "its words are their own words");
        }
    }

    #[test]
    fn a_cause_means_the_failures_of_its_kind_and_its_words() {
        let failure = Failure::new(ErrorCode::TimeoutError, "no answer within 15000 ms");
        let cause = |code, words: Option<&str>| Cause {
            code,
            wording: words.map(str::to_owned),
        };
        assert!(cause(None, None).is_of(&failure) && cause(None, None).is_any());
        assert!(cause(Some(ErrorCode::TimeoutError), Some("no answer within … ms")).is_of(&failure));
        assert!(!cause(Some(ErrorCode::NetworkError), None).is_of(&failure));
        assert!(!cause(None, Some("no answer within 15000 ms")).is_of(&failure));
    }

    #[test]
    fn every_code_is_read_back() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert!("network_error".parse::<ErrorCode>().is_err());
    }
}
