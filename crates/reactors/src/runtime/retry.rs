//! What follows from how an attempt ended: is it done, tried again, and when. Pure.

use std::time::Duration;

use domain::{Attempt, AttemptResult, ContentHash, SentHeaders, Timestamp};

use super::breaker::Verdict;
use crate::{Dispatch, RetryPolicy, Sent};

/// How an attempt ended, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// What is to be taken down.
    pub(super) result: AttemptResult,
    /// What it says about the destination.
    pub(super) verdict: Verdict,
    /// The destination said that it is gone.
    pub(super) gone: bool,
}

/// Judges how an attempt ended. A destination that is gone keeps its deliveries: they stay open, whatever their budget.
pub(super) fn judge(
    policy: &RetryPolicy,
    (dispatch, headers): (&Dispatch, Option<SentHeaders>),
    sent: Sent,
    took: Duration,
) -> Judged {
    let ended_at = dispatch.now.plus_millis(whole_millis(took));
    let attempt = |target, response, failure| Attempt {
        number: dispatch.number,
        started_at: dispatch.now,
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        target,
        idempotency_key: dispatch.idempotency_key.clone(),
        headers,
        response,
        failure,
    };
    match sent {
        Sent::Delivered { target, response } => Judged {
            result: AttemptResult::Delivered(attempt(target, response, None)),
            verdict: Verdict::Well,
            gone: false,
        },
        Sent::Skipped(why) => Judged {
            result: AttemptResult::Skipped(why),
            verdict: Verdict::Unsaid,
            gone: false,
        },
        Sent::Failed {
            target,
            response,
            failure,
            retry_after,
            gone,
        } => {
            let verdict = match (failure.retryable, &response) {
                _ if gone => Verdict::Unsaid,
                (true, _) => Verdict::Ill,
                // It refused this one, and is alive.
                (false, Some(_)) => Verdict::Well,
                (false, None) => Verdict::Unsaid,
            };
            let again = gone || (failure.retryable && dispatch.number <= policy.retries_max);
            let attempt = attempt(target, response, Some(failure));
            let result = if again {
                let at = next_attempt_at(policy, &attempt, ended_at, retry_after);
                AttemptResult::RetryAt(attempt, at)
            } else {
                AttemptResult::GivenUp(attempt)
            };
            Judged {
                result,
                verdict,
                gone,
            }
        }
    }
}

fn next_attempt_at(
    policy: &RetryPolicy,
    attempt: &Attempt,
    ended_at: Timestamp,
    retry_after: Option<Duration>,
) -> Timestamp {
    let pause = pause_ms(policy, &attempt.idempotency_key, attempt.number);
    let asked = retry_after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    let pause = pause.max(asked.min(policy.delay_ms_max));
    ended_at.plus_millis(i64::try_from(pause).unwrap_or(i64::MAX))
}

/// The pause after a failed attempt, in milliseconds: from 0 to a bound that starts at `delay_ms` and doubles up to
/// `delay_ms_max` (full jitter). It is drawn from the first 8 bytes of SHA-256 of `<idempotency key>:<number>`, so that the
/// same attempt always gets the same pause.
pub(super) fn pause_ms(policy: &RetryPolicy, idempotency_key: &str, number: u32) -> u64 {
    let bound = 1_u64
        .checked_shl(number.saturating_sub(1))
        .map_or(policy.delay_ms_max, |factor| {
            policy.delay_ms.saturating_mul(factor).min(policy.delay_ms_max)
        });
    let hash = ContentHash::of(format!("{idempotency_key}:{number}").as_bytes());
    let draw = u64::from_be_bytes(*hash.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    let scaled = (u128::from(draw) * (u128::from(bound) + 1)) >> 64;
    u64::try_from(scaled).unwrap_or(bound)
}

fn whole_millis(took: Duration) -> i64 {
    // Rounded up: a pause counts from the end, not from before it.
    i64::try_from(took.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        retries_max: 3,
        delay_ms: 1000,
        delay_ms_max: 60_000,
    };

    #[test]
    fn a_pause_is_the_same_for_the_same_attempt_and_different_for_others() {
        let pauses: Vec<u64> = (1..=3).map(|n| pause_ms(&POLICY, "round.ci", n)).collect();
        assert_eq!(
            pauses,
            (1..=3)
                .map(|n| pause_ms(&POLICY, "round.ci", n))
                .collect::<Vec<_>>()
        );
        assert_ne!(pause_ms(&POLICY, "round.ci", 1), pause_ms(&POLICY, "round.cd", 1));
    }

    #[test]
    fn pauses_fill_the_range_up_to_a_bound_that_doubles_and_ends() {
        for (number, bound) in [
            (1, 1000),
            (2, 2000),
            (3, 4000),
            (7, 60_000),
            (64, 60_000),
            (1000, 60_000),
        ] {
            let drawn: Vec<u64> = (0..2000)
                .map(|key| pause_ms(&POLICY, &key.to_string(), number))
                .collect();
            let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
            assert!(*most <= bound, "attempt {number}: {most} ms");
            assert!(*most > bound - bound / 50, "attempt {number}: {most} ms");
            assert!(*least < bound / 50, "attempt {number}: {least} ms");
            let mean = drawn.iter().sum::<u64>() / 2000;
            assert!(
                mean.abs_diff(bound / 2) < bound / 10,
                "attempt {number}: {mean} ms"
            );
        }
    }

    #[test]
    fn no_settings_make_it_overflow() {
        let policy = RetryPolicy {
            retries_max: u32::MAX,
            delay_ms: u64::MAX,
            delay_ms_max: u64::MAX,
        };
        pause_ms(&policy, "x", 1);
        pause_ms(&policy, "x", u32::MAX);
    }
}
