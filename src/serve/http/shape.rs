//! Requests that two servers could read differently are refused before anybody acts on them.
//!
//! What can't be parsed at all, hyper refuses itself: two lengths, a coding other than `chunked` at the end, folded lines,
//! control bytes. A request with a length *and* chunks it reads as chunks, as RFC 9112 §6.1 says, but the standard also asks
//! for the connection to be closed after it. hyper does not show that the length was there, so every connection is closed
//! after a chunked request.

use poem::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use poem::{Request, Response};
use serde_json::json;
use uuid::Uuid;

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misshapen {
    /// RFC 9112 §3.2 asks for exactly one.
    Host,
    /// The target names another host than the header does.
    Target,
    /// hyper looks at the last coding alone and would take what others left for the body.
    Coding,
}

impl Misshapen {
    const fn message(self) -> &'static str {
        match self {
            Self::Host => "the request needs exactly one Host header",
            Self::Target => "the target of the request names another host than the Host header",
            Self::Coding => "no transfer coding but chunked is known",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Target => StatusCode::BAD_REQUEST,
            // RFC 9112 §6.1.
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// What to answer. The connection ends with it.
    pub(super) fn answer(self) -> Response {
        let id = Uuid::now_v7();
        let error = json!({ "code": "REQUEST_MALFORMED", "message": self.message(), "requestId": id });
        Response::builder()
            .status(self.status())
            .content_type("application/json")
            .header("X-Request-Id", id.to_string())
            .header(header::CONNECTION, HeaderValue::from_static("close"))
            .body(json!({ "success": false, "error": error }).to_string())
    }
}

/// Looks at the head of a request.
pub(super) fn check(request: &Request) -> Result<(), Misshapen> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    let old = request.version() < Version::HTTP_11;
    if hosts.next().is_some() || (host.is_none() && !old) {
        return Err(Misshapen::Host);
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|coding| !chunked(coding)) || codings.next().is_some() {
        return Err(Misshapen::Coding);
    }
    let named = request.uri().authority().map(|authority| authority.as_str());
    match (named, host) {
        (Some(named), Some(host)) if !named.as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            Err(Misshapen::Target)
        }
        _ => Ok(()),
    }
}

/// Whether the connection has to end after a request.
pub(super) fn ends_connection(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}
