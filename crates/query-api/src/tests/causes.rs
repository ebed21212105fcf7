//! Dead letters by cause: counted over all of them, and tried again by one order.

use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::World;
use super::keys::{FAR, HERE, ask, with};

fn cause_row(destination: &str, error: &str, n: i64, newest: &[u64]) -> String {
    json!({"destination": destination, "error_code": "VALIDATION_ERROR", "error": error, "n": n, "retryable": false,
        "first_us": 1_795_248_044_000_000_i64, "last_us": 1_795_248_060_000_000_i64, "newest": newest, "total": 5003,
        "causes": 2})
    .to_string()
}

fn dead_row(position: u64, status: &str) -> String {
    json!({"position": position, "version": position, "id": format!("github.41.{position}"), "delivery_id": position.to_string(),
        "hook_id": "41", "source": "github", "repository": "Octo-Org/api", "event": "push", "action": "",
        "sender": "octocat", "received_us": 1_795_248_044_000_000_i64, "status": status, "attempts": 4,
        "processing_ms": null, "error": "answered 422", "error_code": "VALIDATION_ERROR", "retryable": false,
        "error_destination": "ci", "failed_us": 1_795_248_060_000_000_i64, "duplicate_of": ""})
    .to_string()
}

#[tokio::test]
async fn causes_are_counted_over_all_dead_letters_and_show_the_newest() {
    let world = World::new();
    let causes = [
        cause_row("ci", "answered 422", 5000, &[12, 9]),
        cause_row("", "no one knows", 3, &[7]),
    ];
    world.tables.give("AS causes", &causes.join("\n"));
    // One got well between the two statements.
    let rows = [
        dead_row(12, "dead"),
        dead_row(9, "processed"),
        dead_row(7, "dead"),
    ];
    world.tables.give("position IN (12, 9, 7)", &rows.join("\n"));
    let data = world.data("/api/webhooks/failed/causes?limit=2").await;
    let first = &data["causes"][0];
    assert_eq!(
        (&data["total"], &data["deadLetters"], &data["limit"]),
        (&json!(2), &json!(5003), &json!(2))
    );
    for (field, value) in [
        ("destination", json!("ci")),
        ("errorCode", json!("VALIDATION_ERROR")),
        ("error", json!("answered 422")),
        ("retryable", json!(false)),
        ("count", json!(5000)),
        ("firstFailedAt", json!("2026-11-21T08:00:44Z")),
        ("lastFailedAt", json!("2026-11-21T08:01:00Z")),
    ] {
        assert_eq!(first[field], value, "{field}: {data}");
    }
    let newest = first["newest"].as_array().unwrap();
    assert_eq!(newest.len(), 1, "what got well is none of them: {first}");
    assert_eq!(newest[0]["deliveryId"], "12");
    assert_eq!(data["causes"][1]["destination"], Value::Null);
    let asked = world.tables.asked("AS causes").pop().unwrap();
    assert!(
        asked.params.contains(&("varying", domain::VARYING.to_owned())),
        "{asked:?}"
    );
}

#[tokio::test]
async fn without_dead_letters_there_is_no_cause() {
    let world = World::new();
    let data = world.data("/api/webhooks/failed/causes").await;
    assert_eq!(
        data,
        json!({"causes": [], "total": 0, "deadLetters": 0, "limit": 100})
    );
    assert!(
        world.tables.asked("received_us").is_empty(),
        "nothing more is asked"
    );
}

async fn retry(world: &World, body: Value) -> (u16, Value) {
    let seen = ask(
        world,
        HERE,
        Method::POST,
        "/api/webhooks/retry-failed",
        &[],
        &body,
    )
    .await;
    (seen.status, seen.json)
}

#[tokio::test]
async fn one_cause_is_retried_by_one_order() {
    let world = World::new();
    let (key, _) = (world.doors.key("ops", "default", domain::Scope::Operate), ());
    for id in ["a", "b"] {
        world
            .append(&domain::testing::TestDelivery {
                delivery_id: id.into(),
                ..domain::testing::TestDelivery::new("push", format!("{{\"id\":\"{id}\"}}"))
            })
            .await;
        super::outcomes::die(&world, &format!("github.41.{id}")).await;
    }
    let body = json!({"destination": "ci", "errorCode": "SERVICE_UNAVAILABLE", "error": "answered 500", "reason": "back"});
    let headers = [("x-api-key", key.as_str())];
    let seen = ask(
        &world,
        FAR,
        Method::POST,
        "/api/webhooks/retry-failed",
        &headers,
        &body,
    )
    .await;
    assert_eq!(
        (seen.status, &seen.json["data"]["queued"]),
        (200, &json!(2)),
        "{}",
        seen.json
    );
    let path = format!(
        "/api/webhooks/replays/{}",
        seen.json["data"]["replayId"].as_str().unwrap()
    );
    let replay = with(&world, Method::GET, &path, &key).await.json["data"].take();
    assert_eq!(
        (
            &replay["filter"]["errorCode"],
            &replay["filter"]["error"],
            &replay["destinations"]
        ),
        (
            &json!("SERVICE_UNAVAILABLE"),
            &json!("answered 500"),
            &json!(["ci"])
        ),
        "{replay}"
    );
    let other = json!({"errorCode": "TIMEOUT_ERROR"});
    let seen = ask(
        &world,
        FAR,
        Method::POST,
        "/api/webhooks/retry-failed",
        &headers,
        &other,
    )
    .await;
    assert_eq!(seen.json["data"], json!({"queued": 0, "replayId": null}));
}

#[tokio::test]
async fn a_cause_that_there_can_not_be_is_refused_by_the_name_of_its_field() {
    let world = World::new();
    for (body, named) in [
        (json!({"errorCode": "OUT_OF_LUCK"}), "NETWORK_ERROR"),
        (
            json!({"destination": "nowhere"}),
            "there is no destination nowhere",
        ),
        (json!({"destination": "No Name"}), "`destination`"),
        (json!({"error": ""}), "`error`"),
        (json!({"errorcode": "TIMEOUT_ERROR"}), "`errorcode`"),
    ] {
        let (status, json) = retry(&world, body.clone()).await;
        let message = json["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{body}: {json}");
        assert!(message.contains(named), "{body}: {message}");
    }
}

#[tokio::test]
async fn deliveries_are_listed_by_what_they_are_about() {
    let world = World::new();
    world.data("/api/webhooks/events?category=security").await;
    let asked = world.tables.asked("processing_ms, error").pop().unwrap();
    assert!(asked.sql.contains("event IN ("), "{}", asked.sql);
    assert!(asked.sql.contains("'dependabot_alert'") && asked.sql.contains("'OAuthApp'"));
    assert!(!asked.sql.contains("'push'"), "{}", asked.sql);
    let counted = world.tables.asked("AS newest").pop();
    assert!(counted.is_none_or(|query| query.sql.contains("event IN (")));
    world.data("/api/webhooks/events?category=Other").await;
    let asked = world.tables.asked("processing_ms, error").pop().unwrap();
    assert!(
        asked.sql.contains("event NOT IN (") && asked.sql.contains("'push'"),
        "{}",
        asked.sql
    );
    let refused = world.refusal("/api/webhooks/events?category=Weather", 400).await;
    assert!(refused.contains("Security"), "{refused}");
}

#[tokio::test]
async fn whoever_asks_is_told_who_they_are() {
    let world = World::new();
    let here = world.data("/api/whoami").await;
    assert_eq!(
        here,
        json!({"name": "loopback", "key": null, "tenant": "default", "scopes": ["read", "operate", "admin"],
            "runsTheInstance": true, "keyless": true, "expiresAt": null})
    );
    let key = world.doors.key("ci", "team-b", domain::Scope::Operate);
    let seen = with(&world, Method::GET, "/api/whoami", &key).await.json["data"].take();
    assert_eq!(
        (
            &seen["name"],
            &seen["tenant"],
            &seen["scopes"],
            &seen["runsTheInstance"],
            &seen["keyless"]
        ),
        (
            &json!("ci"),
            &json!("team-b"),
            &json!(["read", "operate"]),
            &json!(false),
            &json!(false)
        )
    );
    assert_eq!(seen["key"].as_str(), key.split('_').nth(1));
    let stranger = ask(&world, FAR, Method::GET, "/api/whoami", &[], &Value::Null).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_trail_is_narrowed_by_who_what_and_what_came_of_it() {
    let world = World::new();
    let key = world.doors.key("ops", "default", domain::Scope::Admin);
    with(&world, Method::POST, "/api/destinations/ci/pause", &key).await;
    with(&world, Method::POST, "/api/destinations/nobody/pause", &key).await;
    let count = async |query: &str| {
        let seen = with(&world, Method::GET, &format!("/api/audit?{query}"), &key).await;
        assert_eq!(seen.status, 200, "{query}: {}", seen.json);
        seen.json["data"]["actions"].as_array().unwrap().len()
    };
    assert_eq!(count("by=ops").await, 4);
    assert_eq!(count("by=nobody").await, 0);
    assert_eq!(count("action=destination").await, 4);
    assert_eq!(count("action=destination.resume").await, 0);
    assert_eq!(count("outcome=failed").await, 1);
    let seen = with(&world, Method::GET, "/api/audit?outcome=perhaps", &key).await;
    assert_eq!(seen.status, 400);
}
