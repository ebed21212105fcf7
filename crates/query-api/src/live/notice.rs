//! The last words of the server to a live client.

use crate::shape::live::LiveNotice;

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    ShuttingDown,
    SlowClient,
    KeyRevoked,
    KeyExpired,
    KeyRequired,
    SessionExpired,
    LogUnreadable,
}

impl Notice {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::SlowClient => "SLOW_CLIENT",
            Self::KeyRevoked => "KEY_REVOKED",
            Self::KeyExpired => "KEY_EXPIRED",
            Self::KeyRequired => "KEY_REQUIRED",
            Self::SessionExpired => "SESSION_EXPIRED",
            Self::LogUnreadable => "LOG_UNREADABLE",
        }
    }

    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::ShuttingDown => "the server is stopping; connect again and go on from the last id",
            Self::SlowClient => "too little was taken for too long; connect again and go on from the last id",
            Self::KeyRevoked => "the API key was revoked",
            Self::KeyExpired => "the API key has expired",
            Self::KeyRequired => "there is an API key now, so one is needed",
            Self::SessionExpired => "the login has ended",
            Self::LogUnreadable => "the log can't be read; an operator has to act",
        }
    }

    pub(crate) fn shape(self) -> LiveNotice {
        self.saying(self.message())
    }

    /// For a client that knows no place to go on from.
    pub(crate) fn without_place(self) -> LiveNotice {
        self.saying(match self {
            Self::ShuttingDown => {
                "the server is stopping; connect again; what comes in meanwhile is missing here"
            }
            Self::SlowClient => {
                "too little was taken for too long; connect again; what came in meanwhile is missing here"
            }
            Self::KeyRevoked
            | Self::KeyExpired
            | Self::KeyRequired
            | Self::SessionExpired
            | Self::LogUnreadable => self.message(),
        })
    }

    fn saying(self, message: &str) -> LiveNotice {
        LiveNotice {
            code: self.code().to_owned(),
            message: message.to_owned(),
        }
    }

    /// As one line of JSON.
    pub(crate) fn json(self) -> String {
        // Two strings: serialising them cannot fail.
        serde_json::to_string(&self.shape()).unwrap_or_default()
    }
}
