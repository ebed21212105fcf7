//! The replays that are open, as far as the log was followed, and which of them this process carries out.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::StreamName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::note::Mark;

/// The open replays. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Registry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<StreamName, Open>,
    holds: HashMap<StreamName, usize>,
}

#[derive(Debug)]
struct Open {
    /// The event that ordered it.
    ordered: Mark,
    /// Stops its run; none while it does not run here.
    run: Option<CancellationToken>,
    /// The log says that it has ended.
    ended: bool,
    /// It could not be carried out for a reason that another try does not mend. The next start tries again.
    broken: bool,
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// Nothing is left to do.
    Over,
    /// It was told to stop.
    Stopped,
    /// It can't go on and can't even say so in the log.
    Broken,
}

/// Keeps a replay from being carried out by the runner of this process; until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    registry: Registry,
    stream: StreamName,
}

impl Registry {
    /// The log says that it was ordered.
    pub(super) fn opened(&self, stream: &StreamName, ordered: Mark) {
        self.state().open.entry(stream.clone()).or_insert(Open {
            ordered,
            run: None,
            ended: false,
            broken: false,
        });
        self.changed();
    }

    /// The log says that it has ended.
    pub(super) fn ended(&self, stream: &StreamName) {
        let mut state = self.state();
        if let Some(open) = state.open.get_mut(stream) {
            match &open.run {
                Some(run) => {
                    open.ended = true;
                    run.cancel();
                }
                None => {
                    state.open.remove(stream);
                }
            }
        }
        drop(state);
        self.changed();
    }

    /// The oldest replay that waits, while fewer than so many run. It runs from now on.
    pub(super) fn next(&self, running_max: usize) -> Option<(StreamName, CancellationToken)> {
        let mut state = self.state();
        let State { open, holds } = &mut *state;
        if open.values().filter(|open| open.run.is_some()).count() >= running_max.max(1) {
            return None;
        }
        let waiting = open
            .iter_mut()
            .filter(|(stream, open)| open.run.is_none() && !open.broken && !holds.contains_key(*stream));
        let (stream, open) = waiting.min_by_key(|(_, open)| open.ordered.position)?;
        let stop = CancellationToken::new();
        open.run = Some(stop.clone());
        Some((stream.clone(), stop))
    }

    /// Its run has ended.
    pub(super) fn finished(&self, stream: &StreamName, end: RunEnd) {
        let mut state = self.state();
        if let Some(open) = state.open.get_mut(stream) {
            open.run = None;
            open.broken = end == RunEnd::Broken;
            if end == RunEnd::Over || open.ended {
                state.open.remove(stream);
            }
        }
        drop(state);
        self.changed();
    }

    /// Stops all runs; the replays stay open.
    pub(super) fn stop_all(&self) {
        let state = self.state();
        let runs = state.open.values().filter_map(|open| open.run.as_ref());
        runs.for_each(CancellationToken::cancel);
    }

    /// How many run here.
    pub(super) fn running(&self) -> usize {
        self.state()
            .open
            .values()
            .filter(|open| open.run.is_some())
            .count()
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.state().open.len()
    }

    /// What ordered the oldest open replay.
    pub(super) fn oldest(&self) -> Option<Mark> {
        let state = self.state();
        state
            .open
            .values()
            .map(|open| open.ordered)
            .min_by_key(|mark| mark.position)
    }

    /// Keeps a replay from being carried out here, and stops its run.
    pub(super) fn hold(&self, stream: &StreamName) -> Hold {
        let mut state = self.state();
        *state.holds.entry(stream.clone()).or_insert(0) += 1;
        if let Some(run) = state.open.get(stream).and_then(|open| open.run.as_ref()) {
            run.cancel();
        }
        Hold {
            registry: self.clone(),
            stream: stream.clone(),
        }
    }

    /// Told whenever something changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    fn runs(&self, stream: &StreamName) -> bool {
        self.state()
            .open
            .get(stream)
            .is_some_and(|open| open.run.is_some())
    }

    fn changed(&self) {
        self.0.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Waits until the run that was stopped has taken down how far it is.
    pub(super) async fn settled(&self) {
        let mut changes = self.registry.changes();
        while self.registry.runs(&self.stream) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        if let Some(holds) = state.holds.get_mut(&self.stream) {
            *holds -= 1;
            if *holds == 0 {
                state.holds.remove(&self.stream);
            }
        }
        drop(state);
        self.registry.changed();
    }
}
