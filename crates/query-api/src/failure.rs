//! The envelope of every bad answer: `{"success":false,"error":{code,message,requestId}}`.
//!
//! The one place where errors become status codes. Never here: text that helps to guess a secret.

use std::error::Error as StdError;

use domain::{BodyError, CommandError, PayloadError, ReadError, RejectedError, TableError};
use poem::error::ResponseError;
use poem::http::StatusCode;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

use crate::answer::JSON;

/// What kind of failure it is; the words are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Validation,
    Authentication,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    LogChanged,
    BeyondHead,
    TooLarge,
    MediaType,
    Internal,
    Unavailable,
    RateLimit,
    Timeout,
}

impl Code {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "VALIDATION_ERROR",
            Self::Authentication => "AUTHENTICATION_ERROR",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND_ERROR",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Conflict => "CONFLICT",
            Self::LogChanged => "LOG_CHANGED",
            Self::BeyondHead => "POSITION_BEYOND_HEAD",
            Self::TooLarge => "PAYLOAD_TOO_LARGE",
            Self::MediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::Internal => "INTERNAL_ERROR",
            Self::Unavailable => "SERVICE_UNAVAILABLE",
            Self::RateLimit => "RATE_LIMIT_ERROR",
            Self::Timeout => "TIMEOUT_ERROR",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Validation => StatusCode::BAD_REQUEST,
            Self::Authentication => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::LogChanged | Self::BeyondHead => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimit => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The code of a refusal that did not come from us but from the router or an extractor.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Authentication,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            413 => Self::TooLarge,
            415 => Self::MediaType,
            429 => Self::RateLimit,
            503 => Self::Unavailable,
            400..500 => Self::Validation,
            _ => Self::Internal,
        }
    }
}

/// Why a request was not answered with data. Several requests may share one, so it keeps the text of its cause only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) retry_after_secs: Option<u64>,
    /// For the log, never for the caller.
    pub(crate) cause: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after_secs: None,
            cause: None,
        }
    }

    /// A parameter that is not as it should be.
    pub(crate) fn parameter(name: &str, expected: &str) -> Self {
        Self::new(Code::Validation, format!("parameter `{name}`: {expected}"))
    }

    /// A field of a body that is not as it should be.
    pub(crate) fn field(name: &str, expected: &str) -> Self {
        Self::new(Code::Validation, format!("field `{name}`: {expected}"))
    }

    /// A refusal that did not come from us, or that says no more than its status does.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let message = match status {
            StatusCode::NOT_FOUND => "there is nothing at this path; the API is described at /docs",
            StatusCode::METHOD_NOT_ALLOWED => "this path does not take this method",
            _ if status.is_server_error() => "an unexpected error; the log has more under the request id",
            _ => "the request can't be read",
        };
        Self::new(Code::of_status(status), message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Worth another try after some seconds.
    pub(crate) fn later(message: impl Into<String>, retry_after_secs: u64) -> Self {
        Self {
            retry_after_secs: Some(retry_after_secs),
            ..Self::new(Code::Unavailable, message)
        }
    }

    /// Keeps the chain of causes.
    fn because(self, error: &dyn StdError) -> Self {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause.push_str(": ");
            cause.push_str(&error.to_string());
            source = error.source();
        }
        Self {
            cause: Some(cause),
            ..self
        }
    }
}

impl ResponseError for Failure {
    fn status(&self) -> StatusCode {
        self.code.status()
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        let failure = match &error {
            TableError::Unavailable(_) => Self::later("the read store can't be reached, try again", 2),
            TableError::Refused(text) if too_slow(text) => {
                Self::new(Code::Timeout, "the read store took too long; ask for less")
            }
            TableError::Refused(_) | TableError::Encoding(_) => {
                Self::new(Code::Internal, "the read store did not answer as expected")
            }
        };
        failure.because(&error)
    }
}

/// ClickHouse names its errors in the text: 159 and 241 are its limits of time and memory.
fn too_slow(text: &str) -> bool {
    text.contains("TIMEOUT_EXCEEDED") || text.contains("MEMORY_LIMIT_EXCEEDED")
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let failure = match &error {
            ReadError::Unavailable(_) => Self::later("the log can't be read now, try again", 2),
            ReadError::Corrupt(_) => Self::new(Code::Internal, "the log is damaged; an operator has to act"),
        };
        failure.because(&error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotFound(text) => Self::not_found(text),
            CommandError::Invalid(text) => Self::new(Code::Validation, text),
            CommandError::Refused(text) => Self::new(Code::Conflict, text),
            CommandError::Unavailable(_) => Self::later(error.to_string(), 2),
        }
    }
}

impl From<RejectedError> for Failure {
    fn from(error: RejectedError) -> Self {
        let failure = match &error {
            RejectedError::Unavailable(_) => Self::later(
                "rejected requests can't be read now: NATS can't be reached, try again",
                2,
            ),
        };
        failure.because(&error)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let failure = match &error {
            BodyError::Missing(_) => Self::new(
                Code::Internal,
                "the body is not in the body store; an operator has to act",
            ),
            BodyError::NoRoom(_) | BodyError::Io { .. } => {
                Self::later("the body can't be read now, try again", 2)
            }
        };
        failure.because(&error)
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Body(error) => error.into(),
            PayloadError::Metadata(error) => unreadable(error),
        }
    }
}

/// Facts of the log, or of what was made of it, that can't be read.
pub(crate) fn unreadable(error: serde_json::Error) -> Failure {
    Failure::new(
        Code::Internal,
        "what the log says of it can't be read; an operator has to act",
    )
    .because(&error)
}

/// A bad answer.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Failure")]
pub(crate) struct FailureBody {
    /// Always false.
    pub(crate) success: bool,
    /// Why.
    pub(crate) error: ErrorBody,
}

/// Why a request was not answered.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Error", rename_all = "camelCase")]
pub(crate) struct ErrorBody {
    /// A fixed word such as `VALIDATION_ERROR`.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// As in the header `X-Request-Id` and in the logs.
    pub(crate) request_id: String,
}

impl FailureBody {
    pub(crate) fn new(code: Code, message: String, request_id: &str) -> Self {
        let error = ErrorBody {
            code: code.as_str().to_owned(),
            message,
            request_id: request_id.to_owned(),
        };
        Self {
            success: false,
            error,
        }
    }
}

impl ApiResponse for Failure {
    fn meta() -> MetaResponses {
        let of = |status, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: JSON,
                schema: FailureBody::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![
                of(
                    400,
                    "A parameter is not as it should be; the message names it and what is allowed",
                ),
                of(401, "Not let in: no key, or none that is good"),
                of(
                    403,
                    "Not allowed: the key has not the scope, or is of another tenant than the one who runs the instance",
                ),
                of(404, "There is no such thing"),
                of(
                    409,
                    "Not in the present state: it has ended, is under way, is there already, was changed meanwhile, or is not of this log",
                ),
                of(
                    429,
                    "Too many wrong keys from this address, or too many streams at once; `Retry-After` says when to try again",
                ),
                of(
                    503,
                    "Not now: the read store is down or being rebuilt, or there are too many streams; `Retry-After` says when to try again",
                ),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        FailureBody::register(registry);
    }
}
