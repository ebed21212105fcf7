//! The OpenAPI document and the page that explores it.

use serde_json::Value;

use super::World;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");

fn document() -> Value {
    serde_json::from_str(&World::new().api().document()).unwrap()
}

/// To take a change on: `cargo test -p query-api write_the_golden_document -- --ignored`.
#[test]
#[ignore = "writes the golden file"]
fn write_the_golden_document() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    std::fs::create_dir_all(std::path::Path::new(GOLDEN).parent().unwrap()).unwrap();
    std::fs::write(GOLDEN, text).unwrap();
}

#[test]
fn the_document_is_the_golden_one() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    assert!(
        golden == document(),
        "the contract changed; if that is meant: cargo test -p query-api write_the_golden_document -- --ignored"
    );
}

#[test]
fn every_endpoint_of_the_contract_is_documented() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    for (method, path) in [
        ("get", "/api/webhooks/events"),
        ("get", "/api/webhooks/events/{id}"),
        ("get", "/api/webhooks/events/{id}/body"),
        ("get", "/api/webhooks/events/types"),
        ("get", "/api/webhooks/statistics"),
        ("get", "/api/webhooks/health"),
        ("get", "/api/webhooks/stream"),
        ("get", "/api/webhooks/failed"),
        ("get", "/api/webhooks/failed/causes"),
        ("get", "/api/webhooks/rejected"),
        ("get", "/api/webhooks/rejected/{id}"),
        ("post", "/api/webhooks/test"),
        ("post", "/api/webhooks/verify"),
        ("get", "/api/repositories"),
        ("get", "/api/repositories/{owner}/{repo}/activity"),
        ("get", "/api/jobs"),
        ("get", "/api/jobs/{id}"),
        ("get", "/api/jobs/metrics"),
        ("get", "/api/workflow-runs"),
        ("get", "/api/runners/pool/status"),
        ("get", "/api/projections"),
        ("post", "/api/projections/{name}/rebuild"),
        ("delete", "/api/projections/{name}/rebuild"),
        ("post", "/api/projections/{name}/verify"),
        ("post", "/api/webhooks/replay/{id}"),
        ("post", "/api/webhooks/replay"),
        ("get", "/api/webhooks/replays"),
        ("get", "/api/webhooks/replays/{id}"),
        ("delete", "/api/webhooks/replays/{id}"),
        ("post", "/api/webhooks/retry-failed"),
        ("get", "/api/destinations"),
        ("get", "/api/destinations/{name}"),
        ("post", "/api/destinations/{name}/pause"),
        ("post", "/api/destinations/{name}/resume"),
        ("get", "/api/sources"),
        ("post", "/api/sources"),
        ("get", "/api/sources/{name}"),
        ("patch", "/api/sources/{name}"),
        ("delete", "/api/sources/{name}"),
        ("post", "/api/sources/{name}/pause"),
        ("post", "/api/sources/{name}/resume"),
        ("post", "/api/sources/{name}/secrets"),
        ("delete", "/api/sources/{name}/secrets/{id}"),
        ("post", "/api/sources/{name}/rotate"),
        ("post", "/api/secrets/reseal"),
        ("get", "/api/keys"),
        ("post", "/api/keys"),
        ("delete", "/api/keys/{id}"),
        ("get", "/api/audit"),
        ("post", "/api/login"),
        ("post", "/api/logout"),
        ("get", "/api/whoami"),
        ("get", "/health"),
        ("get", "/ready"),
        ("get", "/metrics"),
        ("get", "/metrics.json"),
    ] {
        let operation = &paths.get(path).unwrap_or_else(|| panic!("{path} is missing"))[method];
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(operation["operationId"].is_string(), "{method} {path}");
    }
}

#[test]
fn every_content_type_that_is_answered_is_documented() {
    let document = document();
    let kinds = |path: &str| {
        let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
        content.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        kinds("/metrics"),
        [
            "application/json; charset=utf-8",
            "text/plain; version=0.0.4; charset=utf-8"
        ]
    );
    // The sender's own, whatever that is.
    assert_eq!(kinds("/api/webhooks/events/{id}/body"), ["*/*"]);
}

#[tokio::test]
async fn the_document_is_served_as_it_is() {
    let (status, served) = World::new().get("/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(served, document());
}

#[tokio::test]
async fn the_page_works_offline() {
    let answer = World::new().client().get("/docs").send().await;
    answer.assert_status_is_ok();
    let policy = answer.0.header("content-security-policy").unwrap().to_owned();
    for rule in [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src data:",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    let page = answer.0.into_body().into_string().await.unwrap();
    let head = &page[..page.find("<script").unwrap().min(page.len())];
    assert!(page.starts_with("<!doctype html>") && head.contains("<title>Hooklog API</title>"));
    for outside in ["<link", "src=\"http", "src=\"//", "src='http", "@import"] {
        assert!(!page.contains(outside), "the page loads something: {outside}");
    }
}
