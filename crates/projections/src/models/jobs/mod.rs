//! Jobs, workflow runs and runners of CI, as GitHub and GitLab announce them.
//!
//! Each sender has a module that reads its payloads into announcements; from there on all are alike. Ids are those of one
//! server, so its host is a part of every key.
//!
//! GitHub re-sends and reorders the announcements of a job, and announces finished ones again under a new id. So the
//! rows are keyed by the job and not by the delivery, and nothing here may depend on a position, on `received_at` or
//! on what was projected before.

mod announcement;
mod github;
mod gitlab;
mod priority;
mod row;

use domain::{DeliveryReceived, TableError};

use self::announcement::{JobAnnouncement, RunAnnouncement, State};
use self::row::{JobRow, JobStateRow, PullRow, RunRow, RunnerRow};
use super::column::micros_between;
use crate::{Projected, ReadModel, RowBatch, Table, View};

const JOBS: &str = "jobs";
const JOB_STATES: &str = "job_states";
const RUNS: &str = "workflow_runs";
const PULLS: &str = "workflow_run_pulls";
const RUNNERS: &str = "runners";

const TABLES: &[Table] = &[
    Table {
        name: JOBS,
        definition: include_str!("../sql/jobs.sql"),
    },
    Table {
        name: JOB_STATES,
        definition: include_str!("../sql/job_states.sql"),
    },
    Table {
        name: RUNS,
        definition: include_str!("../sql/workflow_runs.sql"),
    },
    Table {
        name: PULLS,
        definition: include_str!("../sql/workflow_run_pulls.sql"),
    },
    Table {
        name: RUNNERS,
        definition: include_str!("../sql/runners.sql"),
    },
];

const VIEWS: &[View] = &[
    View {
        name: "jobs",
        select: include_str!("../sql/view_jobs.sql"),
    },
    View {
        name: "job_metrics",
        select: include_str!("../sql/view_job_metrics.sql"),
    },
    View {
        name: "workflow_runs",
        select: include_str!("../sql/view_workflow_runs.sql"),
    },
    View {
        name: "runners",
        select: include_str!("../sql/view_runners.sql"),
    },
];

/// The event by which GitHub announces a job.
pub(crate) const JOB_EVENT: &str = "workflow_job";
const RUN_EVENT: &str = "workflow_run";

/// The projection `jobs`.
#[derive(Debug, Default)]
pub(crate) struct Jobs;

impl ReadModel for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn schema(&self) -> u16 {
        3
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn wants_payload(&self, received: &DeliveryReceived) -> bool {
        let announces = [JOB_EVENT, RUN_EVENT, gitlab::JOB_EVENT, gitlab::PIPELINE_EVENT];
        !received.synthetic && announces.contains(&received.event.as_str())
    }

    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for projected in events {
            let (Some(received), Some(payload)) = (super::counted_once(projected), &projected.payload) else {
                continue;
            };
            let (run, jobs) = read(received, payload);
            for job in jobs {
                project_job(received, &job, rows)?;
            }
            if let Some(run) = run {
                project_run(received, &run, rows)?;
            }
        }
        Ok(())
    }
}

/// What a delivery announces.
fn read(received: &DeliveryReceived, payload: &[u8]) -> (Option<RunAnnouncement>, Vec<JobAnnouncement>) {
    match received.event.as_str() {
        JOB_EVENT => (None, github::job(received, payload).into_iter().collect()),
        RUN_EVENT => (github::run(received, payload), Vec::new()),
        gitlab::JOB_EVENT => (None, gitlab::job(payload).into_iter().collect()),
        gitlab::PIPELINE_EVENT => {
            gitlab::pipeline(payload).map_or((None, Vec::new()), |(run, jobs)| (Some(run), jobs))
        }
        _ => (None, Vec::new()),
    }
}

fn project_job(
    received: &DeliveryReceived,
    announced: &JobAnnouncement,
    rows: &mut RowBatch,
) -> Result<(), TableError> {
    rows.push(JOBS, &JobRow::new(received, announced))?;
    rows.push(JOB_STATES, &JobStateRow::new(received, announced))?;
    if let Some(runner) = RunnerRow::new(received, announced) {
        rows.push(RUNNERS, &runner)?;
    }
    Ok(())
}

fn project_run(
    received: &DeliveryReceived,
    announced: &RunAnnouncement,
    rows: &mut RowBatch,
) -> Result<(), TableError> {
    rows.push(RUNS, &RunRow::new(received, announced))?;
    for pull_request in &announced.pull_requests {
        rows.push(PULLS, &PullRow::new(received, announced, *pull_request))?;
    }
    Ok(())
}

/// The beginning or the end of a job, for whoever only counts.
#[derive(Debug)]
pub(crate) struct JobMark {
    /// The job.
    pub(crate) job_id: u64,
    /// The attempt.
    pub(crate) run_attempt: u32,
    /// How it ended; none when it was queued.
    pub(crate) end: Option<JobEnd>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct JobEnd {
    /// The payload's word.
    pub(crate) conclusion: String,
    /// From its start, in microseconds; none where the payload does not say when it began.
    pub(crate) duration_us: Option<u64>,
}

impl JobMark {
    /// What the payload of a [`JOB_EVENT`] says; `None` for states between, and for payloads that are about no job.
    pub(crate) fn read(received: &DeliveryReceived, payload: &[u8]) -> Option<Self> {
        let announced = github::job(received, payload)?;
        let end = match announced.state {
            State::Queued => None,
            State::Completed => Some(JobEnd {
                duration_us: announced
                    .started_at
                    .zip(announced.completed_at)
                    .map(|(started, completed)| micros_between(started, completed)),
                conclusion: announced.conclusion,
            }),
            State::Waiting | State::InProgress => return None,
        };
        Some(Self {
            job_id: announced.job_id,
            run_attempt: announced.run_attempt,
            end,
        })
    }
}
