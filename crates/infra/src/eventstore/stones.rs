//! Positions at which an event is known to stand.
//!
//! The server reads from a position only where an event stands. Whoever bisects the log asks for any; then it is read from
//! the nearest known one before it.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use domain::Position;

/// Of so many events that are read one after the other, one is remembered.
const EVERY: usize = 128;
/// The most that are remembered: 4 MB or so.
const STONES_MAX: usize = 100_000;

/// Known positions.
#[derive(Debug, Default)]
pub(super) struct Stones(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: BTreeSet<u64>,
    passed: usize,
}

impl Stones {
    /// An event was read at a position.
    pub(super) fn pass(&self, position: Position) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.passed += 1;
        if !state.passed.is_multiple_of(EVERY) {
            return;
        }
        state.known.insert(position.get());
        if state.known.len() > STONES_MAX {
            // Every second one still covers the whole log.
            let mut keep = false;
            state.known.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// The last known position at or before another.
    pub(super) fn before(&self, position: Position) -> Position {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = state.known.range(..=position.get()).next_back();
        Position::new(nearest.copied().unwrap_or(0))
    }

    /// The first known position behind another.
    pub(super) fn behind(&self, position: Position) -> Option<Position> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = (Bound::Excluded(position.get()), Bound::Unbounded);
        state.known.range(behind).next().copied().map(Position::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_position_is_never_behind_the_one_asked_for() {
        let stones = Stones::default();
        assert_eq!(stones.before(Position::new(5)), Position::START);
        (1..=1000).for_each(|n| stones.pass(Position::new(n * 10)));
        let before = stones.before(Position::new(7777)).get();
        assert!(before <= 7777 && before + 10 * 128 > 7777, "{before}");
        let behind = stones.behind(Position::new(7777)).unwrap().get();
        assert!(behind > 7777 && behind - 10 * 128 <= 7777, "{behind}");
        assert_eq!(stones.behind(Position::new(10_000)), None);
    }
}
