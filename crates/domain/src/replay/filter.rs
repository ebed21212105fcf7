//! Which deliveries a replay is about.

use serde::{Deserialize, Serialize};

use crate::{
    Cause, DeliveryKey, DeliveryReceived, DeliveryStatus, ErrorCode, EventFilter, InvalidGlob, SourceName,
    Timestamp,
};

/// Which deliveries; what is left out does not narrow. Of these, only those of the replay's tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReplayFilter {
    /// This one delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryKey>,
    /// A repository, or a glob of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// An event type, `event` or `event.action`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// An action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The status that it had at the replay's last position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
    /// The kind of error for which a destination was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// The words of that error, without what differs from one delivery to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Received at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Received before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

impl ReplayFilter {
    /// For what a destination must have been given up.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            code: self.error_code,
            wording: self.error.clone(),
        }
    }
}

/// A filter that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReplayFilter {
    /// Its repository is no glob.
    #[error(transparent)]
    Repository(#[from] InvalidGlob),
    /// It ends before it begins.
    #[error("the range ends before it begins")]
    Range,
}

/// A filter ready to be asked.
#[derive(Debug, Clone)]
pub struct ReplayMatch {
    filter: ReplayFilter,
    events: EventFilter,
}

impl ReplayMatch {
    /// Reads a filter.
    ///
    /// # Errors
    /// When its glob can't be read or its range ends before it begins.
    pub fn new(filter: ReplayFilter) -> Result<Self, InvalidReplayFilter> {
        if let (Some(from), Some(to)) = (filter.from, filter.to)
            && from > to
        {
            return Err(InvalidReplayFilter::Range);
        }
        let list = |one: &Option<String>| one.iter().cloned().collect::<Vec<_>>();
        let events = EventFilter::new(&list(&filter.event), &list(&filter.repository))?;
        Ok(Self { filter, events })
    }

    /// The filter.
    #[must_use]
    pub const fn filter(&self) -> &ReplayFilter {
        &self.filter
    }

    /// Whether a receipt fits, its status aside.
    #[must_use]
    pub fn fits(&self, received: &DeliveryReceived) -> bool {
        let filter = &self.filter;
        let action = received.action.as_deref();
        filter.delivery.as_ref().is_none_or(|key| *key == received.key)
            && filter
                .source
                .as_ref()
                .is_none_or(|source| *source == received.source)
            && filter.from.is_none_or(|from| received.received_at >= from)
            && filter.to.is_none_or(|to| received.received_at < to)
            && filter
                .action
                .as_ref()
                .is_none_or(|wanted| action.is_some_and(|action| action.eq_ignore_ascii_case(wanted)))
            && self
                .events
                .wants(&received.event, action, received.repository.as_deref())
    }
}
