//! The circuit breaker of a destination: after too many failures in a row it is left alone, then probed.
//!
//! While it is open nothing goes out, so nothing is used up of anybody's attempts.

use std::time::Duration;

use domain::BreakerState;
use tokio::time::Instant;

use crate::BreakerPolicy;

/// What an attempt says about the health of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered sensibly.
    Well,
    /// It did not answer, or said that it can't serve now.
    Ill,
    /// Nothing.
    Unsaid,
}

/// Whether an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// It may.
    Yes,
    /// It may, as a probe.
    Probe,
    /// At this time one may.
    At(Instant),
    /// Not before the probe under way has ended.
    AfterProbe,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32, probing: bool },
}

/// The breaker of one destination.
pub(super) struct Breaker {
    policy: Option<BreakerPolicy>,
    phase: Phase,
}

impl Breaker {
    /// A closed one; without a policy it stays closed.
    pub(super) const fn new(policy: Option<BreakerPolicy>) -> Self {
        Self {
            policy,
            phase: Phase::Closed { failures: 0 },
        }
    }

    /// Whether an attempt may be made now.
    pub(super) fn permit(&self, now: Instant) -> Permit {
        match self.phase {
            Phase::Closed { .. } => Permit::Yes,
            Phase::Open { until } if now < until => Permit::At(until),
            Phase::HalfOpen { probing: true, .. } => Permit::AfterProbe,
            Phase::Open { .. } | Phase::HalfOpen { .. } => Permit::Probe,
        }
    }

    /// A probe begins.
    pub(super) const fn begin_probe(&mut self) {
        let successes = match self.phase {
            Phase::HalfOpen { successes, .. } => successes,
            Phase::Closed { .. } | Phase::Open { .. } => 0,
        };
        self.phase = Phase::HalfOpen {
            successes,
            probing: true,
        };
    }

    /// An attempt ended. Those that began before the breaker opened no longer count.
    pub(super) fn record(&mut self, probe: bool, verdict: Verdict, now: Instant) {
        let Some(policy) = self.policy else {
            return;
        };
        let open = Phase::Open {
            until: now + Duration::from_millis(policy.pause_ms),
        };
        self.phase = match (self.phase, verdict) {
            (Phase::Closed { .. }, Verdict::Well) => Phase::Closed { failures: 0 },
            (Phase::Closed { failures }, Verdict::Ill) if failures + 1 >= policy.failures.max(1) => open,
            (Phase::Closed { failures }, Verdict::Ill) => Phase::Closed {
                failures: failures + 1,
            },
            (Phase::HalfOpen { successes, .. }, Verdict::Well) if probe => {
                if successes + 1 >= policy.probes {
                    Phase::Closed { failures: 0 }
                } else {
                    Phase::HalfOpen {
                        successes: successes + 1,
                        probing: false,
                    }
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Ill) if probe => open,
            (Phase::HalfOpen { successes, .. }, Verdict::Unsaid) if probe => Phase::HalfOpen {
                successes,
                probing: false,
            },
            (phase @ (Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. }), _) => phase,
        };
    }

    /// Its state, for people; an open one whose time is over is half open.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long it stays open.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => until.checked_duration_since(now),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(probes: u32) -> Breaker {
        Breaker::new(Some(BreakerPolicy {
            failures: 3,
            pause_ms: 1000,
            probes,
        }))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_between_them_starts_the_count_anew() {
        let now = Instant::now();
        let mut breaker = breaker(1);
        for verdict in [
            Verdict::Ill,
            Verdict::Ill,
            Verdict::Well,
            Verdict::Ill,
            Verdict::Unsaid,
            Verdict::Ill,
        ] {
            breaker.record(false, verdict, now);
            assert_eq!(breaker.state(now), BreakerState::Closed);
        }
        breaker.record(false, Verdict::Ill, now);
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.permit(now), Permit::At(now + Duration::from_secs(1)));
        assert_eq!(breaker.left(now), Some(Duration::from_secs(1)));
    }

    #[test]
    fn half_open_it_lets_one_probe_through_at_a_time_and_closes_after_enough_of_them() {
        let now = Instant::now();
        let mut breaker = breaker(2);
        (0..3).for_each(|_| breaker.record(false, Verdict::Ill, now));
        let later = now + Duration::from_secs(1);
        assert_eq!(breaker.permit(later), Permit::Probe);
        breaker.begin_probe();
        assert_eq!(breaker.permit(later), Permit::AfterProbe);
        breaker.record(false, Verdict::Well, later);
        assert_eq!(
            breaker.permit(later),
            Permit::AfterProbe,
            "a late one says nothing"
        );
        breaker.record(true, Verdict::Unsaid, later);
        assert_eq!(breaker.permit(later), Permit::Probe, "nothing was said");
        breaker.begin_probe();
        breaker.record(true, Verdict::Well, later);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        breaker.begin_probe();
        breaker.record(true, Verdict::Well, later);
        assert_eq!(breaker.permit(later), Permit::Yes);
    }

    #[test]
    fn a_probe_that_fails_opens_it_again() {
        let now = Instant::now();
        let mut breaker = breaker(1);
        (0..3).for_each(|_| breaker.record(false, Verdict::Ill, now));
        let later = now + Duration::from_secs(1);
        breaker.begin_probe();
        breaker.record(true, Verdict::Ill, later);
        assert_eq!(breaker.permit(later), Permit::At(later + Duration::from_secs(1)));
    }

    #[test]
    fn without_a_policy_it_never_opens() {
        let now = Instant::now();
        let mut breaker = Breaker::new(None);
        (0..100).for_each(|_| breaker.record(false, Verdict::Ill, now));
        assert_eq!(breaker.permit(now), Permit::Yes);
    }
}
