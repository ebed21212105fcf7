//! The background task that brings the index up to the log and writes key files of sealed segments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::index::{Index, IndexError, IndexState};
use super::keys::{EventKey, ensure_key_file};
use super::shared::Shared;

/// How many events go into the index at a time.
const CHUNK_EVENTS: usize = 4096;
/// After how many events, or how long, what was indexed is synced and vouched for.
const VOUCH_EVENTS: usize = 20_000;
const VOUCH_AFTER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Indexer {
    shared: Arc<Shared>,
    index: Arc<Index>,
    /// The last event applied but not vouched for, and how many those are.
    unvouched: Option<(Arc<EventKey>, usize)>,
    vouched: Instant,
}

impl Indexer {
    pub(crate) fn new(shared: Arc<Shared>, index: Arc<Index>) -> Self {
        Self {
            shared,
            index,
            unvouched: None,
            vouched: Instant::now(),
        }
    }

    /// Runs until the log is closing and all is indexed.
    pub(crate) fn run(&mut self) {
        let delay = Duration::from_millis(self.shared.options.index_delay_ms);
        loop {
            let closing = self.shared.closing.is_cancelled();
            let pause = match self.work(closing) {
                Ok(true) => Duration::ZERO,
                Ok(false) if closing => return,
                Ok(false) => RETRY,
                Err(error) => {
                    tracing::error!(%error, "the index of the log can't be written");
                    if closing {
                        // It is caught up at the next open.
                        return;
                    }
                    RETRY
                }
            };
            if pause > Duration::ZERO {
                self.shared.appended.wait(pause);
                if !self.shared.closing.is_cancelled() {
                    self.shared.appended.wait(delay);
                }
            }
        }
    }

    /// One round; whether more is to be done at once.
    fn work(&mut self, closing: bool) -> Result<bool, IndexError> {
        self.seal_segments();
        let keys = self.shared.recent().oldest(CHUNK_EVENTS);
        if let Some(last) = keys.last() {
            self.index.apply(&keys)?;
            self.shared
                .change_recent(|recent| recent.forget_upto(last.position));
            self.shared.indexed.raise();
            let count = self.unvouched.as_ref().map_or(0, |(_, n)| *n) + keys.len();
            self.unvouched = Some((Arc::clone(last), count));
        }
        self.vouch(closing && self.shared.recent().is_empty())?;
        Ok(!self.shared.recent().is_empty())
    }

    fn vouch(&mut self, now: bool) -> Result<(), IndexError> {
        let Some((last, count)) = &self.unvouched else {
            return Ok(());
        };
        if !now && *count < VOUCH_EVENTS && self.vouched.elapsed() < VOUCH_AFTER {
            return Ok(());
        }
        self.index.vouch(&IndexState {
            log_id: self.shared.id,
            upto: last.position,
            event: last.id,
        })?;
        self.unvouched = None;
        self.vouched = Instant::now();
        Ok(())
    }

    /// Writes the key files that are missing. A failure is no harm: the next open tries again.
    fn seal_segments(&self) {
        let segments = self.shared.segments.all();
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            if !segment.is_unsealed() {
                continue;
            }
            match ensure_key_file(&*self.shared.files, &segment.header, &next.header) {
                Ok(keys) => segment.seal(keys),
                Err(error) => tracing::error!(%error, "the key file of a segment can't be written"),
            }
        }
    }
}
