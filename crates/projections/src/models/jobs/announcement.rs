//! What one delivery announces about a job or a run, and where it stands among the others about the same.

use domain::{DeliveryReceived, Timestamp};
use serde::Serialize;

use super::payload::{Job, JobPayload, Run, RunPayload, Step};
use crate::models::json::{Lenient, cut};
use crate::models::precedence::Precedence;

const LABELS_MAX: usize = 100;
const PULL_REQUESTS_MAX: usize = 1000;

/// The state of a job, as its action says; the payload's `status` lags behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Queued,
    Waiting,
    InProgress,
    Completed,
}

impl State {
    fn of(word: &str) -> Option<Self> {
        match word {
            "queued" => Some(Self::Queued),
            "waiting" => Some(Self::Waiting),
            "in_progress" => Some(Self::InProgress),
            "completed" => Some(Self::Completed),
            _ => None,
        }
    }

    /// Queued and waiting are one rank: only the payload's times tell which came later.
    const fn rank(self) -> u8 {
        match self {
            Self::Queued | Self::Waiting => 1,
            Self::InProgress => 2,
            Self::Completed => 3,
        }
    }

    const fn has_begun(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed)
    }
}

/// An announcement of a job.
#[derive(Debug)]
pub(super) struct JobAnnouncement {
    pub(super) job: Job,
    pub(super) job_id: u64,
    pub(super) run_attempt: u32,
    pub(super) state: State,
    pub(super) labels: Vec<String>,
    /// The latest time that the payload tells.
    pub(super) at: Option<Timestamp>,
    pub(super) queued_at: Option<Timestamp>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
}

impl JobAnnouncement {
    /// Reads a payload; `None` when it is not about a job with an id in a known state.
    pub(super) fn read(received: &DeliveryReceived, payload: &[u8]) -> Option<Self> {
        let payload: JobPayload = serde_json::from_slice(payload).ok()?;
        let deployed_at = payload
            .deployment
            .get()
            .and_then(|deployment| deployment.updated_at.time());
        let job = payload.workflow_job.into_inner()?;
        let job_id = job.id.copied().filter(|id| *id > 0)?;
        let state = received.action.as_deref().and_then(State::of);
        let state = state.or_else(|| State::of(job.status.get()?))?;
        let (created_at, started_at) = (job.created_at.time(), job.started_at.time());
        // Until it begins, GitHub puts the time of queueing into `started_at`.
        let queued_at = if state.has_begun() {
            created_at
        } else {
            created_at.or(started_at)
        };
        Some(Self {
            job_id,
            run_attempt: job.run_attempt.copied().unwrap_or(1),
            state,
            labels: job.labels.elements(LABELS_MAX).map(|label| cut(label)).collect(),
            at: latest(&job, deployed_at),
            queued_at,
            started_at: started_at.filter(|_| state.has_begun()),
            completed_at: job.completed_at.time().filter(|_| state == State::Completed),
            job,
        })
    }

    /// Where it stands among the announcements of its job and attempt.
    pub(super) fn precedence(&self, received: &DeliveryReceived) -> Precedence {
        Precedence {
            attempt: 0,
            rank: self.state.rank(),
            at: self.at,
            sha256: received.sha256,
        }
    }

    /// Where it stands among all that name its runner: by time alone.
    pub(super) fn sighting(&self, received: &DeliveryReceived) -> Precedence {
        Precedence {
            rank: 0,
            ..self.precedence(received)
        }
    }

    /// The runner that works or worked on it.
    pub(super) fn runner_id(&self) -> u64 {
        let assigned = self.job.runner_id.copied().filter(|_| self.state.has_begun());
        assigned.unwrap_or(0)
    }
}

fn latest(job: &Job, deployed_at: Option<Timestamp>) -> Option<Timestamp> {
    let own = [&job.created_at, &job.started_at, &job.completed_at];
    let step_times = |step: &Step| [step.started_at.time(), step.completed_at.time()];
    let steps = job.steps.elements(usize::MAX).flat_map(step_times).flatten();
    own.into_iter()
        .filter_map(Lenient::time)
        .chain(steps)
        .chain(deployed_at)
        .max()
}

/// An announcement of a workflow run.
#[derive(Debug)]
pub(super) struct RunAnnouncement {
    pub(super) run: Run,
    pub(super) run_id: u64,
    pub(super) run_attempt: u32,
    pub(super) rank: u8,
    pub(super) at: Option<Timestamp>,
    pub(super) pull_requests: Vec<u64>,
}

impl RunAnnouncement {
    /// Reads a payload; `None` when it is not about a run with an id.
    pub(super) fn read(received: &DeliveryReceived, payload: &[u8]) -> Option<Self> {
        let payload: RunPayload = serde_json::from_slice(payload).ok()?;
        let run = payload.workflow_run.into_inner()?;
        let run_id = run.id.copied().filter(|id| *id > 0)?;
        let rank = received.action.as_deref().and_then(run_rank);
        let times = [&run.created_at, &run.updated_at, &run.run_started_at];
        let mut pull_requests: Vec<u64> = run
            .pull_requests
            .elements(PULL_REQUESTS_MAX)
            .filter_map(|pull| pull.number.copied())
            .collect();
        pull_requests.sort_unstable();
        pull_requests.dedup();
        Some(Self {
            run_id,
            run_attempt: run.run_attempt.copied().unwrap_or(1),
            rank: rank.or_else(|| run_rank(run.status.get()?)).unwrap_or(0),
            at: times.into_iter().filter_map(Lenient::time).max(),
            pull_requests,
            run,
        })
    }

    /// Where it stands among the announcements of its run: a later attempt goes before all of an earlier one.
    pub(super) fn precedence(&self, received: &DeliveryReceived) -> Precedence {
        let attempt = u16::try_from(self.run_attempt).unwrap_or(u16::MAX);
        Precedence {
            attempt,
            rank: self.rank,
            at: self.at,
            sha256: received.sha256,
        }
    }
}

fn run_rank(word: &str) -> Option<u8> {
    match word {
        "requested" | "queued" | "waiting" | "pending" => Some(1),
        "in_progress" => Some(2),
        "completed" => Some(3),
        _ => None,
    }
}
