//! The background task that brings the index up to the log and writes key files of sealed segments.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catch_up::{Source, open_index};
use super::index::{CHUNK_EVENTS, Index, IndexError, IndexState};
use super::keys::{EventKey, ensure_key_file};
use super::pending::Pending;
use super::recent::Recent;
use super::shared::Shared;

/// After how many events, or how long, what was indexed is synced and vouched for.
const VOUCH_EVENTS: usize = CHUNK_EVENTS;
const VOUCH_AFTER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether enough was gathered.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) struct Indexer {
    shared: Arc<Shared>,
    /// Where the index is, to repair it.
    folder: PathBuf,
    /// The last event applied but not vouched for, and how many those are.
    unvouched: Option<(Arc<EventKey>, usize)>,
    vouched: Instant,
}

impl Indexer {
    pub(crate) fn new(shared: Arc<Shared>, folder: PathBuf) -> Self {
        Self {
            shared,
            folder,
            unvouched: None,
            vouched: Instant::now(),
        }
    }

    /// Runs until the log is closing and all is indexed.
    pub(crate) fn run(&mut self) {
        loop {
            let closing = self.shared.closing.is_cancelled();
            let pause = match self.work(closing) {
                Ok(true) => Duration::ZERO,
                Ok(false) if closing => return,
                Ok(false) => RETRY,
                // It is caught up at the next open.
                Err(_) if closing => return,
                Err(error) => {
                    tracing::error!(%error, "the index of the log can't be written");
                    self.repair();
                    RETRY
                }
            };
            if pause > Duration::ZERO {
                self.shared.appended.wait(pause);
                self.gather();
            }
        }
    }

    /// Waits until there is enough for a table of its own, or for as long as the settings say. Not woken by each event.
    pub(super) fn gather(&self) {
        let until = Instant::now() + Duration::from_millis(self.shared.options.index_delay_ms);
        let enough = self.enough();
        // Nothing to gather for: an idle log must not look twenty times a second.
        while !self.shared.closing.is_cancelled() && (1..enough).contains(&self.shared.recent().len()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// How many events are not gathered for any longer: before the writer has to wait for the index.
    fn enough(&self) -> usize {
        CHUNK_EVENTS.min(self.shared.options.unindexed_max / 2)
    }

    /// Opens the index anew: after a failure, such as a full disk, it takes nothing any more. Until this succeeds nothing
    /// can be decided, so appends are refused.
    fn repair(&mut self) {
        self.shared.close_index();
        self.unvouched = None;
        let source = Source {
            id: self.shared.id,
            files: &*self.shared.files,
            segments: &self.shared.segments,
            head: self.shared.head_now(),
        };
        match open_index(&self.folder, &self.shared.options, &source) {
            Ok(index) => self.shared.set_index(index),
            Err(error) => tracing::error!(%error, "the index of the log can't be opened again"),
        }
    }

    /// One round; whether more is to be done at once.
    fn work(&mut self, closing: bool) -> Result<bool, IndexError> {
        self.seal_segments();
        let index = self.shared.index().map_err(|_| IndexError::Closed)?;
        let Some(index) = index else {
            return Ok(false);
        };
        let empty = match self.shared.recent().len() {
            0 => Pending::default(),
            _ => Pending::with_room(CHUNK_EVENTS),
        };
        let part = self.shared.change_recent(|recent| recent.begin_indexing(empty));
        let keys: Vec<_> = part.events().cloned().collect();
        if let Some(last) = keys.last() {
            for some in keys.chunks(CHUNK_EVENTS) {
                index.apply(some)?;
            }
            drop(part);
            // It is long gone for whoever appends when its memory is given back here.
            drop(self.shared.change_recent(Recent::end_indexing));
            self.shared.indexed.raise();
            let count = self.unvouched.as_ref().map_or(0, |(_, n)| *n) + keys.len();
            self.unvouched = Some((Arc::clone(last), count));
        }
        let left = self.shared.recent().len();
        self.vouch(&index, closing && left == 0)?;
        // Less than that is gathered again.
        Ok(left >= self.enough().max(1) || (closing && left > 0))
    }

    fn vouch(&mut self, index: &Index, now: bool) -> Result<(), IndexError> {
        let Some((last, count)) = &self.unvouched else {
            return Ok(());
        };
        if !now && *count < VOUCH_EVENTS && self.vouched.elapsed() < VOUCH_AFTER {
            return Ok(());
        }
        index.vouch(&IndexState {
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
            let files = &*self.shared.files;
            let written = segment.write_closed_keys(files);
            match written.unwrap_or_else(|| ensure_key_file(files, &segment.header, &next.header)) {
                Ok(keys) => segment.seal(keys),
                Err(error) => tracing::error!(%error, "the key file of a segment can't be written"),
            }
        }
    }
}
