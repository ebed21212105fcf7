//! GitLab's words for how far jobs and pipelines are, in those of the tables.

use crate::models::jobs::announcement::State;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// Among the statuses of one job: the later one of a life is the greater.
    pub(super) rank: u8,
}

/// The rank of a pipeline that has ended before and goes on: above all ends.
pub(super) const GOES_ON: u8 = 9;

/// Where a job of a status stands; `None` for a word that is not known.
///
/// A skipped job may still come to run, when one before it is tried again: so skipped ranks below running. It ranks above
/// pending, so that no job that was skipped is waited for.
pub(super) fn standing(status: &str) -> Option<Standing> {
    let (state, rank) = match status {
        "created" => (State::Waiting, 1),
        "waiting_for_resource" | "waiting_for_callback" | "scheduled" => (State::Waiting, 2),
        "preparing" => (State::Queued, 2),
        "manual" => (State::Waiting, 3),
        "pending" => (State::Queued, 4),
        "skipped" => (State::Completed, 5),
        "running" => (State::InProgress, 6),
        "canceling" => (State::InProgress, 7),
        "success" | "failed" | "canceled" => (State::Completed, 8),
        _ => return None,
    };
    Some(Standing { state, rank })
}

/// How a job or pipeline of a status ended; empty for one that has not. A job that took too long has timed out, whatever else
/// made one fail.
pub(super) fn conclusion(status: &str, failure_reason: Option<&str>) -> &'static str {
    match (status, failure_reason) {
        ("success", _) => "success",
        ("failed", Some("job_execution_timeout" | "stuck_or_timeout_failure")) => "timed_out",
        ("failed", _) => "failure",
        ("canceled", _) => "cancelled",
        ("skipped", _) => "skipped",
        _ => "",
    }
}

/// How far a pipeline of a status is, in the words of workflow runs; the status itself for one that is not known.
pub(super) fn run_status(status: &str) -> &str {
    match (status, standing(status).map(|standing| standing.state)) {
        ("created", _) => "requested",
        (_, Some(State::Waiting)) => "waiting",
        (_, Some(State::Queued)) => "queued",
        (_, Some(State::InProgress)) => "in_progress",
        (_, Some(State::Completed)) => "completed",
        (unknown, None) => unknown,
    }
}
