//! Keys, logins, the audit trail: every operation of the document against every scope, and whatever can be shown.

use std::sync::atomic::Ordering;

use domain::Scope;
use poem::http::Method;
use serde_json::{Value, json};

use super::World;
use crate::access::Need;
use crate::access::rule::Rule;

/// Another machine.
pub(super) const FAR: &str = "192.0.2.7:5000";
pub(super) const HERE: &str = "127.0.0.1:5000";

/// A status, the JSON of the answer, and a header.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) json: Value,
    pub(super) headers: poem::http::HeaderMap,
}

pub(super) async fn ask(
    world: &World,
    peer: &str,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> Told {
    let client = world.client_at(peer);
    let mut request = client.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    told(request.send().await).await
}

pub(super) async fn told(answer: poem::test::TestResponse) -> Told {
    let (status, headers) = (answer.0.status().as_u16(), answer.0.headers().clone());
    let bytes = answer.0.into_body().into_bytes_limit(10_000_000).await.unwrap();
    let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Told {
        status,
        json,
        headers,
    }
}

pub(super) async fn with(world: &World, method: Method, path: &str, key: &str) -> Told {
    let bearer = format!("Bearer {key}");
    ask(
        world,
        FAR,
        method,
        path,
        &[("authorization", &bearer)],
        &Value::Null,
    )
    .await
}

/// Every operation of the document, with something in place of its parameters.
pub(super) fn operations(world: &World) -> Vec<(Method, String, String)> {
    let document: Value = serde_json::from_str(&world.api().document()).unwrap();
    let mut all = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = template
                .replace("{owner}", "octo-org")
                .replace("{repo}", "octo-repo")
                .replace("{name}", "jobs")
                .replace(
                    "{id}",
                    if template.contains("replays") || template.contains("rejected") {
                        "0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a"
                    } else {
                        "1"
                    },
                );
            // It would go on for ever: as far as it is let in, it is told that the log ends before.
            let path = path.replace("/webhooks/stream", "/webhooks/stream?after=999999999");
            assert!(
                !path.contains('{'),
                "{template} has a parameter that is not known here"
            );
            all.push((method.to_uppercase().parse().unwrap(), path, template.clone()));
        }
    }
    assert!(all.len() >= 36, "only {} operations", all.len());
    all
}

#[test]
fn every_operation_of_the_document_says_who_may_ask_and_no_rule_is_about_nothing() {
    let world = World::new();
    let all = operations(&world);
    for (method, _, template) in &all {
        assert!(
            Rule::of_operation(method.as_str(), template).is_some(),
            "{method} {template} has no row in access/rule.rs, so it is not served: say there who may ask"
        );
    }
    let pages = ["/", "/docs", "/openapi.json", "/dashboard/**", "/socket.io/**"];
    for (method, path, _) in Rule::all().filter(|(_, path, _)| !pages.contains(path)) {
        let known = all
            .iter()
            .any(|(m, _, template)| m.as_str() == method && template == path);
        assert!(known, "there is no {method} {path}");
    }
}

#[tokio::test]
async fn each_scope_gets_as_far_as_it_says_on_every_path() {
    let world = World::new();
    let keys = [Scope::Read, Scope::Operate, Scope::Admin]
        .map(|scope| (scope, world.doors.key("ci", "default", scope)));
    for (method, path, template) in operations(&world) {
        // It takes minutes by design of the double.
        let path = path.replace("/api/projections/statistics", "/api/projections/jobs");
        let rule = Rule::of_operation(method.as_str(), &template).unwrap();
        let nobody = ask(&world, FAR, method.clone(), &path, &[], &Value::Null).await;
        if template == "/api/login" {
            assert_eq!(nobody.status, 401, "nobody logs in without a key");
            continue;
        }
        let open = rule.need == Need::Nothing;
        assert_eq!(nobody.status == 401, !open, "{method} {path}: {}", nobody.json);
        for (scope, key) in &keys {
            let seen = with(&world, method.clone(), &path, key).await;
            let enough = match rule.need {
                Need::Nothing | Need::Read => true,
                Need::Operate => *scope >= Scope::Operate,
                Need::Admin => *scope == Scope::Admin,
            };
            assert_eq!(
                seen.status == 403,
                !enough,
                "{method} {path} with {scope}: {}",
                seen.json
            );
            assert_ne!(seen.status, 401, "{method} {path} with {scope}: {}", seen.json);
        }
    }
}

#[tokio::test]
async fn what_is_about_the_instance_is_for_the_tenant_default() {
    let world = World::new();
    let key = world.doors.key("ci", "team-b", Scope::Admin);
    for (method, path, template) in operations(&world) {
        let rule = Rule::of_operation(method.as_str(), &template).unwrap();
        let seen = with(&world, method.clone(), &path, &key).await;
        assert_eq!(seen.status == 403, rule.whole, "{method} {path}: {}", seen.json);
    }
    let ready = with(&world, Method::GET, "/ready", &key).await;
    assert_eq!((ready.status, &ready.json["components"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_key_is_shown_in_one_of_two_headers_and_all_that_is_shown_is_of_one_key() {
    let world = World::new();
    let (one, other) = (
        world.doors.key("one", "default", Scope::Read),
        world.doors.key("other", "default", Scope::Read),
    );
    let bearer = |key: &str| format!("Bearer {key}");
    let (b1, b2) = (bearer(&one), bearer(&other));
    let lower = format!("bearer  {one} ");
    let cases: &[(&[(&'static str, &str)], u16)] = &[
        (&[("authorization", &b1)], 200),
        (&[("authorization", &lower)], 200),
        (&[("x-api-key", &one)], 200),
        (&[("authorization", &b1), ("x-api-key", &one)], 200),
        (&[("authorization", &b1), ("x-api-key", &other)], 401),
        (&[("authorization", &b1), ("authorization", &b2)], 401),
        (&[("x-api-key", &one), ("x-api-key", "hk_1_x")], 401),
        (&[("authorization", &one)], 401),
        (&[("authorization", "Basic aG9vazpsb2c=")], 401),
        (&[("authorization", "Bearer ")], 401),
        (&[("x-api-key", "")], 401),
        (&[("x-api-key", "ü")], 401),
    ];
    for (headers, status) in cases {
        let seen = ask(
            &world,
            FAR,
            Method::GET,
            "/api/webhooks/events/types",
            headers,
            &Value::Null,
        )
        .await;
        assert_eq!(seen.status, *status, "{headers:?}: {}", seen.json);
        if *status == 401 {
            assert_eq!(seen.json["error"]["code"], "AUTHENTICATION_ERROR");
            assert!(
                seen.headers["www-authenticate"]
                    .to_str()
                    .unwrap()
                    .starts_with("Bearer")
            );
            assert!(!seen.json.to_string().contains("hk_"), "{}", seen.json);
        }
    }
}

#[tokio::test]
async fn an_expired_and_a_revoked_key_open_nothing_from_then_on() {
    let world = World::new();
    let admin = world.doors.key("admin", "default", Scope::Admin);
    let past = world
        .doors
        .key_until("past", "default", Scope::Read, Some(super::NOW.parse().unwrap()));
    let message = |told: &Told| {
        told.json["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let seen = with(&world, Method::GET, "/api/jobs", &past).await;
    assert!(
        seen.status == 401 && message(&seen).contains("expired"),
        "{}",
        seen.json
    );
    let ci = world.doors.key("ci", "default", Scope::Read);
    assert_eq!(with(&world, Method::GET, "/api/jobs", &ci).await.status, 200);
    let id = ci.split('_').nth(1).unwrap();
    let revoked = with(&world, Method::DELETE, &format!("/api/keys/{id}"), &admin).await;
    assert_eq!(
        (revoked.status, &revoked.json["data"]["status"]),
        (200, &json!("revoked"))
    );
    assert_eq!(revoked.json["data"]["revokedBy"], "admin");
    let seen = with(&world, Method::GET, "/api/jobs", &ci).await;
    assert!(
        seen.status == 401 && message(&seen).contains("revoked"),
        "{}",
        seen.json
    );
    assert_eq!(
        with(&world, Method::DELETE, "/api/keys/nobody", &admin)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_first_key_ends_the_keyless_rule_and_the_owner_of_the_directory_stays() {
    let world = World::new();
    let read = async |world: &World| {
        ask(world, HERE, Method::GET, "/api/jobs", &[], &Value::Null)
            .await
            .status
    };
    assert_eq!(read(&world).await, 200);
    let body = json!({"name": "ci", "scopes": ["read"]});
    let made = ask(&world, HERE, Method::POST, "/api/keys", &[], &body).await;
    assert_eq!(made.status, 200, "{}", made.json);
    let key = made.json["data"]["key"].as_str().unwrap();
    assert_eq!(read(&world).await, 401);
    assert_eq!(with(&world, Method::GET, "/api/jobs", key).await.status, 200);
    // Not even once it is revoked: by the socket alone.
    let id = made.json["data"]["id"].as_str().unwrap();
    let owner = world.owner();
    owner
        .delete(format!("/api/keys/{id}"))
        .send()
        .await
        .assert_status_is_ok();
    assert_eq!(read(&world).await, 401);
    let listed = told(owner.get("/api/keys").send().await).await;
    assert_eq!(listed.json["data"]["keys"][0]["revokedBy"], "local");
    assert!(!listed.json.to_string().contains("hk_"), "{}", listed.json);
}

#[tokio::test]
async fn nobody_is_let_in_before_the_keys_were_read() {
    let world = World::new();
    let key = world.doors.key("ci", "default", Scope::Admin);
    world.doors.reading.store(true, Ordering::SeqCst);
    for (peer, headers) in [(HERE, vec![]), (FAR, vec![("x-api-key", key.as_str())])] {
        let seen = ask(&world, peer, Method::GET, "/api/jobs", &headers, &Value::Null).await;
        assert_eq!(
            (seen.status, &seen.headers["retry-after"]),
            (503, &"1".parse().unwrap()),
            "{}",
            seen.json
        );
    }
    let body = json!({ "key": key });
    assert_eq!(
        ask(&world, HERE, Method::POST, "/api/login", &[], &body)
            .await
            .status,
        503
    );
    for open in ["/health", "/ready"] {
        assert_eq!(
            ask(&world, FAR, Method::GET, open, &[], &Value::Null)
                .await
                .status,
            200,
            "{open}"
        );
    }
}

#[tokio::test]
async fn a_key_to_make_is_checked_field_by_field() {
    let world = World::new();
    let admin = world.doors.key("admin", "default", Scope::Admin);
    let theirs = world.doors.key("admin", "team-b", Scope::Admin);
    let make = async |key: &str, body: Value| {
        ask(
            &world,
            FAR,
            Method::POST,
            "/api/keys",
            &[("x-api-key", key)],
            &body,
        )
        .await
    };
    for (body, status, named) in [
        (json!({"scopes": ["read"]}), 400, "`name`"),
        (json!({"name": "A b", "scopes": ["read"]}), 400, "`name`"),
        (json!({"name": "local", "scopes": ["read"]}), 400, "reserved"),
        (json!({"name": "ci"}), 400, "scope"),
        (json!({"name": "ci", "scopes": ["root"]}), 400, "`scopes`"),
        (
            json!({"name": "ci", "scopes": ["read"], "tenant": "A"}),
            400,
            "`tenant`",
        ),
        (
            json!({"name": "ci", "scopes": ["read"], "expiresAt": "soon"}),
            400,
            "`expiresAt`",
        ),
        (
            json!({"name": "ci", "scopes": ["read"], "expiresAt": "2020-01-01"}),
            400,
            "expired",
        ),
        (json!({"name": "ci", "scope": "read"}), 400, "scope"),
    ] {
        let seen = make(&admin, body).await;
        let message = seen.json["error"]["message"].as_str().unwrap_or_default();
        assert!(
            seen.status == status && message.contains(named),
            "{named}: {}",
            seen.json
        );
    }
    let of_team = json!({"name": "ci", "scopes": ["operate"], "tenant": "team-b", "expiresAt": "2027-01-31"});
    let made = make(&admin, of_team.clone()).await;
    assert_eq!(made.status, 200, "{}", made.json);
    assert_eq!(made.json["data"]["expiresAt"], "2027-01-31T00:00:00Z");
    assert_eq!(made.json["data"]["createdBy"], "admin");
    // A tenant makes keys for itself alone.
    let mine = make(&theirs, json!({"name": "own", "scopes": ["admin"]})).await;
    assert_eq!(mine.json["data"]["tenant"], "team-b", "{}", mine.json);
    let foreign = make(
        &theirs,
        json!({"name": "own", "scopes": ["admin"], "tenant": "default"}),
    )
    .await;
    assert_eq!(foreign.status, 403, "{}", foreign.json);
}
