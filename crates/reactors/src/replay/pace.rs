//! How fast a replay goes: at its own rate, and only while nobody else has to wait for it.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;

/// How far a replay may catch up at once after it was held back by a moment: enough that a coarse timer does not slow it
/// down, too little for a burst.
const BURST: Duration = Duration::from_millis(20);
/// How often a replay that yields looks whether it may go on.
const POLL: Duration = Duration::from_millis(100);

/// Whom a replay waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    /// Open deliveries are late.
    Lag,
    /// The log has much to do, or can't be written.
    Log,
}

impl WaitsFor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lag => "lag",
            Self::Log => "log",
        }
    }
}

/// The turns of one replay, evenly spaced.
#[derive(Debug)]
pub(super) struct Turns {
    interval: Duration,
    slot: Instant,
    waits: Option<WaitsFor>,
}

impl Turns {
    pub(super) fn new(rate_per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate_per_second.max(1),
            slot: Instant::now(),
            waits: None,
        }
    }

    /// Waits until it is this replay's turn. Dropping it loses no turn; whoever uses one takes it.
    pub(super) async fn ready(&mut self, shared: &Shared) {
        loop {
            let waits = busy(shared);
            if let Some(waits) = waits {
                if self.waits != Some(waits) {
                    metrics::counter!("hooklog_replay_waits_total", "for" => waits.as_str()).increment(1);
                    tracing::debug!(waits_for = waits.as_str(), "a replay yields");
                }
                self.waits = Some(waits);
                sleep(POLL).await;
                continue;
            }
            self.waits = None;
            if self.slot <= Instant::now() {
                return;
            }
            sleep_until(self.slot).await;
        }
    }

    /// Takes the turn that has come.
    pub(super) fn take(&mut self) {
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.slot = self.slot.max(earliest) + self.interval;
    }
}

fn busy(shared: &Shared) -> Option<WaitsFor> {
    let health = shared.log().health();
    if health.unwritable.is_some() || health.queue_len.saturating_mul(2) > health.queue_max {
        Some(WaitsFor::Log)
    } else if shared.ports.pace.lag_ms() > shared.options.replay_lag_ms_max {
        Some(WaitsFor::Lag)
    } else {
        None
    }
}

/// Waits between tries, doubling up to a few seconds.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const LEAST: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(5);

    pub(super) const fn new() -> Self {
        Self(Self::LEAST)
    }

    /// Waits; false when it was told to stop meanwhile.
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let step = self.0;
        self.0 = (step * 2).min(Self::MOST);
        tokio::select! {
            () = stop.cancelled() => false,
            () = sleep(step) => true,
        }
    }
}
