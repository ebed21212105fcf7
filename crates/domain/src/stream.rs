//! Stream names: `{category}-{tenant}.{id}`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ContentHash, DeliveryKey, DestinationName, KeyId, ReplayId, SourceName, TenantId, Timestamp};

/// What a stream is about; the text before the first dash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Category {
    /// One delivery and what became of it.
    Delivery,
    /// One replay.
    Replay,
    /// One configured sender.
    Source,
    /// One configured destination.
    Destination,
    /// One API key.
    Key,
    /// What operators of a tenant did on one day.
    Audit,
}

impl Category {
    /// The wire name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Replay => "replay",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Key => "key",
            Self::Audit => "audit",
        }
    }
}

/// The name of a stream of events, such as `delivery-default.github.41.72d3162e`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Arc<str>);

/// Text that is no stream name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stream name is {{category}}-{{tenant}}.{{id}} in printable ASCII, at most 300 bytes")]
pub struct InvalidStreamName;

const STREAM_BYTES_MAX: usize = 300;

impl StreamName {
    /// The stream of one delivery.
    #[must_use]
    pub fn of_delivery(tenant: &TenantId, key: &DeliveryKey) -> Self {
        Self(format!("delivery-{tenant}.{key}").into())
    }

    /// The stream of one replay.
    #[must_use]
    pub fn of_replay(tenant: &TenantId, replay: ReplayId) -> Self {
        Self(format!("replay-{tenant}.{replay}").into())
    }

    /// The stream of one destination.
    #[must_use]
    pub fn of_destination(tenant: &TenantId, name: &DestinationName) -> Self {
        Self(format!("destination-{tenant}.{name}").into())
    }

    /// The stream of one source. Its name is unique over all tenants, so it stands under one of them, whosever it is.
    #[must_use]
    pub fn of_source(name: &SourceName) -> Self {
        Self(format!("source-{}.{name}", TenantId::default()).into())
    }

    /// The stream of one API key.
    #[must_use]
    pub fn of_key(tenant: &TenantId, key: &KeyId) -> Self {
        Self(format!("key-{tenant}.{key}").into())
    }

    /// The stream of what the operators of a tenant did on a day (UTC).
    #[must_use]
    pub fn of_audit(tenant: &TenantId, at: Timestamp) -> Self {
        let time = at.to_string();
        let date = time.split('T').next().unwrap_or_default();
        Self(format!("audit-{tenant}.{date}").into())
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is of a category.
    #[must_use]
    pub fn is_of(&self, category: Category) -> bool {
        self.category() == category.as_str()
    }

    /// The text before the first dash.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&self.0, |(category, _)| category)
    }

    /// The text between the first dash and the first dot after it. A tenant holds no dot, so it is exact.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.rest().split_once('.').map_or("", |(tenant, _)| tenant)
    }

    /// The text right of the tenant: for a delivery, its key.
    #[must_use]
    pub fn id(&self) -> &str {
        self.rest().split_once('.').map_or("", |(_, id)| id)
    }

    fn rest(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, rest)| rest)
    }

    /// Which of `count` projection partitions the stream belongs to: the first 8 bytes of its SHA-256,
    /// big-endian, modulo `count`.
    #[must_use]
    pub fn partition(&self, count: u32) -> u32 {
        if count <= 1 {
            return 0;
        }
        let hash = ContentHash::of(self.0.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(hash.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
        u32::try_from(u64::from_be_bytes(first) % u64::from(count)).unwrap_or(0)
    }
}

impl FromStr for StreamName {
    type Err = InvalidStreamName;
    fn from_str(text: &str) -> Result<Self, InvalidStreamName> {
        let name = Self(text.into());
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if printable && text.len() <= STREAM_BYTES_MAX && !name.tenant().is_empty() && !name.id().is_empty() {
            Ok(name)
        } else {
            Err(InvalidStreamName)
        }
    }
}

impl TryFrom<String> for StreamName {
    type Error = InvalidStreamName;
    fn try_from(text: String) -> Result<Self, InvalidStreamName> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> String {
        name.as_str().to_owned()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_name_shows_its_parts() {
        let name: StreamName = "delivery-team-a.github.41.72d3162e".parse().unwrap();
        assert_eq!(
            (name.category(), name.tenant(), name.id()),
            ("delivery", "team-a", "github.41.72d3162e")
        );
        for bad in [
            "delivery",
            "delivery-a",
            "delivery-.x",
            "delivery-a.",
            "delivery-a.b c",
        ] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad}");
        }
    }
}
