//! Why a request was not taken, and what each reason is answered. The codes are part of the outside contract.

use std::borrow::Cow;
use std::time::Duration;

use poem::http::StatusCode;

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// No source of that name, or no secret for that connection.
    UnknownSource,
    /// The sender's address is not one of the source's.
    AddressNotAllowed,
    /// The sender's program is not the one expected.
    UserAgentRefused,
    /// Too many requests from this address.
    AddressRate(Duration),
    /// Too many verified deliveries of this source.
    SourceRate(Duration),
    /// Too many verified deliveries of this repository.
    RepositoryRate(Duration),
    /// Too many headers, or too many bytes of them.
    HeadersTooLarge,
    /// A header that the scheme needs is missing or empty.
    HeaderMissing(Cow<'static, str>),
    /// A header that decides something stands twice.
    HeaderDuplicated(Cow<'static, str>),
    /// A header that decides something can't be used.
    HeaderInvalid(Cow<'static, str>),
    /// Neither JSON nor a form.
    ContentType,
    /// Encoded in a way that is not known or not allowed.
    ContentEncoding,
    /// The body is not encoded as its header says.
    BodyNotDecodable,
    /// The body is over the limit.
    BodyTooLarge(u64),
    /// The body came too slowly.
    BodyTimeout,
    /// The body ended before its end.
    BodyIncomplete,
    /// No proof, a wrong proof, or proof by somebody else: never told apart.
    SignatureInvalid,
    /// Proven, but signed too long ago, or ahead of our clock. Outside it is as a wrong proof.
    TooOld {
        /// How long ago, in milliseconds, below zero for a time to come; none when no time is said.
        age_ms: Option<i64>,
    },
    /// The body is not what the scheme requires.
    NotJsonObject(&'static str),
    /// Made up here, for a source whose secret is a public key.
    OnlyVerifies,
    /// Somebody paused the source.
    SourcePaused,
    /// The source can't be used as it is, or is not known yet.
    SourceUnavailable,
    /// The process is stopping.
    Stopping,
    /// Too many bodies at once.
    Busy,
    /// The log is so far behind that nothing more is read.
    LogBehind,
    /// The body store or the log can't take it now.
    Unavailable(&'static str),
    /// The log will never take it.
    Refused,
}

impl Rejection {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownSource => StatusCode::NOT_FOUND,
            Self::AddressNotAllowed | Self::UserAgentRefused => StatusCode::FORBIDDEN,
            Self::AddressRate(_) | Self::SourceRate(_) | Self::RepositoryRate(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeaderMissing(_)
            | Self::HeaderDuplicated(_)
            | Self::HeaderInvalid(_)
            | Self::BodyIncomplete
            | Self::BodyNotDecodable
            | Self::NotJsonObject(_) => StatusCode::BAD_REQUEST,
            Self::ContentType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::SignatureInvalid | Self::TooOld { .. } => StatusCode::UNAUTHORIZED,
            Self::SourcePaused
            | Self::SourceUnavailable
            | Self::Stopping
            | Self::Busy
            | Self::LogBehind
            | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::OnlyVerifies => StatusCode::CONFLICT,
            Self::Refused => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether such a request is kept, to be looked up. Whose an unknown source's would be nobody knows, and what failed on
    /// our side says nothing about the request.
    pub(crate) fn is_kept(&self) -> bool {
        *self != Self::UnknownSource && !self.status().is_server_error()
    }

    /// Whether its source takes nothing now: not our trouble, and anybody can cause it, as nothing has to be shown.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::SourcePaused | Self::SourceUnavailable)
    }

    /// The code in the answer.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::UnknownSource => "SOURCE_UNKNOWN",
            Self::AddressNotAllowed => "ADDRESS_NOT_ALLOWED",
            Self::UserAgentRefused => "USER_AGENT_REFUSED",
            Self::AddressRate(_) | Self::SourceRate(_) | Self::RepositoryRate(_) => "RATE_LIMITED",
            Self::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Self::HeaderMissing(_) => "HEADER_MISSING",
            Self::HeaderDuplicated(_) => "HEADER_DUPLICATED",
            Self::HeaderInvalid(_) => "HEADER_INVALID",
            Self::ContentType => "CONTENT_TYPE_UNSUPPORTED",
            Self::ContentEncoding => "CONTENT_ENCODING_UNSUPPORTED",
            Self::BodyNotDecodable => "BODY_NOT_DECODABLE",
            Self::BodyTooLarge(_) => "BODY_TOO_LARGE",
            Self::BodyTimeout => "BODY_TIMEOUT",
            Self::BodyIncomplete => "BODY_INCOMPLETE",
            Self::SignatureInvalid | Self::TooOld { .. } => "SIGNATURE_INVALID",
            Self::NotJsonObject(_) => "BODY_NOT_JSON_OBJECT",
            Self::OnlyVerifies => "NOT_SIGNABLE",
            Self::SourcePaused => "SOURCE_PAUSED",
            Self::SourceUnavailable => "SOURCE_UNAVAILABLE",
            Self::Stopping => "SHUTTING_DOWN",
            Self::Busy => "TOO_BUSY",
            Self::LogBehind => "LOG_BEHIND",
            Self::Unavailable(_) => "NOT_WRITABLE",
            Self::Refused => "NOT_STORABLE",
        }
    }

    /// The reason in metrics and logs.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown_source",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::UserAgentRefused => "user_agent_refused",
            Self::AddressRate(_) => "address_rate",
            Self::SourceRate(_) => "source_rate",
            Self::RepositoryRate(_) => "repository_rate",
            Self::HeadersTooLarge => "headers_too_large",
            Self::HeaderMissing(_) => "header_missing",
            Self::HeaderDuplicated(_) => "header_duplicated",
            Self::HeaderInvalid(_) => "header_invalid",
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::BodyNotDecodable => "body_not_decodable",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::SignatureInvalid => "signature_invalid",
            Self::TooOld { .. } => "too_old",
            Self::NotJsonObject(_) => "not_json_object",
            Self::OnlyVerifies => "only_verifies",
            Self::SourcePaused => "source_paused",
            Self::SourceUnavailable => "source_unavailable",
            Self::Stopping => "stopping",
            Self::Busy => "busy",
            Self::LogBehind => "log_behind",
            Self::Unavailable(_) => "unavailable",
            Self::Refused => "refused",
        }
    }

    /// What the sender is told. Nothing here depends on how wrong a signature was.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::UnknownSource => "no source of this name receives webhooks here".to_owned(),
            Self::AddressNotAllowed => "deliveries from this address are not allowed".to_owned(),
            Self::UserAgentRefused => "deliveries from this user agent are not allowed".to_owned(),
            Self::AddressRate(_) => "too many requests from this address".to_owned(),
            Self::SourceRate(_) => "too many deliveries of this source".to_owned(),
            Self::RepositoryRate(_) => "too many deliveries of this repository".to_owned(),
            Self::HeadersTooLarge => "the request has too many or too long headers".to_owned(),
            Self::HeaderMissing(name) => format!("the header {name} is missing"),
            Self::HeaderDuplicated(name) => format!("the header {name} stands more than once"),
            Self::HeaderInvalid(name) => format!("the header {name} can't be used"),
            Self::ContentType => {
                "the content type must be application/json or application/x-www-form-urlencoded".to_owned()
            }
            Self::ContentEncoding => {
                "the content encoding is not taken: send the body as it is, or with one of gzip, deflate and br \
                 (see ingest.content_codings)"
                    .to_owned()
            }
            Self::BodyNotDecodable => "the body is not encoded as its Content-Encoding says".to_owned(),
            Self::BodyTooLarge(bytes_max) => format!("the body is over the limit of {bytes_max} bytes"),
            Self::BodyTimeout => "the body came too slowly".to_owned(),
            Self::BodyIncomplete => "the body ended too early".to_owned(),
            Self::SignatureInvalid | Self::TooOld { .. } => {
                "the signature is missing or does not fit".to_owned()
            }
            Self::NotJsonObject(why) => format!("the body is not a JSON object: {why}"),
            Self::OnlyVerifies => "the source has a public key, which verifies and can't sign".to_owned(),
            Self::SourcePaused => "the source is paused; send again later".to_owned(),
            Self::SourceUnavailable => "the source can't be used now; send again later".to_owned(),
            Self::Stopping => "the service is shutting down".to_owned(),
            Self::Busy => "too many deliveries at once".to_owned(),
            Self::LogBehind => "the log is behind; the delivery was not read".to_owned(),
            Self::Unavailable(what) => format!("the delivery can't be stored now: {what}"),
            Self::Refused => "the delivery can't be stored".to_owned(),
        }
    }

    /// When to come back, for what may succeed later; `default_s` for reasons that know no better.
    pub(crate) fn retry_after_s(&self, default_s: u64) -> Option<u64> {
        match self {
            Self::AddressRate(wait) | Self::SourceRate(wait) | Self::RepositoryRate(wait) => {
                Some(wait.as_secs().saturating_add(1))
            }
            Self::SourcePaused
            | Self::SourceUnavailable
            | Self::Stopping
            | Self::Busy
            | Self::LogBehind
            | Self::Unavailable(_) => Some(default_s),
            Self::UnknownSource
            | Self::AddressNotAllowed
            | Self::UserAgentRefused
            | Self::HeadersTooLarge
            | Self::HeaderMissing(_)
            | Self::HeaderDuplicated(_)
            | Self::HeaderInvalid(_)
            | Self::ContentType
            | Self::ContentEncoding
            | Self::BodyNotDecodable
            | Self::BodyTooLarge(_)
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::SignatureInvalid
            | Self::TooOld { .. }
            | Self::NotJsonObject(_)
            | Self::OnlyVerifies
            | Self::Refused => None,
        }
    }
}
