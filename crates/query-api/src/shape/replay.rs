//! Replays: what was ordered, how far it is, and what came of it.

use domain::{ReplayFilter, ReplayState, ReplayStatus, ReplayedOne, Timestamp};
use poem_openapi::{Object, Union};
use serde::Serialize;

use super::delivery::Alternative;
use crate::order::To;

/// Which deliveries; what is null does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "ReplayFilter", rename_all = "camelCase")]
pub(crate) struct FilterShape {
    /// One delivery, by its full id.
    pub(crate) delivery: Option<String>,
    /// `owner/name`, or a glob.
    pub(crate) repository: Option<String>,
    /// The configured sender.
    pub(crate) source: Option<String>,
    /// An event type, `event` or `event.action`.
    pub(crate) event: Option<String>,
    /// The action within the event.
    pub(crate) action: Option<String>,
    /// The status at `toPosition`.
    pub(crate) status: Option<String>,
    /// The error code for which a destination was given up.
    pub(crate) error_code: Option<String>,
    /// The words of that error, without what differs from one delivery to the next.
    pub(crate) error: Option<String>,
    /// Received at or after.
    pub(crate) from: Option<String>,
    /// Received before.
    pub(crate) to: Option<String>,
}

impl From<ReplayFilter> for FilterShape {
    fn from(filter: ReplayFilter) -> Self {
        Self {
            delivery: filter.delivery.map(|key| key.to_string()),
            repository: filter.repository,
            source: filter.source.map(|name| name.to_string()),
            event: filter.event,
            action: filter.action,
            status: filter.status.map(|status| status.to_string()),
            error_code: filter.error_code.map(|code| code.to_string()),
            error: filter.error,
            from: filter.from.map(|time| time.to_string()),
            to: filter.to.map(|time| time.to_string()),
        }
    }
}

/// A replay.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Replay", rename_all = "camelCase")]
pub(crate) struct ReplayShape {
    /// Its id.
    pub(crate) id: String,
    /// running, completed, cancelled or failed.
    pub(crate) status: String,
    /// Where it goes.
    pub(crate) to: To,
    /// Which deliveries it is about.
    pub(crate) filter: FilterShape,
    /// The destinations it is narrowed to; empty for all that want the delivery.
    pub(crate) destinations: Vec<String>,
    /// Whether only destinations that were given up are tried again.
    pub(crate) dead_only: bool,
    /// The most deliveries a second.
    pub(crate) rate: u32,
    /// The last position that it is about.
    pub(crate) to_position: u64,
    /// The last position done.
    pub(crate) upto: u64,
    /// How much of it is done, in percent.
    pub(crate) percent: u32,
    /// How many deliveries it is about, where they were counted before.
    pub(crate) expected: Option<u64>,
    /// Deliveries that fitted so far.
    pub(crate) matched: u64,
    /// Of these, the ones asked for again.
    pub(crate) requested: u64,
    /// Of these, the ones that could not be: unreadable, or nothing was left to do.
    pub(crate) skipped: u64,
    /// Deliveries a second, on average so far.
    pub(crate) events_per_second: Option<f64>,
    /// Seconds until it ends, at that pace; null when it has ended or nothing can be said.
    pub(crate) eta_seconds: Option<u64>,
    /// Who ordered it.
    pub(crate) requested_by: String,
    /// Why.
    pub(crate) reason: Option<String>,
    /// When it was ordered.
    pub(crate) requested_at: String,
    /// When it last said something.
    pub(crate) updated_at: String,
    /// When it ended.
    pub(crate) ended_at: Option<String>,
    /// Who stopped it.
    pub(crate) cancelled_by: Option<String>,
    /// Why it could not go on.
    pub(crate) error: Option<String>,
}

impl From<ReplayState> for ReplayShape {
    fn from(state: ReplayState) -> Self {
        let pace = Pace::of(&state);
        let order = state.requested;
        let ended = state.status != ReplayStatus::Running;
        let upto = state.upto.min(order.to_position).get();
        Self {
            id: order.replay.to_string(),
            status: state.status.as_str().to_owned(),
            to: order.to.into(),
            filter: order.filter.into(),
            destinations: order.destinations.iter().map(ToString::to_string).collect(),
            dead_only: order.dead_only,
            rate: order.rate_per_second,
            to_position: order.to_position.get(),
            upto,
            percent: pace.percent,
            expected: order.expected,
            matched: state.counts.matched,
            requested: state.counts.requested,
            skipped: state.counts.skipped,
            events_per_second: pace.events_per_second,
            eta_seconds: pace.eta_secs,
            requested_by: order.requested_by,
            reason: order.reason,
            requested_at: state.requested_at.to_string(),
            updated_at: state.updated_at.to_string(),
            ended_at: ended.then(|| state.updated_at.to_string()),
            cancelled_by: state.cancelled_by,
            error: state.error,
        }
    }
}

/// How a replay gets on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    pub(crate) percent: u32,
    pub(crate) events_per_second: Option<f64>,
    pub(crate) eta_secs: Option<u64>,
}

/// What a pace is reckoned from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone {
    pub(crate) status: ReplayStatus,
    pub(crate) upto: u64,
    pub(crate) to_position: u64,
    pub(crate) matched: u64,
    pub(crate) expected: Option<u64>,
    pub(crate) rate: u32,
    pub(crate) elapsed_ms: i64,
}

impl Pace {
    fn of(state: &ReplayState) -> Self {
        Self::reckon(Gone {
            status: state.status,
            upto: state.upto.get(),
            to_position: state.requested.to_position.get(),
            matched: state.counts.matched,
            expected: state.requested.expected,
            rate: state.requested.rate_per_second,
            elapsed_ms: state.updated_at.millis_since(state.requested_at),
        })
    }

    /// Counted against what was counted before where that is known, else by position.
    // Counts of deliveries stay far below 2^53.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub(crate) fn reckon(gone: Gone) -> Self {
        let (done, all) = match gone.expected {
            Some(expected) if expected > 0 => (gone.matched, expected),
            _ => (gone.upto, gone.to_position),
        };
        let running = gone.status == ReplayStatus::Running;
        let reached = done.saturating_mul(100).checked_div(all).unwrap_or(0);
        let most = if running { 99 } else { 100 };
        let percent = match gone.status {
            ReplayStatus::Completed => 100,
            ReplayStatus::Running | ReplayStatus::Cancelled | ReplayStatus::Failed => {
                u32::try_from(reached.min(most)).unwrap_or(100)
            }
        };
        let elapsed = (gone.elapsed_ms > 0).then(|| gone.elapsed_ms as f64 / 1000.0);
        let per_second = elapsed.map(|seconds| gone.matched as f64 / seconds);
        let left = all.saturating_sub(done) as f64;
        let measured = elapsed
            .filter(|_| done > 0)
            .map(|seconds| left / (done as f64 / seconds));
        let promised = gone.expected.map(|_| left / f64::from(gone.rate.max(1)));
        Self {
            percent,
            events_per_second: per_second.map(|pace| (pace * 10.0).round() / 10.0),
            eta_secs: measured.or(promised).filter(|_| running).map(whole_secs),
        }
    }
}

/// Whole seconds, rounded up.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a cast of a float saturates"
)]
fn whole_secs(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

/// What a dry run counted.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReplayCounted {
    /// How many deliveries fit.
    pub(crate) count: u64,
    /// Give it to the run, so that it is about the same deliveries.
    pub(crate) to_position: u64,
    /// Always true: nothing was done.
    pub(crate) dry_run: bool,
}

/// What a dry run counted, or the replay that began.
#[derive(Debug, Clone, PartialEq, Serialize, Union)]
#[serde(untagged)]
#[oai(one_of = true)]
pub(crate) enum ReplayAnswer {
    /// Of a dry run.
    Counted(ReplayCounted),
    /// The replay.
    Started(Box<ReplayShape>),
}

/// A page of replays, the newest first.
#[derive(Debug, Clone, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReplayPage {
    /// The replays.
    pub(crate) replays: Vec<ReplayShape>,
    /// How many there are on all pages.
    pub(crate) total: i64,
    /// False when `total` is only a lower bound.
    pub(crate) total_is_exact: bool,
    /// The most rows of this page.
    pub(crate) limit: u32,
    /// How many rows were skipped.
    pub(crate) offset: u32,
    /// Give it as `cursor` to get the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// One delivery that was asked for again.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReplayedShape {
    /// Id of the replay.
    pub(crate) id: String,
    /// The delivery, by its full id.
    pub(crate) delivery: String,
    /// Where it goes.
    pub(crate) to: To,
    /// The delivery's status from now on.
    pub(crate) status: String,
    /// The destinations that it goes to.
    pub(crate) destinations: Vec<String>,
    /// Position of the request in the log.
    pub(crate) position: u64,
    /// Other deliveries that the id asked for names; choose with `source` and `hookId`.
    pub(crate) alternatives: Vec<Alternative>,
}

impl ReplayedShape {
    pub(crate) fn new(
        delivery: String,
        to: To,
        replayed: ReplayedOne,
        alternatives: Vec<Alternative>,
    ) -> Self {
        Self {
            id: replayed.replay.to_string(),
            delivery,
            to,
            status: replayed.status.to_string(),
            destinations: replayed.destinations.iter().map(ToString::to_string).collect(),
            position: replayed.position.get(),
            alternatives,
        }
    }
}

/// The dead letters that are tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub(crate) struct RetryAnswer {
    /// How many.
    pub(crate) queued: u64,
    /// The replay that does it; null when there was no dead letter.
    pub(crate) replay_id: Option<String>,
}

impl From<Option<ReplayState>> for RetryAnswer {
    fn from(state: Option<ReplayState>) -> Self {
        Self {
            queued: state
                .as_ref()
                .map_or(0, |s| s.requested.expected.unwrap_or(s.counts.matched)),
            replay_id: state.map(|s| s.requested.replay.to_string()),
        }
    }
}

/// A time of which only some have one.
pub(crate) fn shown(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Gone {
        Gone {
            status: ReplayStatus::Running,
            upto: 500,
            to_position: 1000,
            matched: 50,
            expected: Some(200),
            rate: 100,
            elapsed_ms: 5000,
        }
    }

    #[test]
    fn a_replay_is_measured_by_its_count_or_else_by_position() {
        let counted = Pace::reckon(gone());
        assert_eq!((counted.percent, counted.eta_secs), (25, Some(15)));
        assert_eq!(counted.events_per_second, Some(10.0));
        let placed = Pace::reckon(Gone {
            expected: None,
            ..gone()
        });
        assert_eq!((placed.percent, placed.eta_secs), (50, Some(5)));
    }

    #[test]
    fn before_its_first_step_a_replay_promises_its_rate() {
        let begun = Gone {
            matched: 0,
            upto: 0,
            elapsed_ms: 0,
            ..gone()
        };
        let pace = Pace::reckon(begun);
        assert_eq!(
            (pace.percent, pace.eta_secs, pace.events_per_second),
            (0, Some(2), None)
        );
        let uncounted = Gone {
            expected: None,
            ..begun
        };
        assert_eq!(Pace::reckon(uncounted).eta_secs, None);
    }

    #[test]
    fn only_what_has_ended_is_at_a_hundred_percent_and_it_has_nothing_left() {
        let at = |status, matched| {
            Pace::reckon(Gone {
                status,
                matched,
                ..gone()
            })
        };
        assert_eq!(at(ReplayStatus::Running, 300).percent, 99);
        let completed = at(ReplayStatus::Completed, 180);
        assert_eq!((completed.percent, completed.eta_secs), (100, None));
        let cancelled = at(ReplayStatus::Cancelled, 100);
        assert_eq!((cancelled.percent, cancelled.eta_secs), (50, None));
    }
}
