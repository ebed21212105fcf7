//! Writes the note, and shows how the destinations are doing.

use std::time::Duration;

use bytes::Bytes;
use domain::BreakerState;
use metrics::gauge;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::note::{NAME, Snapshot, WrittenDead};

/// How often the gauges are set.
const GAUGES: Duration = Duration::from_secs(1);
/// A large note is written less often: its size by this, times the interval.
const NOTE_BYTES: usize = 1024 * 1024;

/// Keeps the note.
#[derive(Default)]
pub(super) struct Keeper {
    dead: WrittenDead,
    written: Option<Bytes>,
    next: Option<Instant>,
}

impl Keeper {
    /// Writes it now and then, until told to stop.
    pub(super) async fn run(mut self, shared: &Shared, stop: CancellationToken) -> Self {
        let mut ticks = interval(GAUGES.min(Duration::from_millis(
            shared.options.checkpoint_interval_ms.max(1),
        )));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self,
                _ = ticks.tick() => {}
            }
            show(shared);
            let now = Instant::now();
            if self.next.is_none_or(|next| next <= now) {
                self.write(shared).await;
                let interval = Duration::from_millis(shared.options.checkpoint_interval_ms);
                let size = self.written.as_ref().map_or(0, Bytes::len) / NOTE_BYTES;
                let times = u32::try_from(size).unwrap_or(u32::MAX).saturating_add(1);
                self.next = Some(now + interval.saturating_mul(times));
            }
        }
    }

    /// Writes the note if it says something new.
    pub(super) async fn write(&mut self, shared: &Shared) {
        let snapshot = Snapshot::of(&shared.board(), shared.ports.log.id(), &self.dead);
        let Some(Ok(note)) = snapshot.map(|snapshot| snapshot.into_note(&mut self.dead)) else {
            return;
        };
        let note = Bytes::from(note.to_bytes());
        if self.written.as_ref() == Some(&note) {
            return;
        }
        match shared.ports.checkpoints.store(NAME, note.clone()).await {
            Ok(()) => self.written = Some(note),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the note of the reactors can't be written: a restart will read more of the log"
            ),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats, and these stay far below 2^53"
)]
fn show(shared: &Shared) {
    let now = shared.now();
    let board = shared.board();
    gauge!("hooklog_reactor_position").set(board.position.get() as f64);
    for lane in &board.lanes {
        let name = [("destination", lane.place.name.to_string())];
        gauge!("hooklog_reactor_open", &name).set(lane.queue.len() as f64);
        gauge!("hooklog_reactor_in_flight", &name).set(lane.queue.running() as f64);
        gauge!("hooklog_reactor_retrying", &name).set(lane.queue.retrying() as f64);
        gauge!("hooklog_reactor_mark_position", &name).set(lane.mark(board.position).get() as f64);
        gauge!("hooklog_reactor_lag_seconds", &name).set(lane.lag_ms(now.time) as f64 / 1000.0);
        gauge!("hooklog_reactor_paused", &name).set(f64::from(u8::from(lane.is_paused())));
        let breaker = match lane.breaker.state(now.instant) {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        gauge!("hooklog_reactor_breaker_state", &name).set(breaker);
    }
}
