//! The API as its users meet it: who is let in, what each path answers, how a mistake is explained.

use serde_json::Value;

use crate::harness::{Launch, Server, Signed, eventually};

async fn filled(folder: &tempfile::TempDir) -> Server {
    let server = Launch::in_folder(folder.path()).start().await;
    for n in 0..5 {
        let body = format!(
            r#"{{"action":"opened","n":{n},"repository":{{"full_name":"octo-org/api"}},"sender":{{"login":"octocat"}}}}"#
        );
        assert_eq!(
            server
                .send(&Signed::new("issues", &format!("api-{n}"), body))
                .await
                .status,
            200
        );
    }
    server.caught_up().await;
    server
}

async fn status_with(server: &Server, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = crate::harness::client().get(format!("{}{path}", server.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer").status().as_u16()
}

/// Without a key, only a request made on this machine, by a program and not through a page or a proxy, is let in.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_only_a_true_loopback_client_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    for path in [
        "/api/webhooks/events",
        "/api/webhooks/statistics",
        "/api/projections",
        "/metrics",
    ] {
        assert_eq!(status_with(&server, path, &[]).await, 200, "{path}");
        for header in [
            ("Host", "hooks.example.com"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("Origin", "https://evil.example"),
        ] {
            assert_eq!(
                status_with(&server, path, &[header]).await,
                401,
                "{path} with {header:?}"
            );
        }
    }
    // Liveness, and whether it is ready, are open: a load balancer asks through a proxy.
    assert_eq!(
        status_with(&server, "/health", &[("X-Forwarded-For", "10.1.2.3")]).await,
        200
    );
    assert_eq!(
        status_with(&server, "/ready", &[("X-Forwarded-For", "10.1.2.3")]).await,
        200
    );
    // Receiving is for everybody with a signature.
    let delivery = Signed::new("push", "through-a-proxy", r#"{"through":"a proxy"}"#);
    let mut request = crate::harness::client().post(format!("{}/api/webhooks/github", server.base()));
    for (name, value) in crate::harness::github_headers("push", &delivery.delivery, &delivery.signature) {
        request = request.header(name, value);
    }
    let answer = request
        .header("X-Forwarded-For", "192.30.252.1")
        .body(delivery.body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_path_answers() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    let (status, text) = server.fetch("/openapi.json").await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_slice(&text).expect("the OpenAPI document is JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut asked = 0;
    for (path, operations) in paths.iter().filter(|(_, o)| o.get("get").is_some()) {
        let concrete = path
            .replace("{owner}", "octo-org")
            .replace("{repo}", "api")
            .replace("{name}", "none")
            .replace("{id}", id_for(path));
        assert!(!concrete.contains('{'), "a parameter of {path} is not known here");
        let prefixes = ["", "/api"];
        let mut seen = Vec::new();
        for prefix in prefixes {
            seen.push(server.fetch(&format!("{prefix}{concrete}")).await.0);
        }
        // There is no such job, replay, source, destination or rejected request here: honest 404s.
        let none = [
            "jobs/{id}",
            "replays/{id}",
            "sources/{name}",
            "destinations/{name}",
            "rejected/{id}",
        ];
        let missing = none.iter().any(|path_of_none| path.contains(path_of_none));
        let fine = seen.contains(&200) || missing && seen.contains(&404);
        assert!(
            fine,
            "GET {path} answers {seen:?}: {}",
            operations["get"]["summary"]
        );
        asked += 1;
    }
    assert!(asked >= 15, "only {asked} paths are documented");
    let (status, page) = server.fetch("/docs").await;
    assert_eq!(status, 200);
    let page = String::from_utf8_lossy(&page).to_lowercase();
    assert!(page.contains("<html"), "{page:.200}");
    for outside in ["src=\"http", "href=\"https://cdn", "src=\"//"] {
        assert!(
            !page.contains(outside),
            "the explorer page works offline: {outside}"
        );
    }
}

/// An id of the kind that a path takes.
fn id_for(path: &str) -> &'static str {
    if path.contains("jobs") {
        "1"
    } else if path.contains("replays") || path.contains("rejected") {
        "0199f0c2-8a5e-7cc3-b1a2-3f4e5d6c7b8a"
    } else {
        "api-1"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_named_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    for (path, name, allowed) in [
        ("/api/webhooks/events?status=done", "status", "processed"),
        ("/api/webhooks/events?limit=many", "limit", "1000"),
        ("/api/webhooks/events?offset=20000", "offset", "10000"),
        ("/api/webhooks/events?startDate=yesterday", "startDate", "2026"),
        ("/api/webhooks/events?cursor=nonsense", "cursor", ""),
        ("/api/webhooks/statistics?hours=lots", "hours", ""),
        ("/api/jobs?status=dancing", "status", "queued"),
    ] {
        let answer = server.ask(path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.json);
        let message = answer.json["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            message.contains(name) && message.contains(allowed),
            "{path}: {}",
            answer.json
        );
        assert_eq!(answer.json["success"], false, "{path}: {}", answer.json);
        assert!(
            answer.json["error"]["requestId"].is_string(),
            "{path}: {}",
            answer.json
        );
    }
    // A limit over the most is clamped, as documented, not refused.
    assert_eq!(
        server.data_of("/api/webhooks/events?limit=5000").await["limit"],
        1000
    );
    assert_eq!(
        server.ask("/api/webhooks/events/no-such-delivery").await.status,
        404
    );
    assert_eq!(server.ask("/api/no-such-path").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_delivery_goes_the_real_way_and_is_left_out_of_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    let client = crate::harness::client();
    let answer = client
        .post(format!("{}/api/webhooks/test", server.base()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["data"]["event"], "ping", "{answer}");
    let id = answer["data"]["deliveryId"]
        .as_str()
        .expect("a delivery id")
        .to_owned();
    let seen = server.data_of(&format!("/api/webhooks/events/{id}")).await;
    assert_eq!(
        (&seen["repository"], &seen["synthetic"]),
        (&"test/repo".into(), &true.into()),
        "{seen}"
    );
    server.caught_up().await;
    eventually(
        "the statistics count the others only",
        std::time::Duration::from_secs(10),
        || async {
            let data = server.data_of("/api/webhooks/statistics").await;
            if data["summary"]["totalEvents"] == 5 {
                Ok(())
            } else {
                Err(data["summary"].to_string())
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_keep_the_names_that_dashboards_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    let repeat = Signed::new("issues", "api-1", "{}");
    assert!(server.send(&repeat).await.is_duplicate());
    let (_, text) = server.fetch("/health").await;
    let health: Value = serde_json::from_slice(&text).unwrap();
    for field in [
        "status",
        "timestamp",
        "uptime",
        "version",
        "queue_size",
        "max_queue_size",
    ] {
        assert!(!health[field].is_null(), "{field}: {health}");
    }
    let (status, text) = server.fetch("/metrics").await;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200);
    let counted = |status: &str, n: u32| {
        let found = text.lines().find(|l| {
            l.starts_with("webhook_events_total{")
                && l.contains("event=\"issues\"")
                && l.contains(&format!("status=\"{status}\""))
        });
        assert!(
            found.is_some_and(|l| l.ends_with(&format!(" {n}"))),
            "{status}: {found:?}\n{text}"
        );
    };
    counted("success", 5);
    counted("duplicate", 1);
    let (status, text) = server.fetch("/metrics.json").await;
    let json: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(status, 200);
    assert!(
        json["server"]["memoryUsage"]["rss"]
            .as_u64()
            .is_some_and(|rss| rss > 0),
        "{json}"
    );
    assert!(json["eventStore"]["eventsStored"].as_u64() == Some(5), "{json}");
}

/// Payloads and secrets are in no log, whatever is received.
#[tokio::test(flavor = "multi_thread")]
async fn neither_bodies_nor_secrets_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_TELEMETRY__FORMAT", "json")
        .start()
        .await;
    let body = r#"{"confidential":"the-crown-jewels","repository":{"full_name":"a/b"}}"#;
    let good = Signed::new("push", "confidential-1", body);
    let forged = Signed {
        delivery: "confidential-2".into(),
        signature: format!("sha256={}", "a".repeat(64)),
        ..good.clone()
    };
    assert_eq!(server.send(&good).await.status, 200);
    assert_eq!(server.send(&forged).await.status, 401);
    server.caught_up().await;
    eventually(
        "both are in the logs",
        std::time::Duration::from_secs(10),
        || async {
            let printed = server.printed();
            let both = printed.contains("github_webhook_received")
                && printed.contains("webhook_signature_verification_failed");
            if both { Ok(()) } else { Err(printed) }
        },
    )
    .await;
    let printed = server.printed();
    assert!(
        printed.contains("confidential-1"),
        "the delivery's id is: {printed}"
    );
    for secret in [
        "the-crown-jewels",
        crate::harness::SECRET,
        &good.signature,
        &good.signature[7..],
    ] {
        assert!(!printed.contains(secret), "{secret} was logged");
    }
}
