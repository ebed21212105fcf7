//! The OpenAPI document against the running server: what it says is what is answered, by a program that makes up requests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Launch, Signed, Tools, knob};

/// Requests made up per operation and phase; `make drill` makes more.
const EXAMPLES: usize = 12;

/// Gives up at once: the address is refused.
const DESTINATION: &str =
    "[[destination]]\nname = \"ci\"\nurl = \"http://127.0.0.1:9/\"\nevents = [\"ping\"]\n";

/// Deliveries that `schemathesis.toml` knows by name.
fn named() -> [Signed; 4] {
    let repository = json!({"full_name": "octo-org/hello"});
    let job = json!({"id": 7, "run_id": 1, "run_attempt": 1, "name": "x", "status": "queued", "labels": ["production"],
        "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z"});
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let of = |event, id, body: Value| Signed::new(event, id, body.to_string());
    [
        of(
            "push",
            "schema-push",
            json!({"ref": "refs/heads/main", "repository": repository}),
        ),
        of(
            "ping",
            "schema-dead",
            json!({"zen": "Design for failure.", "repository": repository}),
        ),
        of(
            "workflow_job",
            "schema-job",
            json!({"action": "queued", "workflow_job": job, "repository": repository}),
        ),
        Signed::new("push", "schema-nested", nested),
    ]
}

/// Nothing but what the document says: no error of the server's, no undocumented status or content type, no answer of another
/// shape. The requests are the same every time.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_names() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .settings(DESTINATION)
        .start()
        .await;
    let examples = Signed::examples(&tools);
    for delivery in examples.iter().step_by(4).chain(&named()) {
        assert_eq!(server.send(delivery).await.status, 200, "{}", delivery.delivery);
    }
    server
        .delivery_becomes("schema-dead", "dead", Duration::from_secs(30))
        .await;
    let order = json!({"filter": {"event": "push"}, "to": "subjects", "reason": "to have one"});
    server.post("/api/webhooks/replay", order).await;
    let source = json!({"name": "ci", "secret": "of the schema", "secretId": "7"});
    server.post("/api/sources", source).await;
    server.caught_up().await;

    let examples = knob("HOOKLOG_SCHEMA_EXAMPLES", EXAMPLES).to_string();
    // With a key, as it will make keys: the first one ends the time without.
    let made = server
        .launch()
        .run(&["key", "create", "schema", "--scope", "admin"]);
    let key = String::from_utf8(made.stdout).unwrap();
    let printed = tools.schemathesis(&server.base(), &examples, key.trim());
    eprintln!("{printed}");
    // It is still there, and has not lost its answers.
    assert_eq!(server.ask("/health").await.status, 200);
    server.ready().await;
}
