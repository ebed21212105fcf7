//! Events: what is appended, and what is read back.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BodyRef, EventId, Position, Revision, StreamName, Timestamp};

/// The wire name of a kind of event, such as `DeliveryReceived`; never changed once written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventType(Box<str>);

/// Text that is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event type is 1 to 100 ASCII letters and digits")]
pub struct InvalidEventType;

impl EventType {
    /// The wire name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;
    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain && (1..=100).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidEventType)
        }
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;
    fn try_from(text: String) -> Result<Self, InvalidEventType> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(kind: EventType) -> String {
        kind.0.into()
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The data of an event, byte for byte as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventData {
    /// In the log itself.
    Inline(Bytes),
    /// In the body store: too large for the log, or with a run of zeroes that a torn write could be
    /// mistaken for.
    Stored(BodyRef),
}

impl EventData {
    /// Length of the data in bytes, wherever it is.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Stored(body) => body.bytes,
        }
    }
}

/// An event to append. The caller makes its id, so that a retry names the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The id, a UUIDv7.
    pub id: EventId,
    /// The wire name.
    pub event_type: EventType,
    /// Version of metadata and data under that name, from 1.
    pub schema: u16,
    /// JSON facts, at most [`NewEvent::METADATA_BYTES_MAX`] bytes.
    pub metadata: Bytes,
    /// The data.
    pub data: EventData,
}

impl NewEvent {
    /// The most metadata that an event may carry, in bytes.
    pub const METADATA_BYTES_MAX: usize = 64 * 1024;
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Where it stands in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Where it stands in its stream.
    pub revision: Revision,
    /// Its id.
    pub id: EventId,
    /// Its wire name.
    pub event_type: EventType,
    /// Version of metadata and data.
    pub schema: u16,
    /// When the log took it; never before that of the event ahead of it.
    pub recorded_at: Timestamp,
    /// The stream of the delivery that this one repeats, filled by the writer.
    pub duplicate_of: Option<StreamName>,
    /// JSON facts.
    pub metadata: Bytes,
    /// The data.
    pub data: EventData,
}

/// Length of a run of zeroes that no inline data or metadata may hold, in bytes: a disk's sector.
const ZERO_RUN_BYTES: usize = 512;

/// Whether a body holds 512 zero bytes in a row. The log takes an all-zero sector for one that was never written, so such
/// a body belongs into the body store, whatever its size.
#[must_use]
pub fn must_be_stored(body: &[u8]) -> bool {
    // A run of 512 covers exactly one multiple of 512, so only those bytes are looked at first.
    let mut probe = 0;
    while let Some(byte) = body.get(probe) {
        if *byte == 0 {
            let (before, from) = body.split_at(probe);
            let start = before.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
            let run =
                before.len() - start + from.iter().take(ZERO_RUN_BYTES).take_while(|b| **b == 0).count();
            if run >= ZERO_RUN_BYTES {
                return true;
            }
        }
        probe += ZERO_RUN_BYTES;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_a_sector_of_zeroes_must_be_stored() {
        for start in [0, 1, 511, 512, 513, 1000] {
            for (run, stored) in [(511, false), (512, true), (513, true)] {
                let mut body = vec![b'x'; 3000];
                body[start..start + run].fill(0);
                assert_eq!(must_be_stored(&body), stored, "{run} zeroes at {start}");
            }
        }
        assert!(!must_be_stored(b""));
        assert!(must_be_stored(&[0; 512]));
        assert!(!must_be_stored(&[0; 511]));
        assert!(must_be_stored(&[&[1; 700][..], &[0; 512]].concat()));
    }
}
