//! What GitHub announces: `workflow_job` and `workflow_run`.

mod payload;

use domain::{DeliveryReceived, Timestamp};

use self::payload::{Job, JobPayload, Repository, Run, RunPayload, Step};
use super::announcement::{JobAnnouncement, LABELS_MAX, Order, RunAnnouncement, Runner, State, host_of};
use crate::models::json::{self, Lenient, cut};

const PULL_REQUESTS_MAX: usize = 1000;

/// The state that a word stands for: the action, or the payload's `status`, which lags behind it.
fn state_of(word: &str) -> Option<State> {
    match word {
        "queued" => Some(State::Queued),
        "waiting" => Some(State::Waiting),
        "in_progress" => Some(State::InProgress),
        "completed" => Some(State::Completed),
        _ => None,
    }
}

/// Queued and waiting are one rank: only the payload's times tell which came later.
const fn rank(state: State) -> u8 {
    match state {
        State::Queued | State::Waiting => 1,
        State::InProgress => 2,
        State::Completed => 3,
    }
}

/// Reads a `workflow_job`; `None` when it is not about a job with an id in a known state.
pub(super) fn job(received: &DeliveryReceived, payload: &[u8]) -> Option<JobAnnouncement> {
    let payload: JobPayload = json::read(payload).ok()?;
    let deployed_at = payload
        .deployment
        .get()
        .and_then(|deployment| deployment.updated_at.time());
    let job = payload.workflow_job.into_inner()?;
    let job_id = job.id.copied().filter(|id| *id > 0)?;
    let state = received.action.as_deref().and_then(state_of);
    let state = state.or_else(|| state_of(job.status.get()?))?;
    let (created_at, started_at) = (job.created_at.time(), job.started_at.time());
    // Until it begins, GitHub puts the time of queueing into `started_at`.
    let queued_at = if state.has_begun() {
        created_at
    } else {
        created_at.or(started_at)
    };
    Some(JobAnnouncement {
        host: host(&payload.repository, &job.html_url),
        job_id,
        run_attempt: job.run_attempt.copied().unwrap_or(1),
        run_id: job.run_id.copied().unwrap_or(0),
        name: job.name.text(),
        workflow_name: job.workflow_name.text(),
        head_branch: job.head_branch.text(),
        head_sha: job.head_sha.text(),
        state,
        rank: rank(state),
        conclusion: job.conclusion.text(),
        labels: job.labels.elements(LABELS_MAX).map(|label| cut(label)).collect(),
        runner: Runner {
            id: job.runner_id.copied().unwrap_or(0),
            name: job.runner_name.text(),
            group_id: job.runner_group_id.copied().unwrap_or(0),
            group: job.runner_group_name.text(),
        },
        at: latest(&job, deployed_at),
        queued_at,
        started_at: started_at.filter(|_| state.has_begun()),
        completed_at: job.completed_at.time().filter(|_| state == State::Completed),
        url: job.html_url.text(),
    })
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

/// The host of the repository's page; where the payload leaves that out, of the page of what it is about.
fn host(repository: &Lenient<Repository>, page: &Lenient<String>) -> String {
    let repository = repository.get().and_then(|repository| repository.html_url.get());
    repository
        .or_else(|| page.get())
        .map(|url| host_of(url))
        .unwrap_or_default()
}

/// Reads a `workflow_run`; `None` when it is not about a run with an id.
pub(super) fn run(received: &DeliveryReceived, payload: &[u8]) -> Option<RunAnnouncement> {
    let payload: RunPayload = json::read(payload).ok()?;
    let run = payload.workflow_run.into_inner()?;
    let run_id = run.id.copied().filter(|id| *id > 0)?;
    let rank = received.action.as_deref().and_then(run_rank);
    let times = [&run.created_at, &run.updated_at, &run.run_started_at];
    let actor = run.actor.get().map(|actor| actor.login.text());
    Some(RunAnnouncement {
        host: host(&payload.repository, &run.html_url),
        run_id,
        run_attempt: run.run_attempt.copied().unwrap_or(1),
        run_number: run.run_number.copied().unwrap_or(0),
        workflow_id: run.workflow_id.copied().unwrap_or(0),
        workflow_name: run.name.text(),
        head_branch: run.head_branch.text(),
        head_sha: run.head_sha.text(),
        event: run.event.text(),
        status: run.status.text(),
        rank: rank.or_else(|| run_rank(run.status.get()?)).unwrap_or(0),
        order: Order::Rank,
        conclusion: run.conclusion.text(),
        actor: actor.unwrap_or_default(),
        at: times.into_iter().filter_map(Lenient::time).max(),
        created_at: run.created_at.time(),
        updated_at: run.updated_at.time(),
        run_started_at: run.run_started_at.time(),
        url: run.html_url.text(),
        pull_requests: pull_requests(&run),
    })
}

fn pull_requests(run: &Run) -> Vec<u64> {
    let mut numbers: Vec<u64> = run
        .pull_requests
        .elements(PULL_REQUESTS_MAX)
        .filter_map(|pull| pull.number.copied())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn run_rank(word: &str) -> Option<u8> {
    match word {
        "requested" | "queued" | "waiting" | "pending" => Some(1),
        "in_progress" => Some(2),
        "completed" => Some(3),
        _ => None,
    }
}
