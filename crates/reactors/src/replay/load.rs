//! Reads the state of a replay from its stream, going on from what was read before: a replay of a day has tens of thousands
//! of events, and people ask how it is doing every second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{
    EventLog, LoadError, PageLimit, ReadError, RecordedEvent, ReplayEvent, ReplayState, Revision, StreamName,
};

/// The most states that are kept. Beyond it they are read anew.
const KEPT_MAX: usize = 256;

/// States of replays as of when they were last read. A stream only grows, so none of them is ever wrong, only old.
#[derive(Debug, Default)]
pub(super) struct ReplayStates(Mutex<HashMap<StreamName, ReplayState>>);

impl ReplayStates {
    /// The present state; `None` where the stream is not that of a replay.
    pub(super) async fn load(
        &self,
        log: &dyn EventLog,
        stream: &StreamName,
    ) -> Result<Option<ReplayState>, LoadError> {
        let mut state = self.kept().get(stream).cloned();
        let mut from = state.as_ref().map_or(0, |state| state.revision.get() + 1);
        loop {
            let page = log
                .read_stream(stream, Revision::new(from), PageLimit::default())
                .await?;
            let Some(last) = page.last() else { break };
            from = last.revision.get() + 1;
            for event in &page {
                state = after(state, event).map_err(|source| LoadError::Event {
                    position: event.position,
                    source,
                })?;
            }
        }
        if let Some(state) = &state {
            self.keep(stream, state);
        }
        Ok(state)
    }

    fn keep(&self, stream: &StreamName, state: &ReplayState) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX && !kept.contains_key(stream) {
            kept.clear();
        }
        kept.insert(stream.clone(), state.clone());
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<StreamName, ReplayState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(state: Option<ReplayState>, event: &RecordedEvent) -> serde_json::Result<Option<ReplayState>> {
    let Some(mut state) = state else {
        return ReplayState::of(std::slice::from_ref(event));
    };
    match ReplayEvent::of(event).transpose()? {
        Some(fact) => state.evolve(fact, event),
        // A newer version's. The next append has to expect it all the same.
        None => state.revision = event.revision,
    }
    Ok(Some(state))
}

/// Whether a later try may succeed.
pub(super) const fn may_pass(error: &LoadError) -> bool {
    matches!(error, LoadError::Log(ReadError::Unavailable(_)))
}
