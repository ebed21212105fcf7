//! Rejected requests: each is found with its reason, none shows a secret, and a flood pushes out nothing but itself.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Launch, RawConnection, SECRET, Server, Signed, eventually, github_headers, openssl_signature,
};

/// How soon a rejected request is found.
const SOON: Duration = Duration::from_secs(1);
const STREAM_BYTES_MAX: u64 = 2 * 1024 * 1024;
const FORGERIES: usize = 20_000;
const SENDERS: usize = 64;

async fn server(folder: &tempfile::TempDir) -> Server {
    let settings = format!("[rejected]\nbytes_max = {STREAM_BYTES_MAX}\n");
    let launch = Launch::in_folder(folder.path())
        .env("HOOKLOG_INGEST__BODY_BYTES_MAX", "2000")
        .settings(&settings);
    launch.start().await
}

/// Posts to `github`; status and the request id of the answer.
async fn post(
    client: &reqwest::Client,
    server: &Server,
    headers: &[(&str, String)],
    body: &str,
) -> (u16, String) {
    let mut request = client.post(format!("{}/api/webhooks/github", server.base()));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.body(body.to_owned()).send().await.expect("an answer");
    let status = answer.status().as_u16();
    let json: Value = answer.json().await.expect("JSON");
    let id = json["error"]["requestId"].as_str().unwrap_or_default();
    (status, id.to_owned())
}

/// The rejected request of an id, as soon as it is there.
async fn found(server: &Server, id: &str) -> Value {
    eventually(&format!("the rejected request {id} is found"), SOON, || async {
        let answer = server.ask(&format!("/api/webhooks/rejected/{id}")).await;
        if answer.status == 200 {
            Ok(answer.json["data"].clone())
        } else {
            Err(answer.json.to_string())
        }
    })
    .await
}

fn signed(id: &str, body: &str) -> Vec<(&'static str, String)> {
    github_headers("push", id, &openssl_signature(SECRET, body.as_bytes()))
}

fn without(mut headers: Vec<(&'static str, String)>, name: &str) -> Vec<(&'static str, String)> {
    headers.retain(|(n, _)| *n != name);
    headers
}

fn with(
    headers: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    let mut headers = without(headers, name);
    headers.push((name, value.to_owned()));
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rejection_is_found_with_its_reason_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let client = crate::harness::client();
    let large = "x".repeat(3000);
    let wrong = openssl_signature("nobody's secret", b"{}");
    let cases = [
        (
            without(signed("a", "{}"), "X-GitHub-Event"),
            "{}",
            400,
            "header_missing",
        ),
        (signed("b", "[]"), "[]", 400, "not_json_object"),
        (
            with(signed("c", "{}"), "X-Hub-Signature-256", &wrong),
            "{}",
            401,
            "signature_invalid",
        ),
        (
            without(signed("d", "{}"), "X-Hub-Signature-256"),
            "{}",
            401,
            "signature_invalid",
        ),
        (
            with(signed("e", "{}"), "Content-Type", "text/plain"),
            "{}",
            415,
            "content_type",
        ),
        (signed("f", &large), large.as_str(), 413, "body_too_large"),
    ];
    for (headers, body, status, reason) in cases {
        let headers = with(headers, "Authorization", &format!("Bearer {SECRET}"));
        let (answered, id) = post(&client, &server, &headers, body).await;
        assert_eq!(answered, status, "{reason}");
        let kept = found(&server, &id).await;
        assert_eq!(kept["reason"], reason, "{kept}");
        assert_eq!(kept["remote"], "127.0.0.1", "{kept}");
        let right = openssl_signature(SECRET, body.as_bytes());
        let text = kept.to_string();
        assert!(!text.contains(SECRET) && !text.contains(&right[7..]), "{text}");
        // The rest was turned away before any of the body was read.
        let read = reason == "not_json_object" || headers.iter().any(|(_, value)| *value == wrong);
        assert_eq!(
            (kept["bodyBytes"].is_null(), &kept["bodyKept"]),
            (!read, &read.into()),
            "{kept}"
        );
    }
    let unknown = client
        .post(format!("{}/api/webhooks/nobody", server.base()))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    let listed = server
        .data_of("/api/webhooks/rejected?reason=signature_invalid")
        .await;
    assert_eq!(listed["rejected"].as_array().map(Vec::len), Some(2), "{listed}");
    let printed = server.launch().run(&["rejected", "--url", &server.base()]);
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(
        printed.status.success() && text.contains("not_json_object"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forgeries_pushes_out_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let client = crate::harness::client();
    let (status, honest) = post(
        &client,
        &server,
        &without(signed("a", "{}"), "X-GitHub-Event"),
        "{}",
    )
    .await;
    assert_eq!(status, 400);
    found(&server, &honest).await;
    let mut flood = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (client, base) = (client.clone(), server.base());
        flood.spawn(async move {
            let body = "y".repeat(1500);
            for n in 0..FORGERIES / SENDERS {
                let id = format!("{sender}-{n}");
                let headers = github_headers("push", &id, &format!("sha256={}", "0".repeat(64)));
                let mut request = client.post(format!("{base}/api/webhooks/github"));
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let answer = request.body(body.clone()).send().await.expect("an answer");
                assert_eq!(answer.status(), 401);
            }
        });
    }
    let taken = server.send(&Signed::new("push", "meanwhile", "{}")).await;
    assert_eq!(taken.status, 200);
    while let Some(ended) = flood.join_next().await {
        ended.unwrap();
    }
    found(&server, &honest).await;
    let (status, later) = post(&client, &server, &signed("b", "[]"), "[]").await;
    assert_eq!(status, 400);
    found(&server, &later).await;
    let listed = server.data_of("/api/webhooks/rejected?limit=1000").await;
    let kinds = listed["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    let (_, metrics) = server.fetch("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics);
    let counted = "hooklog_ingest_rejected_total{source=\"github\",reason=\"signature_invalid\"}";
    let line = metrics
        .lines()
        .find(|line| line.starts_with(counted))
        .unwrap_or_default();
    assert!(
        line.ends_with(&format!(" {}", FORGERIES / SENDERS * SENDERS)),
        "{line:?}"
    );
    let bytes = on_disk(&folder.path().join("data/nats"), "HOOKLOG_REJECTED");
    assert!(
        (1..=2 * STREAM_BYTES_MAX).contains(&bytes),
        "{bytes} bytes on disk"
    );
    server.stop().await;
}

/// Bytes of the files below folders of a name.
fn on_disk(folder: &std::path::Path, name: &str) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let (path, inside) = (entry.path(), entry.file_name() == name);
            match entry.metadata() {
                Ok(meta) if meta.is_dir() && inside => whole(&path),
                Ok(meta) if meta.is_dir() => on_disk(&path, name),
                _ => 0,
            }
        })
        .sum()
}

fn whole(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => whole(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_is_found_with_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let mut head: Vec<String> = signed("early", "{}")
        .iter()
        .map(|(n, v)| format!("{n}: {v}"))
        .collect();
    head.push("Content-Length: 100".into());
    let mut connection = RawConnection::to(&server).await;
    connection.write_head(&head).await;
    connection.write(b"{\"a\":1").await;
    connection.finish().await;
    drop(connection.answer().await);
    let kept = eventually("it is found", SOON, || async {
        let data = server.data_of("/api/webhooks/rejected").await;
        data["rejected"].get(0).cloned().ok_or_else(|| data.to_string())
    })
    .await;
    assert_eq!(kept["reason"], "body_incomplete", "{kept}");
    assert_eq!(
        (&kept["announcedBytes"], &kept["bodyBytes"]),
        (&100.into(), &6.into()),
        "{kept}"
    );
    assert_eq!(kept["bodyKept"], false, "{kept}");
    server.stop().await;
}
