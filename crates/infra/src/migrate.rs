//! Moves a log: every event as it was, in the order in which it was, into a log of another identity.
//!
//! Nothing is decided again: times, revisions and marks are those of the log it comes from. What is in the target already is
//! compared first, so a move that was cut short goes on where it was, and a target that holds anything else is refused.

mod bodies;

use async_trait::async_trait;
use domain::{
    AppendError, BodyError, ContentHash, ContentHasher, ContentKey, DeliveryReceived, EventData, EventLog,
    PageLimit, Position, ReadError, RecordedEvent,
};

pub use bodies::Bodies;

/// An event to be taken over, and by what a delivery is to be recognised from then on.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The event, as it stands in the other log.
    pub event: RecordedEvent,
    /// For a delivery, its content.
    pub content: Option<ContentKey>,
}

/// A log that takes events over as they are.
#[async_trait]
pub trait TakeOver: EventLog {
    /// Takes events over, in their order. What of them is there already stays as it is.
    async fn take_over(&self, events: Vec<Moved>) -> Result<(), AppendError>;
}

/// A log that was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// How many events both logs hold.
    pub events: u64,
    /// How many of them were there before.
    pub found: u64,
    /// SHA-256 over all of them but their positions, the same in both.
    pub sha256: ContentHash,
    /// How many long bodies are whole in the target, each counted for every event that names it.
    pub bodies: u64,
    /// How many events name a body that neither store has whole; their deliveries were without a payload before.
    pub bodies_lost: u64,
}

/// Why a log could not be moved. What was moved stays, and is found when it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A log can't be read.
    #[error("the {log} log can't be read")]
    Read {
        /// `source` or `target`.
        log: &'static str,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The target takes no more.
    #[error("the target log takes no more")]
    Write(#[source] AppendError),
    /// A long body can't be carried over.
    #[error("body {sha256} can't be carried over")]
    Body {
        /// Its name.
        sha256: ContentHash,
        /// Why.
        #[source]
        source: BodyError,
    },
    /// The target holds something else.
    #[error(
        "event {number} of the target log, in {stream}, is not that of the source: it is another log, or was used since"
    )]
    Different {
        /// Which event, from 1.
        number: u64,
        /// Its stream in the target.
        stream: String,
    },
    /// The target holds all events, but not the same.
    #[error("the target log holds {found}, the source log {wanted}: keep the source")]
    Damaged {
        /// Hash of the target.
        found: ContentHash,
        /// Hash of the source.
        wanted: ContentHash,
    },
}

/// Moves all events of a log and the long bodies that they name. `progress` is told how many events are moved or found so far.
///
/// # Errors
/// When a log or a store fails, or the target holds something else.
pub async fn migrate(
    from: &dyn EventLog,
    to: &dyn TakeOver,
    bodies: &Bodies<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Migrated, MigrateError> {
    let mut moving = Moving {
        from,
        to,
        bodies,
        hasher: ContentHasher::default(),
        events: 0,
        source_at: Position::START,
    };
    moving.compare(progress).await?;
    let found = moving.events;
    moving.copy(progress).await?;
    let (events, wanted) = (moving.events, moving.hasher.finish());
    let there = Migrated {
        found,
        ..look_through(to, bodies).await?
    };
    if (there.events, there.sha256) == (events, wanted) {
        return Ok(there);
    }
    Err(MigrateError::Damaged {
        found: there.sha256,
        wanted,
    })
}

/// What a log has: how many events, their hash, and whether the bodies that they name are whole.
async fn look_through(log: &dyn TakeOver, bodies: &Bodies<'_>) -> Result<Migrated, MigrateError> {
    let (mut hasher, mut events, mut after) = (ContentHasher::default(), 0, Position::START);
    let (mut whole, mut lost) = (0, 0);
    loop {
        let page = log
            .read_all(after, PageLimit::default())
            .await
            .map_err(read("target"))?;
        let Some(last) = page.events.last() else {
            return Ok(Migrated {
                events,
                found: 0,
                sha256: hasher.finish(),
                bodies: whole,
                bodies_lost: lost,
            });
        };
        after = last.position;
        events += page.events.len() as u64;
        for event in &page.events {
            feed(&mut hasher, event);
            if let EventData::Stored(body) = &event.data {
                let count = if bodies.is_there(body).await? {
                    &mut whole
                } else {
                    &mut lost
                };
                *count += 1;
            }
        }
    }
}

fn read(log: &'static str) -> impl FnOnce(ReadError) -> MigrateError {
    move |source| MigrateError::Read { log, source }
}

/// A move under way.
struct Moving<'a> {
    from: &'a dyn EventLog,
    to: &'a dyn TakeOver,
    bodies: &'a Bodies<'a>,
    hasher: ContentHasher,
    events: u64,
    source_at: Position,
}

impl Moving<'_> {
    /// Goes through what the target has, beside the source.
    async fn compare(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), MigrateError> {
        let mut target_at = Position::START;
        loop {
            let there = self.to.read_all(target_at, PageLimit::default()).await;
            let there = there.map_err(read("target"))?.events;
            let Some(last) = there.last() else {
                return Ok(());
            };
            target_at = last.position;
            let mut there = there.iter();
            while let Some(next) = there.as_slice().first() {
                let limit = PageLimit {
                    events: there.len(),
                    ..PageLimit::default()
                };
                let page = self.from.read_all(self.source_at, limit).await;
                let page = page.map_err(read("source"))?;
                if page.events.is_empty() {
                    return Err(self.different(next));
                }
                for event in &page.events {
                    match there.next() {
                        Some(found) if is_same(found, event) => self.pass(event),
                        Some(found) => return Err(self.different(found)),
                        None => break,
                    }
                }
            }
            progress(self.events);
        }
    }

    fn different(&self, found: &RecordedEvent) -> MigrateError {
        MigrateError::Different {
            number: self.events + 1,
            stream: found.stream.to_string(),
        }
    }

    fn pass(&mut self, event: &RecordedEvent) {
        feed(&mut self.hasher, event);
        self.events += 1;
        self.source_at = event.position;
    }

    async fn copy(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), MigrateError> {
        loop {
            let page = self.from.read_all(self.source_at, PageLimit::default()).await;
            let page = page.map_err(read("source"))?;
            if page.events.is_empty() {
                return Ok(());
            }
            for event in &page.events {
                self.pass(event);
                // Before the event that names it, as always.
                if let EventData::Stored(body) = &event.data {
                    self.bodies.carry(body).await?;
                }
            }
            let moved = page.events.into_iter().map(|event| Moved {
                content: content_of(&event),
                event,
            });
            self.to
                .take_over(moved.collect())
                .await
                .map_err(MigrateError::Write)?;
            progress(self.events);
        }
    }
}

/// By what a delivery is found from now on. Nothing is decided again, so no window counts.
fn content_of(event: &RecordedEvent) -> Option<ContentKey> {
    let received = DeliveryReceived::of(event)?.ok()?;
    Some(ContentKey {
        tenant: received.tenant,
        source: received.source,
        body_sha256: received.sha256,
        sender_id: received.delivery_id,
        received_at: received.received_at,
        window_ms: 0,
    })
}

/// Whether two events differ in their positions alone.
fn is_same(a: &RecordedEvent, b: &RecordedEvent) -> bool {
    let at_start = |event: &RecordedEvent| RecordedEvent {
        position: Position::START,
        ..event.clone()
    };
    at_start(a) == at_start(b)
}

/// Hashes all of an event but its position. Lengths stand before what has one, so no two events look the same.
fn feed(hasher: &mut ContentHasher, event: &RecordedEvent) {
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(event.stream.as_str().as_bytes());
    part(&event.revision.get().to_be_bytes());
    part(event.id.as_uuid().as_bytes());
    part(event.event_type.as_str().as_bytes());
    part(&event.schema.to_be_bytes());
    part(&event.recorded_at.as_micros().to_be_bytes());
    part(
        event
            .duplicate_of
            .as_ref()
            .map_or("", |name| name.as_str())
            .as_bytes(),
    );
    part(&event.metadata);
    match &event.data {
        EventData::Inline(data) => {
            part(b"inline");
            part(data);
        }
        EventData::Stored(body) => {
            part(b"stored");
            part(body.sha256.as_bytes());
            part(&body.bytes.to_be_bytes());
        }
    }
}
