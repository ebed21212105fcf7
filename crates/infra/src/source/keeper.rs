//! Knows the sources of a log: a fold of it that every replica keeps for itself, and tells receiving of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{
    Append, AppendError, Category, Clock, CommandError, EventLog, PageLimit, RecordedEvent, Revision,
    SourceKnown, SourceName, StreamName, UseSources,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::receiving::Receiving;
use crate::category::{self, Fold};
use crate::secret::Sealer;

/// How often others may be quicker before the caller is sent away.
pub(super) const TRIES_MAX: u32 = 5;

/// What can be set about sources that are added while the program runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceKeeperOptions {
    /// The most of them, over all tenants.
    pub sources_max: usize,
    /// The most secrets of one that verify.
    pub secrets_per_source_max: usize,
    /// The most of them that are tried on one delivery: those of one hook, or of none.
    pub secrets_per_hook_max: usize,
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
            secrets_per_hook_max: 16,
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
        category::follow(&*self, &*self.log, stop).await;
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
        let appended = category::append(&*self.log, &append).await?;
        if let Some(event) = category::recorded(&append, &appended) {
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

impl Fold for SourceKeeper {
    const CATEGORY: Category = Category::Source;

    fn learn(&self, event: &RecordedEvent) {
        self.known().learn(event, self);
    }

    fn complete(&self) {
        self.known().complete(self);
    }
}
