//! How far the log is behind, and what receiving does about it: it lets senders wait a little, counts each of their requests
//! as several, and in the end turns them away before it has read a byte of their bodies.
//!
//! All of it is off by default: a sender that does not send again loses what is turned away. Never here: a decision about a
//! delivery whose body was read.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::EventLog;
use tokio::time::Instant;

use crate::options::PressureOptions;
use crate::rejection::Rejection;

/// How much a new append says about those to come.
const WEIGHT: f64 = 0.2;
/// An append says half as much after this time, so that a log which is asked for nothing any more is tried again.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// The longest that a request is held back, whatever is set: senders wait for their answer a few seconds only.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// Watches the appends.
pub(crate) struct Pressure {
    options: PressureOptions,
    state: Mutex<State>,
}

struct State {
    /// The smoothed latency of appends in seconds, when the last one ended.
    smooth_s: f64,
    /// When that was, or when the first one of those under way began.
    moved: Instant,
    under_way: usize,
}

/// An append under way.
pub(crate) struct Timed<'p> {
    pressure: &'p Pressure,
    began: Instant,
}

impl Pressure {
    /// With nothing seen yet.
    pub(crate) fn new(options: PressureOptions) -> Self {
        let state = State {
            smooth_s: 0.0,
            moved: Instant::now(),
            under_way: 0,
        };
        Self {
            options,
            state: Mutex::new(state),
        }
    }

    /// Refuses a request while the log is too far behind to take it.
    pub(crate) fn admit(&self, log: &dyn EventLog) -> Result<(), Rejection> {
        let percent = u64::from(self.options.shed_queue_percent);
        if percent > 0 {
            let health = log.health();
            let (waiting, most) = (health.queue_len as u64, health.queue_max as u64);
            if most > 0 && waiting.saturating_mul(100) >= most.saturating_mul(percent) {
                return Err(Rejection::LogBehind);
            }
        }
        let bound = Duration::from_millis(self.options.shed_latency_ms);
        if !bound.is_zero() && self.latency() > bound {
            return Err(Rejection::LogBehind);
        }
        Ok(())
    }

    /// As how many requests one counts.
    pub(crate) fn cost(&self) -> NonZeroU32 {
        let (mut cost, most) = (NonZeroU32::MIN, self.options.cost_max);
        let excess = self.excess();
        while f64::from(cost.get()) < excess && cost.get() < most {
            cost = cost.saturating_add(1);
        }
        cost
    }

    /// Holds a request back for as long as the log asks for.
    pub(crate) async fn hold_back(&self) {
        let excess = self.excess();
        if excess > 1.0 {
            let most = Duration::from_millis(self.options.delay_ms_max).min(DELAY_MAX);
            tokio::time::sleep(most.mul_f64(1.0 - 1.0 / excess)).await;
        }
    }

    /// Times an append, until what it returns is dropped.
    pub(crate) fn append(&self) -> Timed<'_> {
        let began = Instant::now();
        let mut state = self.state();
        if state.under_way == 0 {
            state.smooth_s = state.faded(began);
            state.moved = began;
        }
        state.under_way += 1;
        drop(state);
        Timed {
            pressure: self,
            began,
        }
    }

    /// By how much the log is slower than it may be before anybody is asked to wait; 0 where that is never done.
    fn excess(&self) -> f64 {
        let slow = Duration::from_millis(self.options.slow_latency_ms);
        if slow.is_zero() {
            return 0.0;
        }
        self.latency().as_secs_f64() / slow.as_secs_f64()
    }

    /// How long an append takes now, as far as is known: of those that ended, or of the one that nobody has heard of since.
    fn latency(&self) -> Duration {
        let (state, now) = (self.state(), Instant::now());
        let silent = if state.under_way > 0 {
            now.duration_since(state.moved)
        } else {
            Duration::ZERO
        };
        Duration::from_secs_f64(state.faded(now)).max(silent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is known fades while the log is asked for nothing.
    fn faded(&self, now: Instant) -> f64 {
        if self.under_way > 0 {
            return self.smooth_s;
        }
        let half_lives = now.duration_since(self.moved).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.smooth_s * 0.5_f64.powf(half_lives)
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let (now, mut state) = (Instant::now(), self.pressure.state());
        let took = now.duration_since(self.began).as_secs_f64();
        let before = state.faded(now);
        state.smooth_s = before + WEIGHT * (took - before);
        state.moved = now;
        state.under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(slow_latency_ms: u64, shed_latency_ms: u64) -> Pressure {
        Pressure::new(PressureOptions {
            slow_latency_ms,
            shed_latency_ms,
            ..PressureOptions::default()
        })
    }

    async fn append(pressure: &Pressure, millis: u64) {
        let _timed = pressure.append();
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    async fn held_back(pressure: &Pressure) -> Duration {
        let began = Instant::now();
        pressure.hold_back().await;
        began.elapsed()
    }

    fn sheds(pressure: &Pressure) -> bool {
        let bound = Duration::from_millis(pressure.options.shed_latency_ms);
        !bound.is_zero() && pressure.latency() > bound
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_log_holds_nobody_back() {
        let pressure = watched(50, 500);
        for _ in 0..100 {
            append(&pressure, 5).await;
        }
        assert_eq!(
            (pressure.cost().get(), held_back(&pressure).await),
            (1, Duration::ZERO)
        );
        assert!(!sheds(&pressure));
    }

    #[tokio::test(start_paused = true)]
    async fn the_slower_the_log_the_dearer_a_request_and_the_longer_the_wait_up_to_a_bound() {
        let pressure = watched(50, 0);
        let mut before = (1, Duration::ZERO);
        for millis in [100, 200, 300, 4000] {
            for _ in 0..30 {
                append(&pressure, millis).await;
            }
            let now = (pressure.cost().get(), held_back(&pressure).await);
            assert!(now.0 > before.0 && now.1 > before.1, "{before:?} {now:?}");
            before = (now.0, now.1);
            for _ in 0..3 {
                append(&pressure, millis).await;
            }
        }
        assert_eq!(before.0, PressureOptions::default().cost_max);
        assert!(before.1 <= DELAY_MAX, "{before:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_answers_nobody_is_slow_although_nothing_ended() {
        let pressure = watched(50, 500);
        let _hangs = pressure.append();
        assert!(!sheds(&pressure));
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(sheds(&pressure));
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_is_left_alone_is_tried_again() {
        let pressure = watched(0, 500);
        for _ in 0..30 {
            append(&pressure, 4000).await;
        }
        assert!(sheds(&pressure));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(sheds(&pressure));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!sheds(&pressure));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_ask_for_it_gets_none_of_it() {
        let pressure = Pressure::new(PressureOptions::default());
        for _ in 0..30 {
            append(&pressure, 60_000).await;
        }
        assert_eq!(
            (pressure.cost().get(), held_back(&pressure).await),
            (1, Duration::ZERO)
        );
        assert!(!sheds(&pressure));
    }
}
