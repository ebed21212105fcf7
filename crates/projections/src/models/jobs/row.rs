//! The rows of the projection `jobs`.

use domain::{DeliveryReceived, TenantId, Timestamp};
use serde::Serialize;

use super::announcement::{JobAnnouncement, RunAnnouncement, State};
use super::priority::priority;
use crate::models::column::{Moment, micros_between};
use crate::models::precedence::Precedence;

fn moment(time: Option<Timestamp>) -> Option<Moment> {
    time.map(Moment::from)
}

fn millis_between(earlier: Option<Timestamp>, later: Option<Timestamp>) -> Option<u64> {
    Some(micros_between(earlier?, later?) / 1000)
}

fn repository(received: &DeliveryReceived) -> (&str, String) {
    let name = received.repository.as_deref().unwrap_or_default();
    (name, name.to_lowercase())
}

#[derive(Serialize)]
pub(super) struct JobRow<'a> {
    tenant: &'a TenantId,
    job_id: u64,
    run_attempt: u32,
    version: u128,
    run_id: u64,
    repository: &'a str,
    repository_key: String,
    name: String,
    workflow_name: String,
    head_branch: String,
    head_sha: String,
    status: State,
    conclusion: String,
    labels: &'a [String],
    priority: i32,
    runner_id: u64,
    runner_name: String,
    runner_group_id: u64,
    runner_group: String,
    queued_at: Option<Moment>,
    started_at: Option<Moment>,
    completed_at: Option<Moment>,
    queue_ms: Option<u64>,
    duration_ms: Option<u64>,
    url: String,
}

impl<'a> JobRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Self {
        let job = &announced.job;
        let (repository, repository_key) = repository(received);
        Self {
            tenant: &received.tenant,
            job_id: announced.job_id,
            run_attempt: announced.run_attempt,
            version: announced.precedence(received).version(),
            run_id: job.run_id.copied().unwrap_or(0),
            repository,
            repository_key,
            name: job.name.text(),
            workflow_name: job.workflow_name.text(),
            head_branch: job.head_branch.text(),
            head_sha: job.head_sha.text(),
            status: announced.state,
            conclusion: job.conclusion.text(),
            labels: &announced.labels,
            priority: priority(&announced.labels),
            runner_id: job.runner_id.copied().unwrap_or(0),
            runner_name: job.runner_name.text(),
            runner_group_id: job.runner_group_id.copied().unwrap_or(0),
            runner_group: job.runner_group_name.text(),
            queued_at: moment(announced.queued_at),
            started_at: moment(announced.started_at),
            completed_at: moment(announced.completed_at),
            queue_ms: millis_between(announced.queued_at, announced.started_at),
            duration_ms: millis_between(announced.started_at, announced.completed_at),
            url: job.html_url.text(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct JobStateRow<'a> {
    tenant: &'a TenantId,
    job_id: u64,
    run_attempt: u32,
    state: State,
    version: u128,
    queued_at: Option<Moment>,
    started_at: Option<Moment>,
    completed_at: Option<Moment>,
    labels: &'a [String],
    runner_id: u64,
    runner_name: String,
    runner_group_id: u64,
    runner_group: String,
}

impl<'a> JobStateRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Self {
        let job = &announced.job;
        Self {
            tenant: &received.tenant,
            job_id: announced.job_id,
            run_attempt: announced.run_attempt,
            state: announced.state,
            version: announced.precedence(received).version(),
            queued_at: moment(announced.queued_at),
            started_at: moment(announced.started_at),
            completed_at: moment(announced.completed_at),
            labels: &announced.labels,
            runner_id: job.runner_id.copied().unwrap_or(0),
            runner_name: job.runner_name.text(),
            runner_group_id: job.runner_group_id.copied().unwrap_or(0),
            runner_group: job.runner_group_name.text(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct RunnerRow<'a> {
    tenant: &'a TenantId,
    runner_id: u64,
    version: u128,
    runner_name: String,
    runner_group_id: u64,
    runner_group: String,
    labels: &'a [String],
    last_job_id: u64,
    last_repository: &'a str,
    last_seen_at: Option<Moment>,
}

impl<'a> RunnerRow<'a> {
    /// The runner at work on the job, if it has begun and names one.
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Option<Self> {
        let runner_id = announced.runner_id();
        let job = &announced.job;
        (runner_id > 0).then(|| Self {
            tenant: &received.tenant,
            runner_id,
            version: announced.sighting(received).version(),
            runner_name: job.runner_name.text(),
            runner_group_id: job.runner_group_id.copied().unwrap_or(0),
            runner_group: job.runner_group_name.text(),
            labels: &announced.labels,
            last_job_id: announced.job_id,
            last_repository: received.repository.as_deref().unwrap_or_default(),
            last_seen_at: moment(announced.at),
        })
    }
}

#[derive(Serialize)]
pub(super) struct RunRow<'a> {
    tenant: &'a TenantId,
    run_id: u64,
    version: u128,
    run_attempt: u32,
    run_number: u64,
    repository: &'a str,
    repository_key: String,
    workflow_id: u64,
    workflow_name: String,
    head_branch: String,
    head_sha: String,
    event: String,
    status: String,
    conclusion: String,
    actor: String,
    created_at: Option<Moment>,
    updated_at: Option<Moment>,
    run_started_at: Option<Moment>,
    url: String,
}

impl<'a> RunRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &RunAnnouncement) -> Self {
        let run = &announced.run;
        let (repository, repository_key) = repository(received);
        Self {
            tenant: &received.tenant,
            run_id: announced.run_id,
            version: announced.precedence(received).version(),
            run_attempt: announced.run_attempt,
            run_number: run.run_number.copied().unwrap_or(0),
            repository,
            repository_key,
            workflow_id: run.workflow_id.copied().unwrap_or(0),
            workflow_name: run.name.text(),
            head_branch: run.head_branch.text(),
            head_sha: run.head_sha.text(),
            event: run.event.text(),
            status: run.status.text(),
            conclusion: run.conclusion.text(),
            actor: run
                .actor
                .get()
                .map(|actor| actor.login.text())
                .unwrap_or_default(),
            created_at: moment(run.created_at.time()),
            updated_at: moment(run.updated_at.time()),
            run_started_at: moment(run.run_started_at.time()),
            url: run.html_url.text(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct PullRow<'a> {
    tenant: &'a TenantId,
    run_id: u64,
    pull_request: u64,
    version: u128,
    repository_key: String,
}

impl<'a> PullRow<'a> {
    pub(super) fn new(
        received: &'a DeliveryReceived,
        announced: &RunAnnouncement,
        pull_request: u64,
    ) -> Self {
        let (at, sha256) = (announced.at, received.sha256);
        Self {
            tenant: &received.tenant,
            run_id: announced.run_id,
            pull_request,
            version: Precedence {
                attempt: 0,
                rank: 0,
                at,
                sha256,
            }
            .version(),
            repository_key: repository(received).1,
        }
    }
}
