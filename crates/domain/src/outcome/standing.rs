//! What an operator wants to know of a delivery beyond its status: what is wrong, and what comes next.
//!
//! Every outcome repeats it, because an outcome at one destination must not hide the failure at another, and a projection
//! sees one event at a time.

use serde::{Deserialize, Serialize};

use super::attempt::Failure;
use crate::{DestinationName, Timestamp};

/// A failure that was not made good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandingFailure {
    /// Where.
    pub destination: DestinationName,
    /// What.
    pub failure: Failure,
    /// When the attempt ended.
    pub at: Timestamp,
}

/// How a delivery stands over all destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Standing {
    /// When the latest attempt began, of all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    /// When the next attempt after a failed one is due, the earliest of all destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// The failure to be shown: of those given up the last, else of those to be retried the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<StandingFailure>,
}

impl Standing {
    /// Whether there is nothing to say.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
