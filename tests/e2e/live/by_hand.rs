//! Socket.IO by hand, packet by packet: what hostile clients send, and what good ones send all at once.
//! <https://socket.io/docs/v4/socket-io-protocol/>, <https://socket.io/docs/v4/engine-io-protocol/>.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::{Listener, PATIENCE};
use crate::harness::{Launch, RawConnection, Server, Signed, Tools, client, eventually};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const ROOM: &str = "octo-org/room";
/// Between two packets of an answer.
const SEPARATOR: char = '\u{1e}';

/// A session by polling.
struct Session {
    url: String,
    http: reqwest::Client,
}

impl Session {
    async fn begin(server: &Server) -> Self {
        let (http, url) = (client(), format!("{}{POLLING}", server.base()));
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let open: Value =
            serde_json::from_str(answer.text().await.unwrap().strip_prefix('0').unwrap()).unwrap();
        let url = format!("{url}&sid={}", open["sid"].as_str().unwrap());
        Self { url, http }
    }

    /// Says all of that in one request.
    async fn say(&self, packets: &[&str]) {
        let body = packets.join(&SEPARATOR.to_string());
        let answer = self.http.post(&self.url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// What is there by now, or comes next.
    async fn hear(&self) -> Vec<String> {
        let answer = self.http.get(&self.url).timeout(PATIENCE).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = answer.text().await.unwrap();
        text.split(SEPARATOR).map(str::to_owned).collect()
    }

    /// The next packets but pings, so many.
    async fn next(&self, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        while heard.len() < count {
            heard.extend(self.hear().await.into_iter().filter(|packet| packet != "2"));
        }
        heard
    }

    /// Joins a namespace; what is answered.
    async fn join(&self, packet: &str) -> String {
        self.say(&[packet]).await;
        self.next(1).await.remove(0)
    }
}

fn push(id: &str, repository: &str, bytes: usize) -> Signed {
    let body = json!({"ref": "refs/heads/main", "repository": {"full_name": repository}, "serial": id,
        "commits": [{"id": id, "message": "x".repeat(bytes)}]});
    Signed::new("push", id, body.to_string())
}

async fn send(server: &Server, delivery: &Signed) {
    assert_eq!(server.send(delivery).await.status, 200);
}

/// The value of a metric's line with all these words; 0 where there is none.
async fn metric(server: &Server, words: &[&str]) -> f64 {
    let (_, text) = server.fetch("/metrics").await;
    let text = String::from_utf8(text).unwrap();
    let line = text
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word)));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

const SLOW: [&str; 3] = ["hooklog_live_ended_total{", "\"socketio\"", "SLOW_CLIENT"];

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_holds_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_API__REQUEST_TIMEOUT_MS", "500")
        .start()
        .await;
    let session = Session::begin(&server).await;
    let path = session.url.strip_prefix(&server.base()).unwrap();
    let long = "4".repeat(100_000);
    for (length, sent, status) in [("10", "4", 400), ("9000000", long.as_str(), 413)] {
        let mut slow = RawConnection::to(&server).await;
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{sent}");
        slow.write(head).await;
        let answer = tokio::time::timeout(PATIENCE, slow.answer()).await;
        let answer = answer.expect("it is not waited for for ever").unwrap();
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_at_once_is_done_in_that_order() {
    let folder = tempfile::tempdir().unwrap();
    // With one thread, what is put off is done in another order for sure.
    let server = Launch::in_folder(folder.path())
        .env("TOKIO_WORKER_THREADS", "1")
        .start()
        .await;
    let session = Session::begin(&server).await;
    assert!(session.join("40").await.starts_with("40"));
    let asked: Vec<_> = ["subscribe", "unsubscribe", "subscribe"]
        .iter()
        .enumerate()
        .map(|(n, verb)| format!("42{n}[\"{verb}:repository\",\"{ROOM}\"]"))
        .collect();
    session
        .say(&asked.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    session.next(3).await;
    send(&server, &push("a", "octo-org/other", 1)).await;
    send(&server, &push("b", ROOM, 1)).await;
    let heard = session.next(2).await;
    assert!(heard.iter().all(|packet| packet.contains(ROOM)), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_namespace_and_joins_it_at_once_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("TOKIO_WORKER_THREADS", "1")
        .env("HOOKLOG_LIVE__CONNECT_TIMEOUT_MS", "500")
        .start()
        .await;
    let session = Session::begin(&server).await;
    assert!(session.join("40/webhooks,").await.starts_with("40/webhooks,"));
    session.say(&["41/webhooks,", "40/webhooks,"]).await;
    assert!(session.next(1).await[0].starts_with("40/webhooks,"));
    send(&server, &push("a", ROOM, 1)).await;
    let heard = session.next(1).await;
    assert!(heard[0].starts_with("42/webhooks,[\"event\","), "{heard:?}");
    // Once only: the membership of before is gone.
    send(&server, &push("b", ROOM, 1)).await;
    let heard = session.next(1).await;
    assert!(
        heard.len() == 1 && heard[0].contains("\"deliveryId\":\"b\""),
        "{heard:?}"
    );
    // And who is in none is sent away.
    session.say(&["41/webhooks,"]).await;
    eventually("it has no place any more", PATIENCE, || async {
        let now = metric(&server, &["hooklog_live_clients{", "\"socketio\""]).await;
        if now == 0.0 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_poll_holds_more_than_a_client_may_send() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let session = Session::begin(&server).await;
    assert!(session.join("40").await.starts_with("40"));
    let witness = Session::begin(&server).await;
    assert!(witness.join("40/webhooks,").await.starts_with("40"));
    for id in ["a", "b", "c"] {
        send(&server, &push(id, ROOM, 60_000)).await;
    }
    // Whoever is shown the last of them is shown it after the others.
    witness.next(3).await;
    let heard = session.hear().await;
    assert_eq!(
        heard
            .iter()
            .filter(|packet| packet.contains("push-event"))
            .count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_no_key_but_means_to_is_a_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for good in ["40", "40{}", "40{\"token\":null}", "40{\"token\":\"\"}"] {
        let session = Session::begin(&server).await;
        let answer = session.join(good).await;
        assert!(answer.starts_with("40{\"sid\""), "{good}: {answer}");
    }
    for wrong in ["40{\"token\":12345}", "40\"hk_abc\"", "40[\"hk_abc\"]"] {
        let session = Session::begin(&server).await;
        let answer = session.join(wrong).await;
        assert!(
            answer.starts_with("44{\"message\":\"not let in"),
            "{wrong}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_client_is_bounded_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__SOCKET_BUFFER_BYTES", "1000000")
        .start()
        .await;
    let (stalled, takes) = (Session::begin(&server).await, Session::begin(&server).await);
    assert!(stalled.join("40").await.starts_with("40"));
    assert!(takes.join("40").await.starts_with("40"));
    for n in 0..12 {
        send(&server, &push(&n.to_string(), ROOM, 200_000)).await;
        takes.next(2).await;
    }
    assert_eq!(
        metric(&server, &SLOW).await,
        1.0,
        "only the one that takes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_up_is_not_dropped_for_a_burst() {
    const BURST: usize = 400;
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("TOKIO_WORKER_THREADS", "1")
        .env("HOOKLOG_LIVE__SOCKET_BUFFER_EVENTS", "16")
        .start()
        .await;
    let wanted = json!({"transports": ["websocket"]});
    let listener = Listener::joined(&tools, "node", &server.base(), &wanted).await;
    let (http, base) = (client(), server.base());
    let burst = (0..BURST).map(|n| {
        let (http, base) = (http.clone(), base.clone());
        async move {
            push(&n.to_string(), ROOM, 1)
                .post(&http, &base)
                .await
                .unwrap()
                .status
        }
    });
    assert!(join_all(burst).await.iter().all(|status| *status == 200));
    let rows = listener.heard("webhook-event", BURST).await;
    assert_eq!(rows.len(), BURST);
    assert!(listener.all("notice").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_key_keeps_nobody_out_who_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_LIVE__ARRIVALS_MAX", "8")
        .env("HOOKLOG_LIVE__SOCKETS_PER_ADDRESS_MAX", "2")
        .env("HOOKLOG_LIVE__CONNECT_TIMEOUT_MS", "600000")
        .start()
        .await;
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
    let mut without = Vec::new();
    for _ in 0..40 {
        without.push(Session::begin(&server).await);
    }
    let join = format!("40{{\"token\":\"{key}\"}}");
    let mut joined = Vec::new();
    for n in 0..3 {
        let session = Session::begin(&server).await;
        let answer = session.join(&join).await;
        // Places are those of the key, wherever it is shown.
        assert_eq!(answer.starts_with("40{\"sid\""), n < 2, "{answer}");
        joined.push(session);
    }
    // The oldest gave way, those that joined did not.
    let gone = client().get(&without[0].url).send().await.unwrap();
    assert_eq!(gone.status(), 400);
    for _ in 0..20 {
        without.push(Session::begin(&server).await);
    }
    send(&server, &push("a", ROOM, 1)).await;
    joined[0].next(2).await;
}
