//! What Hooklog is about, without a single side effect: names, events, rules and the ports that
//! adapters implement.
//!
//! Never here: I/O, a clock, randomness. Time and ids arrive in commands; look for `received_at`
//! and you will not find `now()`.

mod body;
mod clock;
mod delivery;
mod escape;
mod event;
mod fanout;
mod hash;
mod id;
mod key;
mod keyless;
mod log;
mod message;
mod payload;
mod stream;
mod table;
mod timestamp;

pub mod catalogue;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use body::{BodyError, BodyRef, BodyStore, BodyUpload};
pub use clock::Clock;
pub use delivery::{DeliveryReceived, DeliveryStatus, Entity, HeaderFact, Proof};
pub use escape::{escape_part, subject_part};
pub use event::{EventData, EventType, NewEvent, RecordedEvent, must_be_stored};
pub use fanout::{FanOut, FanOutError, FanOutTail, LiveEvent, LiveEvents, LiveSubscription};
pub use hash::{ContentHash, ContentHasher};
pub use id::{EventId, InvalidName, LogId, Position, Revision, SourceName, TenantId};
pub use key::DeliveryKey;
pub use keyless::{is_forwarding_header, is_true_loopback};
pub use log::{
    Append, AppendError, Appended, ContentKey, EventLog, Expected, FindDeliveries, LogHealth, LogPage,
    PageLimit, ReadError,
};
pub use message::{Message, MessageError, event_of, message_of, subject_of, unreadable_message_of};
pub use payload::{PayloadError, body_bytes, decode_form_payload, is_form, json_payload};
pub use stream::{Category, StreamName};
pub use table::{Query, Rows, TableError, Tables};
pub use timestamp::{InvalidTimestamp, Timestamp};
