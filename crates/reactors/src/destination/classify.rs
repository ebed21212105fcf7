//! What an answer, or the lack of one, means: delivered, to be tried again, or not worth another try.

use std::error::Error;

use domain::{BodyError, ErrorCode, Failure};
use http::StatusCode;

use super::address::AddressRefused;
use super::payload::PayloadLost;

/// The kind of failure that a status is; none for 2xx, which is a delivery.
pub(crate) fn of_status(status: StatusCode) -> Option<ErrorCode> {
    let code = match status.as_u16() {
        200..=299 => return None,
        401 | 403 => ErrorCode::AuthenticationError,
        404 | 410 => ErrorCode::NotFoundError,
        409 => ErrorCode::DuplicateError,
        429 => ErrorCode::RateLimitError,
        408 | 425 | 500..=599 => ErrorCode::ServiceUnavailable,
        _ => ErrorCode::ValidationError,
    };
    Some(code)
}

/// The failure that a status is; none for 2xx. Of 410 a later try may succeed: whoever resumes the destination says so.
pub(crate) fn failure_of(status: StatusCode) -> Option<Failure> {
    let code = of_status(status)?;
    let reason = status.canonical_reason().unwrap_or("unknown status");
    let mut failure = Failure::new(code, format!("answered {} {reason}", status.as_u16()));
    failure.retryable |= status == StatusCode::GONE;
    Some(failure)
}

/// The failure that an error of the client is. No part of the URL is in it: what stands there may be secret.
pub(crate) fn of_error(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if let Some(refused) = cause::<AddressRefused>(&error) {
        return Failure::new(ErrorCode::ValidationError, refused.to_string());
    }
    if let Some(lost) = cause::<PayloadLost>(&error) {
        return of_lost(lost);
    }
    if error.is_builder() {
        // An address that no request can be made of: that won't change by itself.
        return Failure::new(ErrorCode::ValidationError, chain(&error));
    }
    if error.is_timeout() {
        let what = if error.is_connect() {
            "no connection in time"
        } else {
            "no answer in time"
        };
        return Failure::new(ErrorCode::TimeoutError, what);
    }
    // A certificate that is not valid is a failure of the network too: it expired or is being replaced, and a later try
    // may find it in order.
    Failure::new(ErrorCode::NetworkError, chain(&error))
}

/// The failure that a body is which can't be read.
pub(crate) fn of_lost(lost: &PayloadLost) -> Failure {
    let code = match lost {
        PayloadLost::Unreadable(BodyError::Io { .. } | BodyError::NoRoom(_)) => ErrorCode::ServiceUnavailable,
        PayloadLost::Unreadable(BodyError::Missing(_)) | PayloadLost::Short => ErrorCode::ValidationError,
    };
    Failure::new(code, chain(lost))
}

/// An error of a type among the causes of another.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An error inside an I/O error is not its source, but itself.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| cause::<E>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its causes, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_kind() {
        for (statuses, code) in [
            (vec![200, 201, 202, 204, 299], None),
            (
                vec![408, 425, 500, 502, 503, 504, 599],
                Some(ErrorCode::ServiceUnavailable),
            ),
            (vec![429], Some(ErrorCode::RateLimitError)),
            (vec![401, 403], Some(ErrorCode::AuthenticationError)),
            (vec![404, 410], Some(ErrorCode::NotFoundError)),
            (vec![409], Some(ErrorCode::DuplicateError)),
            (
                vec![
                    300, 301, 302, 303, 304, 307, 308, 400, 405, 413, 415, 422, 451, 600, 999,
                ],
                Some(ErrorCode::ValidationError),
            ),
        ] {
            for status in statuses {
                assert_eq!(of_status(StatusCode::from_u16(status).unwrap()), code, "{status}");
            }
        }
    }

    #[test]
    fn only_gone_is_retryable_beyond_its_kind() {
        let failure = |status| failure_of(StatusCode::from_u16(status).unwrap()).unwrap();
        assert!(failure(410).retryable && failure(503).retryable && failure(429).retryable);
        assert!(!failure(404).retryable && !failure(400).retryable && !failure(401).retryable);
        assert_eq!(failure(410).message, "answered 410 Gone");
        assert_eq!(failure(599).message, "answered 599 unknown status");
    }

    #[test]
    fn a_cause_is_found_inside_an_io_error() {
        let refused = AddressRefused {
            address: "127.0.0.1".parse().unwrap(),
            class: "a loopback address",
        };
        let wrapped = std::io::Error::other(std::io::Error::other(refused.clone()));
        assert_eq!(cause::<AddressRefused>(&wrapped), Some(&refused));
        assert!(cause::<PayloadLost>(&wrapped).is_none());
    }
}
