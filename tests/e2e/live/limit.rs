//! What a client of Socket.IO may not have, and what that costs others: nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Listener, PATIENCE};
use crate::harness::{Launch, Server, Signed, Tools, client, eventually};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const QUIET: &str = "octo-org/quiet";
/// Enough to fill whatever the system holds between two programs.
const LARGE_BYTES: usize = 200_000;
const ROUNDS_MAX: usize = 500;
/// Longer than any test.
const NEVER_MS: &str = "600000";

fn push(id: &str, repository: &str, message: &str) -> Signed {
    let body = json!({"ref": "refs/heads/main", "repository": {"full_name": repository}, "serial": id,
        "commits": [{"id": id, "message": message}]});
    Signed::new("push", id, body.to_string())
}

/// The value of the metric whose line has all these words; 0 where there is none.
async fn metric(server: &Server, words: &[&str]) -> f64 {
    let (status, text) = server.fetch("/metrics").await;
    assert_eq!(status, 200);
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    let line = lines.find(|line| words.iter().all(|word| line.contains(word)));
    line.and_then(|line| line.rsplit(' ').next())
        .map_or(0.0, |value| value.parse().unwrap())
}

async fn clients(server: &Server) -> f64 {
    metric(server, &["hooklog_live_clients{", "\"socketio\""]).await
}

async fn there_are(server: &Server, count: f64) {
    eventually(&format!("there are {count} clients"), PATIENCE, || async {
        let now = clients(server).await;
        if now == count {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
}

/// Fills the way to a client that takes nothing until the server has seen it, or the connection is gone; what was sent.
async fn flood(server: &Server, others: &[&Listener; 2], mut done: impl AsyncFnMut() -> bool) -> Vec<String> {
    let large = "x".repeat(LARGE_BYTES);
    let mut sent = Vec::new();
    for round in 0..ROUNDS_MAX {
        if done().await {
            return sent;
        }
        for (id, repository, message) in [
            (format!("large-{round}"), "octo-org/loud", large.as_str()),
            (format!("small-{round}"), QUIET, ""),
        ] {
            assert_eq!(server.send(&push(&id, repository, message)).await.status, 200);
            sent.push(id);
        }
        // At the pace of those who keep up, so that they do.
        others[0].heard("webhook-event", sent.len()).await;
        others[1].heard("webhook-event", round + 1).await;
    }
    panic!("the client was never dropped");
}

/// Two that keep up: one hears all, the other a room.
async fn keeping_up(tools: &Tools, base: &str) -> (Listener, Listener) {
    let all = Listener::joined(tools, "node", base, &json!({"transports": ["websocket"]})).await;
    let room = json!({"transports": ["websocket"], "subscribe": [["subscribe:repository", QUIET]]});
    (all, Listener::joined(tools, "node", base, &room).await)
}

/// Waits until a client that began by polling is a WebSocket.
async fn is_a_websocket(listener: &Listener) {
    eventually("it is a websocket", PATIENCE, || async {
        let upgraded = !listener.all("upgraded").is_empty() || listener.all("connected")[0] == "websocket";
        upgraded.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
}

fn ids(listener: &Listener) -> Vec<String> {
    let rows = listener.all("webhook-event");
    rows.iter()
        .map(|row| row["deliveryId"].as_str().unwrap().to_owned())
        .collect()
}

/// Nobody else was told anything, and each heard each of its own once, in order.
fn nothing_has_changed(others: &[&Listener; 2], sent: &[String]) {
    assert_eq!(ids(others[0]), sent);
    let quiet: Vec<_> = sent.iter().filter(|id| id.starts_with("small")).collect();
    assert_eq!(ids(others[1]).iter().collect::<Vec<_>>(), quiet);
    for other in others {
        assert!(other.all("notice").is_empty() && other.all("disconnect").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_dropped_with_a_notice_and_changes_nothing_for_others() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SOCKET_BUFFER_EVENTS", "64")
        .env("HOOKLOG_LIVE__STALL_TIMEOUT_MS", NEVER_MS)
        .start()
        .await;
    let base = server.base();
    let (all, room) = keeping_up(&tools, &base).await;
    let websocket = json!({"transports": ["websocket"]});
    let slow = Listener::joined(&tools, "node", &base, &websocket).await;
    slow.tell("pause").await;
    let dropped = ["hooklog_live_ended_total{", "\"socketio\"", "SLOW_CLIENT"];
    let sent = flood(&server, &[&all, &room], async || {
        metric(&server, &dropped).await > 0.0
    })
    .await;
    slow.tell("resume").await;
    let notice = slow.heard("notice", 1).await;
    assert_eq!(notice[0]["code"], "SLOW_CLIENT");
    slow.heard("disconnect", 1).await;
    let heard = ids(&slow);
    assert!(heard.len() < sent.len(), "it was not slow");
    assert_eq!(heard, sent[..heard.len()], "what it heard before is whole");
    there_are(&server, 2.0).await;
    nothing_has_changed(&[&all, &room], &sent);
    assert_eq!(metric(&server, &dropped).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_nothing_for_good_is_cut_off_and_keeps_no_place() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SOCKET_BUFFER_EVENTS", "64")
        .env("HOOKLOG_LIVE__STALL_TIMEOUT_MS", "300")
        .env("HOOKLOG_LIVE__PING_TIMEOUT_MS", NEVER_MS)
        .start()
        .await;
    let base = server.base();
    let (all, room) = keeping_up(&tools, &base).await;
    let websocket = json!({"transports": ["websocket"]});
    // One that was a WebSocket from the start, and one that became one.
    let dead = Listener::joined(&tools, "node", &base, &websocket).await;
    let upgraded = json!({"transports": ["polling", "websocket"]});
    let upgraded = Listener::joined(&tools, "node", &base, &upgraded).await;
    is_a_websocket(&upgraded).await;
    dead.tell("pause").await;
    upgraded.tell("pause").await;
    let sent = flood(&server, &[&all, &room], async || clients(&server).await <= 2.0).await;
    there_are(&server, 2.0).await;
    nothing_has_changed(&[&all, &room], &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_so_many_subscriptions_and_no_more() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SUBSCRIPTIONS_MAX", "2")
        .start()
        .await;
    let base = server.base();
    let refused = json!({"ok": false, "error": "2 subscriptions of one client are the most"});
    let done = json!({"ok": true});
    let rooms = json!({"subscribe": [
        ["subscribe:repository", "octo-org/one"], ["subscribe:repository", "octo-org/two"],
        ["subscribe:repository", "octo-org/three"], ["subscribe:repository", "OCTO-ORG/one"],
        ["unsubscribe:repository", "octo-org/one"], ["subscribe:repository", "octo-org/four"],
    ]});
    let room = Listener::joined(&tools, "node", &base, &rooms).await;
    let answers = [&done, &done, &refused, &done, &done, &done];
    assert_eq!(room.all("ack").iter().collect::<Vec<_>>(), answers);
    let choices = json!({"namespace": "/webhooks", "subscribe": [
        ["subscribe:webhook-events", {"source": "gitlab"}], ["subscribe:webhook-events", {"eventType": "issues"}],
        ["subscribe:webhook-events", {"eventType": "push"}],
    ]});
    let chosen = Listener::joined(&tools, "python", &base, &choices).await;
    assert_eq!(
        chosen.all("ack").iter().collect::<Vec<_>>(),
        [&done, &done, &refused]
    );
    // What was refused is not shown, and what was there before still is.
    for (n, repository) in ["octo-org/three", "octo-org/one", "octo-org/two", "octo-org/four"]
        .iter()
        .enumerate()
    {
        assert_eq!(
            server.send(&push(&n.to_string(), repository, "")).await.status,
            200
        );
    }
    room.heard("webhook-event", 2).await;
    assert_eq!(ids(&room), ["2", "3"]);
    assert!(chosen.all("event").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_clients_the_answer_is_clear_and_a_place_is_free_when_one_goes() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SOCKETS_MAX", "2")
        .start()
        .await;
    let base = server.base();
    let first = Listener::joined(&tools, "node", &base, &json!({"transports": ["websocket"]})).await;
    let _second = Listener::joined(&tools, "python", &base, &json!({"transports": ["polling"]})).await;
    let answer = client().get(format!("{base}{POLLING}")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "SERVICE_UNAVAILABLE");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("too many live clients"), "{message}");
    for transport in ["polling", "websocket"] {
        let wanted = json!({"transports": [transport]});
        let refused = Listener::start(&tools, "node", &base, &wanted);
        let why = refused.heard("connect_error", 1).await;
        assert!(why[0].as_str().unwrap().contains("503"), "{why:?}");
    }
    // Clients that are refused ask again, and one of them comes in as soon as another goes.
    let waiting = Listener::start(&tools, "node", &base, &json!({}));
    waiting.heard("connect_error", 1).await;
    assert!(waiting.all("connected").is_empty());
    drop(first);
    waiting.heard("connected", 1).await;
    let refused = metric(
        &server,
        &["hooklog_live_refused_total{", "\"socketio\"", "\"full\""],
    )
    .await;
    assert!(refused >= 4.0, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_every_namespace_loses_the_connection() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__CONNECT_TIMEOUT_MS", "500")
        .start()
        .await;
    for transports in [
        json!(["websocket"]),
        json!(["polling"]),
        json!(["polling", "websocket"]),
    ] {
        let wanted = json!({"transports": transports});
        let listener = Listener::joined(&tools, "node", &server.base(), &wanted).await;
        if transports[1].is_string() {
            is_a_websocket(&listener).await;
        }
        listener.tell("leave").await;
        listener.heard("disconnect", 1).await;
    }
    there_are(&server, 0.0).await;
}

/// What is answered to a request that begins a connection over a transport.
async fn begins(base: &str, transport: &str, headers: &[(&str, &str)]) -> (u16, Value, bool) {
    let mut request = client().get(format!("{base}{}", POLLING.replace("polling", transport)));
    if transport == "websocket" {
        let upgrade = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        request = upgrade
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
    }
    request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.timeout(Duration::from_secs(20)).send().await.unwrap();
    let (status, waits) = (
        answer.status().as_u16(),
        answer.headers().contains_key("retry-after"),
    );
    let json = if status >= 400 {
        answer.json().await.unwrap()
    } else {
        Value::Null
    };
    (status, json["error"]["code"].clone(), waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_is_refused_over_either_transport_unless_it_is_named() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .settings("[api]\ncors_origins = [\"https://ops.example.com\"]\n")
        .start()
        .await;
    let base = server.base();
    for transport in ["polling", "websocket"] {
        for headers in [
            [("origin", "https://evil.example")].as_slice(),
            &[("origin", "null")],
            &[("origin", "https://ops.example.com:8443")],
            &[("sec-fetch-site", "cross-site")],
        ] {
            let (status, code, _) = begins(&base, transport, headers).await;
            assert_eq!(
                (status, code),
                (403, "FORBIDDEN".into()),
                "{transport} {headers:?}"
            );
        }
        let page = |origin: &str| json!({"transports": [transport], "headers": {"Origin": origin}});
        let foreign = Listener::start(&tools, "node", &base, &page("https://evil.example"));
        let why = foreign.heard("connect_error", 1).await;
        assert!(why[0].as_str().unwrap().contains("403"), "{why:?}");
        Listener::joined(&tools, "node", &base, &page("https://ops.example.com")).await;
        Listener::joined(&tools, "node", &base, &page(&base)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_in_the_headers_is_401_and_many_are_429_as_over_rest() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_API__FAILURES_PER_MINUTE", "4")
        .start()
        .await;
    let base = server.base();
    let made = server.launch().run(&["key", "create", "ops", "--scope", "read"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    eventually("a key is asked for", PATIENCE, || async {
        let status = server.ask("/api/webhooks/events").await.status;
        if status == 401 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    let wrong = [("x-api-key", "hk_x_y")];
    assert_eq!(
        begins(&base, "polling", &wrong).await,
        (401, "AUTHENTICATION_ERROR".into(), false)
    );
    assert_eq!(
        begins(&base, "websocket", &wrong).await,
        (401, "AUTHENTICATION_ERROR".into(), false)
    );
    let listener = json!({"transports": ["websocket"], "headers": {"Authorization": "Bearer hk_x_y"}});
    let refused = Listener::start(&tools, "node", &base, &listener);
    let why = refused.heard("connect_error", 1).await;
    assert!(why[0].as_str().unwrap().contains("401"), "{why:?}");
    eventually("it is told to wait", PATIENCE, || async {
        let why = refused.all("connect_error");
        let waits = why.iter().any(|why| why.as_str().unwrap().contains("429"));
        if waits { Ok(()) } else { Err(format!("{why:?}")) }
    })
    .await;
    drop(refused);
    for transport in ["polling", "websocket"] {
        // The limit recovers as time goes by, one by one.
        eventually(&format!("{transport} is told to wait"), PATIENCE, || async {
            match begins(&base, transport, &wrong).await {
                (429, code, true) if code == "RATE_LIMIT_ERROR" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    eventually(
        "they are counted together with those over REST",
        PATIENCE,
        || async {
            let rest = client()
                .get(format!("{base}/api/webhooks/events"))
                .header("x-api-key", "hk_x_y");
            let status = rest.send().await.map_err(|e| e.to_string())?.status();
            if status == 429 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        },
    )
    .await;
    // A right one is let in whatever others at its address do.
    Listener::joined(&tools, "python", &base, &json!({"headers": {"X-Api-Key": key}})).await;
}
