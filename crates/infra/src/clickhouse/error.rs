//! What an error of ClickHouse means for us: come back later, or never.

use std::time::Duration;

use clickhouse::error::Error;
use domain::TableError;

/// Error codes of ClickHouse after which the same statement may succeed later
/// (`src/Common/ErrorCodes.cpp` of ClickHouse 26.7).
const LATER: [u32; 18] = [
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    439, // CANNOT_SCHEDULE_TASK
    999, // KEEPER_EXCEPTION
];

/// Those of them that say that this server can't, whatever another one could: it has lost its keeper.
const NOT_HERE: [u32; 3] = [
    225, // NO_ZOOKEEPER
    242, // TABLE_IS_READ_ONLY
    999, // KEEPER_EXCEPTION
];

const UNKNOWN_DATABASE: u32 = 81;

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Come back later; it may have been done.
    Later(String),
    /// No answer in time; it may have been done.
    Late(String),
    /// This server did not answer, or can't: another one might. It may have been done.
    Away(String),
    /// It will never be taken.
    Never(String),
    /// Our database is missing.
    NoDatabase(String),
}

impl Failure {
    pub(super) fn late(operation: &str, timeout: Duration) -> Self {
        Self::Late(format!(
            "no answer to an {operation} within {} ms",
            timeout.as_millis()
        ))
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Later(_) | Self::Late(_) | Self::Away(_) => "unavailable",
            Self::Never(_) | Self::NoDatabase(_) => "refused",
        }
    }

    pub(super) fn into_table_error(self) -> TableError {
        match self {
            Self::Later(text) | Self::Late(text) | Self::Away(text) => TableError::Unavailable(text),
            Self::Never(text) | Self::NoDatabase(text) => TableError::Refused(text),
        }
    }

    fn of_answer(text: String) -> Self {
        match code(&text) {
            Some(UNKNOWN_DATABASE) => Self::NoDatabase(text),
            Some(code) if NOT_HERE.contains(&code) => Self::Away(text),
            Some(code) if LATER.contains(&code) => Self::Later(text),
            Some(_) => Self::Never(text),
            // The embedded engine answers so to a request without its token; a bare 4xx is no better.
            None if text.contains("There is no handle") || text.starts_with('4') => Self::Never(text),
            // Something between us and the server, most likely one that is restarting.
            None => Self::Later(text),
        }
    }
}

impl From<Error> for Failure {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the client's enum is not exhaustive; what it adds is about encoding"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::BadResponse(text) => Self::of_answer(shortened(&text)),
            Error::Network(source) => Self::Away(chain("network error", source.as_ref())),
            Error::Decompression(source) => Self::Later(chain("the answer is cut", source.as_ref())),
            Error::TimedOut => Self::Later("timed out".into()),
            other => Self::Never(shortened(&other.to_string())),
        }
    }
}

/// Whether the server itself ended the statement, so that there is nothing left to kill.
pub(super) const fn is_answer(error: &Error) -> bool {
    matches!(error, Error::BadResponse(_))
}

/// The number in `Code: 60. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let rest = text.split_once("Code: ")?.1;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Errors quote the data that they choke on: enough to find the place, never a whole body.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 500;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    short.push('…');
    short
}

fn chain(what: &str, error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_to_come_back() {
        let check = |text: &str, later: bool| {
            let failure = Failure::of_answer(text.to_owned());
            assert_eq!(matches!(failure, Failure::Later(_)), later, "{text}");
        };
        check(
            "Code: 60. DB::Exception: Unknown table expression identifier 'x'. (UNKNOWN_TABLE)",
            false,
        );
        check("Code: 241. DB::Exception: Memory limit (total) exceeded", true);
        check("Code: 252. DB::Exception: Too many parts", true);
        check("Code: 516. DB::Exception: Authentication failed", false);
        check("503 Service Unavailable", true);
        check("<html>bad gateway</html>", true);
        check("404 Not Found", false);
        check("There is no handle /", false);
        assert!(matches!(
            Failure::of_answer("Code: 81. DB::Exception: Database hooklog does not exist".into()),
            Failure::NoDatabase(_)
        ));
    }

    #[test]
    fn an_error_never_quotes_a_whole_body() {
        let long = format!("Code: 117. DB::Exception: {}", "x".repeat(10_000));
        let Failure::Never(text) = Failure::from(Error::BadResponse(long)) else {
            panic!("code 117 is final");
        };
        assert!(text.len() < 600, "{} bytes", text.len());
    }
}
