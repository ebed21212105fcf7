//! What goes wrong with a cluster, and what that means for a write.

use domain::{AppendError, ReadError};
use eventstore::Error;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The prefix can't stand in a stream's name.
    #[error("the stream prefix {0:?} is not 1 to 32 of the characters a-z, 0-9 and _")]
    Prefix(String),
    /// The address is none. What was given is not repeated: it may hold a password.
    #[error("the address of the event store is no connection string such as esdb://user:password@host:2113")]
    Address,
    /// The client can't be built from the address, as when a file of certificates can't be read.
    #[error("the client of the event store can't be built: {0}")]
    Client(String),
    /// It was not to be reached in time.
    #[error("the event store could not be reached in {after_ms} ms: {why}")]
    Unreachable {
        /// How long it was tried, in milliseconds.
        after_ms: u64,
        /// What the last try met.
        why: String,
    },
    /// The log's identity is not readable.
    #[error("the stream {stream} does not hold the identity of a log")]
    Identity {
        /// Its name on the server.
        stream: String,
    },
    /// Name and password, or the rights that they give, do not suffice.
    #[error("the event store refuses access: check name and password of its address")]
    Denied,
}

/// What a call came to that did not succeed.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It never reached a server.
    NotSent(String),
    /// A server that is no leader refused it; the client knows the leader by now.
    NotLeader,
    /// Whether it was done is not known.
    Unknown(String),
    /// There was no answer in time, so neither is it known.
    Silent,
    /// There is no such stream.
    NotFound,
    /// The stream is not as expected.
    Conflict,
    /// The server will not do it, whenever it is asked.
    Refused(String),
    /// Name and password do not suffice.
    Denied,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::ConnectionClosed => Self::NotSent("the connection is closed".to_owned()),
            Error::GrpcConnectionError(why) => Self::NotSent(why.to_string()),
            Error::NotLeaderException(_) => Self::NotLeader,
            Error::DeadlineExceeded => Self::Silent,
            Error::ResourceNotFound => Self::NotFound,
            Error::WrongExpectedVersion { .. } => Self::Conflict,
            Error::AccessDenied => Self::Denied,
            Error::ResourceDeleted => Self::Refused("the stream was deleted".to_owned()),
            Error::UnsupportedFeature => Self::Refused("the server does not support it".to_owned()),
            Error::ServerError(_)
            | Error::InternalClientError
            | Error::IllegalStateError(_)
            | Error::InitializationError(_)
            | Error::InternalParsingError(_) => Self::Unknown(error.to_string()),
            // The code of a single append in a session comes as it is.
            Error::Grpc { code, message } => match i32::from(*code) {
                4 => Self::Silent,
                7 | 16 => Self::Denied,
                // Cancelled, unknown, resource exhausted, aborted, internal, unavailable, data lost: it may have been done, and
                // may succeed later.
                1 | 2 | 8 | 10 | 13 | 14 | 15 => Self::Unknown(message.clone()),
                _ => Self::Refused(message.clone()),
            },
            Error::ResourceAlreadyExists => Self::Refused(error.to_string()),
        }
    }

    /// Whether the same call may succeed later.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::NotSent(_) | Self::NotLeader | Self::Unknown(_) | Self::Silent
        )
    }

    /// Whether a write that ended like this may have been done.
    pub(super) const fn may_be_done(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Silent)
    }

    pub(super) fn why(&self) -> String {
        match self {
            Self::NotSent(why) | Self::Unknown(why) | Self::Refused(why) => why.clone(),
            Self::Silent => "the server did not answer in time".to_owned(),
            Self::NotLeader => "the cluster changes its leader".to_owned(),
            Self::NotFound => "there is no such stream".to_owned(),
            Self::Conflict => "the stream is not as expected".to_owned(),
            Self::Denied => "access denied".to_owned(),
        }
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.why())
    }
}

/// The answer to an append that failed before anything of it was written.
impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.why())
    }
}
