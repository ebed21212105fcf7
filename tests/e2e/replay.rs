//! Replays: one delivery, and all that fits a filter; counted, watched, cancelled, killed and resumed.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Launch, Receiver, Server, Signed, Taken, Tools, eventually};
use crate::reconcile::{answers, forwarded};

const SOON: Duration = Duration::from_secs(60);

fn settings(receiver: &Receiver) -> String {
    format!(
        "[reactors]\naddresses_allowed = [\"127.0.0.0/8\"]\nreplay_rate_per_second = 100\n\
         [[destination]]\nname = \"ci\"\nurl = \"{}\"\nevents = [\"issues\"]\n",
        receiver.url()
    )
}

fn issue(number: usize) -> Signed {
    let body = json!({"action": "opened", "number": number, "repository": {"full_name": "octo-org/hello"}});
    Signed::new("issues", &format!("issue-{number}"), body.to_string())
}

/// A server with so many deliveries, all of them handed on once.
async fn served(folder: &tempfile::TempDir, receiver: &Receiver, count: usize) -> Server {
    let server = Launch::in_folder(folder.path())
        .settings(&settings(receiver))
        .start()
        .await;
    for number in 0..count {
        assert_eq!(server.send(&issue(number)).await.status, 200);
    }
    receiver.has_taken(count, SOON).await;
    done(&server).await;
    server
}

/// Waits until nothing is open.
async fn done(server: &Server) {
    eventually("nothing is open", SOON, || async {
        let data = server.data_of("/api/destinations").await;
        match data["destinations"][0]["open"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(data.to_string()),
        }
    })
    .await;
}

async fn ended(server: &Server, id: &str) -> Value {
    eventually("the replay has ended", SOON, || async {
        let data = server.data_of(&format!("/api/webhooks/replays/{id}")).await;
        if data["status"] == "running" {
            Err(data.to_string())
        } else {
            Ok(data)
        }
    })
    .await
}

fn keys(taken: &[Taken]) -> BTreeSet<String> {
    taken.iter().map(|t| t.idempotency_key().to_owned()).collect()
}

fn printed(launch: &Launch, arguments: &[&str]) -> Value {
    let done = launch.run(arguments);
    let (out, err) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{arguments:?}: {err}{out}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?} printed no JSON ({e}): {out}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_is_replayed_over_rest_and_by_the_command_line() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 1).await;
    let answer = server
        .command(Method::POST, "/api/webhooks/replay/issue-0", None)
        .await;
    assert_eq!(answer.status, 200, "an old client sends no body: {}", answer.json);
    receiver.has_taken(2, SOON).await;
    let url = server.base();
    let by_command = printed(
        server.launch(),
        &[
            "replay",
            "one",
            "issue-0",
            "--reason",
            "once more",
            "--json",
            "--url",
            &url,
        ],
    );
    assert_ne!(
        by_command["id"], answer.json["data"]["id"],
        "each replay is its own"
    );
    let taken = receiver.has_taken(3, SOON).await;
    assert_eq!(keys(&taken).len(), 3, "a replay is not swallowed as a repeat");
    let shown = server.delivery_becomes("issue-0", "processed", SOON).await;
    let history = shown["history"].as_array().unwrap();
    let requests: Vec<_> = history
        .iter()
        .filter(|e| e["type"] == "DeliveryReplayRequested")
        .collect();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1]["facts"]["outcome"]["reason"], "once more");
    assert!(
        requests[1]["facts"]["outcome"]["requestedBy"].is_string(),
        "who is kept: {}",
        requests[1]
    );
    let missing = server
        .command(Method::POST, "/api/webhooks/replay/no-such", None)
        .await;
    assert_eq!(missing.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_what_the_run_does_and_a_second_run_does_it_again() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 12).await;
    let mut order = json!({"filter": {"event": "issues", "repository": "octo-org/*"}, "to": "processing", "dryRun": true, "reason": "x"});
    let counted = server.post("/api/webhooks/replay", order.clone()).await;
    assert_eq!(counted["count"], 12);
    assert_eq!(counted["dryRun"], true);
    // What comes after the count is not part of the run.
    server.send(&issue(100)).await;
    receiver.has_taken(13, SOON).await;
    order["dryRun"] = json!(false);
    order["toPosition"] = counted["toPosition"].clone();
    for run in 1..=2_usize {
        let started = server.post("/api/webhooks/replay", order.clone()).await;
        let replay = ended(&server, started["id"].as_str().unwrap()).await;
        assert_eq!(replay["status"], "completed", "{replay}");
        assert_eq!(replay["requested"], 12, "{replay}");
        let taken = receiver.has_taken(13 + 12 * run, SOON).await;
        done(&server).await;
        assert_eq!(keys(&taken).len(), 13 + 12 * run);
    }
    order["reason"] = Value::Null;
    let refused = server
        .command(Method::POST, "/api/webhooks/replay", Some(order))
        .await;
    assert_eq!(refused.status, 400, "a reason is required: {}", refused.json);
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/replays").await;
    assert_eq!(listed["replays"].as_array().unwrap().len(), 2, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_cancelled_at_half() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 60).await;
    let order = json!({"filter": {}, "to": "processing", "reason": "to be cancelled", "rate": 20});
    let started = server.post("/api/webhooks/replay", order).await;
    let id = started["id"].as_str().unwrap();
    receiver.has_taken(80, SOON).await;
    let answer = server
        .command(Method::DELETE, &format!("/api/webhooks/replays/{id}"), None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let replay = ended(&server, id).await;
    assert_eq!(replay["status"], "cancelled");
    done(&server).await;
    let came = receiver.taken().len();
    assert!((80..120).contains(&came), "{came} came; it stopped in between");
    let again = server
        .command(Method::DELETE, &format!("/api/webhooks/replays/{id}"), None)
        .await;
    assert_eq!(again.status, 200, "cancelled is cancelled: {}", again.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_killed_at_half_goes_on_where_it_was() {
    let tools = Tools::ready();
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 90).await;
    let order = json!({"filter": {}, "to": "processing", "reason": "to be killed", "rate": 30});
    let started = server.post("/api/webhooks/replay", order).await;
    receiver.has_taken(90 + 40, SOON).await;
    let server = server.kill().await.start().await;
    let replay = ended(&server, started["id"].as_str().unwrap()).await;
    assert_eq!(replay["status"], "completed", "{replay}");
    assert_eq!(
        replay["requested"], 90,
        "counted as if nothing had happened: {replay}"
    );
    done(&server).await;
    let taken = receiver.taken();
    assert_eq!(keys(&taken).len(), 180, "each delivery twice, by key");
    let told = forwarded(server.launch(), &tools, &taken);
    eprintln!("killed at half: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_to_the_subjects_publishes_the_original_at_its_own_position() {
    use futures_util::StreamExt as _;
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 1).await;
    let endpoints = std::fs::read_to_string(server.launch().data().join("engines.json")).unwrap();
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    let client =
        async_nats::ConnectOptions::with_token(endpoints["nats"]["token"].as_str().unwrap().to_owned())
            .connect(endpoints["nats"]["url"].as_str().unwrap())
            .await
            .unwrap();
    let subscription = client
        .subscribe("hooklog.v1.default.github.issues.>")
        .await
        .unwrap();
    client.flush().await.unwrap();
    let body = json!({"to": "subjects"});
    let replayed = server.post("/api/webhooks/replay/issue-0", body).await;
    assert_eq!(
        replayed["status"], "processed",
        "the status stays as it is: {replayed}"
    );
    // The delivery itself may be on its way still.
    let replays = |message: &async_nats::Message| {
        let headers = message.headers.as_ref();
        headers.is_some_and(|headers| headers.get("Hooklog-Replay").is_some())
    };
    let mut replays = std::pin::pin!(subscription.filter(|message| std::future::ready(replays(message))));
    let message = tokio::time::timeout(SOON, replays.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, issue(0).body.as_bytes());
    let headers = message.headers.expect("headers");
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Hooklog-Position"), Some(replayed["position"].to_string()));
    assert_eq!(header("Hooklog-Replay").as_deref(), replayed["id"].as_str());
    assert_eq!(header("Hooklog-Original-Position").as_deref(), Some("1"));
    assert_eq!(receiver.taken().len(), 1, "no destination was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilding_everything_gives_the_same_tables_and_calls_no_destination() {
    let tools = Tools::ready();
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let server = served(&folder, &receiver, 30).await;
    let order = json!({"filter": {}, "to": "processing", "reason": "twice"});
    let started = server.post("/api/webhooks/replay", order).await;
    ended(&server, started["id"].as_str().unwrap()).await;
    receiver.has_taken(60, SOON).await;
    done(&server).await;
    server.caught_up().await;
    let before = answers(&server, &tools);
    let came = receiver.taken().len();
    let url = server.base();
    let rebuilt = server
        .launch()
        .run(&["projections", "rebuild", "all", "--url", &url]);
    assert!(
        rebuilt.status.success(),
        "{}",
        String::from_utf8_lossy(&rebuilt.stderr)
    );
    server.caught_up().await;
    assert_eq!(answers(&server, &tools), before);
    let verified = server
        .launch()
        .run(&["projections", "verify", "all", "--url", &url]);
    let text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    assert!(text.lines().all(|line| line.starts_with("ok")), "{text}");
    assert_eq!(receiver.taken().len(), came, "no destination was called");
}
