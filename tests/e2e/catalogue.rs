//! The catalogue of known events, against real payloads.

use crate::harness::{Launch, Tools};

/// As many as `@octokit/webhooks-examples` has for all servers.
const EXAMPLES: usize = 329 + 49 + 49 + 50 + 124 + 125;

#[tokio::test(flavor = "multi_thread")]
async fn every_example_payload_is_a_known_event_and_action() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let (status, types) = server.fetch("/api/webhooks/events/types").await;
    assert_eq!(status, 200);
    let file = folder.path().join("types.json");
    std::fs::write(&file, types).unwrap();
    let seen = tools.node("catalogue.mjs", &[&file.display().to_string()]);
    assert_eq!(seen.trim(), EXAMPLES.to_string());
}
