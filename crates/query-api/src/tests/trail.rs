//! The audit trail: what stands in it, and that nothing is done without it.

use std::sync::atomic::Ordering;

use domain::{AuditOutcome, Scope};
use poem::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::World;
use super::keys::{FAR, HERE, ask, with};

#[tokio::test]
async fn an_action_whose_client_hangs_up_is_done_and_its_end_stands_in_the_trail() {
    let world = World::new();
    let key = world.doors.key("ops", "default", Scope::Admin);
    world.written.slow.store(true, Ordering::SeqCst);
    let outcomes = || {
        let told = world.written.told();
        told.into_iter()
            .map(|(_, _, outcome)| outcome)
            .collect::<Vec<_>>()
    };
    let mut request = Box::pin(with(&world, Method::POST, "/api/destinations/ci/pause", &key));
    while outcomes().is_empty() {
        assert!(futures_util::poll!(&mut request).is_pending());
    }
    drop(request);
    for _ in 0..1000 {
        if outcomes() == [AuditOutcome::Begun, AuditOutcome::Done] {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("its end never came: {:?}", outcomes());
}

#[tokio::test]
async fn whatever_is_done_stands_in_the_trail_before_and_after() {
    let world = World::new();
    let key = world.doors.key("ops", "default", Scope::Admin);
    assert_eq!(
        with(&world, Method::POST, "/api/destinations/ci/pause", &key)
            .await
            .status,
        200
    );
    assert_eq!(
        with(&world, Method::POST, "/api/destinations/nobody/pause", &key)
            .await
            .status,
        404
    );
    assert_eq!(with(&world, Method::GET, "/api/jobs", &key).await.status, 200);
    let login = json!({ "key": key });
    assert_eq!(
        ask(&world, FAR, Method::POST, "/api/login", &[], &login)
            .await
            .status,
        200
    );
    let done = |action: &str, outcome| (action.to_owned(), "ops".to_owned(), outcome);
    assert_eq!(
        world.written.told(),
        [
            done("destination.pause", AuditOutcome::Begun),
            done("destination.pause", AuditOutcome::Done),
            done("destination.pause", AuditOutcome::Begun),
            done("destination.pause", AuditOutcome::Failed),
            done("login", AuditOutcome::Done),
        ]
    );
    let listed = with(&world, Method::GET, "/api/audit?limit=2", &key).await;
    let first = &listed.json["data"]["actions"][0];
    assert_eq!(
        (&first["action"], &first["remote"]),
        (&json!("login"), &json!("192.0.2.7"))
    );
    let second = &listed.json["data"]["actions"][1];
    assert_eq!(
        (&second["target"], &second["status"]),
        (&json!("nobody"), &json!(404))
    );
    let cursor = listed.json["data"]["nextCursor"].as_str().unwrap();
    let next = with(
        &world,
        Method::GET,
        &format!("/api/audit?limit=2&cursor={cursor}"),
        &key,
    )
    .await;
    assert_eq!(
        next.json["data"]["actions"][1]["outcome"], "done",
        "{}",
        next.json
    );
    let other = world.doors.key("ops", "team-b", Scope::Admin);
    let theirs = with(&world, Method::GET, "/api/audit", &other).await;
    assert_eq!(theirs.json["data"]["actions"], json!([]));
    for path in [
        "/api/audit?tenant=default".to_owned(),
        format!("/api/audit?cursor={cursor}"),
    ] {
        let status = with(&world, Method::GET, &path, &other).await.status;
        assert!(matches!(status, 400 | 403), "{path}: {status}");
    }
}

#[tokio::test]
async fn what_can_not_be_audited_is_not_done() {
    let world = World::new();
    world.written.full.store(true, Ordering::SeqCst);
    let seen = ask(
        &world,
        HERE,
        Method::POST,
        "/api/webhooks/test",
        &[],
        &Value::Null,
    )
    .await;
    assert_eq!(seen.status, 503, "{}", seen.json);
    assert!(
        seen.json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("nothing was done")
    );
    assert!(world.told.sent.lock().unwrap().is_empty());
    let key = world.doors.key("ci", "default", Scope::Read);
    let login = ask(
        &world,
        FAR,
        Method::POST,
        "/api/login",
        &[],
        &json!({ "key": key }),
    )
    .await;
    assert_eq!((login.status, login.headers.get("set-cookie")), (503, None));
    // Looking needs no record.
    assert_eq!(with(&world, Method::GET, "/api/jobs", &key).await.status, 200);
}

#[tokio::test]
async fn of_refused_attempts_some_are_kept_and_the_others_counted() {
    let mut world = World::new();
    world.options.audit_refused_per_minute = 2;
    world.doors.key("ci", "default", Scope::Read);
    let client = world.client_at(FAR);
    for _ in 0..9 {
        let answer = client.post("/api/webhooks/retry-failed").send().await;
        answer.assert_status(StatusCode::UNAUTHORIZED);
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let told = world.written.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        told[0],
        ("replay.dead".into(), "anonymous".into(), AuditOutcome::Refused)
    );
}
