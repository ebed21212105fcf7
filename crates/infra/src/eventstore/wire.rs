//! The messages of the protocol that are spoken without the client: those of reads, subscriptions and single appends.
//!
//! As the protocol's own files describe them (`crates/eventstore-sim/proto`, against which every test speaks); what nobody
//! here asks for is left out, which the encoding allows.

use std::collections::HashMap;

use bytes::Bytes;
use eventstore::StreamState;
use prost::{Message, Oneof};
use uuid::Uuid;

/// A message without content.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct WireUuid {
    #[prost(oneof = "UuidForm", tags = "1, 2")]
    pub(super) form: Option<UuidForm>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum UuidForm {
    #[prost(message, tag = "1")]
    Structured(TwoNumbers),
    #[prost(string, tag = "2")]
    Text(String),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct TwoNumbers {
    #[prost(int64, tag = "1")]
    most: i64,
    #[prost(int64, tag = "2")]
    least: i64,
}

impl WireUuid {
    pub(super) fn of(id: Uuid) -> Self {
        Self {
            form: Some(UuidForm::Text(id.to_string())),
        }
    }

    /// The id in either of its forms.
    pub(super) fn id(&self) -> Option<Uuid> {
        match self.form.as_ref()? {
            UuidForm::Text(text) => text.parse().ok(),
            UuidForm::Structured(two) => Some(Uuid::from_u64_pair(
                two.most.cast_unsigned(),
                two.least.cast_unsigned(),
            )),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct StreamIdentifier {
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) name: Bytes,
}

impl StreamIdentifier {
    pub(super) fn of(name: &str) -> Self {
        Self {
            name: Bytes::copy_from_slice(name.as_bytes()),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReadReq {
    #[prost(message, optional, tag = "1")]
    pub(super) options: Option<ReadOptions>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ReadOptions {
    #[prost(oneof = "Of", tags = "1, 2")]
    pub(super) of: Option<Of>,
    /// 0 forwards, 1 backwards.
    #[prost(int32, tag = "3")]
    pub(super) direction: i32,
    #[prost(bool, tag = "4")]
    pub(super) resolve_links: bool,
    #[prost(oneof = "HowMany", tags = "5, 6")]
    pub(super) how_many: Option<HowMany>,
    #[prost(oneof = "Filtering", tags = "7, 8")]
    pub(super) filtering: Option<Filtering>,
    #[prost(message, optional, tag = "9")]
    pub(super) uuids: Option<UuidOption>,
    #[prost(message, optional, tag = "10")]
    pub(super) control: Option<ControlOption>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum Of {
    #[prost(message, tag = "1")]
    Stream(OfStream),
    #[prost(message, tag = "2")]
    All(OfAll),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct OfStream {
    #[prost(message, optional, tag = "1")]
    pub(super) stream: Option<StreamIdentifier>,
    #[prost(oneof = "FromRevision", tags = "2, 3, 4")]
    pub(super) from: Option<FromRevision>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum FromRevision {
    #[prost(uint64, tag = "2")]
    Revision(u64),
    #[prost(message, tag = "3")]
    Start(Empty),
    #[prost(message, tag = "4")]
    End(Empty),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct OfAll {
    #[prost(oneof = "FromPosition", tags = "1, 2, 3")]
    pub(super) from: Option<FromPosition>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum FromPosition {
    #[prost(message, tag = "1")]
    Position(TwoPositions),
    #[prost(message, tag = "2")]
    Start(Empty),
    #[prost(message, tag = "3")]
    End(Empty),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct TwoPositions {
    #[prost(uint64, tag = "1")]
    pub(super) commit: u64,
    #[prost(uint64, tag = "2")]
    pub(super) prepare: u64,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum HowMany {
    #[prost(uint64, tag = "5")]
    Count(u64),
    #[prost(message, tag = "6")]
    Subscription(Empty),
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum Filtering {
    #[prost(message, tag = "7")]
    Filter(Filter),
    #[prost(message, tag = "8")]
    None(Empty),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Filter {
    #[prost(message, optional, tag = "1")]
    pub(super) streams: Option<Prefixes>,
    /// Of the window's two forms the one with a most.
    #[prost(uint32, optional, tag = "3")]
    pub(super) window_max: Option<u32>,
    #[prost(uint32, tag = "5")]
    pub(super) checkpoint_interval_multiplier: u32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Prefixes {
    #[prost(string, repeated, tag = "2")]
    pub(super) prefixes: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct UuidOption {
    /// Of the two forms the text.
    #[prost(message, optional, tag = "2")]
    pub(super) text: Option<Empty>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ControlOption {
    #[prost(uint32, tag = "1")]
    pub(super) compatibility: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadResp {
    #[prost(oneof = "ReadContent", tags = "1, 2, 3, 4")]
    pub(super) content: Option<ReadContent>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ReadContent {
    #[prost(message, tag = "1")]
    Event(ReadEvent),
    #[prost(message, tag = "2")]
    Confirmation(Empty),
    #[prost(message, tag = "3")]
    Checkpoint(TwoPositions),
    #[prost(message, tag = "4")]
    StreamNotFound(Empty),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<WireEvent>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<WireUuid>,
    #[prost(message, optional, tag = "2")]
    pub(super) stream: Option<StreamIdentifier>,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
    #[prost(uint64, tag = "5")]
    pub(super) commit: u64,
    #[prost(map = "string, string", tag = "6")]
    pub(super) metadata: HashMap<String, String>,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) custom_metadata: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) data: Bytes,
}

/// A message of a single append: what is expected comes first, then its events.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendReq {
    #[prost(oneof = "AppendContent", tags = "1, 2")]
    pub(super) content: Option<AppendContent>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AppendContent {
    #[prost(message, tag = "1")]
    Options(AppendOptions),
    #[prost(message, tag = "2")]
    Event(NewWireEvent),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct AppendOptions {
    #[prost(message, optional, tag = "1")]
    pub(super) stream: Option<StreamIdentifier>,
    #[prost(oneof = "WireExpected", tags = "2, 3, 4, 5")]
    pub(super) expected: Option<WireExpected>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum WireExpected {
    #[prost(uint64, tag = "2")]
    Revision(u64),
    #[prost(message, tag = "3")]
    NoStream(Empty),
    #[prost(message, tag = "4")]
    Any(Empty),
    #[prost(message, tag = "5")]
    StreamExists(Empty),
}

impl From<StreamState> for WireExpected {
    fn from(state: StreamState) -> Self {
        match state {
            StreamState::NoStream => Self::NoStream(Empty {}),
            StreamState::Any => Self::Any(Empty {}),
            StreamState::StreamExists => Self::StreamExists(Empty {}),
            StreamState::StreamRevision(revision) => Self::Revision(revision),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NewWireEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<WireUuid>,
    #[prost(map = "string, string", tag = "2")]
    pub(super) metadata: HashMap<String, String>,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) custom_metadata: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct AppendResp {
    #[prost(oneof = "AppendResult", tags = "1, 2")]
    pub(super) result: Option<AppendResult>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub(super) enum AppendResult {
    #[prost(message, tag = "1")]
    Success(AppendSuccess),
    #[prost(message, tag = "2")]
    WrongExpectedVersion(Empty),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct AppendSuccess {
    #[prost(uint64, optional, tag = "1")]
    pub(super) revision: Option<u64>,
    #[prost(message, optional, tag = "3")]
    pub(super) position: Option<TwoPositions>,
}
