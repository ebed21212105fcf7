//! Waiting between tries: doubling, bounded, with jitter so that replicas don't try in step.

use std::time::Duration;

/// Doubles from a least to a most wait; starts over after a success.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min_ms: u64, max_ms: u64) -> Self {
        let min = Duration::from_millis(min_ms.max(1));
        let max = Duration::from_millis(max_ms).max(min);
        Self { min, max, next: min }
    }

    /// The next try is the first one again.
    pub(crate) const fn reset(&mut self) {
        self.next = self.min;
    }

    /// How long to wait now: between half and all of the current step.
    pub(crate) fn step(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        // A test with a seed must go the same way again.
        let share = if cfg!(test) {
            0.75
        } else {
            rand::random_range(0.5..=1.0)
        };
        step.mul_f64(share)
    }

    /// Waits.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_start_over() {
        let mut backoff = Backoff::new(100, 350);
        for step_ms in [100, 200, 350, 350] {
            let wait = backoff.step().as_millis();
            assert!((step_ms / 2..=step_ms).contains(&wait), "{wait} of {step_ms}");
        }
        backoff.reset();
        assert!(backoff.step().as_millis() <= 100);
    }
}
