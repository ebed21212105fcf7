//! Sources: what is shown of them, what can be done to them, and by whom.

use std::sync::atomic::Ordering;

use domain::Scope;
use poem::http::Method;
use serde_json::{Value, json};

use super::World;
use super::keys::{FAR, Told, ask};

/// Like no other text in an answer.
pub(super) const SECRET: &str = "swordfish-8675309-of-the-sender";
pub(super) const OTHER: &str = "lobster-4711-of-the-sender";

pub(super) async fn call(world: &World, key: &str, method: Method, path: &str, body: Value) -> Told {
    ask(world, FAR, method, path, &[("x-api-key", key)], &body).await
}

pub(super) async fn add(world: &World, key: &str, body: Value) -> Told {
    call(world, key, Method::POST, "/api/sources", body).await
}

/// A world with somebody who may do everything.
pub(super) fn ruled() -> (World, String) {
    let world = World::new();
    let admin = world.doors.key("ops", "default", Scope::Admin);
    (world, admin)
}

pub(super) fn message(told: &Told) -> &str {
    told.json["error"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_source_is_shown_as_it_is_and_without_its_secret() {
    let (world, admin) = ruled();
    let asked = json!({
        "name": "payments", "scheme": "standard", "secret": SECRET, "secretId": "2026-11", "hook": "41",
        "path": "/pay", "events": ["invoice.paid"], "addresses": ["192.0.2.0/24"], "toleranceMs": 1000,
        "sourceRatePerMinute": 60, "facts": {"event_pointer": "/type"},
    });
    let added = add(&world, &admin, asked).await;
    assert_eq!(added.status, 200, "{}", added.json);
    let expected = json!({
        "name": "payments", "tenant": "default", "origin": "log", "status": "active", "statusReason": null,
        "pausedBy": null, "pausedSince": null, "url": "http://127.0.0.1:3000/api/webhooks/payments",
        "paths": ["/api/webhooks/payments", "/pay"], "scheme": "standard", "verify": true, "path": "/pay",
        "events": ["invoice.paid"], "repositories": [], "addresses": ["192.0.2.0/24"], "userAgentCheck": false,
        "toleranceMs": 1000, "dedupWindowMs": null, "bodyBytesMax": null, "sourceRatePerMinute": 60,
        "sourceRateBurst": 0, "repositoryRatePerMinute": 0, "repositoryRateBurst": 0, "proof": {},
        "facts": {"event_pointer": "/type"},
        "secrets": [{"id": "2026-11", "tenant": "default", "hook": "41", "addedAt": super::NOW, "validUntil": null}],
        "addedBy": "ops", "addedAt": super::NOW, "revision": 0,
    });
    assert_eq!(added.json["data"], expected);
    let one = call(&world, &admin, Method::GET, "/api/sources/payments", Value::Null).await;
    assert_eq!(one.json["data"], expected);
    let listed = call(&world, &admin, Method::GET, "/api/sources", Value::Null).await;
    let listed = &listed.json["data"]["sources"];
    assert_eq!(
        (&listed[0]["name"], &listed[0]["origin"], &listed[0]["revision"]),
        (&json!("github"), &json!("settings"), &Value::Null)
    );
    assert_eq!(listed[1], expected);
    assert_eq!(
        world.senders.given.lock().unwrap()[0],
        ("2026-11".into(), SECRET.into())
    );
}

#[tokio::test]
async fn the_name_says_which_scheme_is_meant_and_what_is_wrong_is_named() {
    let (world, admin) = ruled();
    for (name, scheme) in [("linear", "linear"), ("shop", "github")] {
        let added = add(&world, &admin, json!({"name": name, "secret": SECRET})).await;
        assert_eq!(added.json["data"]["scheme"], scheme, "{}", added.json);
    }
    let unproved = json!({"name": "toy", "verify": false});
    let added = add(&world, &admin, unproved).await;
    assert_eq!(added.json["data"]["secrets"], json!([]), "{}", added.json);
    for (body, status, named) in [
        (Value::Null, 400, "`name`"),
        (json!({"secret": SECRET}), 400, "`name`"),
        (json!({"name": "No One", "secret": SECRET}), 400, "`name`"),
        (json!({"name": "x"}), 400, "`secret`"),
        (json!({"name": "x", "secret": ""}), 400, "`secret`"),
        (json!({"name": "x", "secret": 8675309}), 400, "has to be a text"),
        (json!({"name": "x", "secret": [SECRET]}), 400, "has to be a text"),
        (
            json!({"name": "x", "verify": false, "hook": "41"}),
            400,
            "`secret`",
        ),
        (
            json!({"name": "x", "secret": SECRET, "secretId": "a b"}),
            400,
            "`id`",
        ),
        (
            json!({"name": "x", "secret": SECRET, "hook": "a\nb"}),
            400,
            "`hook`",
        ),
        (
            json!({"name": "x", "secret": SECRET, "scheme": "gitbub"}),
            400,
            "`scheme`",
        ),
        (
            json!({"name": "x", "secret": SECRET, "event": []}),
            400,
            "`event`",
        ),
        (
            json!({"name": "x", "secret": SECRET, "tenant": "A"}),
            400,
            "`tenant`",
        ),
        (json!({"name": "linear", "secret": SECRET}), 409, "already"),
        (json!({"name": "x", "secret": "x".repeat(70_000)}), 413, "65536"),
    ] {
        let told = add(&world, &admin, body).await;
        assert!(
            told.status == status && message(&told).contains(named),
            "{named}: {} {}",
            told.status,
            told.json
        );
        assert!(!told.json.to_string().contains("8675309"), "{}", told.json);
    }
}

#[tokio::test]
async fn a_change_touches_what_it_names_and_comes_too_late_after_another() {
    let (world, admin) = ruled();
    let asked = json!({"name": "shop", "secret": SECRET, "events": ["push"], "toleranceMs": 5, "proof": {"header": "X-A"}});
    add(&world, &admin, asked).await;
    let change = async |body: Value| call(&world, &admin, Method::PATCH, "/api/sources/shop", body).await;
    let changed = change(json!({"events": ["push", "issues.opened"], "scheme": "hmac"})).await;
    let data = &changed.json["data"];
    assert_eq!(
        data["events"],
        json!(["push", "issues.opened"]),
        "{}",
        changed.json
    );
    assert_eq!(
        (&data["scheme"], &data["toleranceMs"]),
        (&json!("hmac"), &json!(5))
    );
    assert_eq!(
        (&data["proof"], &data["revision"]),
        (&json!({"header": "X-A"}), &json!(1))
    );
    let usual = change(json!({"events": null, "scheme": null, "toleranceMs": null, "proof": null})).await;
    let data = &usual.json["data"];
    assert_eq!((&data["events"], &data["scheme"]), (&json!([]), &json!("github")));
    assert_eq!((&data["toleranceMs"], &data["proof"]), (&Value::Null, &json!({})));
    let nothing = change(Value::Null).await;
    assert_eq!(
        (nothing.status, &nothing.json["data"]["revision"]),
        (200, &json!(2))
    );
    let late = change(json!({"revision": 1, "verify": false})).await;
    assert_eq!(
        (late.status, &late.json["error"]["code"]),
        (409, &json!("CONFLICT"))
    );
    assert!(message(&late).contains("revision 2"), "{}", late.json);
    assert_eq!(
        change(json!({"revision": 2, "userAgentCheck": true}))
            .await
            .status,
        200
    );
    for (body, named) in [
        (json!({"secret": SECRET}), "`secret`"),
        (json!({"scheme": "x"}), "`scheme`"),
    ] {
        let told = change(body).await;
        assert!(
            told.status == 400 && message(&told).contains(named),
            "{}",
            told.json
        );
    }
    let settings = call(
        &world,
        &admin,
        Method::PATCH,
        "/api/sources/github",
        json!({"verify": false}),
    )
    .await;
    assert!(
        settings.status == 409 && message(&settings).contains("settings"),
        "{}",
        settings.json
    );
}

#[tokio::test]
async fn a_source_is_paused_resumed_and_removed() {
    let (world, admin) = ruled();
    let operator = world.doors.key("night-shift", "default", Scope::Operate);
    add(&world, &admin, json!({"name": "shop", "secret": SECRET})).await;
    let pause = json!({"reason": "maintenance"});
    let paused = call(&world, &operator, Method::POST, "/api/sources/shop/pause", pause).await;
    let data = &paused.json["data"];
    assert_eq!(
        (&data["status"], &data["statusReason"]),
        (&json!("paused"), &json!("maintenance"))
    );
    assert_eq!(
        (&data["pausedBy"], &data["pausedSince"]),
        (&json!("night-shift"), &json!(super::NOW))
    );
    let resumed = call(
        &world,
        &operator,
        Method::POST,
        "/api/sources/shop/resume",
        Value::Null,
    )
    .await;
    assert_eq!(resumed.json["data"]["status"], "active", "{}", resumed.json);
    world.senders.trouble("shop");
    let one = call(&world, &admin, Method::GET, "/api/sources/shop", Value::Null).await;
    assert_eq!(one.json["data"]["status"], "unavailable", "{}", one.json);
    let path = "/api/sources/shop?reason=gone";
    let gone = call(&world, &admin, Method::DELETE, path, Value::Null).await;
    assert_eq!(
        gone.json["data"],
        json!({"name": "shop", "removed": true}),
        "{}",
        gone.json
    );
    for (method, path) in [
        (Method::GET, "/api/sources/shop"),
        (Method::DELETE, "/api/sources/shop"),
        (Method::POST, "/api/sources/shop/pause"),
        (Method::GET, "/api/sources/No%20One"),
        (Method::PATCH, "/api/sources/nobody"),
    ] {
        let told = call(&world, &admin, method.clone(), path, Value::Null).await;
        assert_eq!(told.status, 404, "{method} {path}: {}", told.json);
    }
    let misspelt = call(
        &world,
        &admin,
        Method::DELETE,
        "/api/sources/x?raeson=y",
        Value::Null,
    )
    .await;
    assert_eq!(misspelt.status, 400, "{}", misspelt.json);
    world.senders.reading.store(true, Ordering::SeqCst);
    let early = call(&world, &admin, Method::GET, "/api/sources/shop", Value::Null).await;
    assert_eq!(
        (early.status, &early.headers["retry-after"]),
        (503, &"2".parse().unwrap())
    );
}

#[tokio::test]
async fn nothing_is_done_with_too_small_a_scope() {
    let (world, admin) = ruled();
    let reads = world.doors.key("reads", "default", Scope::Read);
    let operates = world.doors.key("operates", "default", Scope::Operate);
    add(&world, &admin, json!({"name": "shop", "secret": SECRET})).await;
    let secret = json!({"secret": OTHER});
    let new = json!({"name": "new", "secret": OTHER});
    for (method, path, body, needs) in [
        (Method::GET, "/api/sources", Value::Null, Scope::Read),
        (Method::GET, "/api/sources/shop", Value::Null, Scope::Read),
        (
            Method::POST,
            "/api/sources/shop/pause",
            Value::Null,
            Scope::Operate,
        ),
        (
            Method::POST,
            "/api/sources/shop/resume",
            Value::Null,
            Scope::Operate,
        ),
        (Method::POST, "/api/sources", new, Scope::Admin),
        (
            Method::PATCH,
            "/api/sources/shop",
            json!({"verify": false}),
            Scope::Admin,
        ),
        (
            Method::POST,
            "/api/sources/shop/secrets",
            secret.clone(),
            Scope::Admin,
        ),
        (Method::POST, "/api/sources/shop/rotate", secret, Scope::Admin),
        (
            Method::DELETE,
            "/api/sources/shop/secrets/secret-0",
            Value::Null,
            Scope::Admin,
        ),
        (Method::DELETE, "/api/sources/shop", Value::Null, Scope::Admin),
        (Method::POST, "/api/secrets/reseal", Value::Null, Scope::Admin),
    ] {
        let before = format!("{:?}", world.senders.list_all().await);
        for (scope, key) in [(Scope::Read, &reads), (Scope::Operate, &operates)] {
            let told = call(&world, key, method.clone(), path, body.clone()).await;
            let expected = if scope.includes(needs) { 200 } else { 403 };
            assert_eq!(
                told.status, expected,
                "{method} {path} with {scope}: {}",
                told.json
            );
        }
        let after = format!("{:?}", world.senders.list_all().await);
        assert!(
            needs == Scope::Operate || before == after,
            "{method} {path} did something"
        );
    }
}

#[tokio::test]
async fn a_tenant_has_sources_of_its_own_and_the_instance_has_all() {
    let (world, admin) = ruled();
    let (a, b) = (
        world.doors.key("a", "team-a", Scope::Admin),
        world.doors.key("b", "team-b", Scope::Admin),
    );
    let own = add(&world, &a, json!({"name": "mine", "secret": SECRET})).await;
    assert_eq!(own.json["data"]["tenant"], "team-a", "{}", own.json);
    assert_eq!(own.json["data"]["secrets"][0]["tenant"], "team-a");
    let names = async |key: &str| {
        let listed = call(&world, key, Method::GET, "/api/sources", Value::Null).await;
        let rows = listed.json["data"]["sources"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&a).await, ["mine"]);
    assert_eq!(names(&b).await, Vec::<String>::new());
    assert_eq!(names(&admin).await, ["github", "mine"]);
    let theirs = call(
        &world,
        &b,
        Method::PATCH,
        "/api/sources/mine",
        json!({"verify": "?"}),
    )
    .await;
    assert_eq!(theirs.status, 404, "whatever is asked of it: {}", theirs.json);
    let foreign = json!({"name": "x", "secret": SECRET, "tenant": "default"});
    assert_eq!(add(&world, &a, foreign).await.status, 403);
    let foreign = json!({"secret": SECRET, "tenant": "team-b"});
    let told = call(&world, &a, Method::POST, "/api/sources/mine/secrets", foreign).await;
    assert_eq!(told.status, 403, "{}", told.json);
    assert_eq!(
        call(&world, &a, Method::POST, "/api/secrets/reseal", Value::Null)
            .await
            .status,
        403
    );
    // Who runs the instance adds for another, and rotates what is another's without saying whose it is.
    let named = json!({"name": "theirs", "secret": SECRET, "tenant": "team-b"});
    let added = add(&world, &admin, named).await;
    assert_eq!(
        added.json["data"]["secrets"][0]["tenant"], "team-b",
        "{}",
        added.json
    );
    let rotated = json!({"secret": OTHER});
    let rotated = call(
        &world,
        &admin,
        Method::POST,
        "/api/sources/theirs/rotate",
        rotated,
    )
    .await;
    assert_eq!(
        rotated.json["data"]["secrets"][1]["tenant"], "team-b",
        "{}",
        rotated.json
    );
    assert_eq!(names(&b).await, ["theirs"]);
    let taken = add(&world, &a, json!({"name": "theirs", "secret": SECRET})).await;
    assert_eq!(taken.status, 409, "{}", taken.json);
    assert!(!taken.json.to_string().contains("team-b"), "{}", taken.json);
}
