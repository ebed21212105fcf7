//! A key sees what is of its tenant and nothing else: every operation of the document is asked for another's.

use domain::testing::TestDelivery;
use domain::{DestinationStatus, EventLog as _, Scope, TenantId};
use poem::http::Method;
use serde_json::{Value, json};

use super::World;
use super::commands::destination;
use super::keys::operations;

const FAR: &str = "192.0.2.7:5000";

async fn ask(world: &World, method: Method, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
    let client = world.client_at(FAR);
    let mut request = client.request(method, path).header("x-api-key", key);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.0;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().into_bytes_limit(10_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// The delivery of a tenant, as the log would hold it.
async fn append_of(world: &World, tenant: &str, delivery: &TestDelivery) {
    let mut received = delivery.received();
    received.tenant = tenant.parse().unwrap();
    let mut append = delivery.append();
    append.stream = received.stream();
    for event in &mut append.events {
        event.metadata = received.to_metadata();
    }
    if let Some(content) = &mut append.content {
        content.tenant = received.tenant.clone();
    }
    world.log.append(append).await.unwrap();
}

/// Asks for everything by the names of what is another's.
async fn tells_nothing(world: &World, key: &str, replay: &str) {
    for (method, path, template) in operations(world) {
        let path = path.replace("0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a", replay);
        let (status, json) = ask(world, method.clone(), &path, key, None).await;
        let text = json.to_string();
        for theirs in ["of-team-a", "team-a", "octocat", replay, "ci.example.com"] {
            let echoed = theirs == replay && status == 404;
            assert!(
                echoed || !text.contains(theirs),
                "{method} {path} tells of {theirs}: {json}"
            );
        }
        let of_one = template.contains('{') && !template.contains("/projections/");
        if of_one {
            assert_eq!(status, 404, "{method} {path}: {json}");
        }
        for list in json["data"].as_object().into_iter().flatten() {
            let lists = [
                "events",
                "replays",
                "destinations",
                "sources",
                "repositories",
                "jobs",
                "workflowRuns",
                "runners",
            ];
            // The sources of known types are schemes, and everybody's.
            if lists.contains(&list.0.as_str()) && template != "/api/webhooks/events/types" {
                assert_eq!(list.1, &json!([]), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn no_operation_tells_a_tenant_of_what_is_anothers() {
    let world = World::new();
    let delivery = TestDelivery {
        delivery_id: "1".into(),
        ..TestDelivery::new("push", r#"{"confidential":"of-team-a"}"#)
    };
    append_of(&world, "team-a", &delivery).await;
    let ours: Vec<DestinationStatus> = ["jobs", "ci"]
        .iter()
        .map(|name| DestinationStatus {
            tenant: "team-a".parse().unwrap(),
            ..destination(name)
        })
        .collect();
    world.destinations().clone_from(&ours);
    world.senders.with("jobs", "team-a", "of-team-a").await;
    let (a, b) = (
        world.doors.key("a", "team-a", Scope::Admin),
        world.doors.key("b", "team-b", Scope::Admin),
    );
    // What team A finds under these very names.
    let found = ask(&world, Method::GET, "/api/webhooks/events/1", &a, None).await;
    assert_eq!(
        (found.0, &found.1["data"]["payload"]["confidential"]),
        (200, &json!("of-team-a"))
    );
    assert_eq!(
        ask(&world, Method::POST, "/api/destinations/jobs/pause", &a, None)
            .await
            .0,
        200
    );
    assert_eq!(
        ask(&world, Method::POST, "/api/webhooks/replay/1", &a, None)
            .await
            .0,
        200
    );
    let replay = ask(
        &world,
        Method::POST,
        "/api/webhooks/replay",
        &a,
        Some(json!({"filter": {}, "reason": "x"})),
    )
    .await;
    let replay = replay.1["data"]["id"].as_str().unwrap().to_owned();
    world.tables.asked.lock().unwrap().clear();
    tells_nothing(&world, &b, &replay).await;
    let paused: Vec<bool> = world.destinations().iter().map(|d| d.paused.is_some()).collect();
    assert_eq!(paused, [true, false], "nothing was done to another's destination");
    let kept = &world.senders.list_all().await[1];
    assert_eq!(
        (kept.name.as_str(), kept.secrets.len(), kept.revision),
        ("jobs", 1, Some(domain::Revision::new(0))),
        "nothing was done to another's source"
    );
    let asked = world.tables.asked.lock().unwrap();
    let statements: Vec<_> = asked
        .iter()
        .filter(|q| !q.sql.contains("projection_builds"))
        .collect();
    assert!(statements.len() > 20, "only {} statements", statements.len());
    for query in statements {
        assert!(
            query.params.contains(&("tenant", "team-b".to_owned())),
            "{} {:?}",
            query.sql,
            query.params
        );
    }
}

#[tokio::test]
async fn a_tenant_finds_its_own_under_an_id_that_another_has_too() {
    let world = World::new();
    for (tenant, word) in [("team-a", "first"), ("team-b", "second")] {
        let delivery = TestDelivery {
            delivery_id: "same".into(),
            ..TestDelivery::new("push", format!(r#"{{"word":"{word}"}}"#))
        };
        append_of(&world, tenant, &delivery).await;
    }
    for (tenant, word) in [("team-a", "first"), ("team-b", "second")] {
        let key = world.doors.key("ci", tenant, Scope::Read);
        for id in ["same", "github.41.same"] {
            let (status, json) = ask(
                &world,
                Method::GET,
                &format!("/api/webhooks/events/{id}"),
                &key,
                None,
            )
            .await;
            assert_eq!(
                (status, &json["data"]["payload"]["word"]),
                (200, &json!(word)),
                "{json}"
            );
            assert_eq!(json["data"]["alternatives"], json!([]));
        }
    }
    let default = world.doors.key("ci", "default", Scope::Admin);
    assert_eq!(
        ask(&world, Method::GET, "/api/webhooks/events/same", &default, None)
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn answers_kept_in_memory_are_of_one_tenant() {
    let world = World::new();
    for projection in &mut world.told.snapshot.lock().unwrap().projections {
        projection.partitions_here = projection.partitions;
    }
    let seen = r#"{"name":"octo-org/api","last_us":1}"#;
    world.tables.give("AS name, max(", seen);
    let client = world.client_at(FAR);
    let mut counted = Vec::new();
    for tenant in ["team-a", "team-b"] {
        let key = world.doors.key("ci", tenant, Scope::Read);
        for path in [
            "/api/webhooks/statistics",
            "/api/webhooks/health",
            "/api/webhooks/events?event=push&limit=1",
            "/api/repositories/octo-org/api/activity",
            "/api/jobs/metrics",
        ] {
            client
                .get(path)
                .header("x-api-key", &key)
                .send()
                .await
                .assert_status_is_ok();
        }
        let asked = world.tables.asked("FROM hooklog.");
        let of_tenant = asked
            .iter()
            .filter(|q| q.params.contains(&("tenant", tenant.to_owned())));
        counted.push(of_tenant.count());
    }
    assert!(
        counted[0] > 13 && counted[0] == counted[1],
        "one was answered for the other: {counted:?}"
    );
}

#[tokio::test]
async fn the_health_of_a_tenant_says_nothing_of_the_whole() {
    let world = World::new();
    let key = world.doors.key("ci", "team-b", Scope::Read);
    let theirs = DestinationStatus {
        tenant: "team-b".parse().unwrap(),
        ..destination("mine")
    };
    world.destinations().push(theirs);
    let (status, json) = ask(&world, Method::GET, "/api/webhooks/health", &key, None).await;
    assert_eq!(status, 200);
    let parts: Vec<&Value> = json["data"]["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(parts, ["destination:mine"], "{json}");
}

#[tokio::test]
async fn a_test_delivery_is_of_the_callers_tenant() {
    let world = World::new();
    let key = world.doors.key("ci", "team-b", Scope::Operate);
    assert_eq!(
        ask(&world, Method::POST, "/api/webhooks/test", &key, None)
            .await
            .0,
        200
    );
    let tenant: TenantId = "team-b".parse().unwrap();
    assert_eq!(world.told.sent.lock().unwrap()[0].tenant, tenant);
}
