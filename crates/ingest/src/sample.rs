//! Log lines that outsiders can cause: a few a second, and a count of the others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The most lines of one kind in a window.
const LINES_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1);

/// Decides which lines of one kind are written.
#[derive(Debug, Default)]
pub(crate) struct Sample(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Sample {
    /// Whether to write a line now: how many were left out since the last one; `None` to leave this one out too.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .began
            .is_none_or(|began| now.duration_since(began) >= WINDOW)
        {
            (state.began, state.lines) = (Some(now), 0);
        }
        if state.lines < LINES_MAX {
            state.lines += 1;
            Some(std::mem::take(&mut state.suppressed))
        } else {
            state.suppressed += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_a_few_lines_a_second_and_says_how_many_it_left_out() {
        let (sample, began) = (Sample::default(), Instant::now());
        let at = |ms| sample.admit(began + Duration::from_millis(ms));
        for _ in 0..LINES_MAX {
            assert_eq!(at(0), Some(0));
        }
        for ms in 0..1000 {
            assert_eq!(at(ms), None, "after {ms} ms");
        }
        assert_eq!(at(1000), Some(1000));
        assert_eq!(at(1001), Some(0));
    }
}
