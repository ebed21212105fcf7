//! The service itself: liveness, readiness, health, metrics, projections, test deliveries, known types.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::World;
use crate::{Component, ComponentState, Progress, RebuildProgress, TestSend};

#[tokio::test]
async fn liveness_keeps_its_old_names() {
    let (_, health) = World::new().get("/health").await;
    let expected = json!({"status": "ok", "timestamp": super::NOW, "uptime": 61, "version": "1.2.3",
        "queue_size": 0, "max_queue_size": 1});
    assert_eq!(health, expected);
}

#[tokio::test]
async fn readiness_follows_what_receiving_needs() {
    let world = World::new();
    let (status, ready) = world.get("/ready").await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("ready")));
    let down = |required| Component {
        name: "nats".into(),
        state: ComponentState::Down,
        required,
        message: "refused".into(),
    };
    world.told.snapshot.lock().unwrap().components = vec![down(false)];
    let (status, ready) = world.get("/ready").await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("degraded")));
    world.told.snapshot.lock().unwrap().components = vec![down(true)];
    assert_eq!(world.get("/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.told.snapshot.lock().unwrap().components = Vec::new();
    world.log.set_unwritable(true);
    let (status, ready) = world.get("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&ready["components"][0]["name"], &ready["components"][0]["status"]),
        (&json!("log"), &json!("down"))
    );
}

#[tokio::test]
async fn health_is_scored_and_says_why() {
    let world = World::new();
    world
        .tables
        .give("AS last_us", r#"{"dead":12,"last_us":1795248044000000}"#);
    world.tables.give("uniqExact(position)", r#"{"n":3}"#);
    let data = world.data("/api/webhooks/health").await;
    assert_eq!(
        (&data["healthScore"], &data["status"]),
        (&json!(90), &json!("healthy"))
    );
    assert_eq!(
        (&data["recentEvents"], &data["failedWebhooksCount"]),
        (&json!(3), &json!(12))
    );
    assert_eq!(data["lastEventTime"], "2026-11-21T08:00:44Z");
    assert_eq!(data["deductions"][0]["name"], "dead-letters");
    for field in ["metrics", "hourlyStats", "components"] {
        assert!(!data[field].is_null(), "{field}");
    }
}

#[tokio::test]
async fn health_answers_200_with_the_read_store_down() {
    let world = World::new();
    world.tables.refuse("SELECT", "down");
    let data = world.data("/api/webhooks/health").await;
    assert_eq!(
        (&data["healthScore"], &data["status"]),
        (&json!(75), &json!("degraded"))
    );
    assert_eq!(data["recentEvents"], Value::Null);
    let store = data["components"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "read-store")
        .unwrap();
    assert_eq!(store["status"], "down");
    assert_eq!(
        data["deductions"].as_array().unwrap().len(),
        1,
        "counted once: {data}"
    );
}

#[tokio::test]
async fn metrics_are_text_unless_json_is_accepted() {
    let world = World::new();
    let answer = world.client().get("/metrics").send().await;
    answer.assert_header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    assert!(
        answer
            .0
            .into_body()
            .into_string()
            .await
            .unwrap()
            .contains("webhook_events_total{")
    );
    let accepted = world
        .client()
        .get("/metrics")
        .header("accept", "application/json")
        .send()
        .await;
    let accepted: Value = accepted.json().await.value().deserialize();
    let (_, json) = world.get("/metrics.json").await;
    assert_eq!(accepted, json);
    assert_eq!(
        json["server"],
        json!({"uptime": 61, "memoryUsage": {"rss": 5_000_000, "heapTotal": 5_000_000}})
    );
    assert_eq!(
        json["eventQueue"],
        json!({"eventsQueued": 4, "eventsProcessed": 3, "queueSize": 0})
    );
    assert!(json["eventStore"]["eventsStored"].is_u64());
}

#[tokio::test]
async fn projections_show_position_lag_and_state() {
    let data = World::new().data("/api/projections").await;
    assert_eq!(data["logId"], super::log_id().to_string());
    assert_eq!(
        (&data["head"], &data["relay"]["position"]),
        (&json!(0), &json!(2))
    );
    let first = &data["projections"][0];
    assert_eq!(
        (&first["name"], &first["state"], &first["position"]),
        (&json!("deliveries"), &json!("live"), &json!(2))
    );
    assert_eq!(first["lag"], json!({"events": 0, "seconds": 0.0}));
}

#[tokio::test]
async fn a_lag_whose_events_nobody_counted_is_one_of_time() {
    let world = World::new();
    {
        let progress = &mut world.told.snapshot.lock().unwrap().projections[0].progress;
        (progress.lag_events, progress.lag_ms) = (None, 1500);
    }
    let data = world.data("/api/projections").await;
    assert_eq!(
        data["projections"][0]["lag"],
        json!({"events": null, "seconds": 1.5})
    );
    let health = world.data("/api/webhooks/health").await.to_string();
    assert!(health.contains("live at position 2, 1.5 s behind"), "{health}");
}

#[tokio::test]
async fn a_rebuild_is_started_once_and_only_of_what_there_is() {
    let world = World::new();
    let client = world.client();
    let rebuild = |name: &str| client.post(format!("/api/projections/{name}/rebuild")).send();
    let started: Value = rebuild("jobs").await.json().await.value().deserialize();
    assert_eq!(
        started["data"],
        json!({"name": "jobs", "build": 4, "state": "building", "rebuilds": [{"name": "jobs", "build": 4}]})
    );
    let all: Value = rebuild("all").await.json().await.value().deserialize();
    assert_eq!(
        all["data"],
        json!({"name": "all", "build": null, "state": "building",
            "rebuilds": [{"name": "deliveries", "build": 4}, {"name": "jobs", "build": 4}]})
    );
    rebuild("statistics").await.assert_status(StatusCode::CONFLICT);
    let later = rebuild("health").await;
    later.assert_status(StatusCode::SERVICE_UNAVAILABLE);
    later.assert_header_exist("retry-after");
    let unknown = rebuild("nothing").await;
    unknown.assert_status(StatusCode::NOT_FOUND);
    let json: Value = unknown.json().await.value().deserialize();
    assert!(
        json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("deliveries, jobs"),
        "{json}"
    );
}

#[tokio::test]
async fn a_rebuild_shows_its_pace_and_can_be_given_up() {
    let world = World::new();
    world.told.snapshot.lock().unwrap().projections[0].rebuild = Some(RebuildProgress {
        build: 4,
        progress: Progress {
            position: 250,
            ..Progress::default()
        },
        target: 1000,
        events_per_second: Some(123.456),
        eta_secs: Some(6),
        error: None,
    });
    let data = world.data("/api/projections").await;
    assert_eq!(
        data["projections"][0]["rebuild"],
        json!({"build": 4, "position": 250, "target": 1000, "percent": 25, "eventsPerSecond": 123.5, "etaSeconds": 6,
            "error": null})
    );
    let client = world.client();
    let abort = |name: &str| client.delete(format!("/api/projections/{name}/rebuild")).send();
    let aborted: Value = abort("statistics").await.json().await.value().deserialize();
    assert_eq!(
        aborted["data"],
        json!({"name": "statistics", "build": 5, "state": "aborted"})
    );
    abort("jobs").await.assert_status(StatusCode::CONFLICT);
    abort("nothing").await.assert_status(StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_projection_is_compared_with_the_log_and_the_first_difference_named() {
    let world = World::new();
    let client = world.client();
    let verify = |name: &str| client.post(format!("/api/projections/{name}/verify")).send();
    let equal: Value = verify("jobs").await.json().await.value().deserialize();
    assert_eq!(
        equal["data"],
        json!({"name": "jobs", "build": 3, "equal": true, "position": 12, "rows": 4, "firstDifference": null})
    );
    let wrong: Value = verify("deliveries").await.json().await.value().deserialize();
    assert_eq!(
        wrong["data"]["firstDifference"],
        json!({"table": "deliveries", "key": "default, 9", "column": "status", "expected": "dead", "found": "processed"})
    );
    assert_eq!(wrong["data"]["equal"], false);
    verify("nothing").await.assert_status(StatusCode::NOT_FOUND);
    verify("health")
        .await
        .assert_status(StatusCode::SERVICE_UNAVAILABLE);
    verify("replays").await.assert_status(StatusCode::CONFLICT);
    // One that takes for ever is given up.
    verify("statistics")
        .await
        .assert_status(StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_test_delivery_needs_no_body_and_answers_as_receiving_does() {
    let world = World::new();
    let client = world.client();
    let send = |body: &'static str| client.post("/api/webhooks/test").body(body).send();
    send("").await.assert_status_is_ok();
    send(r#"{"eventType":"push","repository":"a/b","action":"x","source":"shop"}"#)
        .await
        .assert_status_is_ok();
    let sent = world.told.sent.lock().unwrap().clone();
    let test = |event_type: &str, repository: &str, action: Option<&str>, source: Option<&str>| TestSend {
        tenant: domain::TenantId::default(),
        source: source.map(|name| name.parse().unwrap()),
        event_type: event_type.into(),
        repository: repository.into(),
        action: action.map(str::to_owned),
    };
    assert_eq!(
        sent,
        [
            test("ping", "test/repo", None, None),
            test("push", "a/b", Some("x"), Some("shop"))
        ]
    );
    let full = send(r#"{"eventType":"full"}"#).await;
    full.assert_status(StatusCode::SERVICE_UNAVAILABLE);
    full.assert_header("retry-after", "7");
    for bad in [
        "[1]",
        "{",
        r#"{"event":"push"}"#,
        r#"{"eventType":""}"#,
        "{\"repository\":\"a\\nb\"}",
        r#"{"source":"No Source"}"#,
    ] {
        send(bad).await.assert_status(StatusCode::BAD_REQUEST);
    }
    assert_eq!(world.told.sent.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let world = World::new();
    let answer = world
        .client()
        .post("/api/webhooks/test")
        .body("x".repeat(70_000))
        .send()
        .await;
    answer.assert_status(StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn known_types_come_with_category_and_actions() {
    let data = World::new().data("/api/webhooks/events/types").await;
    assert_eq!(data["categories"].as_array().unwrap().len(), 8);
    let github = &data["sources"][0];
    assert_eq!(github["source"], "github");
    let types = github["types"].as_array().unwrap();
    let job = types.iter().find(|t| t["event"] == "workflow_job").unwrap();
    assert_eq!(
        (&job["category"], &job["actions"][0]),
        (&json!("Actions"), &json!("completed"))
    );
}

#[tokio::test]
async fn the_root_leads_to_the_dashboard() {
    let answer = World::new().client().get("/").send().await;
    answer.assert_status(StatusCode::TEMPORARY_REDIRECT);
    answer.assert_header("location", "/dashboard/");
}
