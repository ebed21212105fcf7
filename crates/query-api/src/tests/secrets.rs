//! Secrets of sources: they come, take the place of others and go, and none comes out again.

use poem::http::Method;
use serde_json::{Value, json};

use super::World;
use super::sources::{OTHER, SECRET, add, call, message, ruled};

/// A source with the secrets `old`, which ends, `new`, and one of another team's hook.
async fn with_three_secrets(world: &World, admin: &str) -> Value {
    let asked = json!({"name": "shop", "secret": SECRET, "secretId": "old"});
    add(world, admin, asked).await;
    let new = json!({"secret": OTHER, "id": "new", "graceSeconds": 60});
    let rotated = call(world, admin, Method::POST, "/api/sources/shop/rotate", new).await;
    let secrets = &rotated.json["data"]["secrets"];
    assert_eq!(
        (&secrets[0]["validUntil"], &secrets[1]["id"]),
        (&json!("2026-11-21T08:31:42Z"), &json!("new")),
        "{}",
        rotated.json
    );
    let third = json!({"secret": "third", "tenant": "team-b", "hook": "42"});
    let added = call(world, admin, Method::POST, "/api/sources/shop/secrets", third).await;
    added.json["data"]["secrets"].clone()
}

#[tokio::test]
async fn a_secret_that_can_not_come_is_refused_with_what_to_do() {
    let (world, admin) = ruled();
    let secrets = with_three_secrets(&world, &admin).await;
    assert_eq!(
        (&secrets[2]["tenant"], &secrets[2]["hook"]),
        (&json!("team-b"), &json!("42"))
    );
    for (path, body, status, named) in [
        (
            "rotate",
            json!({"secret": "x", "hook": "43"}),
            409,
            "add one instead",
        ),
        (
            "rotate",
            json!({"secret": "x", "id": "old"}),
            409,
            "choose another",
        ),
        ("rotate", json!({"secret": "x", "graceSeconds": -1}), 400, "-1"),
        (
            "secrets",
            json!({"secret": "x", "id": "new"}),
            409,
            "choose another",
        ),
        ("secrets", json!({}), 400, "`secret`"),
    ] {
        let path = format!("/api/sources/shop/{path}");
        let told = call(&world, &admin, Method::POST, &path, body).await;
        assert_eq!(told.status, status, "{named}: {}", told.json);
        assert!(message(&told).contains(named), "{named}: {}", told.json);
    }
}

#[tokio::test]
async fn secrets_go_one_by_one_and_the_last_one_stays() {
    let (world, admin) = ruled();
    let secrets = with_three_secrets(&world, &admin).await;
    let delete = async |id: &str| {
        let path = format!("/api/sources/shop/secrets/{id}");
        call(&world, &admin, Method::DELETE, &path, Value::Null).await
    };
    let left = delete("old").await;
    let left_over = left.json["data"]["secrets"].as_array().map(Vec::len);
    assert_eq!(left_over, Some(2), "{}", left.json);
    assert_eq!(delete("old").await.status, 200, "again changes nothing");
    assert_eq!(delete("nobody").await.status, 404);
    assert_eq!(delete(secrets[2]["id"].as_str().unwrap()).await.status, 200);
    let last = delete("new").await;
    assert_eq!(last.status, 409, "{}", last.json);
    assert!(message(&last).contains("last"), "{}", last.json);
    let resealed = call(&world, &admin, Method::POST, "/api/secrets/reseal", Value::Null).await;
    assert_eq!(resealed.json["data"], json!({"resealed": 3}), "{}", resealed.json);
}

#[tokio::test]
async fn the_trail_says_what_was_done_to_which_source_and_never_a_secret() {
    let (world, admin) = ruled();
    let mut answers = String::new();
    let id_for_secret = format!("/api/sources/shop/secrets/{SECRET}");
    for (method, path, body) in [
        (
            Method::POST,
            "/api/sources",
            json!({"name": "shop", "secret": SECRET, "secretId": "old"}),
        ),
        (Method::POST, "/api/sources/shop/rotate", json!({"secret": OTHER})),
        (
            Method::POST,
            "/api/sources/shop/secrets",
            json!({"secret": SECRET, "hook": "41"}),
        ),
        (Method::DELETE, "/api/sources/shop/secrets/old", Value::Null),
        (Method::DELETE, &id_for_secret, Value::Null),
        (Method::PATCH, "/api/sources/shop", json!({"events": ["push"]})),
        (Method::POST, "/api/sources/shop/pause", Value::Null),
        (Method::POST, "/api/sources/shop/resume", Value::Null),
        (Method::POST, "/api/secrets/reseal", Value::Null),
        (Method::DELETE, "/api/sources/shop", Value::Null),
        (
            Method::POST,
            "/api/sources",
            json!({"name": "shop2", "secret": SECRET, "tenant": "A"}),
        ),
        (Method::GET, "/api/sources", Value::Null),
    ] {
        let told = call(&world, &admin, method, path, body).await;
        answers.push_str(&told.json.to_string());
        answers.push_str(&format!("{:?}", told.headers));
    }
    let actions = world.written.actions.lock().unwrap();
    let ended: Vec<(&str, Option<&str>)> = actions
        .iter()
        .filter(|(_, action)| action.begun.is_some())
        .map(|(_, action)| (action.action.as_str(), action.target.as_deref()))
        .collect();
    assert_eq!(
        ended,
        [
            ("source.add", Some("shop")),
            ("source.rotate", Some("shop")),
            ("source.secret.add", Some("shop")),
            ("source.secret.revoke", Some("shop/old")),
            ("source.secret.revoke", Some("shop")),
            ("source.change", Some("shop")),
            ("source.pause", Some("shop")),
            ("source.resume", Some("shop")),
            ("source.reseal", None),
            ("source.remove", Some("shop")),
            ("source.add", Some("shop2")),
        ]
    );
    let written = format!("{actions:?}");
    for secret in [SECRET, OTHER] {
        assert!(!answers.contains(secret), "{answers}");
        assert!(!written.contains(secret), "{written}");
    }
}
