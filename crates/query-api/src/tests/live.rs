//! The live stream: every event once and in order, whatever happens to the client, the stream or the ring.

mod relayed;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use domain::testing::TestDelivery;
use domain::{EventLog as _, Position, Scope};
use futures_util::{Stream, StreamExt as _};
use poem::Response;
use poem::http::StatusCode;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Served, World, log_id};
pub(crate) use relayed::Relayed;

const PATIENCE: Duration = Duration::from_secs(20);

/// An event as a browser sees it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    event: Option<String>,
    id: Option<String>,
    data: Option<Value>,
}

impl Seen {
    /// The position in its id.
    fn position(&self) -> u64 {
        let id = self.id.as_deref().unwrap_or_else(|| panic!("no id: {self:?}"));
        let (log, position) = id.split_once(':').unwrap();
        assert_eq!(log, log_id().to_string());
        position.parse().unwrap()
    }
}

/// Reads a stream.
struct Client {
    body: std::pin::Pin<Box<dyn Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send>>,
    text: String,
}

impl Client {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.content_type(), Some("text/event-stream"));
        Self {
            body: Box::pin(response.into_body().into_bytes_stream()),
            text: String::new(),
        }
    }

    /// The next event, comments and bare ids left out; none at the end.
    async fn next(&mut self) -> Option<Seen> {
        loop {
            let seen = self.block().await?;
            if seen.data.is_some() {
                return Some(seen);
            }
        }
    }

    /// The next block, whatever it is.
    async fn block(&mut self) -> Option<Seen> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let seen = parse(block);
                self.text = rest.to_owned();
                return Some(seen);
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next());
            let piece = piece.await.expect("something comes")?.unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(self.next().await.expect("the stream goes on"));
        }
        all
    }

    async fn positions(&mut self, count: usize) -> Vec<u64> {
        self.take(count).await.iter().map(Seen::position).collect()
    }
}

fn parse(block: &str) -> Seen {
    let mut seen = Seen::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => seen.event = Some(name.to_owned()),
            Some(("id", id)) => seen.id = Some(id.to_owned()),
            Some(("data", data)) => seen.data = Some(serde_json::from_str(data).unwrap()),
            _ => assert!(line.starts_with(':') || line.starts_with("retry: "), "{line}"),
        }
    }
    seen
}

/// The API with its feed running.
struct Running {
    world: World,
    api: Served,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl Running {
    fn start(world: World) -> Self {
        let api = world.api();
        let stop = CancellationToken::new();
        tokio::spawn(api.live().run(stop.clone()));
        Self {
            world,
            api: Arc::new(api.endpoint()),
            _guard: stop.clone().drop_guard(),
            stop,
        }
    }

    async fn ask(&self, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let client = self.world.client_of(&self.api, "127.0.0.1:50000");
        let mut request = client.get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.0
    }

    async fn stream(&self, query: &str) -> Client {
        Client::of(self.ask(&format!("/api/webhooks/stream{query}"), &[]).await)
    }

    async fn refusal(&self, query: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let response = self.ask(&format!("/api/webhooks/stream{query}"), headers).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().into_bytes_limit(10_000).await.unwrap();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        (status, json["error"]["code"].as_str().unwrap().to_owned())
    }

    /// Puts a delivery into the log and the stream.
    async fn receive(&self, n: usize) -> u64 {
        let mut delivery = TestDelivery::new("push", format!("{{\"n\":{n}}}"));
        delivery.delivery_id = format!("d-{n}");
        if n.is_multiple_of(3) {
            delivery.event = "issues".into();
            delivery.action = Some("opened".into());
            delivery.repository = Some("Octo-Org/Other".into());
        }
        self.world.append(&delivery).await;
        self.relay().await
    }

    /// The relay publishes what the log holds.
    async fn relay(&self) -> u64 {
        let log = &self.world.log;
        let head = log.head().await.unwrap();
        self.world.relayed.publish(log.as_ref()).await;
        head.get()
    }
}

#[tokio::test]
async fn what_is_received_is_shown_as_the_row_of_the_list() {
    let running = Running::start(World::new());
    running.receive(1).await;
    let mut client = running.stream("").await;
    let opening = client.block().await.unwrap();
    assert_eq!(
        (opening.position(), opening.data),
        (3, None),
        "what was before is not shown"
    );
    let at = running.receive(2).await;
    let seen = client.next().await.unwrap();
    assert_eq!((seen.event.clone(), seen.position()), (None, at));
    let row = seen.data.unwrap();
    assert_eq!(row["id"], "github.41.d-2");
    assert_eq!(
        (&row["event"], &row["eventType"]),
        (&Value::from("push"), &Value::from("push"))
    );
    assert_eq!(row["position"], at);
    assert_eq!(row["status"], "processed");
    assert_eq!(row["duplicateOf"], Value::Null);
}

/// Time is skipped whenever nothing can happen.
#[tokio::test(start_paused = true)]
async fn the_feed_rests_while_nobody_listens_and_whoever_comes_misses_nothing() {
    let running = Running::start(World::new());
    let relayed = Arc::clone(&running.world.relayed);
    running.receive(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!relayed.is_followed(), "nobody ever listened");
    for n in 0..3 {
        let mut stream = running.stream("").await;
        let at = running.receive(10 + n).await;
        assert_eq!(stream.positions(1).await, [at]);
        assert!(relayed.is_followed());
        drop(stream);
        // That a client that polls is gone is seen only from a ping that it does not answer, after 45 s.
        relayed.deserted(PATIENCE * 6).await;
        let unseen = running.receive(20 + n).await;
        let mut socket = socket::joined(&running).await;
        let mut late = running.stream(&format!("?after={at}")).await;
        let received = running.receive(30 + n).await;
        assert_eq!(late.positions(2).await, [unseen, received]);
        for _typed_and_any in 0..2 {
            let (_, shown) = socket.event().await;
            assert!(!shown.to_string().contains(&format!("d-{}", 20 + n)), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_from_any_position_without_a_gap_or_a_repeat() {
    let mut world = World::new();
    // Everybody is overtaken all the time.
    world.live.ring_events_max = 3;
    world.live.page_events_max = 4;
    let running = Running::start(world);
    let mut all = Vec::new();
    for n in 0..20 {
        all.push(running.receive(n).await);
    }
    for from in 0..=all.len() {
        let after = from.checked_sub(1).map_or(0, |last| all[last]);
        let mut client = running.stream(&format!("?after={after}")).await;
        if from < all.len() {
            assert_eq!(
                client.positions(all.len() - from).await,
                all[from..],
                "after {after}"
            );
        }
        if from.is_multiple_of(5) {
            all.push(running.receive(100 + from).await);
            assert_eq!(client.positions(1).await, all[all.len() - 1..]);
        }
    }
    let id = format!("{}:{}", log_id(), all[3]);
    let response = running
        .ask("/api/webhooks/stream?after=0", &[("last-event-id", &id)])
        .await;
    let mut client = Client::of(response);
    assert_eq!(
        client.positions(5).await,
        all[4..9],
        "the header goes before the parameter"
    );
}

#[tokio::test]
async fn a_client_that_pauses_is_overtaken_and_misses_nothing() {
    let mut world = World::new();
    world.live.ring_events_max = 2;
    world.live.page_events_max = 7;
    // However long it pauses here: a busy machine must not be taken for a client that is gone.
    world.live.stall_timeout_ms = 600_000;
    let running = Running::start(world);
    let mut client = running.stream("").await;
    let mut all = Vec::new();
    for n in 0..3000 {
        all.push(running.receive(n).await);
    }
    assert_eq!(client.positions(all.len()).await, all);
}

#[tokio::test]
async fn filters_are_applied_here_and_the_id_moves_past_what_they_leave_out() {
    let mut world = World::new();
    world.live.heartbeat_ms = 50;
    let running = Running::start(world);
    let mut other = running
        .stream("?repository=octo-org/OTHER&event=issues&action=opened")
        .await;
    let mut none = running.stream("?source=gitlab").await;
    let mut all = Vec::new();
    for n in 1..=9 {
        all.push(running.receive(n).await);
    }
    assert_eq!(other.positions(3).await, [all[2], all[5], all[8]]);
    loop {
        let block = none.block().await.unwrap();
        assert_eq!(block.data, None);
        if block.id.is_some() && block.position() == all[8] {
            break;
        }
    }
}

#[tokio::test]
async fn holes_and_silence_of_the_stream_are_filled_from_the_log() {
    let mut world = World::new();
    world.live.silent_ms = 20;
    world.live.backoff_ms_min = 1;
    let running = Running::start(world);
    let mut client = running.stream("").await;
    let relayed = &running.world.relayed;
    let mut all = vec![running.receive(1).await];
    relayed.lose(1);
    all.push(running.receive(2).await);
    all.push(running.receive(3).await);
    assert_eq!(client.positions(3).await, all);
    // Nothing comes through any more, and then there is no stream at all.
    relayed.lose(5);
    let silent = running.receive(4).await;
    assert_eq!(client.positions(1).await, [silent]);
    relayed.set_down(true);
    let down = running.receive(5).await;
    assert_eq!(client.positions(1).await, [down]);
    relayed.set_down(false);
    let up = running.receive(6).await;
    assert_eq!(client.positions(1).await, [up]);
}

#[tokio::test]
async fn a_place_of_another_log_or_beyond_the_end_is_refused() {
    let running = Running::start(World::new());
    running.receive(1).await;
    let refusal = |query: &'static str| running.refusal(query, &[]);
    assert_eq!(refusal("?after=4").await, (409, "POSITION_BEYOND_HEAD".into()));
    let foreign = [("last-event-id", "00000000-0000-0000-0000-000000000001:1")];
    assert_eq!(running.refusal("", &foreign).await, (409, "LOG_CHANGED".into()));
    for bad in [
        "?after=x",
        "?after=-1",
        "?after=1:1",
        "?repositry=a/b",
        "?source=A",
    ] {
        assert_eq!(refusal(bad).await, (400, "VALIDATION_ERROR".into()), "{bad}");
    }
    let bad = [("last-event-id", "x")];
    assert_eq!(running.refusal("", &bad).await, (400, "VALIDATION_ERROR".into()));
    let empty = running
        .ask("/api/webhooks/stream", &[("last-event-id", "")])
        .await;
    assert_eq!(empty.status(), StatusCode::OK);
}

#[tokio::test]
async fn streams_are_bounded_for_each_and_in_all_and_places_come_back() {
    let mut world = World::new();
    world.live.streams_max = 3;
    world.live.streams_per_client_max = 2;
    let key = world.doors.key("ops", "default", Scope::Read);
    let other = world.doors.key("other", "default", Scope::Read);
    let more = world.doors.key("more", "default", Scope::Read);
    let running = Running::start(world);
    let stream = |key: String| {
        let running = &running;
        async move { running.ask("/api/webhooks/stream", &[("x-api-key", &key)]).await }
    };
    let first = stream(key.clone()).await;
    let _second = stream(key.clone()).await;
    let third = stream(key.clone()).await;
    assert_eq!(third.status(), 429);
    assert!(third.headers().contains_key("retry-after"));
    let _other = stream(other).await;
    let full = stream(more.clone()).await;
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    drop(first);
    let begin = std::time::Instant::now();
    while stream(more.clone()).await.status() != 200 {
        assert!(begin.elapsed() < PATIENCE, "the place never came back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_revoked_key_and_the_stop_end_a_stream_with_a_notice() {
    let mut world = World::new();
    world.live.recheck_ms = 5;
    let key = world.doors.key("ops", "default", Scope::Read);
    let id = key.split('_').nth(1).unwrap().parse().unwrap();
    let kept = world.doors.key("kept", "default", Scope::Read);
    let running = Running::start(world);
    let open = |key: String| {
        let running = &running;
        async move { Client::of(running.ask("/api/webhooks/stream", &[("x-api-key", &key)]).await) }
    };
    let (mut revoked, mut stopped) = (open(key).await, open(kept).await);
    domain::Keys::revoke(running.world.doors.as_ref(), &id, "test".into())
        .await
        .unwrap();
    let last = revoked.next().await.unwrap();
    assert_eq!(last.event.as_deref(), Some("notice"));
    assert_eq!(last.data.unwrap()["code"], "KEY_REVOKED");
    assert_eq!(revoked.next().await, None, "and then it ends");
    running.stop.cancel();
    let last = stopped.next().await.unwrap();
    assert_eq!(last.data.unwrap()["code"], "SHUTTING_DOWN");
    assert_eq!(stopped.next().await, None);
}

#[tokio::test]
async fn the_first_key_ends_the_streams_of_those_without() {
    let mut world = World::new();
    world.live.recheck_ms = 5;
    let running = Running::start(world);
    let mut client = running.stream("").await;
    running.world.doors.key("first", "default", Scope::Read);
    assert_eq!(client.next().await.unwrap().data.unwrap()["code"], "KEY_REQUIRED");
}

#[tokio::test]
async fn who_takes_nothing_loses_the_stream_and_the_connection() {
    let mut world = World::new();
    world.live.stall_timeout_ms = 20;
    let running = Running::start(world);
    for n in 0..1000 {
        running.receive(n).await;
    }
    let connection = CancellationToken::new();
    let client = running
        .world
        .client_of_connection(&running.api, crate::HangUp(connection.clone()));
    let response = client.get("/api/webhooks/stream?after=0").send().await.0;
    let ended = tokio::time::timeout(PATIENCE, connection.cancelled()).await;
    assert!(ended.is_ok(), "the connection was never ended");
    // What was on its way when it stalled, and why no more comes.
    let mut client = Client::of(response);
    let mut last = None;
    while let Some(seen) = client.next().await {
        last = Some(seen);
    }
    assert_eq!(last.unwrap().data.unwrap()["code"], "SLOW_CLIENT");
}

#[tokio::test]
async fn what_becomes_of_deliveries_is_shown_to_who_asks_for_it() {
    let running = Running::start(World::new());
    let mut changes = running.stream("?changes=true").await;
    let mut plain = running.stream("").await;
    let at = super::outcomes::received_and_failed(&running.world, "d-1").await;
    running.relay().await;
    let mut shown = changes.take(2).await;
    let status = shown.pop().unwrap();
    assert_eq!((status.event.as_deref(), status.position()), (Some("status"), at));
    let data = status.data.unwrap();
    assert_eq!(
        (&data["id"], &data["status"]),
        (&"github.41.d-1".into(), &"retrying".into())
    );
    assert_eq!(
        (&data["attempts"], &data["processed"]),
        (&1.into(), &false.into())
    );
    assert_eq!(data["errorCode"], "SERVICE_UNAVAILABLE");
    assert_eq!(
        (&data["retryable"], &data["position"]),
        (&true.into(), &at.into())
    );
    assert_eq!(plain.positions(1).await, [shown[0].position()]);
    let next = running.receive(2).await;
    assert_eq!(plain.positions(1).await, [next], "the change was left out");
    assert_eq!(Position::new(next), running.world.log.head().await.unwrap());
}
