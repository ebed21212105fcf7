//! What an error of NATS means for us: the end has moved, come back later, or never.

use std::error::Error as StdError;
use std::fmt::Display;

use async_nats::client;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, PublishError,
    PublishErrorKind, RequestError,
};
use async_nats::jetstream::stream::{
    ConsumerError, ConsumerErrorKind, PurgeError, PurgeErrorKind, RawMessageError, RawMessageErrorKind,
};
use domain::FanOutError;

type Answer = async_nats::jetstream::Error;

/// An error that may hold what the server answered.
pub(super) trait Answered: Display {
    /// The server's answer; `None` when there was none.
    fn answer(&self) -> Option<Answer>;
}

/// What a failed request means. A 5xx passes: no leader, no space, shutting down; so does a missing stream, which the
/// next `tail` makes anew.
pub(super) fn request_failed(operation: &str, error: &impl Answered) -> FanOutError {
    let text = format!("{operation}: {error}");
    match error.answer() {
        Some(answer)
            if (400..500).contains(&answer.code()) && answer.error_code() != ErrorCode::STREAM_NOT_FOUND =>
        {
            FanOutError::Refused(text)
        }
        Some(_) | None => FanOutError::Unavailable(text),
    }
}

/// What a failed publish means.
pub(super) fn publish_failed(error: &PublishError) -> FanOutError {
    match error.kind() {
        PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId => FanOutError::Moved,
        PublishErrorKind::MaxPayloadExceeded => FanOutError::Refused(error.to_string()),
        // "No stream found" is also what a leader election looks like.
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => FanOutError::Unavailable(format!("publish: {error}")),
        PublishErrorKind::Other => request_failed("publish", error),
    }
}

/// What it means when a message that nobody asks about can't be sent.
pub(super) fn send_failed(error: &client::PublishError) -> FanOutError {
    match error.kind() {
        client::PublishErrorKind::Send => FanOutError::Unavailable(format!("publish: {error}")),
        client::PublishErrorKind::MaxPayloadExceeded | client::PublishErrorKind::InvalidSubject => {
            FanOutError::Refused(error.to_string())
        }
    }
}

/// Whether the message asked for is not there.
pub(super) fn is_missing(error: &RawMessageError) -> bool {
    matches!(error.kind(), RawMessageErrorKind::NoMessageFound)
}

/// Whether the server says that there is no such stream.
pub(super) fn is_unknown_stream(error: &impl Answered) -> bool {
    error
        .answer()
        .is_some_and(|answer| answer.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

impl Answered for PublishError {
    fn answer(&self) -> Option<Answer> {
        self.source()?.downcast_ref::<Answer>().cloned()
    }
}

impl Answered for RequestError {
    fn answer(&self) -> Option<Answer> {
        None
    }
}

impl Answered for GetStreamError {
    fn answer(&self) -> Option<Answer> {
        match self.kind() {
            GetStreamErrorKind::JetStream(answer) => Some(answer),
            GetStreamErrorKind::EmptyName
            | GetStreamErrorKind::Request
            | GetStreamErrorKind::InvalidStreamName => None,
        }
    }
}

impl Answered for CreateStreamError {
    fn answer(&self) -> Option<Answer> {
        match self.kind() {
            CreateStreamErrorKind::JetStream(answer) => Some(answer),
            CreateStreamErrorKind::EmptyStreamName
            | CreateStreamErrorKind::InvalidStreamName
            | CreateStreamErrorKind::DomainAndExternalSet
            | CreateStreamErrorKind::JetStreamUnavailable
            | CreateStreamErrorKind::TimedOut
            | CreateStreamErrorKind::Response
            | CreateStreamErrorKind::NotFound
            | CreateStreamErrorKind::ResponseParse => None,
        }
    }
}

impl Answered for ConsumerError {
    fn answer(&self) -> Option<Answer> {
        match self.kind() {
            ConsumerErrorKind::JetStream(answer) => Some(answer),
            ConsumerErrorKind::TimedOut
            | ConsumerErrorKind::Request
            | ConsumerErrorKind::InvalidConsumerType
            | ConsumerErrorKind::InvalidName
            | ConsumerErrorKind::Other => None,
        }
    }
}

impl Answered for PurgeError {
    fn answer(&self) -> Option<Answer> {
        match self.kind() {
            PurgeErrorKind::JetStream(answer) => Some(answer),
            PurgeErrorKind::Request | PurgeErrorKind::TimedOut => None,
        }
    }
}

impl Answered for RawMessageError {
    fn answer(&self) -> Option<Answer> {
        match self.kind() {
            RawMessageErrorKind::JetStream(answer) => Some(answer),
            RawMessageErrorKind::NoMessageFound
            | RawMessageErrorKind::InvalidSubject
            | RawMessageErrorKind::Other => None,
        }
    }
}
