//! A CI session as GitHub tells it: late, twice, in any order.

use proptest::prelude::*;

use super::*;

/// A `workflow_job` payload; `fields` are laid over the usual ones.
pub(super) fn job(id: u64, attempt: u32, state: &str, fields: &str) -> String {
    let mut job = serde_json::json!({
        "id": id, "run_id": 900, "run_attempt": attempt, "name": "test", "workflow_name": "CI",
        "head_branch": "main", "head_sha": "e3103f8e", "status": state, "conclusion": null,
        "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:00Z", "completed_at": null,
        "labels": ["self-hosted", "deploy"], "runner_id": null, "runner_name": null, "runner_group_id": null,
        "runner_group_name": null, "html_url": "https://github.com/octo-org/octo-repo/actions/runs/900/job/501",
    });
    if matches!(state, "in_progress" | "completed") {
        job["started_at"] = "2026-11-21T10:00:20Z".into();
        job["runner_id"] = 41.into();
        job["runner_name"] = "runner-41".into();
    }
    if state == "completed" {
        job["completed_at"] = "2026-11-21T10:03:20Z".into();
        job["conclusion"] = "success".into();
    }
    let fields: serde_json::Map<_, _> = serde_json::from_str(fields).unwrap();
    let deployment = fields.get("deployment").cloned();
    job.as_object_mut()
        .unwrap()
        .extend(fields.into_iter().filter(|(name, _)| name != "deployment"));
    let mut payload = serde_json::json!({"action": state, "workflow_job": job});
    if let Some(deployment) = deployment {
        payload["deployment"] = deployment;
    }
    payload.to_string()
}

fn run(attempt: u32, action: &str, updated_at: &str, fields: &str) -> String {
    let status = if action == "requested" { "queued" } else { action };
    let mut run = serde_json::json!({
        "id": 900, "run_attempt": attempt, "run_number": 12, "workflow_id": 3, "name": "CI", "head_branch": "main",
        "head_sha": "e3103f8e", "event": "push", "status": status, "conclusion": null,
        "actor": {"login": "octocat"}, "created_at": "2026-11-21T09:59:58Z", "run_started_at": "2026-11-21T09:59:58Z",
        "updated_at": updated_at, "pull_requests": [], "html_url": "https://github.com/octo-org/octo-repo/actions/runs/900",
    });
    let fields: serde_json::Map<_, _> = serde_json::from_str(fields).unwrap();
    run.as_object_mut().unwrap().extend(fields);
    serde_json::json!({"action": action, "workflow_run": run}).to_string()
}

type Announcement = (&'static str, &'static str, String);

/// The announcements, in the order in which things happened.
fn session() -> Vec<Announcement> {
    [attempts(), oddities(), runs()].concat()
}

fn about_job(id: u64, attempt: u32, state: &'static str, fields: &str) -> Announcement {
    ("workflow_job", state, job(id, attempt, state, fields))
}

/// Job 501: a failed first attempt, then a second one.
fn attempts() -> Vec<Announcement> {
    let step = r#"{"steps":[{"started_at":"2026-11-21T10:00:21Z","completed_at":"2026-11-21T10:00:40Z"}]}"#;
    let again = r#"{"conclusion":"failure","check_run_url":"https://api.github.com/x"}"#;
    let queued_again = r#"{"created_at":"2026-11-21T11:00:00Z","started_at":"2026-11-21T11:00:00Z"}"#;
    let completed_again = r#"{"created_at":"2026-11-21T11:00:00Z","started_at":"2026-11-21T11:00:30Z",
        "completed_at":"2026-11-21T11:02:00Z","runner_id":42,"runner_name":"runner-42"}"#;
    vec![
        about_job(501, 1, "queued", "{}"),
        about_job(501, 1, "in_progress", "{}"),
        // Sent again while it runs, after its first step.
        about_job(501, 1, "in_progress", step),
        about_job(501, 1, "completed", r#"{"conclusion":"failure"}"#),
        // Announced again under a new GUID, differing in one field only.
        about_job(501, 1, "completed", again),
        about_job(501, 2, "queued", queued_again),
        about_job(501, 2, "completed", completed_again),
    ]
}

fn oddities() -> Vec<Announcement> {
    let approved = r#"{"status":"waiting","deployment":{"updated_at":"2026-11-21T10:09:00Z"}}"#;
    let cancelled = r#"{"conclusion":"cancelled","runner_id":0,"runner_name":""}"#;
    vec![
        // 502: behind a protected environment. Waiting and queued have the same times, but for the deployment.
        about_job(502, 1, "waiting", "{}"),
        about_job(502, 1, "queued", approved),
        // 503: from a server that does not tell when a job was created.
        about_job(503, 1, "queued", r#"{"created_at":null}"#),
        about_job(503, 1, "in_progress", r#"{"created_at":null,"runner_id":43}"#),
        // 504: cancelled before it began.
        about_job(504, 1, "queued", "{}"),
        about_job(504, 1, "completed", cancelled),
    ]
}

fn runs() -> Vec<Announcement> {
    let about_run = |attempt, action: &'static str, updated_at, fields| {
        ("workflow_run", action, run(attempt, action, updated_at, fields))
    };
    let pulls = r#"{"pull_requests":[{"number":7},{"number":8}]}"#;
    vec![
        about_run(1, "requested", "2026-11-21T09:59:58Z", pulls),
        about_run(
            1,
            "in_progress",
            "2026-11-21T10:00:20Z",
            r#"{"pull_requests":[{"number":7}]}"#,
        ),
        about_run(
            1,
            "completed",
            "2026-11-21T10:03:21Z",
            r#"{"conclusion":"failure"}"#,
        ),
        about_run(2, "requested", "2026-11-21T10:59:59Z", "{}"),
        about_run(2, "in_progress", "2026-11-21T11:00:30Z", "{}"),
    ]
}

/// Announcements as they arrive: each under a GUID of its own, at its place in time.
fn arriving(order: &[usize]) -> Vec<Projected> {
    let session = session();
    let arrival = |(position, index): (u64, &usize)| {
        let (event, action, body) = session[*index].clone();
        let mut delivery = TestDelivery::new(event, body);
        delivery.action = Some(action.into());
        delivery.received_at = delivery
            .received_at
            .plus_millis(i64::try_from(position).unwrap() * 700);
        projected(position * 3, &delivery)
    };
    (1..).zip(order).map(arrival).collect()
}

fn in_order() -> FoldedTables {
    folded("jobs", &arriving(&(0..session().len()).collect::<Vec<_>>()))
}

fn row<'a>(tables: &'a FoldedTables, table: &str, identity: &[(&str, i64)]) -> &'a FoldedRow {
    let fits = |row: &&FoldedRow| {
        identity
            .iter()
            .all(|(column, value)| number(row, column) == *value)
    };
    tables
        .rows(table)
        .find(fits)
        .unwrap_or_else(|| panic!("{table} has no {identity:?}"))
}

#[test]
fn a_session_gives_its_jobs() {
    let tables = in_order();
    let first = row(&tables, "jobs", &[("job_id", 501), ("run_attempt", 1)]);
    assert_eq!(
        (text(first, "status"), text(first, "conclusion")),
        ("completed", "failure")
    );
    assert_eq!(
        (number(first, "queue_ms"), number(first, "duration_ms")),
        (20_000, 180_000)
    );
    assert_eq!((number(first, "runner_id"), number(first, "priority")), (41, 100));
    let second = row(&tables, "jobs", &[("job_id", 501), ("run_attempt", 2)]);
    assert_eq!(
        (text(second, "conclusion"), number(second, "queue_ms")),
        ("success", 30_000)
    );
    assert_eq!(tables.rows("jobs").count(), 5);
}

#[test]
fn the_time_of_the_deployment_tells_queued_from_waiting() {
    let tables = in_order();
    assert_eq!(text(row(&tables, "jobs", &[("job_id", 502)]), "status"), "queued");
}

#[test]
fn what_only_an_earlier_state_told_is_kept() {
    let tables = in_order();
    let job = row(&tables, "jobs", &[("job_id", 503)]);
    assert_eq!(
        (text(job, "status"), text(job, "queued_at")),
        ("in_progress", "NULL")
    );
    let queued = tables
        .rows("job_states")
        .find(|row| number(row, "job_id") == 503 && text(row, "state") == "queued");
    assert_eq!(text(queued.unwrap(), "queued_at"), "2026-11-21 10:00:00.000000");
}

#[test]
fn a_run_is_its_latest_attempt_with_every_pull_request_it_ever_named() {
    let tables = in_order();
    let run = row(&tables, "workflow_runs", &[("run_id", 900)]);
    assert_eq!(
        (
            number(run, "run_attempt"),
            text(run, "status"),
            text(run, "conclusion")
        ),
        (2, "in_progress", "")
    );
    assert_eq!(text(run, "updated_at"), "2026-11-21 11:00:30.000000");
    let pulls: Vec<_> = tables
        .rows("workflow_run_pulls")
        .map(|row| number(row, "pull_request"))
        .collect();
    assert_eq!(pulls, [7, 8]);
}

#[test]
fn runners_are_those_that_began_something() {
    let tables = in_order();
    let runners: Vec<_> = tables
        .rows("runners")
        .map(|row| number(row, "runner_id"))
        .collect();
    assert_eq!(runners, [41, 42, 43]);
    assert_eq!(
        text(row(&tables, "runners", &[("runner_id", 41)]), "last_seen_at"),
        "2026-11-21 10:03:20.000000"
    );
}

#[test]
fn marked_duplicates_and_synthetic_deliveries_are_no_jobs() {
    let events = arriving(&[0, 14]);
    for event in events {
        let tables = folded("jobs", &[marked(event.clone()), synthetic(event)]);
        assert!(
            model("jobs", SHAPE)
                .tables()
                .iter()
                .all(|table| tables.rows(table.name).next().is_none())
        );
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
        for events in arriving(&order).chunks(batch) {
            feed(model.as_mut(), events, &mut tables);
        }
        let differences = in_order().differences(&tables);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }
}
