//! What Hooklog is about, without a single side effect: names, events, rules and the ports that
//! adapters implement.
//!
//! Never here: I/O, a clock, randomness. Time and ids arrive in commands; look for `received_at`
//! and you will not find `now()`.

mod access;
mod body;
mod category;
mod checkpoint;
mod clock;
mod command;
mod delivery;
mod destination;
mod escape;
mod event;
mod fanout;
mod filter;
mod forwarded;
mod hash;
mod id;
mod key;
mod keyless;
mod lease;
mod log;
mod message;
mod outcome;
mod payload;
mod reactor;
mod rejected;
mod replay;
mod source;
mod stream;
mod subject;
mod table;
mod timestamp;

pub mod catalogue;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use access::{
    ActionAudited, Audit, AuditMark, AuditOutcome, AuditPage, AuditRecord, AuditWanted, InvalidKeyId,
    InvalidScope, KeyCommand, KeyCreated, KeyDirectory, KeyEvent, KeyId, KeyRejection, KeyRevoked,
    KeyStanding, KeyState, KeyText, Keys, MadeKey, NewKey, PresentedKey, RESERVED_NAMES, Scope,
};
pub use body::{BodyError, BodyRef, BodyStore, BodyUpload};
pub use category::{Advance, CategoryFold, CategoryView};
pub use checkpoint::{CheckpointError, Checkpoints};
pub use clock::Clock;
pub use command::{
    BreakerState, CommandError, DestinationStatus, Destinations, PausedSince, ReplayCount, ReplayOne,
    ReplayOrder, ReplayedOne, Replays, RetryDead,
};
pub use delivery::{DeliveryReceived, DeliveryStatus, Entity, HeaderFact, Proof};
pub use destination::{
    DestinationCommand, DestinationEvent, DestinationPaused, DestinationResumed, DestinationState,
};
pub use escape::{escape_part, subject_part};
pub use event::{EventData, EventType, NewEvent, RecordedEvent, must_be_stored};
pub use fanout::{
    FanOut, FanOutError, FanOutTail, LiveEvent, LiveEvents, LiveStep, LiveSubscription, Publishing,
};
pub use filter::{EventFilter, InvalidGlob};
pub use forwarded::{ClientAddress, ForwardedHeader};
pub use hash::{ContentHash, ContentHasher};
pub use id::{
    DestinationName, EventId, InvalidName, KeyName, LogId, Position, ReplayId, Revision, SourceName, TenantId,
};
pub use key::DeliveryKey;
pub use keyless::{is_foreign_header, is_forwarding_header, is_true_loopback};
pub use lease::{
    Holder, InvalidLeaseName, Lease, LeaseName, LeaseStanding, Leases, Onlooker, SharedWork, Unshared,
};
pub use log::{
    Append, AppendError, Appended, CategoryPage, ContentKey, EventLog, Expected, FindDeliveries, LogHealth,
    LogPage, PageLimit, ReadError, Spacing,
};
pub use message::{
    Message, MessageError, event_of, message_of, replayed_message_of, subject_of, unreadable_message_of,
};
pub use outcome::{
    Attempt, AttemptResult, Cause, DeliveryCommand, DeliveryDeadLettered, DeliveryFailed, DeliveryOutcome,
    DeliveryProcessed, DeliveryRejection, DeliveryReplayRequested, DeliveryState, DestinationWork, Failure,
    InvalidErrorCode, LoadError, Outcome, Receipt, ReplayTo, Response, Round, SentHeaders, Standing,
    StandingFailure, VARYING, VARYING_SHOWN, Work, load_delivery, wording,
};
pub use payload::{PayloadError, body_bytes, decode_form_payload, is_form, json_payload, payload_in};
pub use reactor::{ErrorCode, NameReactors, NoReactors};
pub use rejected::{
    FindRejected, KeepNone, KeepRejected, RejectedError, RejectedFilter, RejectedKind, RejectedPage,
    RejectedRequest,
};
pub use replay::{
    InvalidReplayFilter, ReplayCancelled, ReplayCommand, ReplayCompleted, ReplayCounts, ReplayEvent,
    ReplayFailed, ReplayFilter, ReplayMatch, ReplayProgressed, ReplayRejection, ReplayRequested, ReplayState,
    ReplayStatus,
};
pub use source::{
    AddSource, AddSourceSecret, ChangeSource, Hold, InvalidSecretId, NewSecret, OpenSecret, OpenSource,
    RotateSourceSecret, SOURCE_SCHEMES, SealedSecret, SecretFacts, SecretId, SourceAdded, SourceChanged,
    SourceCommand, SourceDirectory, SourceEvent, SourceKnown, SourceOrigin, SourcePaused, SourceRef,
    SourceRejection, SourceRemoved, SourceResumed, SourceSecret, SourceSecretAdded, SourceSecretRevoked,
    SourceSecretRotated, SourceSecretsResealed, SourceStanding, SourceState, SourceStatus, SourceTerms,
    Sources, UseSources,
};
pub use stream::{Category, StreamName};
pub use subject::{PublishError, PublishToSubject};
pub use table::{Query, Rows, TableError, Tables};
pub use timestamp::{InvalidTimestamp, Timestamp};
