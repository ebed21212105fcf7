//! Reactors: what has to happen because of a delivery. A receipt names those that are due.

use serde::{Deserialize, Serialize};

use crate::{DeliveryReceived, DestinationName};

/// Stands before the name of a destination where a receipt names its reactors.
const DESTINATION: &str = "destination:";

impl DestinationName {
    /// How a receipt names this destination among the reactors due: `destination:<name>`.
    #[must_use]
    pub fn reactor(&self) -> String {
        format!("{DESTINATION}{self}")
    }

    /// The destination that a reactor's name means, if it means one.
    #[must_use]
    pub fn of_reactor(reactor: &str) -> Option<Self> {
        reactor.strip_prefix(DESTINATION)?.parse().ok()
    }
}

impl DeliveryReceived {
    /// The destinations among the reactors due.
    pub fn destinations_due(&self) -> impl Iterator<Item = DestinationName> + '_ {
        self.reactors_due
            .iter()
            .filter_map(|reactor| DestinationName::of_reactor(reactor))
    }
}

/// Names the reactors that are due for a delivery. Asked on the way in, so it must be quick and must not look at the body.
pub trait NameReactors: Send + Sync {
    /// The reactors due, each once.
    fn due(&self, received: &DeliveryReceived) -> Vec<String>;
}

/// Nothing reacts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReactors;

impl NameReactors for NoReactors {
    fn due(&self, _: &DeliveryReceived) -> Vec<String> {
        Vec::new()
    }
}

/// What kind of thing went wrong; the names are those of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// No connection, or it broke.
    NetworkError,
    /// No answer in time.
    TimeoutError,
    /// Answered 429.
    RateLimitError,
    /// Answered 408, 425 or 5xx, or the circuit breaker is open.
    ServiceUnavailable,
    /// It can't work as it is configured or as it was asked: another 4xx, a refused address, a transformation that fails.
    ValidationError,
    /// Answered 401 or 403.
    AuthenticationError,
    /// Answered 404 or 410.
    NotFoundError,
    /// Answered 409: it was there already.
    DuplicateError,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NetworkError,
        Self::TimeoutError,
        Self::RateLimitError,
        Self::ServiceUnavailable,
        Self::ValidationError,
        Self::AuthenticationError,
        Self::NotFoundError,
        Self::DuplicateError,
    ];

    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkError => "NETWORK_ERROR",
            Self::TimeoutError => "TIMEOUT_ERROR",
            Self::RateLimitError => "RATE_LIMIT_ERROR",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::ValidationError => "VALIDATION_ERROR",
            Self::AuthenticationError => "AUTHENTICATION_ERROR",
            Self::NotFoundError => "NOT_FOUND_ERROR",
            Self::DuplicateError => "DUPLICATE_ERROR",
        }
    }

    /// Whether a later try may succeed.
    #[must_use]
    pub const fn retryable(self) -> bool {
        match self {
            Self::NetworkError | Self::TimeoutError | Self::RateLimitError | Self::ServiceUnavailable => true,
            Self::ValidationError
            | Self::AuthenticationError
            | Self::NotFoundError
            | Self::DuplicateError => false,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
