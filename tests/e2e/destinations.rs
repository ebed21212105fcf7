//! Deliveries are handed on: to a receiver that fails, hangs, breaks off or is away, as the pages say.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Behaviour, Launch, Receiver, Server, Signed, Taken, Tools, eventually};

const SOON: Duration = Duration::from_secs(30);
/// A secret of Standard Webhooks, 24 random bytes in base64.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Settings with short pauses, and one destination.
fn settings(url: &str, more: &str) -> String {
    format!(
        "[reactors]\nretry_delay_ms = 50\nbreaker_failures = 100\naddresses_allowed = [\"127.0.0.0/8\"]\n\
         [[destination]]\nname = \"ci\"\nurl = \"{url}\"\n{more}\n"
    )
}

fn push(delivery: &str) -> Signed {
    let body =
        json!({"ref": "refs/heads/main", "repository": {"full_name": "octo-org/hello"}, "number": delivery});
    Signed::new("push", delivery, body.to_string())
}

/// The outcome events of a delivery's history: type and what happened.
fn outcomes(delivery: &Value) -> Vec<(String, Value)> {
    let history = delivery["history"].as_array().expect("a history");
    let outcome = |event: &Value| {
        let kind = event["type"].as_str().expect("a type").to_owned();
        (kind, event["facts"]["outcome"].clone())
    };
    history.iter().skip(1).map(outcome).collect()
}

fn kinds(delivery: &Value) -> Vec<String> {
    outcomes(delivery).into_iter().map(|(kind, _)| kind).collect()
}

fn keys(taken: &[Taken]) -> BTreeSet<String> {
    taken.iter().map(|t| t.idempotency_key().to_owned()).collect()
}

async fn start(folder: &tempfile::TempDir, settings: &str) -> Server {
    Launch::in_folder(folder.path()).settings(settings).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_failures_are_tried_again_and_the_fourth_attempt_is_kept() {
    let receiver = Receiver::with([500, 502, 503].map(Behaviour::status)).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    let delivery = push("three-failures");
    assert_eq!(server.send(&delivery).await.status, 200);
    let taken = receiver.has_taken(4, SOON).await;
    assert_eq!(keys(&taken).len(), 1, "one round, one key");
    assert!(
        taken.iter().all(|t| t.body == delivery.body.as_bytes()),
        "the body is untouched"
    );
    assert!(taken.iter().all(|t| t.line == "POST /hook HTTP/1.1"));
    assert_eq!(
        taken[0].header("x-github-event"),
        Some("push"),
        "the original headers are kept"
    );
    assert_eq!(
        taken[0].header("x-hub-signature-256"),
        Some(delivery.signature.as_str())
    );

    let shown = server.delivery_becomes("three-failures", "processed", SOON).await;
    assert_eq!(
        kinds(&shown),
        [
            "DeliveryFailed",
            "DeliveryFailed",
            "DeliveryFailed",
            "DeliveryProcessed"
        ]
    );
    assert_eq!(shown["attempts"], 4);
    for (at, (_, outcome)) in outcomes(&shown).iter().enumerate() {
        let attempt = &outcome["attempt"];
        assert_eq!(attempt["number"], at + 1);
        let status = [500, 502, 503, 200][at];
        assert_eq!(attempt["response"]["status"], status);
        assert_eq!(attempt["idempotencyKey"], taken[at].idempotency_key());
        if status != 200 {
            assert_eq!(attempt["failure"]["code"], "SERVICE_UNAVAILABLE");
            let bound_ms = 50 * 2_i64.pow(u32::try_from(at).unwrap());
            assert!(
                pause_ms(outcome) <= bound_ms,
                "the pause is drawn from 0 to {bound_ms} ms: {outcome}"
            );
        }
    }
    server.caught_up().await;
    let row = server.data_of("/api/webhooks/events?event=push").await;
    assert_eq!(row["events"][0]["status"], "processed");
    assert_eq!(row["events"][0]["attempts"], 4);
    let statistics = server.data_of("/api/webhooks/statistics").await;
    assert_eq!(statistics["summary"]["processedEvents"], 1);
    assert_eq!(statistics["summary"]["successRate"], "100.00");
}

/// From the end of a failed attempt to the next one's due time.
fn pause_ms(failed: &Value) -> i64 {
    let started = time(&failed["attempt"]["startedAt"]);
    let took_us = failed["attempt"]["durationUs"].as_i64().expect("a duration");
    (time(&failed["nextAttemptAt"]) - started) / 1000 - took_us / 1000
}

/// Microseconds since the epoch.
fn time(value: &Value) -> i64 {
    let text = value.as_str().expect("a time");
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format).expect("RFC 3339");
    i64::try_from(moment.unix_timestamp_nanos() / 1000).expect("in this century")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_or_breaks_off_is_tried_again() {
    let receiver = Receiver::with([Behaviour::Hang, Behaviour::Cut]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "timeout_ms = 500")).await;
    server.send(&push("hangs")).await;
    let shown = server.delivery_becomes("hangs", "processed", SOON).await;
    let failures: Vec<_> = outcomes(&shown)
        .iter()
        .map(|(_, o)| o["attempt"]["failure"]["code"].clone())
        .collect();
    assert_eq!(
        failures,
        [json!("TIMEOUT_ERROR"), json!("NETWORK_ERROR"), Value::Null]
    );
    assert_eq!(keys(&receiver.taken()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_is_left_alone_as_long_as_it_asks() {
    let asks = Behaviour::Answer(429, vec![("retry-after", "2".into())]);
    let receiver = Receiver::with([asks]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    server.send(&push("asked-to-wait")).await;
    let taken = receiver.has_taken(2, SOON).await;
    assert!(
        taken[1].at - taken[0].at >= Duration::from_secs(2),
        "it came back too early"
    );
    let shown = server.delivery_becomes("asked-to-wait", "processed", SOON).await;
    assert_eq!(
        outcomes(&shown)[0].1["attempt"]["failure"]["code"],
        "RATE_LIMIT_ERROR"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn away_for_the_whole_retry_budget_it_is_a_dead_letter_until_it_is_retried() {
    let mut receiver = Receiver::start().await;
    receiver.go_away().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    for name in ["away-1", "away-2"] {
        server.send(&push(name)).await;
    }
    let shown = server.delivery_becomes("away-1", "dead", SOON).await;
    server.delivery_becomes("away-2", "dead", SOON).await;
    let (kind, dead) = outcomes(&shown).pop().unwrap();
    assert_eq!(kind, "DeliveryDeadLettered");
    assert_eq!(
        dead["history"].as_array().unwrap().len(),
        4,
        "the whole history: {dead}"
    );
    assert_eq!(dead["failure"]["code"], "NETWORK_ERROR");
    server.caught_up().await;
    let failed = server.data_of("/api/webhooks/failed").await;
    assert_eq!(failed["events"].as_array().unwrap().len(), 2, "{failed}");
    let health = server.data_of("/api/webhooks/health").await;
    assert_eq!(health["failedWebhooksCount"], 2);

    receiver.come_back().await;
    let queued = server.post("/api/webhooks/retry-failed", json!({})).await;
    assert_eq!(queued["queued"], 2);
    for name in ["away-1", "away-2"] {
        let shown = server.delivery_becomes(name, "processed", SOON).await;
        assert_eq!(
            kinds(&shown)[4..],
            ["DeliveryReplayRequested", "DeliveryProcessed"]
        );
    }
    assert_eq!(keys(&receiver.taken()).len(), 2);
    server.caught_up().await;
    let failed = server.data_of("/api/webhooks/failed").await;
    assert_eq!(failed["events"].as_array().unwrap().len(), 0, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_senders_repeat_of_a_dead_letter_tries_it_again() {
    let receiver = Receiver::with([Behaviour::status(400)]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    let delivery = push("comes-again");
    let first = server.send(&delivery).await;
    let shown = server.delivery_becomes("comes-again", "dead", SOON).await;
    assert_eq!(
        kinds(&shown),
        ["DeliveryDeadLettered"],
        "a 400 is not tried again"
    );
    let again = server.send(&delivery).await;
    assert!(again.is_duplicate());
    assert_eq!(again.position(), first.position());
    server.delivery_becomes("comes-again", "processed", SOON).await;
    assert!(server.send(&delivery).await.is_duplicate());
    assert_eq!(
        receiver.taken().len(),
        2,
        "processed, a repeat does nothing again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_is_not_ours_accepts_what_is_forwarded() {
    let tools = Tools::ready();
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(
        &folder,
        &settings(&receiver.url(), &format!("secret = \"{SECRET}\"")),
    )
    .await;
    server.send(&push("signed")).await;
    let taken = receiver.has_taken(1, SOON).await;
    let request = folder.path().join("request.json");
    let text =
        json!({"headers": taken[0].headers, "body": String::from_utf8(taken[0].body.clone()).unwrap()});
    std::fs::write(&request, text.to_string()).unwrap();
    let verdict = tools.python("standard_webhooks.py", &[SECRET, &request.display().to_string()]);
    assert_eq!(verdict.trim(), "accepted; refused when changed");
    assert_eq!(taken[0].header("webhook-id"), Some(taken[0].idempotency_key()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_unless_it_is_allowed() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = receiver.url();
    let port = port.rsplit(':').next().unwrap().to_owned();
    let blocks: String = [
        ("literal", "127.0.0.1"),
        ("name", "localhost"),
        ("metadata", "169.254.169.254"),
    ]
    .map(|(name, host)| {
        format!("[[destination]]\nname = \"{name}\"\nurl = \"http://{host}:{port}\"\ntimeout_ms = 2000\n")
    })
    .concat();
    let server = start(&folder, &blocks).await;
    server.send(&push("inside")).await;
    let shown = eventually("all three were refused", SOON, || async {
        let shown = server.data_of("/api/webhooks/events/inside").await;
        match kinds(&shown).len() {
            3 => Ok(shown),
            n => Err(format!("{n} outcomes")),
        }
    })
    .await;
    for (kind, outcome) in outcomes(&shown) {
        assert_eq!(kind, "DeliveryDeadLettered", "{outcome}");
        assert_eq!(outcome["failure"]["code"], "VALIDATION_ERROR", "{outcome}");
        let message = outcome["failure"]["message"].as_str().unwrap();
        assert!(
            message.contains("addresses_allowed"),
            "it says what to do: {message}"
        );
    }
    assert!(receiver.taken().is_empty(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_a_condition_and_a_transformation_decide_what_arrives() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let more = "events = [\"push\"]\nrepositories = [\"octo-org/*\"]\n\
                condition = 'body.ref == \"refs/heads/main\"'\ntransform = '{branch: .ref}'";
    let server = start(&folder, &settings(&receiver.url(), more)).await;
    server.send(&push("wanted")).await;
    let other_branch = json!({"ref": "refs/heads/x", "repository": {"full_name": "octo-org/hello"}});
    server
        .send(&Signed::new("push", "other-branch", other_branch.to_string()))
        .await;
    let other_owner = json!({"ref": "refs/heads/main", "repository": {"full_name": "else/hello"}});
    server
        .send(&Signed::new("push", "other-owner", other_owner.to_string()))
        .await;
    server.send(&Signed::new("issues", "other-event", "{}")).await;
    for name in ["wanted", "other-branch", "other-owner", "other-event"] {
        server.delivery_becomes(name, "processed", SOON).await;
    }
    let taken = receiver.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        serde_json::from_slice::<Value>(&taken[0].body).unwrap(),
        json!({"branch": "refs/heads/main"})
    );
    let skipped = server.data_of("/api/webhooks/events/other-branch").await;
    assert!(
        outcomes(&skipped)[0].1["skipped"].is_string(),
        "it says why: {skipped}"
    );
    let unfitting = server.data_of("/api/webhooks/events/other-event").await;
    assert!(kinds(&unfitting).is_empty(), "nothing was due");
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_removed_or_gone_it_loses_nothing() {
    let mut receiver = Receiver::with([Behaviour::status(410)]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    server.send(&push("gone")).await;
    eventually("a 410 pauses the destination", SOON, || async {
        let data = server.data_of("/api/destinations").await;
        let paused = &data["destinations"][0]["paused"];
        if paused.is_null() {
            Err(data.to_string())
        } else {
            Ok(())
        }
    })
    .await;
    server.send(&push("waits")).await;
    let launch = server.kill().await;

    // Removed from the settings, it still owns what it was to get.
    let server = launch.settings("").start().await;
    let shown = server.data_of("/api/webhooks/events/waits").await;
    assert_eq!(shown["status"], "received");
    let data = server.data_of("/api/destinations").await;
    assert_eq!(data["destinations"][0]["configured"], false, "{data}");
    let launch = server.stop().await;

    // Back again it is still paused, until somebody resumes it.
    receiver.go_away().await;
    receiver.come_back().await;
    let server = launch.settings(&settings(&receiver.url(), "")).start().await;
    let data = server.data_of("/api/destinations").await;
    assert!(!data["destinations"][0]["paused"].is_null(), "{data}");
    let answer = server
        .command(Method::POST, "/api/destinations/ci/resume", None)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    for name in ["gone", "waits"] {
        server.delivery_becomes(name, "processed", SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_survives_kill_9() {
    let asks = Behaviour::Answer(503, vec![("retry-after", "6".into())]);
    let receiver = Receiver::with([asks]).await;
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder, &settings(&receiver.url(), "")).await;
    server.send(&push("later")).await;
    server.delivery_becomes("later", "retrying", SOON).await;
    let server = server.kill().await.start().await;
    let taken = receiver.has_taken(2, SOON).await;
    assert!(
        taken[1].at - taken[0].at >= Duration::from_secs(6),
        "it came back too early"
    );
    assert_eq!(keys(&taken).len(), 1);
    server.delivery_becomes("later", "processed", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_nats_is_a_destination_too() {
    use futures_util::StreamExt as _;
    let folder = tempfile::tempdir().unwrap();
    let text = "[[destination]]\nname = \"bus\"\nsubject = \"ci.events\"\n";
    let server = start(&folder, text).await;
    let endpoints = std::fs::read_to_string(server.launch().data().join("engines.json")).unwrap();
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    let nats = &endpoints["nats"];
    let client = async_nats::ConnectOptions::with_token(nats["token"].as_str().unwrap().to_owned())
        .connect(nats["url"].as_str().unwrap())
        .await
        .unwrap();
    let mut subscription = client.subscribe("ci.events").await.unwrap();
    client.flush().await.unwrap();
    let delivery = push("by-subject");
    server.send(&delivery).await;
    let message = tokio::time::timeout(SOON, subscription.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(message.payload, delivery.body.as_bytes());
    server.delivery_becomes("by-subject", "processed", SOON).await;
}
