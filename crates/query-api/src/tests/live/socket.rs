//! Socket.IO by polling, packet by packet: <https://socket.io/docs/v4/engine-io-protocol/>. What real clients make of it is seen end
//! to end.

use std::collections::VecDeque;
use std::time::Instant;

use domain::Scope;
use serde_json::Value;

use super::super::World;
use super::{PATIENCE, Running};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const JOIN: &str = "40";
const LEAVE: &str = "41";
/// Stands between packets.
const SEPARATOR: char = '\u{1e}';

/// A client that says and hears packets.
pub(super) struct Polled<'a> {
    running: &'a Running,
    session: String,
    heard: VecDeque<String>,
}

impl<'a> Polled<'a> {
    /// Begins a session; otherwise the answer.
    async fn open(running: &'a Running, headers: &[(&'static str, &str)]) -> Result<Self, (u16, Value)> {
        let response = running.ask(POLLING, headers).await;
        let status = response.status().as_u16();
        let text = response.into_body().into_string().await.unwrap();
        if status != 200 {
            return Err((status, serde_json::from_str(&text).unwrap()));
        }
        let opened: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        Ok(Self {
            running,
            session: opened["sid"].as_str().unwrap().to_owned(),
            heard: VecDeque::new(),
        })
    }

    /// Begins one as soon as there is a place.
    async fn open_when_there_is_room(running: &'a Running) -> Self {
        let begin = Instant::now();
        loop {
            match Self::open(running, &[]).await {
                Ok(polled) => return polled,
                Err((status, json)) => assert_eq!(status, 503, "{json}"),
            }
            assert!(begin.elapsed() < PATIENCE, "the place never came back");
            tokio::task::yield_now().await;
        }
    }

    fn path(&self) -> String {
        format!("{POLLING}&sid={}", self.session)
    }

    async fn say(&self, packet: &str) {
        let client = self.running.world.client_of(&self.running.api, "127.0.0.1:50000");
        let said = client.post(self.path()).content_type("text/plain;charset=UTF-8");
        said.body(packet.to_owned()).send().await.assert_status_is_ok();
    }

    /// The next packet, pings left out; none when the session is over.
    async fn hear(&mut self) -> Option<String> {
        loop {
            while let Some(packet) = self.heard.pop_front() {
                if packet != "2" {
                    return Some(packet);
                }
            }
            let asked = self.path();
            let response = tokio::time::timeout(PATIENCE, self.running.ask(&asked, &[]));
            let response = response.await.expect("something is heard");
            if response.status() != 200 {
                return None;
            }
            let text = response.into_body().into_string().await.unwrap();
            self.heard.extend(text.split(SEPARATOR).map(str::to_owned));
        }
    }

    /// The name and the data of the next event.
    pub(super) async fn event(&mut self) -> (String, Value) {
        let packet = self.hear().await.expect("an event");
        let event = packet
            .strip_prefix("42")
            .unwrap_or_else(|| panic!("no event: {packet}"));
        serde_json::from_str(event).unwrap()
    }

    /// Joins the root namespace.
    async fn joined(mut self) -> Self {
        self.say(JOIN).await;
        let answer = self.hear().await.unwrap();
        assert!(answer.starts_with("40{"), "{answer}");
        self
    }

    /// Whether it hears nothing but the end.
    async fn is_over(&mut self) -> bool {
        while let Some(packet) = self.hear().await {
            // What the library says to a request that waits.
            if !matches!(packet.as_str(), "" | "1" | "6") {
                return false;
            }
        }
        true
    }
}

/// A client in the root namespace.
pub(super) async fn joined(running: &Running) -> Polled<'_> {
    Polled::open(running, &[]).await.unwrap().joined().await
}

/// One place, and nobody who goes because of a ping.
fn narrow() -> World {
    let mut world = World::new();
    world.live.sockets_max = 1;
    world.live.connect_timeout_ms = 20;
    world.live.recheck_ms = 5;
    world.live.ping_timeout_ms = 600_000;
    world
}

#[tokio::test]
async fn damage_that_is_met_by_the_feed_ends_every_stream_and_every_socket_with_a_notice() {
    let mut world = World::new();
    world.live.silent_ms = 20;
    world.live.backoff_ms_min = 1;
    let running = Running::start(world);
    let mut stream = running.stream("").await;
    let mut socket = Polled::open(&running, &[]).await.unwrap().joined().await;
    let first = running.receive(1).await;
    assert_eq!(stream.positions(1).await, [first]);
    assert_eq!(socket.event().await.0, "push-event");
    assert_eq!(socket.event().await.0, "webhook-event");

    // It comes to the log, where it can't be read, and not to the stream.
    let log = std::sync::Arc::clone(&running.world.log);
    log.set_damaged(true);
    let unread = domain::testing::TestDelivery::new("push", "{}");
    running.world.append(&unread).await;
    let last = stream.next().await.unwrap();
    assert_eq!(last.event.as_deref(), Some("notice"));
    assert_eq!(last.data.unwrap()["code"], "LOG_UNREADABLE");
    assert_eq!(stream.next().await, None, "and then it ends");
    let (name, notice) = socket.event().await;
    assert_eq!(
        (name.as_str(), &notice["code"]),
        ("notice", &"LOG_UNREADABLE".into())
    );
    assert_eq!(socket.hear().await.as_deref(), Some(LEAVE));
    let mut late = running.stream("").await;
    assert_eq!(late.next().await.unwrap().data.unwrap()["code"], "LOG_UNREADABLE");
    let mut refused = Polled::open(&running, &[]).await.unwrap();
    refused.say(JOIN).await;
    let why = refused.hear().await.unwrap();
    assert!(
        why.starts_with("44") && why.contains("the log can't be read"),
        "{why}"
    );

    // An operator has acted.
    log.set_damaged(false);
    let begin = Instant::now();
    let mut again = loop {
        assert!(begin.elapsed() < PATIENCE, "nobody may join again");
        let mut socket = Polled::open(&running, &[]).await.unwrap();
        socket.say(JOIN).await;
        if socket.hear().await.unwrap().starts_with("40{") {
            break socket;
        }
    };
    let next = running.receive(3).await;
    let mut stream = running.stream(&format!("?after={first}")).await;
    assert_eq!(*stream.positions(2).await.last().unwrap(), next);
    while again.event().await.1["position"].as_u64() != Some(next) {}
}

#[tokio::test]
async fn who_left_every_namespace_loses_the_connection_and_its_place() {
    let running = Running::start(narrow());
    let mut first = Polled::open(&running, &[]).await.unwrap().joined().await;
    let full = Polled::open(&running, &[]).await.err().unwrap();
    assert_eq!(
        (full.0, &full.1["error"]["code"]),
        (503, &"SERVICE_UNAVAILABLE".into())
    );
    first.say(LEAVE).await;
    let second = Polled::open_when_there_is_room(&running).await.joined().await;
    assert!(first.is_over().await);
    // Nor is a place kept by who never joins.
    drop(second);
    let running = Running::start(narrow());
    let _silent = Polled::open(&running, &[]).await.unwrap();
    Polled::open_when_there_is_room(&running).await;
}

#[tokio::test]
async fn who_was_dismissed_from_every_namespace_loses_the_connection_and_its_place() {
    let world = narrow();
    let key = world.doors.key("ops", "default", Scope::Read);
    let other = world.doors.key("other", "default", Scope::Read);
    let id = key.split('_').nth(1).unwrap().parse().unwrap();
    let running = Running::start(world);
    let opened = Polled::open(&running, &[("x-api-key", &key)]).await.unwrap();
    let mut dismissed = opened.joined().await;
    domain::Keys::revoke(running.world.doors.as_ref(), &id, "test".into())
        .await
        .unwrap();
    let (name, notice) = dismissed.event().await;
    assert_eq!(
        (name.as_str(), &notice["code"]),
        ("notice", &"KEY_REVOKED".into())
    );
    assert_eq!(dismissed.hear().await.as_deref(), Some(LEAVE));
    assert!(dismissed.is_over().await);
    let begin = Instant::now();
    while Polled::open(&running, &[("x-api-key", &other)]).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the place never came back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wrong_key_begins_nothing_and_many_are_told_to_wait_as_anywhere() {
    let mut world = World::new();
    world.options.failures_per_minute = 2;
    let key = world.doors.key("ops", "default", Scope::Read);
    let running = Running::start(world);
    for (headers, expected) in [
        ([("x-api-key", "hk_x_y")], (401, "AUTHENTICATION_ERROR")),
        (
            [("authorization", "Bearer hk_x_y")],
            (401, "AUTHENTICATION_ERROR"),
        ),
        ([("x-api-key", "hk_x_y")], (429, "RATE_LIMIT_ERROR")),
    ] {
        let (status, json) = Polled::open(&running, &headers).await.err().unwrap();
        assert_eq!(
            (status, json["error"]["code"].as_str().unwrap()),
            expected,
            "{headers:?}"
        );
    }
    let late = running.ask(POLLING, &[("x-api-key", "hk_x_y")]).await;
    assert!(late.headers().contains_key("retry-after"));
    let websocket = POLLING.replace("polling", "websocket");
    assert_eq!(
        running.ask(&websocket, &[("x-api-key", "hk_x_y")]).await.status(),
        429
    );
    // Nobody is locked out by others at the same address.
    let right = Polled::open(&running, &[("x-api-key", &key)]).await.unwrap();
    right.joined().await;
    // One that comes in a message is counted as well, and answered as the protocol has it.
    let mut by_message = Polled::open(&running, &[]).await.unwrap();
    by_message.say(r#"40{"token":"hk_x_y"}"#).await;
    let why = by_message.hear().await.unwrap();
    assert!(
        why.starts_with("44") && why.contains("too many wrong keys"),
        "{why}"
    );
}

#[tokio::test]
async fn pages_of_other_sites_begin_nothing_unless_they_are_named() {
    let mut world = World::new();
    world.options.cors_origins = vec!["https://ops.example.com".into()];
    let running = Running::start(world);
    let (status, json) = Polled::open(&running, &[("origin", "https://evil.example")])
        .await
        .err()
        .unwrap();
    assert_eq!((status, &json["error"]["code"]), (403, &"FORBIDDEN".into()));
    let own = Polled::open(&running, &[("origin", "https://ops.example.com")]).await;
    own.unwrap().joined().await;
}
