//! Events as the server has them.

use bytes::Bytes;
use eventstore::EventData;
use serde::Serialize;
use uuid::Uuid;

use super::wire::{NewWireEvent, WireEvent, WireUuid};

/// An event that the server sent.
#[derive(Debug, Clone)]
pub(super) struct ServerEvent {
    pub(super) stream: String,
    pub(super) revision: u64,
    pub(super) position: u64,
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) custom_metadata: Bytes,
    pub(super) data: Bytes,
}

impl From<WireEvent> for ServerEvent {
    fn from(mut event: WireEvent) -> Self {
        let stream = event.stream.map(|stream| stream.name).unwrap_or_default();
        Self {
            stream: String::from_utf8_lossy(&stream).into_owned(),
            revision: event.revision,
            position: event.commit,
            id: event.id.and_then(|id| id.id()).unwrap_or(Uuid::nil()),
            event_type: event.metadata.remove("type").unwrap_or_default(),
            custom_metadata: event.custom_metadata,
            data: event.data,
        }
    }
}

/// An event for the server.
#[derive(Debug, Clone)]
pub(super) struct NewServerEvent {
    id: Uuid,
    event_type: String,
    content_type: &'static str,
    custom_metadata: Bytes,
    data: Bytes,
}

impl NewServerEvent {
    /// An event of bytes.
    pub(super) fn binary(id: Uuid, event_type: &str, data: Bytes) -> Self {
        Self {
            id,
            event_type: event_type.to_owned(),
            content_type: "application/octet-stream",
            custom_metadata: Bytes::new(),
            data,
        }
    }

    /// An event of the adapter's own, under a fresh id.
    pub(super) fn json(event_type: &str, data: &impl Serialize) -> Result<Self, serde_json::Error> {
        let data = serde_json::to_vec(data)?;
        Ok(Self {
            content_type: "application/json",
            ..Self::binary(Uuid::new_v4(), event_type, data.into())
        })
    }

    /// With metadata.
    pub(super) fn with_metadata(self, custom_metadata: Bytes) -> Self {
        Self {
            custom_metadata,
            ..self
        }
    }
}

impl From<NewServerEvent> for NewWireEvent {
    fn from(event: NewServerEvent) -> Self {
        let metadata = [
            ("type", event.event_type),
            ("content-type", event.content_type.to_owned()),
        ];
        Self {
            id: Some(WireUuid::of(event.id)),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into(),
            custom_metadata: event.custom_metadata,
            data: event.data,
        }
    }
}

/// For the client's sessions, in which all events of the log are bytes.
impl From<NewServerEvent> for EventData {
    fn from(event: NewServerEvent) -> Self {
        let data = Self::binary(&event.event_type, event.data);
        data.id(event.id).metadata(event.custom_metadata)
    }
}
