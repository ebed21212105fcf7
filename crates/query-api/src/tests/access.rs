//! Who is let in, and what every answer carries.

use poem::http::{Method, StatusCode};

use super::World;
use crate::Anonymous;

/// Paths that need nothing, need reading, need more.
const OPEN: [&str; 2] = ["/health", "/ready"];
const READ: [&str; 11] = [
    "/api/webhooks/events",
    "/api/webhooks/events/types",
    "/api/webhooks/health",
    "/api/webhooks/replays",
    "/api/destinations",
    "/api/projections",
    "/metrics",
    "/metrics.json",
    "/openapi.json",
    "/docs",
    "/api/no-such-path",
];
const OPERATE: [&str; 6] = [
    "/api/webhooks/test",
    "/api/webhooks/retry-failed",
    "/api/destinations/ci/pause",
    "/api/destinations/ci/resume",
    "/api/projections/jobs/rebuild",
    "/api/projections/jobs/verify",
];

async fn status(
    world: &World,
    peer: &str,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
) -> u16 {
    let client = world.client_at(peer);
    let mut request = client.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.0.status().as_u16()
}

#[tokio::test]
async fn a_true_loopback_client_is_let_in_everywhere() {
    let world = World::new();
    for path in OPEN.iter().chain(&READ) {
        let seen = status(&world, "127.0.0.1:5000", Method::GET, path, &[]).await;
        assert!(matches!(seen, 200 | 404), "{path}: {seen}");
    }
    for path in OPERATE {
        assert_eq!(
            status(&world, "[::1]:5000", Method::POST, path, &[]).await,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn all_others_are_told_401_but_for_liveness_and_readiness() {
    let world = World::new();
    let strangers: [(&str, &[(&'static str, &str)]); 7] = [
        ("10.0.0.7:5000", &[]),
        ("127.0.0.1:5000", &[("host", "hooks.example.com")]),
        ("127.0.0.1:5000", &[("x-forwarded-for", "127.0.0.1")]),
        ("127.0.0.1:5000", &[("forwarded", "for=127.0.0.1")]),
        ("127.0.0.1:5000", &[("origin", "https://evil.example")]),
        ("127.0.0.1:5000", &[("origin", "null")]),
        ("127.0.0.1:5000", &[("sec-fetch-site", "cross-site")]),
    ];
    for (peer, headers) in strangers {
        for path in READ {
            let seen = status(&world, peer, Method::GET, path, headers).await;
            assert_eq!(seen, 401, "GET {path} from {peer} with {headers:?}");
        }
        for path in OPERATE {
            let seen = status(&world, peer, Method::POST, path, headers).await;
            assert_eq!(seen, 401, "POST {path} from {peer} with {headers:?}");
        }
        for path in OPEN {
            let seen = status(&world, peer, Method::GET, path, headers).await;
            assert_eq!(seen, 200, "GET {path} from {peer} with {headers:?}");
        }
    }
    assert!(
        world.told.sent.lock().unwrap().is_empty(),
        "nothing was sent for a stranger"
    );
}

#[tokio::test]
async fn anonymous_read_opens_reading_and_nothing_more() {
    let mut world = World::new();
    world.options.anonymous = Some(Anonymous::Read);
    for path in READ {
        let seen = status(&world, "10.0.0.7:5000", Method::GET, path, &[]).await;
        assert!(matches!(seen, 200 | 404), "{path}: {seen}");
    }
    for path in OPERATE {
        assert_eq!(
            status(&world, "10.0.0.7:5000", Method::POST, path, &[]).await,
            401,
            "{path}"
        );
    }
}

#[tokio::test]
async fn open_metrics_opens_metrics_and_the_details_of_readiness() {
    let mut world = World::new();
    let ready = |world: &World| {
        let client = world.client_at("10.0.0.7:5000");
        async move {
            client
                .get("/ready")
                .send()
                .await
                .json()
                .await
                .value()
                .object()
                .get_opt("components")
                .is_some()
        }
    };
    assert!(!ready(&world).await);
    world.options.open_metrics = true;
    assert!(ready(&world).await);
    assert_eq!(
        status(&world, "10.0.0.7:5000", Method::GET, "/metrics", &[]).await,
        200
    );
    assert_eq!(
        status(&world, "10.0.0.7:5000", Method::GET, "/api/projections", &[]).await,
        401
    );
}

#[tokio::test]
async fn a_page_of_a_configured_origin_is_let_in_and_told_so() {
    let mut world = World::new();
    world.options.cors_origins = vec!["https://ops.example.com".into()];
    let client = world.client();
    let answer = client
        .get("/api/webhooks/events")
        .header("origin", "https://ops.example.com")
        .send()
        .await;
    answer.assert_status_is_ok();
    answer.assert_header("access-control-allow-origin", "https://ops.example.com");
    let asked = client
        .request(Method::OPTIONS, "/api/webhooks/test")
        .header("origin", "https://ops.example.com")
        .header("access-control-request-method", "POST");
    let answer = asked.send().await;
    answer.assert_status(StatusCode::NO_CONTENT);
    answer.assert_header("access-control-allow-origin", "https://ops.example.com");
    let foreign = client
        .request(Method::OPTIONS, "/api/webhooks/test")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let answer = foreign.send().await;
    answer.assert_header_is_not_exist("access-control-allow-origin");
    answer.assert_status(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_security_headers() {
    let world = World::new();
    let client = world.client();
    for path in ["/health", "/api/webhooks/events", "/api/no-such-path", "/docs"] {
        let answer = client.get(path).header("x-request-id", "trace-1").send().await;
        answer.assert_header("x-request-id", "trace-1");
        answer.assert_header("x-content-type-options", "nosniff");
        answer.assert_header("x-frame-options", "DENY");
        answer.assert_header_exist("content-security-policy");
        answer.assert_header_is_not_exist("access-control-allow-origin");
    }
    let answer = client
        .get("/health")
        .header("x-request-id", "no good!")
        .send()
        .await;
    let id = answer.0.header("x-request-id").unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_refused_in_json() {
    let world = World::new();
    assert!(world.refusal("/api/no-such-path", 404).await.contains("/docs"));
    let answer = world.client().delete("/api/webhooks/events").send().await;
    answer.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    let json = answer.json().await;
    let error = json.value().object().get("error");
    error.object().get("code").assert_string("METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let world = World::new();
    let answer = world.client().head("/health").send().await;
    answer.assert_status_is_ok();
    assert!(
        answer
            .0
            .into_body()
            .into_bytes_limit(10)
            .await
            .unwrap()
            .is_empty()
    );
}
