//! Every row of the table of answers, and the order of the checks.

use serde_json::{Value, json};

use super::rig::{Delivery, PATH, Rig};
use crate::SyntheticDelivery;
use domain::{DeliveryReceived, Entity, EventLog, Proof};

#[tokio::test]
async fn a_delivery_is_captured_with_its_facts() {
    let rig = Rig::new();
    let body = r#"{"action":"queued","workflow_job":{"id":29679449,"run_id":1},"repository":{"full_name":"Octo-Org/Octo.Repo"},"sender":{"login":"octocat"}}"#;
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let reply = rig
        .send(Delivery::new("workflow_job", body).id(id).and("cookie", "a=b"))
        .await;
    let expected = json!({
        "deliveryId": id, "id": format!("github.41.{id}"), "source": "github", "event": "workflow_job",
        "action": "queued", "repository": "Octo-Org/Octo.Repo", "position": 1, "duplicate": false,
    });
    assert_eq!(reply.data(), &expected);
    assert_eq!(reply.header("connection"), None);
    let (event, received) = rig.only().await;
    assert_eq!(rig.body_of(&event), body);
    assert_eq!(event.stream.as_str(), format!("delivery-default.github.41.{id}"));
    assert_eq!(
        (received.event.as_str(), received.sender.as_deref()),
        ("workflow_job", Some("octocat"))
    );
    let entity = Entity {
        kind: "workflow_job".into(),
        id: "29679449".into(),
    };
    assert_eq!(received.entity, Some(entity));
    assert_eq!(received.hook_id.as_deref(), Some("41"));
    assert_eq!(
        (received.scheme.as_str(), received.tenant.as_str()),
        ("github", "default")
    );
    let secret_id = "first".to_owned();
    assert_eq!(received.proof, Proof::Verified { secret_id });
    assert_eq!(received.correlation.as_deref(), reply.header("x-request-id"));
    assert_eq!(received.header("x-github-event"), Some("workflow_job"));
    assert!(
        received.header("x-hub-signature-256").is_some(),
        "it can be checked again years later"
    );
    assert_eq!(received.header("cookie"), None);
    assert_eq!(
        (received.body_bytes, received.synthetic),
        (body.len() as u64, false)
    );
}

#[tokio::test]
async fn every_alias_receives() {
    let rig = Rig::with(|_, source| source.path = Some("/hooks/gh".into()));
    for path in [
        PATH,
        "/webhooks/github",
        "/webhook/github/",
        "/api/v2/webhooks/github",
        "/hooks/gh",
        "/hooks/gh/",
        "/api/webhooks/github?x=1",
    ] {
        rig.send(Delivery::push().at(path)).await.data();
    }
    assert_eq!(rig.events().await.len(), 7);
}

#[tokio::test]
async fn only_posts_on_webhook_paths_are_claimed() {
    use poem::http::Method;
    let ingest = Rig::with(|_, source| source.path = Some("/hooks/gh".into())).ingest;
    for path in [PATH, "/hooks/gh", "/webhook/nobody", "/webhooks/github/team"] {
        assert!(ingest.claims(&Method::POST, path), "{path}");
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
            assert!(!ingest.claims(&method, path), "{method} {path}");
        }
    }
    for path in [
        "/api/webhooks/test",
        "/api/webhooks/replay/x",
        "/api/webhooks/retry-failed",
        "/hooks",
        "/",
    ] {
        assert!(!ingest.claims(&Method::POST, path), "{path}");
    }
}

#[tokio::test]
async fn each_wrong_request_gets_its_answer_and_nothing_is_kept() {
    let rig = Rig::new();
    let push = Delivery::push;
    for (delivery, status, code) in [
        (push().at("/api/webhooks/nobody"), 404, "SOURCE_UNKNOWN"),
        (push().at("/api/webhooks/github/nobody"), 404, "SOURCE_UNKNOWN"),
        (push().without("x-github-event"), 400, "HEADER_MISSING"),
        (push().with("x-github-event", ""), 400, "HEADER_MISSING"),
        (push().without("x-github-delivery"), 400, "HEADER_MISSING"),
        (push().with("x-github-delivery", " "), 400, "HEADER_MISSING"),
        (push().id(&"x".repeat(513)), 400, "HEADER_INVALID"),
        (push().and("x-github-event", "push"), 400, "HEADER_DUPLICATED"),
        (push().and("x-github-delivery", "1"), 400, "HEADER_DUPLICATED"),
        (push().and("x-github-hook-id", "41"), 400, "HEADER_DUPLICATED"),
        (
            push().and("content-type", "application/json"),
            400,
            "HEADER_DUPLICATED",
        ),
        (
            push().and("x-hub-signature-256", "sha256=00"),
            400,
            "HEADER_DUPLICATED",
        ),
        (push().without("content-type"), 415, "CONTENT_TYPE_UNSUPPORTED"),
        (
            push().with("content-type", "text/plain"),
            415,
            "CONTENT_TYPE_UNSUPPORTED",
        ),
        (
            push().with("content-type", "application/jsonx"),
            415,
            "CONTENT_TYPE_UNSUPPORTED",
        ),
        (push().without("x-hub-signature-256"), 401, "SIGNATURE_INVALID"),
        (
            push().with("x-hub-signature-256", "sha256=00"),
            401,
            "SIGNATURE_INVALID",
        ),
        (Delivery::new("push", ""), 400, "BODY_NOT_JSON_OBJECT"),
        (Delivery::new("push", "hello"), 400, "BODY_NOT_JSON_OBJECT"),
        (Delivery::new("push", "[{}]"), 400, "BODY_NOT_JSON_OBJECT"),
        (
            Delivery::new("push", "{\"a\":\"\\x\"}"),
            400,
            "BODY_NOT_JSON_OBJECT",
        ),
        (
            Delivery::new("push", b"{\"a\":\"\xff\"}".to_vec()),
            400,
            "BODY_NOT_JSON_OBJECT",
        ),
        (
            Delivery::new("push", format!("{{\"a\":{}", "[".repeat(100_000))),
            400,
            "BODY_NOT_JSON_OBJECT",
        ),
    ] {
        rig.send(delivery).await.assert(status, code);
    }
    assert!(rig.events().await.is_empty());
    // The service goes on.
    rig.send(push()).await.data();
}

#[tokio::test]
async fn how_wrong_a_signature_was_never_shows() {
    let rig = Rig::new();
    let right = Delivery::push();
    let mut other_secret = right.clone();
    other_secret.sign("another");
    let almost = right.headers["x-hub-signature-256"].to_str().unwrap();
    let almost = format!(
        "{}{}",
        &almost[..almost.len() - 1],
        if almost.ends_with('0') { '1' } else { '0' }
    );
    let mut replies = Vec::new();
    for wrong in [
        right.clone().without("x-hub-signature-256"),
        right.clone().with("x-hub-signature-256", "nonsense"),
        right.clone().with("x-hub-signature-256", &almost),
        other_secret,
        Delivery::new("push", "not json").with("x-hub-signature-256", &almost),
    ] {
        let reply = rig.send(wrong).await;
        let mut json = reply.json.clone();
        json["error"]["requestId"] = Value::Null;
        replies.push((reply.status, json));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    assert_eq!(replies[0].1["error"]["code"], "SIGNATURE_INVALID");
}

#[tokio::test]
async fn checks_are_made_in_their_order() {
    let rig = Rig::with(|options, source| {
        options.body_bytes_max = 100;
        source.events = vec!["issues".into()];
        source.source_rate_per_minute = 1;
    });
    let long = || Delivery::new("push", vec![b' '; 101]);
    let unsigned = |d: Delivery| d.with("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)));
    // Unknown path before everything, headers before the body, size before the signature, signature before parsing.
    for path in ["/webhooks/nobody", "/webhooks/github/nobody"] {
        rig.send(long().at(path).without("content-type"))
            .await
            .assert(404, "SOURCE_UNKNOWN");
    }
    rig.send(long().without("x-github-event"))
        .await
        .assert(400, "HEADER_MISSING");
    rig.send(unsigned(long())).await.assert(413, "BODY_TOO_LARGE");
    rig.send(unsigned(Delivery::new("push", "not json")))
        .await
        .assert(401, "SIGNATURE_INVALID");
    rig.send(Delivery::new("push", "not json"))
        .await
        .assert(400, "BODY_NOT_JSON_OBJECT");
    // The filter comes before the rate, so that what is not wanted spends nothing; forgeries spend nothing either.
    for _ in 0..3 {
        assert_eq!(rig.send(Delivery::new("push", "{}")).await.json["ignored"], true);
        rig.send(unsigned(Delivery::new("issues", "{}")))
            .await
            .assert(401, "SIGNATURE_INVALID");
    }
    rig.send(Delivery::new("issues", "{}")).await.data();
    let limited = rig.send(Delivery::new("issues", "{ }")).await;
    limited.assert(429, "RATE_LIMITED");
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() > 30);
    assert_eq!(rig.events().await.len(), 1);
}

#[tokio::test]
async fn what_is_filtered_out_is_answered_and_not_kept() {
    let rig = Rig::with(|_, source| {
        source.events = vec!["pull_request.opened".into(), "push".into()];
        source.repositories = vec!["octo-org/*".into()];
    });
    let of = |action: &str, repository: &str| {
        let body = json!({"action": action, "repository": {"full_name": repository}});
        Delivery::new("pull_request", body.to_string())
    };
    let ignored = rig.send(of("closed", "octo-org/a")).await;
    assert_eq!(
        (ignored.data()["event"].as_str(), &ignored.json["ignored"]),
        (Some("pull_request"), &json!(true))
    );
    assert_eq!(ignored.data().get("position"), None);
    assert_eq!(rig.send(of("opened", "other/a")).await.json["ignored"], true);
    assert_eq!(rig.send(Delivery::new("ping", "{}")).await.json["ignored"], true);
    assert!(rig.events().await.is_empty());
    let kept = rig.send(of("opened", "Octo-Org/a")).await;
    assert_eq!(
        (kept.data()["duplicate"].as_bool(), kept.json.get("ignored")),
        (Some(false), None)
    );
    assert_eq!(rig.events().await.len(), 1);
}

#[tokio::test]
async fn what_nobody_has_heard_of_is_kept() {
    let rig = Rig::new();
    for (event, body, action, repository) in [
        ("telepathy", r#"{"action":"sent"}"#, json!("sent"), json!(null)),
        ("ping", r#"{"zen":"x","hook":{"id":1}}"#, json!(null), json!(null)),
        (
            "push",
            r#"{"action":5,"repository":{"full_name":["x"]},"sender":"y"}"#,
            json!(null),
            json!(null),
        ),
        (
            "push",
            r#"{"repository":{"full_name":"ö/☃"},"action":"\u00e4"}"#,
            json!("ä"),
            json!("ö/☃"),
        ),
        (
            "push",
            r#"{"a":1,"a":2,"action":"x","action":"y"}"#,
            json!("y"),
            json!(null),
        ),
        ("wat wat", "{ \"cut\": \"\\ud834\" }", json!(null), json!(null)),
    ] {
        let reply = rig.send(Delivery::new(event, body)).await;
        let data = reply.data();
        assert_eq!(
            (&data["event"], &data["action"], &data["repository"]),
            (&json!(event), &action, &repository)
        );
    }
    for (event, stored) in
        rig.events()
            .await
            .iter()
            .zip(["telepathy", "ping", "push", "push", "push", "wat wat"])
    {
        assert_eq!(DeliveryReceived::of(event).unwrap().unwrap().event, stored);
    }
}

#[tokio::test]
async fn deep_nesting_is_kept() {
    let rig = Rig::new();
    let depth = 100_000;
    let body = format!(
        "{{\"a\":{}{},\"action\":\"x\"}}",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    let reply = rig.send(Delivery::new("push", body.clone())).await;
    assert_eq!(reply.data()["action"], "x");
    assert_eq!(rig.body_of(&rig.only().await.0), body);
}

#[tokio::test]
async fn a_user_agent_is_checked_where_that_is_asked_for() {
    let rig = Rig::with(|_, source| source.user_agent_check = true);
    rig.send(Delivery::push().with("user-agent", "curl/8"))
        .await
        .assert(403, "USER_AGENT_REFUSED");
    rig.send(Delivery::push().without("user-agent"))
        .await
        .assert(403, "USER_AGENT_REFUSED");
    rig.send(Delivery::push()).await.data();
}

#[tokio::test]
async fn a_synthetic_delivery_goes_the_real_way() {
    let rig = Rig::new();
    let answer = rig
        .ingest
        .receive_synthetic(SyntheticDelivery::example("ping", "test/repo", Some("x")))
        .await;
    assert_eq!(answer.status, 200);
    let json: Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(
        (&json["data"]["event"], &json["data"]["repository"]),
        (&json!("ping"), &json!("test/repo"))
    );
    let (_, received) = rig.only().await;
    assert!(received.synthetic && matches!(received.proof, Proof::Verified { .. }));
    let again = rig
        .ingest
        .receive_synthetic(SyntheticDelivery::example("ping", "test/repo", None))
        .await;
    let json: Value = serde_json::from_slice(&again.json).unwrap();
    assert_eq!(
        json["data"].get("duplicateOf"),
        None,
        "each has a content of its own"
    );
    let unknown = SyntheticDelivery {
        source: Some("nobody".parse().unwrap()),
        ..SyntheticDelivery::example("ping", "a/b", None)
    };
    assert_eq!(rig.ingest.receive_synthetic(unknown).await.status, 404);
    let unusable = SyntheticDelivery::example("pi\nng", "a/b", None);
    assert_eq!(rig.ingest.receive_synthetic(unusable).await.status, 400);
    assert_eq!(rig.log.head().await.unwrap().get(), 2);
}
