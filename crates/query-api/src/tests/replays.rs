//! Replays, retries and destinations: orders are checked, carried out by who is asked, and shown.

use std::str::FromStr;

use domain::testing::TestDelivery;
use domain::{BreakerState, DeliveryStatus, Position, ReplayCommand, ReplayCounts};
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::World;
use super::commands::destination;

/// Status and JSON of a call.
async fn call(world: &World, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let client = world.client();
    let request = client.request(method, path).body(body.to_owned());
    let response = request.send().await.0;
    let status = response.status();
    let bytes = response.into_body().into_bytes_limit(1_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn post(world: &World, path: &str, body: &str) -> Value {
    let (status, mut json) = call(world, Method::POST, path, body).await;
    assert_eq!(
        (status.as_u16(), &json["success"]),
        (200, &json!(true)),
        "{path}: {json}"
    );
    json["data"].take()
}

async fn refused(world: &World, path: &str, body: &str, status: u16) -> String {
    let (seen, json) = call(world, Method::POST, path, body).await;
    assert_eq!(seen, status, "{path} {body}: {json}");
    json["error"]["message"].as_str().unwrap().to_owned()
}

async fn receive(world: &World, event: &str, id: &str, hook: &str) {
    let mut delivery = TestDelivery::new(event, "{}");
    delivery.delivery_id = id.into();
    delivery.hook = Some(hook.into());
    delivery.window_ms = 0;
    delivery.received_at = "2026-11-21T08:00:00Z".parse().unwrap();
    world.append(&delivery).await;
}

#[tokio::test]
async fn one_delivery_is_replayed_without_a_body_and_twice_is_two_replays() {
    let world = World::new();
    receive(&world, "push", "d1", "41").await;
    let first = post(&world, "/api/webhooks/replay/d1", "").await;
    for (field, value) in [
        ("delivery", json!("github.41.d1")),
        ("to", json!("processing")),
        ("status", json!("received")),
        ("destinations", json!(["chat", "ci"])),
        ("position", json!(6)),
        ("alternatives", json!([])),
    ] {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    let second = post(
        &world,
        "/api/webhooks/replay/github.41.d1",
        r#"{"reason":"again","destinations":["ci"]}"#,
    )
    .await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(second["destinations"], json!(["ci"]));
    let shown = world.data("/api/webhooks/events/d1").await;
    let asked: Vec<_> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .map(|event| &event["facts"]["outcome"])
        .collect();
    assert_eq!(
        (&asked[0]["requestedBy"], &asked[0]["reason"]),
        (&json!("loopback"), &Value::Null)
    );
    assert_eq!(
        (&asked[1]["replay"], &asked[1]["reason"]),
        (&second["id"], &json!("again"))
    );
    let subjects = post(&world, "/api/webhooks/replay/d1", r#"{"to":"subjects"}"#).await;
    assert_eq!(subjects["destinations"], json!([]));
}

#[tokio::test]
async fn the_id_means_what_it_means_everywhere() {
    let world = World::new();
    for hook in ["41", "42"] {
        receive(&world, "push", "same", hook).await;
    }
    let first = post(&world, "/api/webhooks/replay/same", "").await;
    assert_eq!(first["delivery"], "github.41.same");
    assert_eq!(first["alternatives"][0]["id"], "github.42.same");
    let other = post(&world, "/api/webhooks/replay/same?hookId=42", "").await;
    assert_eq!(other["delivery"], "github.42.same");
    assert!(
        refused(&world, "/api/webhooks/replay/nobody", "", 404)
            .await
            .contains("no delivery")
    );
    let misspelt = refused(&world, "/api/webhooks/replay/same?hookid=42", "", 400).await;
    assert!(misspelt.contains("hookId"), "{misspelt}");
    for (body, named) in [
        (r#"{"destinations":["nowhere"]}"#, "chat, ci"),
        (r#"{"raeson":"x"}"#, "`raeson`"),
        (r#"{"to":"subjects","destinations":["ci"]}"#, "`destinations`"),
    ] {
        let message = refused(&world, "/api/webhooks/replay/same", body, 400).await;
        assert!(message.contains(named), "{body}: {message}");
    }
}

async fn three_pushes(world: &World) {
    for id in ["a", "b", "c"] {
        receive(world, "push", id, "41").await;
    }
    receive(world, "issues", "d", "41").await;
}

#[tokio::test]
async fn a_dry_run_counts_what_the_run_is_about() {
    let world = World::new();
    three_pushes(&world).await;
    let dry = r#"{"filter":{"event":"push","from":"2026-11-21","to":"2026-11-22"},"dryRun":true}"#;
    let counted = post(&world, "/api/webhooks/replay", dry).await;
    assert_eq!(counted, json!({"count": 3, "toPosition": 12, "dryRun": true}));
    receive(&world, "push", "later", "41").await;
    let run = r#"{"filter":{"event":"push"},"toPosition":12,"rate":50,"reason":"the receiver was down"}"#;
    let started = post(&world, "/api/webhooks/replay", run).await;
    for (field, value) in [
        ("status", json!("running")),
        ("expected", json!(3)),
        ("toPosition", json!(12)),
        ("percent", json!(0)),
        ("rate", json!(50)),
        ("etaSeconds", json!(1)),
        ("requestedBy", json!("loopback")),
        ("reason", json!("the receiver was down")),
        ("endedAt", Value::Null),
    ] {
        assert_eq!(started[field], value, "{field}: {started}");
    }
    assert_eq!(started["filter"]["event"], "push");
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_before_anything_happens() {
    let world = World::new();
    three_pushes(&world).await;
    for (body, named) in [
        ("", "`reason`"),
        (r#"{"filter":{}}"#, "`reason`"),
        (r#"{"filter":{"repositry":"a/b"},"reason":"x"}"#, "`repositry`"),
        (r#"{"filter":{},"reason":"x","dryrun":true}"#, "`dryrun`"),
        (r#"{"filter":{},"reason":"x","rate":5000}"#, "at most 1000"),
        (r#"{"filter":{},"reason":"x","toPosition":9999}"#, "`toPosition`"),
        (r#"{"filter":{},"reason":"x","toPosition":0}"#, "`toPosition`"),
        (
            r#"{"filter":{},"reason":"x","destinations":["nowhere"]}"#,
            "nowhere",
        ),
    ] {
        let message = refused(&world, "/api/webhooks/replay", body, 400).await;
        assert!(message.contains(named), "{body}: {message}");
    }
    let page = domain::EventLog::head(world.log.as_ref()).await.unwrap();
    assert_eq!(page, Position::new(12), "nothing was written");
}

#[tokio::test]
async fn a_replay_is_watched_and_cancelled_once_it_runs_only() {
    let world = World::new();
    three_pushes(&world).await;
    let run = r#"{"filter":{"event":"push"},"reason":"x"}"#;
    let id = post(&world, "/api/webhooks/replay", run).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let counts = ReplayCounts {
        matched: 1,
        requested: 1,
        skipped: 0,
    };
    let progress = ReplayCommand::Progress {
        upto: Position::new(3),
        counts,
    };
    world.commands.then(&id, progress).await;
    let path = format!("/api/webhooks/replays/{id}");
    let shown = world.data(&path).await;
    assert_eq!(
        (&shown["percent"], &shown["matched"], &shown["upto"]),
        (&json!(33), &json!(1), &json!(3))
    );
    let (status, cancelled) = call(&world, Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::OK);
    let data = &cancelled["data"];
    assert_eq!(
        (&data["status"], &data["cancelledBy"], &data["requested"]),
        (&json!("cancelled"), &json!("loopback"), &json!(1))
    );
    assert!(data["endedAt"].is_string() && data["etaSeconds"].is_null());
    let (status, _) = call(&world, Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::OK, "cancelling again changes nothing");

    let id = post(&world, "/api/webhooks/replay", run).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.commands.then(&id, ReplayCommand::Complete { counts }).await;
    let (status, json) = call(&world, Method::DELETE, &format!("/api/webhooks/replays/{id}"), "").await;
    assert_eq!(
        (status, &json["error"]["code"]),
        (StatusCode::CONFLICT, &json!("CONFLICT"))
    );
    let nobody = uuid::Uuid::from_u128(1);
    let unknown = world
        .refusal(&format!("/api/webhooks/replays/{nobody}"), 404)
        .await;
    assert!(unknown.contains("no replay"), "{unknown}");
    assert!(
        world
            .refusal("/api/webhooks/replays/x", 400)
            .await
            .contains("UUID")
    );
}

#[tokio::test]
async fn dead_letters_are_retried_without_a_body() {
    let world = World::new();
    three_pushes(&world).await;
    let none = post(&world, "/api/webhooks/retry-failed", "").await;
    assert_eq!(none, json!({"queued": 0, "replayId": null}));
    super::outcomes::die(&world, "github.41.a").await;
    assert_eq!(
        world.data("/api/webhooks/events/a").await["status"],
        DeliveryStatus::Dead.as_str()
    );
    let retried = post(&world, "/api/webhooks/retry-failed", r#"{"reason":"it is back"}"#).await;
    assert_eq!(retried["queued"], 1);
    let path = format!("/api/webhooks/replays/{}", retried["replayId"].as_str().unwrap());
    let replay = world.data(&path).await;
    assert_eq!(
        (
            &replay["deadOnly"],
            &replay["reason"],
            &replay["filter"]["status"]
        ),
        (&json!(true), &json!("it is back"), &json!("dead"))
    );
}

#[tokio::test]
async fn where_nobody_carries_orders_out_they_are_put_off() {
    let world = World::new();
    receive(&world, "push", "a", "41").await;
    *world.commands.gone.lock().unwrap() = true;
    for (path, body) in [
        ("/api/webhooks/replay/a", ""),
        ("/api/webhooks/replay", r#"{"filter":{},"reason":"x"}"#),
        ("/api/webhooks/retry-failed", ""),
        ("/api/destinations/ci/pause", ""),
    ] {
        let request = world.client().post(path).body(body).send().await;
        request.assert_status(StatusCode::SERVICE_UNAVAILABLE);
        request.assert_header("retry-after", "2");
    }
    assert_eq!(world.data("/api/destinations").await["destinations"], json!([]));
}

fn order_row(n: u128) -> String {
    json!({"replay": uuid::Uuid::from_u128(n), "position": 40, "filter_json": "{}", "target": "processing",
        "destinations": [], "dead_only": false, "rate_per_second": 200, "to_position": 39, "expected": null,
        "requested_by": "loopback", "reason": "because", "requested_us": 1_795_248_000_000_000_i64})
    .to_string()
}

#[tokio::test]
async fn replays_are_listed_the_newest_first_with_their_states() {
    let world = World::new();
    let rows: Vec<String> = [7, 9, 8].into_iter().map(order_row).collect();
    world.tables.give("filter_json", &rows.join("\n"));
    let state = json!({"replay": uuid::Uuid::from_u128(9), "state": "completed", "position": 60, "upto": 0, "matched": 12,
        "requested": 12, "skipped": 0, "error": "", "cancelled_by": "", "stated_us": 1_795_248_001_000_000_i64});
    world.tables.give("AS stated_us", &state.to_string());
    world.tables.give("AS seen", r#"{"seen":3,"n":3}"#);
    let page = world.data("/api/webhooks/replays?limit=2").await;
    let replays = page["replays"].as_array().unwrap();
    assert_eq!(replays.len(), 2);
    assert_eq!(
        (
            &replays[0]["status"],
            &replays[0]["percent"],
            &replays[0]["requested"]
        ),
        (&json!("completed"), &json!(100), &json!(12))
    );
    assert_eq!(replays[1]["status"], "running");
    assert_eq!((&page["total"], &page["totalIsExact"]), (&json!(3), &json!(true)));
    let cursor = page["nextCursor"].as_str().unwrap().to_owned();
    world
        .data(&format!("/api/webhooks/replays?limit=2&cursor={cursor}"))
        .await;
    let asked = world.tables.asked("filter_json").pop().unwrap();
    let before = uuid::Uuid::from_u128(8).to_string();
    assert!(asked.params.contains(&("before", before)), "{asked:?}");
    let last = world.data("/api/webhooks/replays?offset=2").await;
    assert_eq!(last["replays"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn destinations_are_shown_paused_and_resumed() {
    let world = World::new();
    {
        let mut all = world.commands.destinations.lock().unwrap();
        all[1].open = 3;
        all[1].lag_ms = 1500;
        all[1].last_error = Some("connection refused".into());
        let mut foreign = destination("foreign");
        foreign.tenant = domain::TenantId::from_str("other").unwrap();
        all.push(foreign);
    }
    let list = world.data("/api/destinations").await;
    let names: Vec<_> = list["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["chat", "ci"], "another tenant's is not shown");
    let expected = json!({"name": "ci", "targets": ["https://ci.example.com/hooks"], "configured": true, "paused": null,
        "breaker": "closed", "breakerUntil": null, "open": 3, "inFlight": 0, "retrying": 0, "lagSeconds": 1.5,
        "lastError": "connection refused"});
    assert_eq!(world.data("/api/destinations/ci").await, expected);
    let paused = post(
        &world,
        "/api/destinations/ci/pause",
        r#"{"reason":"maintenance"}"#,
    )
    .await;
    let since = json!({"at": super::NOW, "by": "loopback", "reason": "maintenance"});
    assert_eq!(paused["paused"], since);
    let resumed = post(&world, "/api/destinations/ci/resume", "").await;
    assert_eq!(resumed["paused"], Value::Null);
    let unknown = world.refusal("/api/destinations/nowhere", 404).await;
    assert!(unknown.contains("chat, ci"), "{unknown}");
    for path in [
        "/api/destinations/foreign/pause",
        "/api/destinations/nowhere/resume",
    ] {
        refused(&world, path, "", 404).await;
    }
}

#[tokio::test]
async fn a_broken_destination_shows_in_health_and_readiness_but_stops_nothing() {
    let world = World::new();
    {
        let mut all = world.commands.destinations.lock().unwrap();
        all[0].lag_ms = 700_000;
        all[1].breaker = BreakerState::Open;
        all[1].lag_ms = 9_000_000;
    }
    let health = world.data("/api/webhooks/health").await;
    let of = |name: &str| {
        let parts = health["components"].as_array().unwrap();
        parts.iter().find(|c| c["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!(
        (of("destination:chat"), of("destination:ci")),
        (json!("ok"), json!("down"))
    );
    let deductions: Vec<_> = health["deductions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["name"].as_str().unwrap(), d["points"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        deductions,
        [("backlog", 10), ("component", 15)],
        "the lag of a broken one is told once"
    );
    let (status, ready) = world.get("/ready").await;
    assert_eq!((status, &ready["status"]), (StatusCode::OK, &json!("degraded")));
    let (_, metrics) = world.get("/metrics.json").await;
    assert_eq!(metrics["destinations"][1]["breaker"], "open");
}
