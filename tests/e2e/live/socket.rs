//! Socket.IO with the clients that people use: socket.io-client and python-socketio.

use serde_json::{Value, json};

use super::client::{Listener, PATIENCE};
use crate::harness::{Launch, Server, Signed, Tools, eventually};

const HELLO: &str = "Octo-Org/Hello";
const OTHER: &str = "octo-org/other";

fn signed(event: &str, id: &str, repository: &str, more: Value) -> Signed {
    let mut body = json!({"action": "created", "repository": {"full_name": repository}, "serial": id});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    Signed::new(event, id, body.to_string())
}

fn job(id: &str, repository: &str) -> Signed {
    let job = json!({"id": 7, "run_id": 1, "run_attempt": 1, "name": "build", "status": "queued", "labels": ["x"],
        "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z"});
    signed("workflow_job", id, repository, json!({"workflow_job": job}))
}

fn push(id: &str, repository: &str) -> Signed {
    signed(
        "push",
        id,
        repository,
        json!({"ref": "refs/heads/main", "commits": []}),
    )
}

fn alert(id: &str, repository: &str) -> Signed {
    signed(
        "dependabot_alert",
        id,
        repository,
        json!({"alert": {"number": 3}}),
    )
}

async fn send_all(server: &Server, prefix: &str) {
    for (n, repository) in [(1, HELLO), (2, OTHER)] {
        for delivery in [
            job(&format!("{prefix}-job-{n}"), repository),
            push(&format!("{prefix}-push-{n}"), repository),
            alert(&format!("{prefix}-alert-{n}"), repository),
        ] {
            assert_eq!(server.send(&delivery).await.status, 200);
        }
    }
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["deliveryId"].as_str().unwrap())
        .collect()
}

/// Whoever subscribed to a repository hears what is of it, as rows and typed.
async fn hears_its_room_alone(room: &Listener) {
    let rows = room.heard("webhook-event", 3).await;
    assert_eq!(
        ids(&rows),
        ["a-job-1", "a-push-1", "a-alert-1"],
        "only of its room"
    );
    assert_eq!(
        (&rows[0]["eventType"], &rows[0]["event"]),
        (&json!("workflow_job"), &json!("workflow_job"))
    );
    let jobs = room.heard("workflow-job", 1).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["job"]["name"], "build");
    assert_eq!(jobs[0]["repository"]["full_name"], HELLO);
    assert_eq!(
        (&jobs[0]["action"], &jobs[0]["position"]),
        (&json!("created"), &rows[0]["position"])
    );
    assert_eq!(room.all("push-event")[0]["push"]["ref"], "refs/heads/main");
    assert_eq!(room.heard("security-alert", 1).await[0]["alert"]["number"], 3);
}

/// The client programs of the contract, in one language over one transport.
async fn programs(language: &str, transports: Value) {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let base = server.base();
    let subscribe = json!([["subscribe:repository", "octo-org/HELLO"]]);
    let room = json!({"transports": transports, "subscribe": subscribe});
    let room = Listener::joined(&tools, language, &base, &room).await;
    let all = Listener::joined(&tools, language, &base, &json!({"transports": transports})).await;
    let filter = json!([["subscribe:webhook-events", {"eventType": "push", "source": "github"}]]);
    let filtered = json!({"namespace": "/webhooks", "transports": transports, "subscribe": filter});
    let filtered = Listener::joined(&tools, language, &base, &filtered).await;
    let monitoring = json!({"namespace": "/monitoring", "transports": transports});
    let monitoring = Listener::joined(&tools, language, &base, &monitoring).await;
    assert_eq!(room.all("ack"), [json!({"ok": true})]);

    send_all(&server, "a").await;
    let rows = all.heard("webhook-event", 6).await;
    let sent = [
        "a-job-1",
        "a-push-1",
        "a-alert-1",
        "a-job-2",
        "a-push-2",
        "a-alert-2",
    ];
    assert_eq!(ids(&rows), sent, "each once, in order");
    assert_eq!(ids(&all.heard("push-event", 2).await), ["a-push-1", "a-push-2"]);
    hears_its_room_alone(&room).await;
    assert_eq!(ids(&filtered.heard("event", 2).await), ["a-push-1", "a-push-2"]);
    eventually("/monitoring shows what was received", PATIENCE, || async {
        let updates = monitoring.all("update");
        let last = updates.last().cloned().unwrap_or_default();
        if last["summary"]["totalEvents"] == 6 && last["health"]["healthScore"].is_number() {
            Ok(())
        } else {
            Err(last.to_string())
        }
    })
    .await;

    // It goes away and comes back, and they are there again.
    let server = server.stop().await.start().await;
    room.heard("connected", 2).await;
    all.heard("connected", 2).await;
    send_all(&server, "b").await;
    let rows = room.heard("webhook-event", 6).await;
    assert_eq!(ids(&rows)[3..], ["b-job-1", "b-push-1", "b-alert-1"]);
    assert_eq!(all.heard("webhook-event", 12).await.len(), 12);
    assert!(
        room.all("notice")
            .iter()
            .all(|notice| notice["code"] == "SHUTTING_DOWN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_io_client_over_a_websocket() {
    programs("node", json!(["websocket"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_io_client_by_polling() {
    programs("node", json!(["polling"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_io_client_that_upgrades() {
    programs("node", json!(["polling", "websocket"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio() {
    programs("python", json!(["websocket"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_socketio_by_polling() {
    programs("python", json!(["polling"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_tenant_a_wrong_one_nothing_and_a_revoked_one_no_longer() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let key = |arguments: &[&str]| {
        let done = server.launch().run(&[&["key", "create"], arguments].concat());
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let own = key(&["own", "--scope", "read"]);
    let other = key(&["other", "--scope", "read", "--tenant", "team-b"]);
    let base = server.base();
    let by_token = Listener::joined(&tools, "node", &base, &json!({"token": own})).await;
    let by_header = json!({"headers": {"Authorization": format!("Bearer {own}")}});
    let by_header = Listener::joined(&tools, "python", &base, &by_header).await;
    let others = Listener::joined(&tools, "node", &base, &json!({"token": other})).await;
    for wrong in [
        json!({"token": "hk_wrong_key"}),
        json!({}),
        json!({"headers": {"X-Api-Key": "hk_x_y"}}),
    ] {
        let refused = Listener::start(&tools, "node", &base, &wrong);
        refused.heard("connect_error", 1).await;
        assert!(refused.all("connected").is_empty(), "{wrong}");
    }
    send_all(&server, "a").await;
    assert_eq!(by_token.heard("webhook-event", 6).await.len(), 6);
    assert_eq!(by_header.heard("webhook-event", 6).await.len(), 6);
    assert!(others.all("webhook-event").is_empty(), "of another tenant");
    let id = own.split('_').nth(1).unwrap();
    assert!(server.launch().run(&["key", "revoke", id]).status.success());
    for revoked in [&by_token, &by_header] {
        assert_eq!(revoked.heard("notice", 1).await[0]["code"], "KEY_REVOKED");
        revoked.heard("disconnect", 1).await;
    }
    assert!(others.all("disconnect").is_empty(), "of another key");
}
