//! Jobs, workflow runs and runners, by the host whose ids they are.

use serde_json::json;

use super::World;

#[tokio::test]
async fn jobs_come_with_their_pull_requests() {
    let world = World::new();
    let row = json!({"host": "github.com", "job_id": 7, "run_attempt": 1, "version_text": "1", "run_id": 9,
        "repository": "a/b", "name": "build",
        "workflow_name": "ci", "head_branch": "main", "head_sha": "abc", "status": "completed", "conclusion": "success",
        "labels": ["ubuntu-latest"], "priority": 10, "runner_id": 5, "runner_name": "r5", "runner_group": "",
        "queued_us": 1_795_248_000_000_000_i64, "started_us": 1_795_248_010_000_000_i64,
        "completed_us": 1_795_248_060_000_000_i64, "queue_ms": 10000, "duration_ms": 50000, "url": ""});
    world.tables.give("queue_ms, duration_ms, url", &row.to_string());
    world
        .tables
        .give("workflow_run_pulls", 
            r#"{"host":"github.com","run_id":9,"pull_request":12} {"host":"gitlab.com","run_id":9,"pull_request":13}"#,
        );
    let data = world.data("/api/jobs").await;
    let job = &data["jobs"][0];
    assert_eq!(job["host"], "github.com");
    assert_eq!(
        (&job["pullRequests"], &job["runner"]["name"]),
        (&json!([12]), &json!("r5"))
    );
    assert_eq!(
        (&job["queueTimeMs"], &job["completedAt"]),
        (&json!(10000), &json!("2026-11-21T08:01:00Z"))
    );
    assert_eq!((&data["total"], &data["totalIsExact"]), (&json!(1), &json!(true)));
    assert!(world.tables.asked("job_states").is_empty(), "nothing is lacking");
    assert_eq!(world.data("/api/jobs/7").await["id"], 7);
    assert!(World::new().refusal("/api/jobs/8", 404).await.contains("no job"));
}

#[tokio::test]
async fn a_job_of_two_servers_is_that_of_the_host_that_is_asked_for() {
    let world = World::new();
    let of = |host: &str, attempt: u32| {
        json!({"host": host, "job_id": 7, "run_attempt": attempt, "version_text": "1", "run_id": 9, "repository": "a/b",
            "name": host, "workflow_name": "", "head_branch": "", "head_sha": "", "status": "queued", "conclusion": "",
            "labels": ["x"], "priority": 0, "runner_id": 0, "runner_name": "", "runner_group": "", "queued_us": 1,
            "started_us": null, "completed_us": null, "queue_ms": null, "duration_ms": null, "url": ""})
        .to_string()
    };
    let rows = [
        of("github.com", 2),
        of("github.com", 1),
        of("gitlab.example.com", 1),
    ];
    world.tables.give("queue_ms, duration_ms, url", &rows.join("\n"));
    let first = world.data("/api/jobs/7").await;
    assert_eq!(
        (&first["host"], &first["runAttempt"]),
        (&json!("github.com"), &json!(2))
    );
    assert_eq!(first["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(first["otherHosts"], json!(["gitlab.example.com"]));
    let other = world.data("/api/jobs/7?host=GitLab.example.com").await;
    assert_eq!(
        (&other["host"], &other["attempts"], &other["otherHosts"]),
        (&json!("gitlab.example.com"), &json!([]), &json!(["github.com"]))
    );
    assert!(
        world
            .refusal("/api/jobs/7?host=elsewhere", 404)
            .await
            .contains("no job")
    );
    assert_eq!(
        world.data("/api/jobs").await["total"],
        3,
        "each is a row of its own"
    );
}

#[tokio::test]
async fn runners_are_busy_while_a_job_names_them() {
    let world = World::new();
    let runner = |id: u64| {
        json!({"host": "gitlab.com", "runner_id": id, "runner_name": format!("r{id}"), "runner_group": "", "labels": ["x"],
            "last_repository": "a/b", "seen_us": 1_795_248_000_000_000_i64})
        .to_string()
    };
    world
        .tables
        .give("runners_s1_b3", &[runner(5), runner(6)].join("\n"));
    // That of another server is another runner, whatever its number.
    world.tables.give(
        "AS runner_id",
        r#"{"host":"gitlab.com","runner_id":6,"job":77} {"host":"github.com","runner_id":5,"job":78}"#,
    );
    world.tables.give(
        "AS oldest_us",
        r#"{"label":"x","n":3,"oldest_us":1795248000000000}"#,
    );
    let data = world.data("/api/runners/pool/status").await;
    assert_eq!(
        (&data["total"], &data["busy"], &data["idle"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(
        (&data["runners"][1]["status"], &data["runners"][1]["currentJobId"]),
        (&json!("busy"), &json!(77))
    );
    assert_eq!(data["demand"][0]["pendingJobs"], 3);
}

#[tokio::test]
async fn runs_are_listed_by_their_newest_version() {
    let world = World::new();
    let run = |run_id: u64, version: &str, status: &str, conclusion: &str| {
        json!({"host": "", "run_id": run_id, "version_text": version, "run_attempt": 1, "run_number": 3, "repository": "a/b",
            "workflow_name": "ci", "head_branch": "main", "head_sha": "abc", "event": "push", "status": status,
            "conclusion": conclusion, "actor": "octocat", "created_us": 1_795_248_000_000_000_i64,
            "updated_us": 1_795_248_120_000_000_i64, "url": ""})
        .to_string()
    };
    let rows = [
        run(9, "01", "queued", ""),
        run(9, "02", "completed", "failure"),
        run(8, "01", "queued", ""),
    ];
    world.tables.give("run_number", &rows.join("\n"));
    let data = world.data("/api/workflow-runs").await;
    let runs = data["workflowRuns"].as_array().unwrap();
    assert_eq!(
        (runs.len(), &runs[0]["status"], &runs[0]["conclusion"]),
        (2, &json!("completed"), &json!("failure"))
    );
    assert_eq!(data["total"], 2);
    let done = world.data("/api/workflow-runs?conclusion=failure").await;
    assert_eq!(done["workflowRuns"].as_array().unwrap().len(), 1);
    let queued = world.data("/api/workflow-runs?status=queued").await;
    assert_eq!(
        queued["workflowRuns"][0]["runId"], 8,
        "an old version counts for nothing"
    );
}
