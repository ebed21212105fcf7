//! Knows the sources of a log: a fold of it that every replica keeps for itself, and tells receiving of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{
    Append, AppendError, Appended, Category, Clock, CommandError, EventData, EventLog, PageLimit, Position,
    ReadError, RecordedEvent, Revision, SourceKnown, SourceName, StreamName, UseSources,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::receiving::Receiving;
use crate::secret::Sealer;

/// How often others may be quicker, or the log silent, before the caller is sent away.
pub(super) const TRIES_MAX: u32 = 5;
/// How long the log may grow before it is looked at for sources that another replica changed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause after the log could not be read.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What can be set about sources that are added while the program runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceKeeperOptions {
    /// The most of them, over all tenants.
    pub sources_max: usize,
    /// The most secrets of one that verify.
    pub secrets_per_source_max: usize,
    /// How long the old secrets verify beside a new one, in milliseconds, unless said otherwise.
    pub grace_ms: u64,
    /// The longest that may be said.
    pub grace_ms_max: u64,
}

impl Default for SourceKeeperOptions {
    fn default() -> Self {
        Self {
            sources_max: 1000,
            secrets_per_source_max: 1000,
            grace_ms: 86_400_000,
            grace_ms_max: 2_592_000_000,
        }
    }
}

/// A source of the settings.
#[derive(Debug, Clone)]
pub struct Configured {
    /// What is known of it.
    pub known: SourceKnown,
    /// Whether a source of the log may take its place, because nobody chose its secret.
    pub replaceable: bool,
}

/// Knows the sources of a log.
pub struct SourceKeeper {
    pub(super) options: SourceKeeperOptions,
    pub(super) configured: Vec<Configured>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sealer: Sealer,
    pub(super) receiver: Arc<dyn UseSources>,
    known: Mutex<Receiving>,
}

impl SourceKeeper {
    /// Knows nothing yet until [`SourceKeeper::follow`] has read the log.
    #[must_use]
    pub fn new(
        options: SourceKeeperOptions,
        configured: Vec<Configured>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        sealer: Sealer,
        receiver: Arc<dyn UseSources>,
    ) -> Self {
        Self {
            options,
            configured,
            log,
            clock,
            sealer,
            receiver,
            known: Mutex::default(),
        }
    }

    /// Reads the log, and goes on reading it until it is told to stop. While the log can't be read, what was known holds.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut after = Position::START;
        loop {
            let looked = tokio::select! {
                looked = self.look(after) => looked,
                () = stop.cancelled() => return,
            };
            let pause = match looked {
                Ok(position) => {
                    after = position;
                    LOOK_EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "the sources can't be read from the log now; it is tried again");
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            if pause == LOOK_EVERY {
                tokio::select! {
                    // An error shows itself again when the log is read.
                    _grown = self.log.wait_past(after) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Reads on to the head of the log, and returns it. Only what is about sources is read, however long the log is.
    async fn look(&self, mut after: Position) -> Result<Position, ReadError> {
        loop {
            let page = self
                .log
                .read_category(Category::Source, after, PageLimit::default())
                .await?;
            page.events.iter().for_each(|event| self.learn(event));
            let is_full = page.events.last().is_some_and(|last| last.position == page.upto);
            after = page.upto.max(after);
            // Only a full page ends at its own last event with more behind it.
            if !is_full {
                self.known().complete(self);
                return Ok(after);
            }
        }
    }

    fn learn(&self, event: &RecordedEvent) {
        self.known().learn(event, self);
    }

    /// Held for moments only: receiving is told of a change under it, so that it hears of changes in their order.
    pub(super) fn known(&self) -> MutexGuard<'_, Receiving> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source of the settings that has a name for good.
    pub(super) fn fixed(&self, name: &SourceName) -> Option<&Configured> {
        let mut fixed = self.configured.iter().filter(|source| !source.replaceable);
        fixed.find(|source| source.known.name == *name)
    }

    /// Appends facts and lets them hold at once.
    pub(super) async fn append(&self, append: Append) -> Result<(), AppendError> {
        let mut tries = TRIES_MAX;
        let appended = loop {
            tries -= 1;
            match self.log.append(append.clone()).await {
                Err(AppendError::Unknown(_)) if tries > 0 => {}
                done => break done?,
            }
        };
        if let Some(event) = recorded(&append, &appended) {
            self.learn(&event);
        } else {
            // An error shows itself in the next look.
            let _ = self.read_again(&append.stream).await;
        }
        Ok(())
    }

    /// Reads a source's own stream, because something happened to it that is not known yet.
    pub(super) async fn read_again(&self, stream: &StreamName) -> Result<(), CommandError> {
        let mut from = Revision::new(0);
        loop {
            let events = self.log.read_stream(stream, from, PageLimit::default()).await;
            let events = events.map_err(|error| CommandError::Unavailable(error.to_string()))?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            from = Revision::new(last.revision.get() + 1);
            events.iter().for_each(|event| self.learn(event));
        }
    }
}

/// The event as it stands in the log now; none when there are several.
fn recorded(append: &Append, appended: &Appended) -> Option<RecordedEvent> {
    let [new] = append.events.as_slice() else {
        return None;
    };
    Some(RecordedEvent {
        position: appended.first,
        stream: append.stream.clone(),
        revision: appended.revision,
        id: new.id,
        event_type: new.event_type.clone(),
        schema: new.schema,
        recorded_at: appended.recorded_at,
        duplicate_of: None,
        metadata: new.metadata.clone(),
        data: EventData::Inline(Bytes::new()),
    })
}
