//! The API guide: it covers every path that the service documents, and its examples work as they stand.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Launch, Server, Signed, Tools};

fn guide() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).unwrap()
}

/// A server that knows what the guide asks for.
async fn filled(folder: &tempfile::TempDir) -> Server {
    let server = Launch::in_folder(folder.path()).start().await;
    let push = r#"{"ref":"refs/heads/main","commits":[],"repository":{"full_name":"octo-org/api"},"sender":{"login":"octocat"}}"#;
    let named = Signed::new("push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", push);
    assert_eq!(server.send(&named).await.status, 200);
    // Among them is the job of the guide.
    for delivery in Signed::examples(&Tools::ready()) {
        if delivery.event.starts_with("workflow") {
            assert_eq!(server.send(&delivery).await.status, 200);
        }
    }
    server.caught_up().await;
    server
}

/// Runs an example word for word, but for the port.
fn run(example: &str, port: u16) -> String {
    let here = example.replace("127.0.0.1:3000", &format!("127.0.0.1:{port}"));
    let here = here.replacen("curl", "curl -sS --fail-with-body", 1);
    let done = Command::new("bash").args(["-c", &here]).output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{example}\n{err}{out}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_guide_works() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(&folder).await;
    let guide = guide();
    let examples: Vec<&str> = guide.lines().filter(|l| l.starts_with("curl ")).collect();
    assert!(examples.len() >= 18, "only {} examples", examples.len());
    for example in examples {
        let answer = run(example, server.port());
        if example.contains("/api/") && !example.contains('|') {
            let json: Value =
                serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{example}: {e}\n{answer}"));
            assert_eq!(json["success"], true, "{example}\n{answer}");
        }
        assert!(!answer.trim().is_empty(), "{example} says nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_covers_every_documented_path() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let guide = guide();
    let (_, document) = server.fetch("/openapi.json").await;
    let document: Value = serde_json::from_slice(&document).unwrap();
    let mut missing = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations
            .as_object()
            .into_iter()
            .flatten()
            .map(|(method, _)| method.to_uppercase())
        {
            let told = ["", "/api"]
                .iter()
                .any(|prefix| guide.contains(&format!("`{method} {prefix}{path}`")));
            if !told {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/api.md does not tell of {missing:#?}");
}
