//! What the server does wrong, on demand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Holds what comes to it until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<(usize, bool)>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new((0, false))))
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets everything through, from now on.
    pub fn open(&self) {
        self.0.send_modify(|(_, open)| *open = true);
    }

    /// Waits until something stands before it.
    pub async fn reached(&self) {
        let mut state = self.0.subscribe();
        let _gone = state.wait_for(|(waiting, _)| *waiting > 0).await;
    }

    pub(crate) async fn pass(&self) {
        let mut state = self.0.subscribe();
        self.0.send_modify(|(waiting, _)| *waiting += 1);
        let _gone = state.wait_for(|(_, open)| *open).await;
    }
}

/// What becomes of an append.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing is written; it is answered that the server is not available.
    Unavailable,
    /// It is written; it is answered that the server is not available.
    LoseAnswer,
    /// It is written; there is no answer.
    HangAfterWrite,
    /// Nothing is written; there is no answer.
    HangBeforeWrite,
    /// It is refused: the leader is at this port of 127.0.0.1.
    NotLeader(u16),
    /// It stands before a gate, then it is written.
    Hold(Gate),
    /// It is answered with a code of gRPC alone, within its session if it is in one; written or not.
    Code {
        /// The code.
        code: i32,
        /// Whether it is written.
        written: bool,
    },
    /// It is written; the answer does not say at which revision.
    NoRevision,
}

/// How often the server was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Appends of one call each.
    pub appends: usize,
    /// Appends that came in a session.
    pub batched: usize,
    /// Reads that end.
    pub reads: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// How often a client asked what the server can do, which it does for every connection.
    pub features: usize,
    /// Calls that did not ask for the leader.
    pub not_for_leader: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicUsize,
    pub(crate) batched: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    pub(crate) subscriptions: AtomicUsize,
    pub(crate) features: AtomicUsize,
    pub(crate) not_for_leader: AtomicUsize,
}

/// The faults of one node.
#[derive(Debug)]
pub struct Faults {
    /// What becomes of the next append to a stream whose name holds a text.
    appends: Mutex<VecDeque<(String, Fault)>>,
    broken_reads: Mutex<VecDeque<usize>>,
    /// Counts up when every subscription is closed.
    closed: watch::Sender<u64>,
    /// Whether subscriptions end as soon as they are confirmed, and without an error.
    ending: watch::Sender<bool>,
    pub(crate) counters: Counters,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            appends: Mutex::default(),
            broken_reads: Mutex::default(),
            closed: watch::Sender::new(0),
            ending: watch::Sender::new(false),
            counters: Counters::default(),
        }
    }
}

impl Faults {
    /// The next append to a stream whose name holds a text ends like this; faults of one text are used up in their order.
    pub fn next_append(&self, holds: &str, fault: Fault) {
        self.appends().push_back((holds.to_owned(), fault));
    }

    /// From now on appends end well.
    pub fn clear(&self) {
        self.appends().clear();
    }

    /// How many faults of appends were not met yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.appends().len()
    }

    /// The next read breaks off after so many events.
    pub fn break_read(&self, after: usize) {
        self.reads().push_back(after);
    }

    /// Ends every subscription with an error.
    pub fn close_subscriptions(&self) {
        self.closed.send_modify(|closed| *closed += 1);
    }

    /// While it is on, subscriptions end as soon as they are confirmed, without an error; those that there are, at once.
    pub fn end_subscriptions(&self, on: bool) {
        self.ending.send_replace(on);
    }

    /// How often the server was called so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Calls {
            appends: count(&self.counters.appends),
            batched: count(&self.counters.batched),
            reads: count(&self.counters.reads),
            subscriptions: count(&self.counters.subscriptions),
            features: count(&self.counters.features),
            not_for_leader: count(&self.counters.not_for_leader),
        }
    }

    pub(crate) fn take_append(&self, stream: &str) -> Option<Fault> {
        let mut faults = self.appends();
        let at = faults
            .iter()
            .position(|(holds, _)| stream.contains(holds.as_str()))?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    pub(crate) fn take_broken_read(&self) -> Option<usize> {
        self.reads().pop_front()
    }

    pub(crate) fn closings(&self) -> watch::Receiver<u64> {
        self.closed.subscribe()
    }

    pub(crate) fn endings(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    fn appends(&self) -> std::sync::MutexGuard<'_, VecDeque<(String, Fault)>> {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reads(&self) -> std::sync::MutexGuard<'_, VecDeque<usize>> {
        self.broken_reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}
