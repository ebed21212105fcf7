//! Payloads are written by others: whatever they hold, a model goes on.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const EVENTS: [&str; 10] = [
    "workflow_job",
    "workflow_run",
    "push",
    "pull_request",
    "star",
    "build",
    "pipeline",
    "merge_request",
    "Issue",
    "Attachment",
];

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2026-11-21T10:00:00Z")),
        Just(json!("0001-01-01T00:00:00Z")),
        Just(json!("completed")),
        Just(json!("2016-08-12 15:23:28 UTC")),
        Just(json!("running")),
        Just(json!("https://github.com/a/b/pull/7")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let names = prop::sample::select(vec![
            "action",
            "workflow_job",
            "workflow_run",
            "deployment",
            "id",
            "run_id",
            "run_attempt",
            "status",
            "labels",
            "steps",
            "runner_id",
            "created_at",
            "started_at",
            "completed_at",
            "updated_at",
            "name",
            "repository",
            "stargazers_count",
            "pushed_at",
            "commits",
            "pull_request",
            "pull_requests",
            "number",
            "merged",
            "actor",
            "login",
            "total_commits_count",
            "object_kind",
            "object_attributes",
            "build_id",
            "build_status",
            "builds",
            "queued_duration",
            "runner",
            "tags",
            "project",
            "web_url",
            "merge_request",
            "iid",
            "type",
            "data",
            "url",
            "syncedWith",
            "metadata",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names.prop_map(str::to_owned), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn survives(event: &str, body: Vec<u8>) {
    let mut delivery = TestDelivery::new(event, body);
    delivery.action = Some("completed".into());
    for model in all(SHAPE) {
        let tables = folded(model.name(), &[projected(1, &delivery)]);
        drop(tables);
    }
}

proptest! {
    #[test]
    fn any_json_is_survived(event in prop::sample::select(EVENTS.to_vec()), payload in anything()) {
        survives(event, payload.to_string().into_bytes());
    }

    #[test]
    fn any_job_is_survived(fields in anything()) {
        survives("workflow_job", json!({"workflow_job": fields}).to_string().into_bytes());
    }

    #[test]
    fn any_job_of_gitlab_is_survived(fields in anything(), builds in anything(), seconds in any::<f64>()) {
        let times = ["build_created_at", "build_started_at", "build_finished_at"].map(|name| (name, json!("2199-12-31 23:59:59 UTC")));
        let mut job = json!({"object_kind": "build", "build_id": 7, "build_status": "success", "runner": fields,
            "build_queued_duration": seconds, "commit": fields, "project": {"web_url": "https://gitlab.com/a/b"}});
        job.as_object_mut().unwrap().extend(times.map(|(name, time)| (name.to_owned(), time)));
        survives("build", job.to_string().into_bytes());
        let pipeline = json!({"object_kind": "pipeline", "object_attributes": {"id": 9, "status": fields, "created_at": "1970-01-01 00:00:00 UTC",
            "queued_duration": seconds}, "builds": builds, "project": fields});
        survives("pipeline", pipeline.to_string().into_bytes());
    }

    #[test]
    fn any_bytes_are_survived(event in prop::sample::select(EVENTS.to_vec()), body in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(event, body);
    }
}

#[test]
fn deep_nesting_is_survived() {
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for event in EVENTS {
        survives(event, deep.clone().into_bytes());
    }
}

#[test]
fn a_job_needs_a_number_for_an_id_and_a_known_state() {
    let rows = |payload: &str, action: Option<&str>| {
        let mut delivery = TestDelivery::new("workflow_job", payload.to_owned());
        delivery.action = action.map(str::to_owned);
        folded("jobs", &[projected(1, &delivery)]).rows("jobs").count()
    };
    for payload in [
        r#"{"workflow_job":null}"#,
        r#"{"workflow_job":{"id":null}}"#,
        r#"{"workflow_job":{"id":"7"}}"#,
        r#"{"workflow_job":{"id":-7}}"#,
        r#"{"workflow_job":{"id":0}}"#,
        r#"{"workflow_job":{"id":7.5}}"#,
        "[]",
        "",
    ] {
        assert_eq!(rows(payload, Some("completed")), 0, "{payload}");
    }
    assert_eq!(rows(r#"{"workflow_job":{"id":7}}"#, Some("completed")), 1);
    assert_eq!(rows(r#"{"workflow_job":{"id":7}}"#, Some("exploded")), 0);
    assert_eq!(rows(r#"{"workflow_job":{"id":7,"status":"queued"}}"#, None), 1);
}

#[test]
fn wrongly_typed_fields_are_empty_and_the_others_stay() {
    let payload = r#"{"workflow_job":{"id":7,"name":["x"],"labels":["deploy",3,null],"runner_id":"41","started_at":"soon","html_url":"u"}}"#;
    let mut delivery = TestDelivery::new("workflow_job", payload);
    delivery.action = Some("in_progress".into());
    let tables = folded("jobs", &[projected(1, &delivery)]);
    let row = tables.rows("jobs").next().unwrap();
    assert_eq!(
        (text(row, "name"), text(row, "labels"), text(row, "url")),
        ("", r#"["deploy"]"#, "u")
    );
    assert_eq!(
        (
            number(row, "runner_id"),
            text(row, "started_at"),
            number(row, "run_attempt")
        ),
        (0, "NULL", 1)
    );
}
