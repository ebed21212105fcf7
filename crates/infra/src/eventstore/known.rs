//! What this process saw in the log of who is the original of a content, and who finds that out right now.
//!
//! It saves questions and never answers "there is none": a content of which nothing is known is announced and looked for as
//! ADR 0014 says. What is known was read from the log, or acknowledged by it, and does not change there any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::{StreamName, Timestamp};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most contents of which something is known: 5 MB or so.
const KNOWN_MAX: usize = 10_000;
/// The most originals of one body: each window has its own.
const ORIGINALS_MAX: usize = 4;

/// An unmarked delivery, or what a marked one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) stream: StreamName,
    pub(super) received_at: Timestamp,
}

/// What is known, by the stream of the content's announcements.
#[derive(Debug, Default)]
pub(super) struct Known {
    state: Mutex<State>,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct State {
    originals: HashMap<String, Vec<Original>>,
    /// The contents in the order in which they came.
    order: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Turns {
    by_content: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
    /// At so many, those that nobody has are dropped.
    sweep_at: usize,
}

/// While it is kept, no other delivery of this process finds out the same; but not for ever.
pub(super) type Turn = DropGuard;

impl Known {
    /// An original stands in the log.
    pub(super) fn learn(&self, content: String, original: Original) {
        let mut state = self.state();
        if let Some(originals) = state.originals.get_mut(&content) {
            if !originals.iter().any(|known| known.stream == original.stream) {
                if originals.len() >= ORIGINALS_MAX {
                    originals.remove(0);
                }
                originals.push(original);
            }
            return;
        }
        if state.order.len() >= KNOWN_MAX
            && let Some(oldest) = state.order.pop_front()
        {
            state.originals.remove(&oldest);
        }
        state.order.push_back(content.clone());
        state.originals.insert(content, vec![original]);
    }

    /// An original of a content that fits, the latest that was learned.
    pub(super) fn original(&self, content: &str, fits: impl Fn(&Original) -> bool) -> Option<StreamName> {
        let state = self.state();
        let originals = state.originals.get(content)?;
        let original = originals.iter().rev().find(|original| fits(original));
        original.map(|original| original.stream.clone())
    }

    /// Waits until nobody else of this process finds out who is the original of a content, at most so long. Whoever does may
    /// hang: when the turn has lasted for the patience the next one gets it, and only that one.
    pub(super) async fn turn(&self, content: &str, at_most: Duration, patience: Duration) -> Option<Turn> {
        let turn = self.turns().of(content);
        let locked = tokio::time::timeout(at_most, turn.lock_owned()).await.ok()?;
        let over = CancellationToken::new();
        let ended = over.clone();
        tokio::spawn(async move {
            let _in_time = tokio::time::timeout(patience, ended.cancelled()).await;
            drop(locked);
        });
        Some(over.drop_guard())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn of(&mut self, content: &str) -> Arc<tokio::sync::Mutex<()>> {
        if let Some(turn) = self.by_content.get(content).and_then(Weak::upgrade) {
            return turn;
        }
        if self.by_content.len() >= self.sweep_at {
            self.by_content.retain(|_, turn| turn.strong_count() > 0);
            self.sweep_at = 2 * self.by_content.len() + 64;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        self.by_content.insert(content.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(n: usize) -> Original {
        Original {
            stream: format!("delivery-default.a{n}").parse().unwrap(),
            received_at: Timestamp::from_micros(i64::try_from(n).unwrap()),
        }
    }

    #[test]
    fn what_is_known_is_bounded_and_the_oldest_is_forgotten_first() {
        let known = Known::default();
        for n in 0..=KNOWN_MAX {
            known.learn(n.to_string(), original(n));
        }
        assert_eq!(known.original("0", |_| true), None);
        assert_eq!(known.original("1", |_| true), Some(original(1).stream));
        for n in 0..10 {
            known.learn("1".to_owned(), original(n));
        }
        assert_eq!(known.original("1", |known| *known == original(5)), None);
        assert_eq!(
            known.original("1", |known| *known == original(6)),
            Some(original(6).stream)
        );
        assert_eq!(known.state().order.len(), KNOWN_MAX);
    }

    #[tokio::test]
    async fn a_turn_is_one_deliverys_until_patience_ends_and_leaves_nothing_behind() {
        let known = Known::default();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
        let first = known.turn("a", long, long).await.unwrap();
        assert!(known.turn("a", short, long).await.is_none());
        assert!(known.turn("b", short, long).await.is_some());
        drop(first);
        let hangs = known.turn("a", long, short).await.unwrap();
        let next = known.turn("a", long, long).await.unwrap();
        assert!(known.turn("a", short, long).await.is_none());
        drop((hangs, next));
        for n in 0..1000 {
            drop(known.turn(&n.to_string(), long, long).await);
            tokio::task::yield_now().await;
        }
        assert!(known.turns().by_content.len() < 200);
    }
}
