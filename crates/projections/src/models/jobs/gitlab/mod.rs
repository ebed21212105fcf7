//! What GitLab announces: jobs (`build`), and pipelines, which list their jobs.
//!
//! Both say the same about a job, so that either is enough, and both together count once. A job that is tried again is a new
//! job with an id of its own: its attempt is always 1. A pipeline keeps its id when a part of it is tried again, and runs
//! again: of its announcements the one with the latest own time is believed, and the rank of its status only among equal times.

mod payload;
mod status;

use std::time::Duration;

use domain::Timestamp;

use self::payload::{JobPayload, Pipeline, PipelineJob, PipelinePayload, Project};
use super::announcement::{JobAnnouncement, LABELS_MAX, Order, RunAnnouncement, Runner, State, host_of};
use crate::models::json::{self, Lenient, cut};

/// The event of a job, and the `object_kind` of its payload.
pub(super) const JOB_EVENT: &str = "build";
/// The event of a pipeline, and the `object_kind` of its payload.
pub(super) const PIPELINE_EVENT: &str = "pipeline";

/// The most jobs read of one pipeline.
const JOBS_MAX: usize = 10_000;

/// What a payload says about a job.
struct Told<'a> {
    id: Option<u64>,
    name: String,
    status: Option<&'a String>,
    failure_reason: Option<&'a String>,
    allow_failure: bool,
    created_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    queued_seconds: Option<f64>,
    runner: Option<&'a payload::Runner>,
}

/// What it says about the pipeline and project of the job.
struct About {
    page: String,
    run_id: u64,
    workflow_name: String,
    head_branch: String,
    head_sha: String,
}

/// Reads a job event; `None` when it is not about a job with an id in a known status.
pub(super) fn job(payload: &[u8]) -> Option<JobAnnouncement> {
    let payload: JobPayload = json::read(payload).ok()?;
    is_kind(&payload.object_kind, JOB_EVENT)?;
    let pipeline = payload.commit.get();
    let pipeline_id = payload.pipeline_id.copied();
    let homepage = payload.repository.get().map(|r| r.homepage.text());
    let about = About {
        page: page(&payload.project).or(homepage).unwrap_or_default(),
        run_id: pipeline_id
            .or_else(|| pipeline.and_then(|p| p.id.copied()))
            .unwrap_or(0),
        workflow_name: pipeline.map(|p| p.name.text()).unwrap_or_default(),
        head_branch: payload.branch.text(),
        head_sha: payload.sha.text(),
    };
    let told = Told {
        id: payload.build_id.copied(),
        name: payload.build_name.text(),
        status: payload.build_status.get(),
        failure_reason: payload.build_failure_reason.get(),
        allow_failure: payload.build_allow_failure.copied().unwrap_or(false),
        created_at: payload.build_created_at.moment(),
        started_at: payload.build_started_at.moment(),
        finished_at: payload.build_finished_at.moment(),
        queued_seconds: payload.build_queued_duration.copied(),
        runner: payload.runner.get(),
    };
    announced(&told, &about)
}

/// Reads a pipeline event: the pipeline, and its jobs. `None` when it is not about a pipeline with an id.
pub(super) fn pipeline(payload: &[u8]) -> Option<(RunAnnouncement, Vec<JobAnnouncement>)> {
    let payload: PipelinePayload = json::read(payload).ok()?;
    is_kind(&payload.object_kind, PIPELINE_EVENT)?;
    let run = run(&payload)?;
    let about = About {
        page: page(&payload.project).unwrap_or_default(),
        run_id: run.run_id,
        workflow_name: run.workflow_name.clone(),
        head_branch: run.head_branch.clone(),
        head_sha: run.head_sha.clone(),
    };
    let jobs = payload.builds.elements(JOBS_MAX);
    let jobs = jobs.filter_map(|job| announced(&listed(job), &about)).collect();
    Some((run, jobs))
}

fn is_kind(given: &Lenient<String>, wanted: &str) -> Option<()> {
    (given.get()? == wanted).then_some(())
}

fn page(project: &Lenient<Project>) -> Option<String> {
    project
        .get()
        .map(|project| project.web_url.text())
        .filter(|page| !page.is_empty())
}

fn listed(job: &PipelineJob) -> Told<'_> {
    Told {
        id: job.id.copied(),
        name: job.name.text(),
        status: job.status.get(),
        failure_reason: job.failure_reason.get(),
        allow_failure: job.allow_failure.copied().unwrap_or(false),
        created_at: job.created_at.moment(),
        started_at: job.started_at.moment(),
        finished_at: job.finished_at.moment(),
        queued_seconds: job.queued_duration.copied(),
        runner: job.runner.get(),
    }
}

fn announced(told: &Told<'_>, about: &About) -> Option<JobAnnouncement> {
    let job_id = told.id.filter(|id| *id > 0)?;
    let status = told.status?.as_str();
    let standing = status::standing(status)?;
    // Nobody waits for it: it runs when somebody asks for it, and until then the pipeline goes on without.
    let passed_over = status == "manual" && told.allow_failure;
    let state = if passed_over {
        State::Completed
    } else {
        standing.state
    };
    let reason = told.failure_reason.map(String::as_str);
    let conclusion = status::conclusion(if passed_over { "skipped" } else { status }, reason);
    let started_at = told.started_at.filter(|_| state.has_begun());
    let labels = told.runner.map(|runner| runner.tags.elements(LABELS_MAX));
    let runner = told.runner.map(|runner| Runner {
        id: runner.id.copied().unwrap_or(0),
        name: runner.description.text(),
        group_id: 0,
        group: runner.runner_type.text(),
    });
    let times = [told.created_at, told.started_at, told.finished_at];
    Some(JobAnnouncement {
        host: host_of(&about.page),
        job_id,
        run_attempt: 1,
        run_id: about.run_id,
        name: told.name.clone(),
        workflow_name: about.workflow_name.clone(),
        head_branch: about.head_branch.clone(),
        head_sha: about.head_sha.clone(),
        state,
        rank: standing.rank,
        conclusion: conclusion.to_owned(),
        labels: labels.into_iter().flatten().map(|label| cut(label)).collect(),
        runner: runner.unwrap_or_default(),
        at: times.into_iter().flatten().max(),
        queued_at: queued_at(told, started_at),
        started_at,
        completed_at: told.finished_at.filter(|_| state == State::Completed),
        url: page_below(&about.page, "jobs", job_id),
    })
}

/// GitLab says how long a job stood in the queue, but not since when. It is created with its pipeline, and queued when the
/// stages before it are done: until it begins, only the former is known.
fn queued_at(told: &Told<'_>, started_at: Option<Timestamp>) -> Option<Timestamp> {
    let waited = told.queued_seconds.and_then(micros);
    started_at
        .zip(waited)
        .map(|(started, waited)| Timestamp::from_micros(started.as_micros().saturating_sub(waited)))
        .or(told.created_at)
}

fn micros(seconds: f64) -> Option<i64> {
    i64::try_from(Duration::try_from_secs_f64(seconds).ok()?.as_micros()).ok()
}

fn page_below(page: &str, kind: &str, id: u64) -> String {
    if page.is_empty() {
        String::new()
    } else {
        cut(&format!("{page}/-/{kind}/{id}"))
    }
}

fn run(payload: &PipelinePayload) -> Option<RunAnnouncement> {
    let pipeline = payload.object_attributes.get()?;
    let run_id = pipeline.id.copied().filter(|id| *id > 0)?;
    let status = pipeline.status.text();
    let page = page(&payload.project).unwrap_or_default();
    let url = pipeline.url.text();
    let at = latest(payload, pipeline);
    let user = payload.user.get().map(|user| user.username.text());
    let merge_request = payload.merge_request.get().and_then(|mr| mr.iid.copied());
    let standing = status::standing(&status);
    let begun = standing.is_some_and(|standing| standing.state.has_begun());
    Some(RunAnnouncement {
        host: host_of(if page.is_empty() { &url } else { &page }),
        run_id,
        run_attempt: 1,
        run_number: pipeline.iid.copied().unwrap_or(0),
        workflow_id: 0,
        workflow_name: pipeline.name.text(),
        head_branch: pipeline.branch.text(),
        head_sha: pipeline.sha.text(),
        event: pipeline.source.text(),
        status: status::run_status(&status).to_owned(),
        rank: standing.map_or(0, |standing| rank(standing, pipeline, at)),
        order: Order::Time,
        conclusion: status::conclusion(&status, None).to_owned(),
        actor: user.unwrap_or_default(),
        at,
        created_at: pipeline.created_at.moment(),
        updated_at: at,
        run_started_at: started_at(payload, pipeline).filter(|_| begun),
        url: if url.is_empty() {
            page_below(&page, "pipelines", run_id)
        } else {
            url
        },
        pull_requests: merge_request.into_iter().collect(),
    })
}

/// A pipeline that goes on after its end, with a manual job that somebody starts, keeps the time of that end until it ends again.
/// As long as nothing in it is later than that, it is the later word; what it ends with tells another time.
fn rank(standing: status::Standing, pipeline: &Pipeline, latest: Option<Timestamp>) -> u8 {
    let finished = pipeline.finished_at.moment();
    if standing.state != State::Completed && finished.is_some() && finished == latest {
        status::GOES_ON
    } else {
        standing.rank
    }
}

/// The latest time in it: a job that is tried again has later ones than all before it.
fn latest(payload: &PipelinePayload, pipeline: &Pipeline) -> Option<Timestamp> {
    let of_job = |job: &PipelineJob| {
        [
            job.created_at.moment(),
            job.started_at.moment(),
            job.finished_at.moment(),
        ]
    };
    let of_jobs = payload.builds.elements(usize::MAX).flat_map(of_job);
    [pipeline.created_at.moment(), pipeline.finished_at.moment()]
        .into_iter()
        .chain(of_jobs)
        .flatten()
        .max()
}

/// GitLab says how long a pipeline waited, in whole seconds, and nothing when it was none: then a job that began tells that the
/// pipeline did, too.
fn started_at(payload: &PipelinePayload, pipeline: &Pipeline) -> Option<Timestamp> {
    let created = pipeline.created_at.moment()?;
    let waited = match pipeline.queued_duration.copied() {
        Some(seconds) => micros(seconds)?,
        None => {
            let mut jobs = payload.builds.elements(JOBS_MAX);
            jobs.find_map(|job| job.started_at.moment()).map(|_| 0)?
        }
    };
    Some(Timestamp::from_micros(created.as_micros().saturating_add(waited)))
}
