//! Requests that were turned away.

use bytes::Bytes;
use domain::testing::rejected;
use domain::{KeepRejected, RejectedRequest};

use super::World;

fn filled() -> World {
    let world = World::new();
    for n in 0..5 {
        world.rejected.keep(rejected(n));
    }
    let other = RejectedRequest {
        source: "linear".parse().unwrap(),
        reason: "body_too_large".into(),
        code: "BODY_TOO_LARGE".into(),
        status: 413,
        body: None,
        body_kept: false,
        body_bytes: None,
        sha256: None,
        left_out_before: 7,
        ..rejected(5)
    };
    world.rejected.keep(other);
    let foreign = RejectedRequest {
        tenant: "team-b".parse().unwrap(),
        ..rejected(6)
    };
    world.rejected.keep(foreign);
    world
}

fn ids(data: &serde_json::Value) -> Vec<&str> {
    let list = data["rejected"].as_array().unwrap();
    list.iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_newest_come_first_and_only_those_of_the_tenant() {
    let data = filled().data("/api/webhooks/rejected").await;
    let expected: Vec<String> = (0..6).rev().map(|n| rejected(n).request_id.to_string()).collect();
    assert_eq!(ids(&data), expected);
    assert_eq!(data["limit"], 100);
    let first = &data["rejected"][0];
    assert_eq!(first["reason"], "body_too_large");
    assert!(
        first["bodyBytes"].is_null() && first["sha256"].is_null(),
        "{first}"
    );
    assert_eq!(
        (&first["bodyKept"], &first["leftOutBefore"]),
        (&false.into(), &7.into())
    );
    let last = &data["rejected"][5];
    assert_eq!(last["headers"][0]["name"], "content-type");
    assert_eq!(last["timestamp"], "2025-11-21T23:00:00Z");
    assert!(last.get("body").is_none(), "a list holds no bodies: {last}");
    assert_eq!(
        data["kinds"],
        serde_json::json!([
            {"source": "github", "reason": "signature_invalid", "kept": 5},
            {"source": "linear", "reason": "body_too_large", "kept": 1},
        ])
    );
}

#[tokio::test]
async fn filters_narrow_by_reason_code_source_time_and_number() {
    let world = filled();
    let count = async |query: &str| {
        let data = world.data(&format!("/api/webhooks/rejected?{query}")).await;
        ids(&data).len()
    };
    assert_eq!(count("reason=signature_invalid").await, 5);
    assert_eq!(count("reason=SIGNATURE_INVALID&limit=2").await, 2);
    assert_eq!(count("reason=made_up").await, 0);
    assert_eq!(count("source=linear").await, 1);
    assert_eq!(count("since=2025-11-21T23:00:00.003Z").await, 3);
    assert_eq!(count("since=2025-11-22").await, 0);
    assert_eq!(count("limit=5000").await, 6);
}

#[tokio::test]
async fn mistakes_are_explained() {
    let world = filled();
    for (query, named) in [
        ("since=yesterday", "`since`"),
        ("source=Git%20Hub", "`source`"),
        ("limit=0", "`limit`"),
        ("raeson=x", "did you mean `reason`"),
    ] {
        let message = world
            .refusal(&format!("/api/webhooks/rejected?{query}"), 400)
            .await;
        assert!(message.contains(named), "{query}: {message}");
    }
    let message = world.refusal("/api/webhooks/rejected/nonsense", 400).await;
    assert!(message.contains("`id`"), "{message}");
    world.rejected.set_away(true);
    let message = world.refusal("/api/webhooks/rejected", 503).await;
    assert!(message.contains("NATS"), "{message}");
}

#[tokio::test]
async fn one_is_shown_with_its_body_and_another_tenants_is_not() {
    let world = filled();
    let path = |n| format!("/api/webhooks/rejected/{}", rejected(n).request_id);
    let one = world.data(&path(2)).await;
    assert_eq!(
        (&one["body"], &one["bodyBase64"]),
        (&r#"{"n":2}"#.into(), &serde_json::Value::Null)
    );
    assert_eq!(one["bodyKept"], true);
    let message = world.refusal(&path(6), 404).await;
    assert!(message.contains("no rejected request"), "{message}");
    assert_eq!(world.refusal(&path(99), 404).await, message);
    let binary = RejectedRequest {
        body: Some(Bytes::from_static(b"\xff\x00")),
        ..rejected(50)
    };
    world.rejected.keep(binary);
    let one = world.data(&path(50)).await;
    assert_eq!(
        (&one["body"], &one["bodyBase64"]),
        (&serde_json::Value::Null, &"/wA=".into())
    );
}
