//! Means over the last minutes, without keeping each value.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::Timestamp;

/// Pieces that the window is cut into; a value leaves it at most one of them late.
const PIECES: u64 = 30;
const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// The means of values by label.
#[derive(Debug)]
pub(super) struct Means {
    piece_ms: i64,
    labels: HashMap<Arc<str>, VecDeque<Piece>>,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    number: i64,
    sum_us: u64,
    count: u64,
}

impl Means {
    pub(super) fn new(window_ms: u64) -> Self {
        let piece_ms = i64::try_from(window_ms / PIECES).unwrap_or(i64::MAX);
        Self {
            piece_ms: piece_ms.max(1),
            labels: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, label: Arc<str>, micros: u64, now: Timestamp) {
        let number = self.number(now);
        let pieces = self.labels.entry(label).or_default();
        // A clock that goes back must not make pieces out of order, nor more of them.
        match pieces.back_mut().filter(|last| last.number >= number) {
            Some(last) => {
                last.sum_us = last.sum_us.saturating_add(micros);
                last.count += 1;
            }
            None => pieces.push_back(Piece {
                number,
                sum_us: micros,
                count: 1,
            }),
        }
    }

    /// The means of now, in seconds. A label whose last value has left the window is told as NaN, then forgotten.
    #[allow(clippy::cast_precision_loss, reason = "a mean for people to look at")]
    pub(super) fn take_means(&mut self, now: Timestamp) -> Vec<(Arc<str>, f64)> {
        let first = self.number(now) - i64::try_from(PIECES).unwrap_or(i64::MAX);
        let mut means = Vec::with_capacity(self.labels.len());
        self.labels.retain(|label, pieces| {
            pieces.retain(|piece| piece.number > first);
            let count: u64 = pieces.iter().map(|piece| piece.count).sum();
            let sum: f64 = pieces.iter().map(|piece| piece.sum_us as f64).sum();
            let mean = if count == 0 {
                f64::NAN
            } else {
                sum / count as f64 / MICROS_PER_SECOND
            };
            means.push((Arc::clone(label), mean));
            count > 0
        });
        means
    }

    const fn number(&self, time: Timestamp) -> i64 {
        time.as_millis().div_euclid(self.piece_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn mean(means: &mut Means, now: i64) -> Option<f64> {
        means.take_means(at(now)).first().map(|(_, mean)| *mean)
    }

    #[test]
    fn a_mean_is_of_the_last_five_minutes_and_ends_with_them() {
        let mut means = Means::new(300_000);
        assert_eq!(mean(&mut means, 0), None);
        means.add("push".into(), 1_000_000, at(0));
        means.add("push".into(), 2_000_000, at(9));
        means.add("push".into(), 6_000_000, at(100));
        assert_eq!(mean(&mut means, 100), Some(3.0));
        assert_eq!(mean(&mut means, 299), Some(3.0));
        assert_eq!(mean(&mut means, 310), Some(6.0), "the first piece has left");
        assert!(mean(&mut means, 410).unwrap().is_nan());
        assert_eq!(mean(&mut means, 411), None, "it is told once");
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_more_pieces() {
        let mut means = Means::new(300_000);
        for second in [100, 50, 100, 40] {
            means.add("push".into(), 1_000_000, at(second));
        }
        assert_eq!(means.labels["push"].len(), 1);
        assert_eq!(mean(&mut means, 100), Some(1.0));
    }
}
