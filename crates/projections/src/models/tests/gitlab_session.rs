//! A pipeline as GitLab tells it, by its jobs and by itself: late, twice, in any order, beside a job of GitHub of the same id.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PROJECT: &str = "Group/Sub/Project";
const PAGE: &str = "https://gitlab.example.com/Group/Sub/Project";

/// A job, in the words that both kinds of event have in common.
#[derive(Clone)]
struct Told {
    id: u64,
    name: &'static str,
    status: &'static str,
    started: Option<&'static str>,
    finished: Option<&'static str>,
    waited: Option<f64>,
    more: Value,
}

const CREATED: &str = "2026-11-21 10:00:00 UTC";
const ENDED: &str = "2026-11-21 10:01:12 UTC";

fn told(id: u64, name: &'static str, status: &'static str) -> Told {
    Told {
        id,
        name,
        status,
        started: None,
        finished: None,
        waited: None,
        more: json!({}),
    }
}

impl Told {
    fn ran(mut self, waited: f64, started: &'static str, finished: Option<&'static str>) -> Self {
        (self.waited, self.started, self.finished) = (Some(waited), Some(started), finished);
        self
    }

    fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    fn runner(&self) -> Value {
        match self.started {
            None => Value::Null,
            Some(_) => {
                json!({"id": 41, "description": "runner-41", "runner_type": "group_type", "active": true,
                "is_shared": false, "tags": ["linux", "Deploy"]})
            }
        }
    }

    /// As a job event tells it.
    fn job_event(&self) -> Value {
        let failed = if self.status == "failed" {
            "script_failure"
        } else {
            "unknown_failure"
        };
        let mut event = json!({
            "object_kind": "build", "ref": "main", "tag": false, "sha": "2293ada6", "build_id": self.id,
            "build_name": self.name, "build_stage": "test", "build_status": self.status, "build_created_at": CREATED,
            "build_started_at": self.started, "build_finished_at": self.finished, "build_duration": null,
            "build_queued_duration": self.waited, "build_allow_failure": false, "build_failure_reason": failed,
            "pipeline_id": 31, "runner": self.runner(), "project_id": 380, "project_name": "Group / Sub / Project",
            "commit": {"id": 31, "name": "nightly", "sha": "2293ada6", "status": "running"},
            "repository": {"name": "project", "homepage": PAGE},
            "project": {"id": 380, "web_url": PAGE, "path_with_namespace": PROJECT},
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(self.more.as_object().unwrap().clone());
        event
    }

    /// As a pipeline event lists it.
    fn listed(&self) -> Value {
        let mut job = json!({
            "id": self.id, "stage": "test", "name": self.name, "status": self.status, "created_at": CREATED,
            "started_at": self.started, "finished_at": self.finished, "duration": null, "queued_duration": self.waited,
            "failure_reason": null, "when": "on_success", "manual": false, "allow_failure": false, "runner": self.runner(),
        });
        let more = self.more.as_object().unwrap().iter();
        let renamed = more.map(|(name, value)| (name.trim_start_matches("build_").to_owned(), value.clone()));
        job.as_object_mut().unwrap().extend(renamed);
        job
    }
}

fn pipeline(status: &str, finished: Option<&str>, jobs: &[Told]) -> Value {
    json!({
        "object_kind": "pipeline",
        "object_attributes": {
            "id": 31, "iid": 3, "name": "nightly", "ref": "main", "tag": false, "sha": "2293ada6", "source": "merge_request_event",
            "status": status, "created_at": CREATED, "finished_at": finished, "duration": null, "queued_duration": 2,
            "url": format!("{PAGE}/-/pipelines/31"),
        },
        "merge_request": {"id": 900, "iid": 7, "source_branch": "main"},
        "user": {"id": 1, "username": "root"},
        "project": {"id": 380, "web_url": PAGE, "path_with_namespace": PROJECT},
        "builds": jobs.iter().map(Told::listed).collect::<Vec<_>>(),
    })
}

type Announcement = (&'static str, String);

fn of_job(job: &Told) -> Announcement {
    ("build", job.job_event().to_string())
}

fn of_pipeline(status: &str, finished: Option<&str>, jobs: &[Told]) -> Announcement {
    ("pipeline", pipeline(status, finished, jobs).to_string())
}

/// The announcements, in the order in which things happened.
fn session() -> Vec<Announcement> {
    let test = |status| told(501, "test", status);
    let deploy = |status| told(502, "deploy", status);
    let failed = test("failed").ran(8.5, "2026-11-21 10:00:10 UTC", Some("2026-11-21 10:01:10 UTC"));
    let skipped = deploy("skipped");
    let again = told(503, "test", "running").ran(3.0, "2026-11-21 10:05:10 UTC", None);
    let passed =
        told(503, "test", "success").ran(3.0, "2026-11-21 10:05:10 UTC", Some("2026-11-21 10:06:10 UTC"));
    let running = deploy("running").ran(1.0, "2026-11-21 10:06:20 UTC", None);
    let timed_out = told(504, "slow", "failed")
        .ran(0.25, "2026-11-21 10:00:10 UTC", Some("2026-11-21 11:00:10 UTC"))
        .with(json!({"build_failure_reason": "job_execution_timeout"}));
    let optional = json!({"build_allow_failure": true});
    vec![
        of_job(&test("created")),
        of_pipeline("created", None, &[test("created"), deploy("created")]),
        of_job(&test("pending")),
        of_pipeline("running", None, &[test("pending"), deploy("created")]),
        of_job(&test("running").ran(8.5, "2026-11-21 10:00:10 UTC", None)),
        of_job(&failed),
        of_pipeline("failed", Some(ENDED), &[failed.clone(), skipped]),
        // Somebody tries the first one again: it is a new job, and what was skipped comes to run after all.
        of_job(&told(503, "test", "pending")),
        of_pipeline("running", Some(ENDED), &[again, deploy("created")]),
        of_job(&passed),
        of_job(&deploy("pending")),
        of_job(&running),
        // What it was when it was looked at last: it runs, though it had ended before.
        of_pipeline("running", Some(ENDED), &[passed, running]),
        of_job(&timed_out),
        // That a job waits for somebody to start it is told by the pipeline alone.
        of_job(&told(505, "cleanup", "created").with(optional.clone())),
        of_pipeline(
            "running",
            Some(ENDED),
            &[
                told(505, "cleanup", "manual").with(optional),
                told(506, "approve", "manual"),
            ],
        ),
        // Of another server, by the same number.
        (
            "workflow_job",
            super::ci_session::job(501, 1, "in_progress", "{}"),
        ),
        (
            "workflow_run",
            json!({"workflow_run": {"id": 31, "html_url": "https://github.com/a/b/actions/runs/31"}})
                .to_string(),
        ),
    ]
}

/// Announcements as they arrive.
fn arriving(session: &[Announcement], order: &[usize]) -> Vec<Projected> {
    let arrival = |(position, index): (u64, &usize)| {
        let (event, body) = session[*index].clone();
        let mut delivery = TestDelivery::new(event, body);
        if !event.starts_with("workflow") {
            delivery.repository = Some(PROJECT.into());
        }
        delivery.received_at = delivery
            .received_at
            .plus_millis(i64::try_from(position).unwrap() * 700);
        projected(position * 3, &delivery)
    };
    (1..).zip(order).map(arrival).collect()
}

fn in_order() -> FoldedTables {
    let session = session();
    folded(
        "jobs",
        &arriving(&session, &(0..session.len()).collect::<Vec<_>>()),
    )
}

fn job<'a>(tables: &'a FoldedTables, host: &str, id: i64) -> &'a FoldedRow {
    let mut rows = tables.rows("jobs");
    rows.find(|row| text(row, "host") == host && number(row, "job_id") == id)
        .unwrap_or_else(|| panic!("no job {id} of {host}"))
}

#[test]
fn a_pipeline_gives_its_jobs() {
    let tables = in_order();
    let failed = job(&tables, "gitlab.example.com", 501);
    let told = [
        "status",
        "conclusion",
        "name",
        "workflow_name",
        "head_branch",
        "repository_key",
        "labels",
    ];
    assert_eq!(
        told.map(|column| text(failed, column)),
        [
            "completed",
            "failure",
            "test",
            "nightly",
            "main",
            "group/sub/project",
            r#"["linux","Deploy"]"#
        ]
    );
    assert_eq!(
        [
            "run_id",
            "run_attempt",
            "queue_ms",
            "duration_ms",
            "priority",
            "runner_id"
        ]
        .map(|column| number(failed, column)),
        [31, 1, 8500, 60_000, 100, 41]
    );
    assert_eq!(text(failed, "queued_at"), "2026-11-21 10:00:01.500000");
    assert_eq!(
        (text(failed, "runner_name"), text(failed, "runner_group")),
        ("runner-41", "group_type")
    );
    assert_eq!(text(failed, "url"), format!("{PAGE}/-/jobs/501"));
    let ended = |id| text(job(&tables, "gitlab.example.com", id), "conclusion");
    assert_eq!((ended(503), ended(504)), ("success", "timed_out"));
}

#[test]
fn a_job_of_another_server_is_another_job() {
    let tables = in_order();
    let other = job(&tables, "github.com", 501);
    assert_eq!(
        (text(other, "status"), text(other, "head_sha")),
        ("in_progress", "e3103f8e")
    );
    let hosts = |table: &str| {
        tables
            .rows(table)
            .map(|row| text(row, "host").to_owned())
            .collect::<Vec<_>>()
    };
    let both = ["github.com", "gitlab.example.com"];
    assert_eq!(
        (hosts("workflow_runs"), hosts("runners")),
        (both.map(String::from).to_vec(), both.map(String::from).to_vec())
    );
}

#[test]
fn what_was_skipped_may_still_run() {
    let tables = in_order();
    let deploy = job(&tables, "gitlab.example.com", 502);
    assert_eq!(
        (
            text(deploy, "status"),
            text(deploy, "conclusion"),
            number(deploy, "queue_ms")
        ),
        ("in_progress", "", 1000)
    );
}

#[test]
fn a_pipeline_that_goes_on_has_not_ended() {
    let tables = in_order();
    let run = tables
        .rows("workflow_runs")
        .find(|row| text(row, "host") == "gitlab.example.com")
        .unwrap();
    let told = [
        "status",
        "conclusion",
        "event",
        "actor",
        "workflow_name",
        "updated_at",
        "run_started_at",
    ];
    assert_eq!(
        told.map(|column| text(run, column)),
        [
            "in_progress",
            "",
            "merge_request_event",
            "root",
            "nightly",
            "2026-11-21 10:06:20.000000",
            "2026-11-21 10:00:02.000000"
        ]
    );
    let pull = tables.rows("workflow_run_pulls").next().unwrap();
    assert_eq!(
        (
            number(pull, "run_id"),
            number(pull, "pull_request"),
            text(pull, "host")
        ),
        (31, 7, "gitlab.example.com")
    );
}

#[test]
fn a_manual_job_is_waited_for_only_where_the_pipeline_waits() {
    let tables = in_order();
    let told = |id| {
        let job = job(&tables, "gitlab.example.com", id);
        (text(job, "status"), text(job, "conclusion"))
    };
    assert_eq!(told(506), ("waiting", ""));
    assert_eq!(told(505), ("completed", "skipped"));
}

#[test]
fn a_manual_job_that_somebody_starts_is_waited_for() {
    let optional = json!({"build_allow_failure": true});
    let session = [
        of_pipeline(
            "success",
            Some(ENDED),
            &[told(505, "cleanup", "manual").with(optional.clone())],
        ),
        of_job(&told(505, "cleanup", "pending").with(optional)),
    ];
    let tables = folded("jobs", &arriving(&session, &[1, 0]));
    assert_eq!(text(job(&tables, "gitlab.example.com", 505), "status"), "queued");
}

#[test]
fn a_pipeline_goes_on_when_somebody_starts_a_manual_job() {
    let optional = json!({"build_allow_failure": true});
    let built =
        told(501, "build", "success").ran(8.5, "2026-11-21 10:00:10 UTC", Some("2026-11-21 10:01:10 UTC"));
    let cleanup = |status| told(505, "cleanup", status).with(optional.clone());
    // It keeps the time of its end until it ends again.
    let session = [
        of_pipeline("success", Some(ENDED), &[built.clone(), cleanup("manual")]),
        of_pipeline("running", Some(ENDED), &[built, cleanup("pending")]),
    ];
    for order in [[0, 1], [1, 0]] {
        let tables = folded("jobs", &arriving(&session, &order));
        let run = tables.rows("workflow_runs").next().unwrap();
        assert_eq!(
            (text(run, "status"), text(run, "conclusion")),
            ("in_progress", ""),
            "{order:?}"
        );
    }
}

#[test]
fn a_pipeline_that_waited_for_less_than_a_second_began_when_it_was_created() {
    let started = |jobs: &[Told]| {
        let mut body = pipeline("running", None, jobs);
        body["object_attributes"]["queued_duration"] = Value::Null;
        let tables = folded("jobs", &arriving(&[("pipeline", body.to_string())], &[0]));
        let run = tables.rows("workflow_runs").next().unwrap();
        run.get("run_started_at").cloned().flatten()
    };
    let begun = told(501, "build", "running").ran(0.25, "2026-11-21 10:00:00 UTC", None);
    assert_eq!(started(&[begun]).as_deref(), Some("2026-11-21 10:00:00.000000"));
    // Without a job that began, nothing says that it began.
    assert_eq!(started(&[told(501, "build", "pending")]), None);
}

#[test]
fn a_pipeline_alone_tells_what_its_jobs_would() {
    let job =
        told(501, "test", "success").ran(8.5, "2026-11-21 10:00:10 UTC", Some("2026-11-21 10:01:10 UTC"));
    let tables = |event: &str, body: Value| {
        let mut delivery = TestDelivery::new(event, body.to_string());
        delivery.repository = Some(PROJECT.into());
        let tables = folded("jobs", &[projected(1, &delivery)]);
        let mut row = tables.rows("jobs").next().unwrap().clone();
        // The tail of it is of the body.
        row.remove("version");
        row
    };
    let finished = Some(ENDED);
    assert_eq!(
        tables("build", job.job_event()),
        tables(
            "pipeline",
            pipeline("success", finished, std::slice::from_ref(&job))
        )
    );
}

#[test]
fn a_payload_of_another_kind_is_no_job() {
    for (event, body) in [
        ("build", json!({"build_id": 7, "build_status": "success"})),
        (
            "build",
            json!({"object_kind": "build", "build_id": "7", "build_status": "success"}),
        ),
        (
            "build",
            json!({"object_kind": "build", "build_id": 7, "build_status": "exploded"}),
        ),
        (
            "build",
            json!({"object_kind": "pipeline", "object_attributes": {"id": 7}}),
        ),
        (
            "pipeline",
            json!({"object_kind": "pipeline", "object_attributes": {"id": 0}}),
        ),
        ("pipeline", json!([])),
    ] {
        let tables = folded(
            "jobs",
            &[projected(1, &TestDelivery::new(event, body.to_string()))],
        );
        let empty = |table: &str| tables.rows(table).next().is_none();
        assert!(empty("jobs") && empty("workflow_runs"), "{event}: {body}");
    }
}

proptest! {
    #[test]
    fn any_permutation_and_duplication_of_a_session_gives_the_same_tables(
        order in prop::collection::vec(0..session().len(), 0..12)
            .prop_map(|repeated| (0..session().len()).chain(repeated).collect::<Vec<_>>())
            .prop_shuffle(),
        batch in 1..8_usize,
    ) {
        let mut model = model("jobs", SHAPE);
        let mut tables = FoldedTables::new(model.tables());
        for events in arriving(&session(), &order).chunks(batch) {
            feed(model.as_mut(), events, &mut tables);
        }
        let differences = in_order().differences(&tables);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}
