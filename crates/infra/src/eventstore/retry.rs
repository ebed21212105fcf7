//! Tries again, with a pause that doubles, until a deadline.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use super::error::Failure;
use super::options::EventStoreOptions;

/// How long something is tried.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    deadline: Instant,
    pause: Duration,
    pause_max: Duration,
}

impl Retry {
    /// Tries for a time, in milliseconds.
    pub(super) fn lasting(options: &EventStoreOptions, ms: u64) -> Self {
        Self {
            deadline: Instant::now() + Duration::from_millis(ms),
            pause: Duration::from_millis(options.retry_ms_min.max(1)),
            pause_max: Duration::from_millis(options.retry_ms_max.max(1)),
        }
    }

    /// Tries as long as a read may.
    pub(super) fn read(options: &EventStoreOptions) -> Self {
        Self::lasting(options, options.read_retry_ms)
    }

    /// Waits for the next try; gives the failure back when there is none.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        if !failure.is_passing() {
            return Err(failure);
        }
        if !self.pause().await {
            return Err(failure);
        }
        Ok(())
    }

    /// Waits before something is begun anew that others had a hand in: not as long as they do, so that one of all gets
    /// through.
    pub(super) async fn anew(&mut self) -> Result<(), Failure> {
        if self.pause().await { Ok(()) } else { Err(late()) }
    }

    /// # Errors
    /// When its time is over.
    pub(super) fn in_time(&self) -> Result<(), Failure> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(late())
        }
    }

    /// How much of its time is left, but at most so much.
    pub(super) fn left(&self, at_most: Duration) -> Duration {
        at_most.min(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether there is another try, for which it is time then.
    async fn pause(&mut self) -> bool {
        // Many wait for the same server: not all of them come back at once.
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..1.0));
        if Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(self.pause_max);
        true
    }
}

fn late() -> Failure {
    Failure::NotSent("its time was over before it was written".to_owned())
}
