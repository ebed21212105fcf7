//! The rows of the projection `jobs`.

use domain::{DeliveryReceived, TenantId, Timestamp};
use serde::Serialize;

use super::announcement::{JobAnnouncement, RunAnnouncement, Runner, State};
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
    host: &'a str,
    job_id: u64,
    run_attempt: u32,
    version: u128,
    run_id: u64,
    repository: &'a str,
    repository_key: String,
    name: &'a str,
    workflow_name: &'a str,
    head_branch: &'a str,
    head_sha: &'a str,
    status: State,
    conclusion: &'a str,
    labels: &'a [String],
    priority: i32,
    runner_id: u64,
    runner_name: &'a str,
    runner_group_id: u64,
    runner_group: &'a str,
    queued_at: Option<Moment>,
    started_at: Option<Moment>,
    completed_at: Option<Moment>,
    queue_ms: Option<u64>,
    duration_ms: Option<u64>,
    url: &'a str,
}

impl<'a> JobRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Self {
        let (repository, repository_key) = repository(received);
        let Runner {
            id,
            name,
            group_id,
            group,
        } = &announced.runner;
        Self {
            tenant: &received.tenant,
            host: &announced.host,
            job_id: announced.job_id,
            run_attempt: announced.run_attempt,
            version: announced.precedence(received).version(),
            run_id: announced.run_id,
            repository,
            repository_key,
            name: &announced.name,
            workflow_name: &announced.workflow_name,
            head_branch: &announced.head_branch,
            head_sha: &announced.head_sha,
            status: announced.state,
            conclusion: &announced.conclusion,
            labels: &announced.labels,
            priority: priority(&announced.labels),
            runner_id: *id,
            runner_name: name,
            runner_group_id: *group_id,
            runner_group: group,
            queued_at: moment(announced.queued_at),
            started_at: moment(announced.started_at),
            completed_at: moment(announced.completed_at),
            queue_ms: millis_between(announced.queued_at, announced.started_at),
            duration_ms: millis_between(announced.started_at, announced.completed_at),
            url: &announced.url,
        }
    }
}

#[derive(Serialize)]
pub(super) struct JobStateRow<'a> {
    tenant: &'a TenantId,
    host: &'a str,
    job_id: u64,
    run_attempt: u32,
    state: State,
    version: u128,
    queued_at: Option<Moment>,
    started_at: Option<Moment>,
    completed_at: Option<Moment>,
    labels: &'a [String],
    runner_id: u64,
    runner_name: &'a str,
    runner_group_id: u64,
    runner_group: &'a str,
}

impl<'a> JobStateRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Self {
        let runner = &announced.runner;
        Self {
            tenant: &received.tenant,
            host: &announced.host,
            job_id: announced.job_id,
            run_attempt: announced.run_attempt,
            state: announced.state,
            version: announced.precedence(received).version(),
            queued_at: moment(announced.queued_at),
            started_at: moment(announced.started_at),
            completed_at: moment(announced.completed_at),
            labels: &announced.labels,
            runner_id: runner.id,
            runner_name: &runner.name,
            runner_group_id: runner.group_id,
            runner_group: &runner.group,
        }
    }
}

#[derive(Serialize)]
pub(super) struct RunnerRow<'a> {
    tenant: &'a TenantId,
    host: &'a str,
    runner_id: u64,
    version: u128,
    runner_name: &'a str,
    runner_group_id: u64,
    runner_group: &'a str,
    labels: &'a [String],
    last_job_id: u64,
    last_repository: &'a str,
    last_seen_at: Option<Moment>,
}

impl<'a> RunnerRow<'a> {
    /// The runner at work on the job, if it has begun and names one.
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a JobAnnouncement) -> Option<Self> {
        let runner_id = announced.worked_by();
        let runner = &announced.runner;
        (runner_id > 0).then(|| Self {
            tenant: &received.tenant,
            host: &announced.host,
            runner_id,
            version: announced.sighting(received).version(),
            runner_name: &runner.name,
            runner_group_id: runner.group_id,
            runner_group: &runner.group,
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
    host: &'a str,
    run_id: u64,
    version: u128,
    run_attempt: u32,
    run_number: u64,
    repository: &'a str,
    repository_key: String,
    workflow_id: u64,
    workflow_name: &'a str,
    head_branch: &'a str,
    head_sha: &'a str,
    event: &'a str,
    status: &'a str,
    conclusion: &'a str,
    actor: &'a str,
    created_at: Option<Moment>,
    updated_at: Option<Moment>,
    run_started_at: Option<Moment>,
    url: &'a str,
}

impl<'a> RunRow<'a> {
    pub(super) fn new(received: &'a DeliveryReceived, announced: &'a RunAnnouncement) -> Self {
        let (repository, repository_key) = repository(received);
        Self {
            tenant: &received.tenant,
            host: &announced.host,
            run_id: announced.run_id,
            version: announced.version(received),
            run_attempt: announced.run_attempt,
            run_number: announced.run_number,
            repository,
            repository_key,
            workflow_id: announced.workflow_id,
            workflow_name: &announced.workflow_name,
            head_branch: &announced.head_branch,
            head_sha: &announced.head_sha,
            event: &announced.event,
            status: &announced.status,
            conclusion: &announced.conclusion,
            actor: &announced.actor,
            created_at: moment(announced.created_at),
            updated_at: moment(announced.updated_at),
            run_started_at: moment(announced.run_started_at),
            url: &announced.url,
        }
    }
}

#[derive(Serialize)]
pub(super) struct PullRow<'a> {
    tenant: &'a TenantId,
    host: &'a str,
    run_id: u64,
    pull_request: u64,
    version: u128,
    repository_key: String,
}

impl<'a> PullRow<'a> {
    pub(super) fn new(
        received: &'a DeliveryReceived,
        announced: &'a RunAnnouncement,
        pull_request: u64,
    ) -> Self {
        let (at, sha256) = (announced.at, received.sha256);
        Self {
            tenant: &received.tenant,
            host: &announced.host,
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
