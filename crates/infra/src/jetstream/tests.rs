//! Against the real server.

mod certificates;
mod checkpoint;
mod cluster;
mod overlap;
#[path = "../../../../tests/e2e/harness/port.rs"]
mod port;
mod rejected;
pub(crate) mod server;
mod subject;

use std::time::Duration;

use domain::testing::{TestDelivery, recorded};
use domain::{
    EventId, FanOut, FanOutError, FanOutTail, LiveEvents, LiveSubscription, LogId, Message, Position,
    message_of,
};

use super::*;
use server::{Server, until};

fn log(n: u128) -> LogId {
    LogId::new(uuid::Uuid::from_u128(n))
}

/// The event at a position: made again, it is the same.
fn event_id(position: u64) -> EventId {
    EventId::new(uuid::Uuid::from_u128(position.into()))
}

fn message(position: u64, stride: u64) -> Message {
    let mut delivery = TestDelivery::new("push", format!("body {position}"));
    delivery.event_id = event_id(position);
    let event = recorded(position, &delivery);
    message_of(
        &event,
        log(1),
        Position::new(position - stride),
        "http://127.0.0.1:3000",
    )
    .unwrap()
}

/// Messages at positions 10, 20, 30, …: nothing may count on dense ones.
fn messages(from: u64, to: u64) -> Vec<Message> {
    (from..=to).map(|n| message(n * 10, 10)).collect()
}

fn tail(last_sequence: u64, last: Option<u64>) -> FanOutTail {
    FanOutTail {
        log_id: Some(log(1)),
        last_sequence,
        last_position: last.map(|n| Position::new(n * 10)),
        last_event: last.map(|n| event_id(n * 10)),
    }
}

/// Publishes as the relay does: on any error it reads the end again and goes on from there.
async fn publish_up_to(jetstream: JetStream, to: u64, batch: u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = try_to_publish(&jetstream, to, batch).await {
        assert!(tokio::time::Instant::now() < deadline, "never published: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn try_to_publish(jetstream: &JetStream, to: u64, batch: u64) -> Result<(), FanOutError> {
    let end = jetstream.tail().await?;
    let mut done = end.last_position.map_or(0, |p| p.get() / 10);
    let meant = end.last_sequence + to.saturating_sub(done);
    let mut publishing = jetstream.publish_after(end.last_sequence);
    let mut stored = end.last_sequence;
    while done < to {
        let next = (done + batch).min(to);
        stored = publishing.send(messages(done + 1, next)).await?;
        done = next;
    }
    while stored < meant {
        stored = publishing.settle().await?;
    }
    Ok(())
}

impl JetStream {
    /// Publishes some messages and waits until all are stored.
    async fn publish(&self, expected_last_sequence: u64, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let meant = expected_last_sequence + messages.len() as u64;
        let mut publishing = self.publish_after(expected_last_sequence);
        let mut stored = publishing.send(messages).await?;
        while stored < meant {
            stored = publishing.settle().await?;
        }
        Ok(stored)
    }
}

async fn next(events: &mut Box<dyn LiveSubscription>) -> u64 {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    let event = event.expect("no further event came").unwrap();
    assert_eq!(event.previous.get() + 10, event.event.position.get(), "a hole");
    assert_eq!(event.log_id, log(1));
    event.event.position.get() / 10
}

async fn bound(server: &Server) -> JetStream {
    let jetstream = server.connect().await;
    let end = jetstream.rebind(log(1)).await.unwrap();
    assert_eq!(end, tail(0, None));
    jetstream
}

#[tokio::test]
async fn a_new_stream_is_bound_to_a_log_filled_and_followed() {
    let server = Server::start();
    let jetstream = server.connect().await;
    let unbound = jetstream.tail().await.unwrap();
    assert_eq!(
        (unbound.log_id, unbound.last_sequence, unbound.last_position),
        (None, 0, None)
    );
    jetstream.rebind(log(1)).await.unwrap();
    let config = jetstream.stream().await.unwrap().cached_info().config.clone();
    assert_eq!(
        jetstream.shaped(config.clone()),
        config,
        "every look at the end would change the stream"
    );
    assert_eq!(jetstream.publish(0, messages(1, 2000)).await, Ok(2000));
    assert_eq!(jetstream.tail().await.unwrap(), tail(2000, Some(2000)));
    assert_eq!(
        jetstream.rebind(log(1)).await.unwrap().last_position,
        None,
        "rebinding empties"
    );

    let sequence = jetstream.tail().await.unwrap().last_sequence;
    assert_eq!(sequence, 2000, "sequences go on after emptying");
    let mut events = jetstream.follow(Position::START).await.unwrap();
    jetstream.publish(sequence, messages(2001, 2002)).await.unwrap();
    assert_eq!((next(&mut events).await, next(&mut events).await), (2001, 2002));
}

#[tokio::test]
async fn the_window_bounds_what_is_under_way_and_an_event_arrives_whole() {
    let server = Server::start();
    let options = JetStreamOptions {
        window_messages_max: 3,
        window_bytes_max: 2_000,
        ..server.options()
    };
    let jetstream = server.connect_with(options).await;
    jetstream.rebind(log(1)).await.unwrap();
    assert_eq!(jetstream.publish(0, messages(1, 49)).await, Ok(49));
    let sent = recorded(500, &TestDelivery::new("push", "body 500"));
    let message = message_of(&sent, log(1), Position::new(490), "http://127.0.0.1:3000").unwrap();
    jetstream.publish(49, vec![message]).await.unwrap();
    let mut events = jetstream.follow(Position::new(490)).await.unwrap();
    let live = events.next().await.unwrap();
    assert_eq!((live.event.data, live.event.id), (sent.data, sent.id));
}

#[tokio::test]
async fn a_server_killed_in_mid_publishing_leaves_no_hole() {
    let mut server = Server::start();
    let jetstream = bound(&server).await;
    let publishing = tokio::spawn(publish_up_to(jetstream.clone(), 4000, 500));
    until("some messages", async || {
        jetstream.tail().await.ok().filter(|end| end.last_sequence > 300)
    })
    .await;
    server.kill();
    server.restart();
    publishing.await.unwrap();
    assert_eq!(
        jetstream.tail().await.unwrap().last_position,
        Some(Position::new(40_000))
    );
    let mut events = jetstream.follow(Position::START).await.unwrap();
    for n in 1..=4000 {
        assert_eq!(next(&mut events).await, n);
    }
}

#[tokio::test]
async fn a_connection_lost_in_mid_publishing_leaves_no_hole() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let publishing = tokio::spawn(publish_up_to(jetstream.clone(), 2000, 2000));
    for _ in 0..3 {
        until("connected", async || jetstream.is_connected().then_some(())).await;
        jetstream.client.force_reconnect().await.unwrap();
    }
    publishing.await.unwrap();
    let mut events = jetstream.follow(Position::START).await.unwrap();
    for n in 1..=2000 {
        assert_eq!(next(&mut events).await, n);
    }
}

#[tokio::test]
async fn a_second_publisher_with_an_older_view_is_turned_away() {
    let server = Server::start();
    let (one, two) = (bound(&server).await, server.connect().await);
    one.publish(0, messages(1, 10)).await.unwrap();
    // Other message ids, so that only the sequence can give it away.
    assert_eq!(two.publish(3, messages(21, 30)).await, Err(FanOutError::Moved));
    assert_eq!(two.publish(11, messages(21, 30)).await, Err(FanOutError::Moved));
    assert_eq!(one.tail().await.unwrap(), tail(10, Some(10)));
    assert_eq!(one.publish(10, messages(11, 20)).await, Ok(20));
}

#[tokio::test]
async fn a_message_that_is_there_already_counts_as_moved() {
    let server = Server::start();
    let options = JetStreamOptions {
        duplicate_window_ms: 120_000,
        ..server.options()
    };
    let jetstream = server.connect_with(options).await;
    jetstream.rebind(log(1)).await.unwrap();
    jetstream.publish(0, messages(1, 10)).await.unwrap();
    assert_eq!(
        jetstream.publish(10, messages(10, 12)).await,
        Err(FanOutError::Moved)
    );
    assert_eq!(jetstream.tail().await.unwrap(), tail(10, Some(10)));
}

#[tokio::test]
async fn a_message_that_can_not_be_sent_stops_there() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut bad = messages(1, 10);
    bad[4].headers.push(("X-Bad", "two\r\nlines".into()));
    assert!(matches!(
        jetstream.publish(0, bad).await,
        Err(FanOutError::Refused(_))
    ));
    let mut large = messages(5, 7);
    large[1].payload = vec![0; 2 * 1024 * 1024].into();
    assert!(matches!(
        jetstream.publish(4, large).await,
        Err(FanOutError::Refused(_))
    ));
    assert_eq!(jetstream.tail().await.unwrap(), tail(5, Some(5)));
}

#[tokio::test]
async fn a_wiped_stream_is_made_anew_and_says_that_it_is_unbound() {
    let mut server = Server::start();
    let jetstream = bound(&server).await;
    jetstream.publish(0, messages(1, 30)).await.unwrap();
    let mut events = jetstream.follow(Position::new(300)).await.unwrap();
    server.kill();
    server.wipe();
    let gone = jetstream.publish(30, messages(31, 31)).await;
    assert!(matches!(gone, Err(FanOutError::Unavailable(_))), "{gone:?}");
    server.restart();
    let end = until("the stream is back", async || jetstream.tail().await.ok()).await;
    assert_eq!((end.log_id, end.last_sequence), (None, 0));
    jetstream.rebind(log(1)).await.unwrap();
    publish_up_to(jetstream.clone(), 40, 40).await;
    // The follower stood at 30: it must not wait for sequence 31 as if nothing had happened.
    let waited = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    assert!(
        matches!(&waited, Ok(Err(FanOutError::Unavailable(_)))) || matches!(&waited, Ok(Ok(_))),
        "{waited:?}"
    );
    let mut events = jetstream.follow(Position::new(300)).await.unwrap();
    assert_eq!(next(&mut events).await, 31);
}

#[tokio::test]
async fn a_stream_of_another_log_is_known_and_emptied_when_bound_anew() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    jetstream.publish(0, messages(1, 5)).await.unwrap();
    assert_eq!(jetstream.tail().await.unwrap().log_id, Some(log(1)));
    let end = jetstream.rebind(log(2)).await.unwrap();
    let expected = FanOutTail {
        log_id: Some(log(2)),
        last_sequence: 5,
        last_position: None,
        last_event: None,
    };
    assert_eq!(end, expected);
    // A log restored from its backup uses the same positions for other events.
    let end = jetstream.rebind(log(1)).await.unwrap();
    assert_eq!(jetstream.publish(end.last_sequence, messages(1, 5)).await, Ok(10));
}

#[tokio::test]
async fn following_begins_right_after_any_position() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut empty = jetstream.follow(Position::new(50)).await.unwrap();
    jetstream.publish(0, messages(1, 100)).await.unwrap();
    assert_eq!(
        next(&mut empty).await,
        1,
        "an empty stream is followed from its next message"
    );
    for (after, first) in [(0, 1), (1, 1), (10, 2), (15, 2), (500, 51), (985, 99), (990, 100)] {
        let mut events = jetstream.follow(Position::new(after)).await.unwrap();
        assert_eq!(next(&mut events).await, first, "after {after}");
    }
    let mut events = jetstream.follow(Position::new(1000)).await.unwrap();
    jetstream.publish(100, messages(101, 101)).await.unwrap();
    assert_eq!(next(&mut events).await, 101);
}

#[tokio::test]
async fn a_shrunk_stream_forgets_its_oldest_messages_and_following_goes_on_from_the_first_kept() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    jetstream.publish(0, messages(1, 1000)).await.unwrap();
    jetstream.set_bytes_max(200_000).await.unwrap();
    assert_eq!(jetstream.bytes_max(), 200_000);
    let info = jetstream.stream().await.unwrap();
    let state = info.cached_info().state.clone();
    assert!(state.bytes <= 200_000 && state.first_sequence > 1, "{state:?}");
    assert_eq!(jetstream.tail().await.unwrap(), tail(1000, Some(1000)));
    for after in [0, 10, (state.first_sequence - 1) * 10] {
        let mut events = jetstream.follow(Position::new(after)).await.unwrap();
        assert_eq!(next(&mut events).await, state.first_sequence, "after {after}");
    }
}

#[tokio::test]
async fn a_follower_survives_a_restart_of_the_server() {
    let mut server = Server::start();
    let jetstream = bound(&server).await;
    jetstream.publish(0, messages(1, 20)).await.unwrap();
    let mut events = jetstream.follow(Position::new(50)).await.unwrap();
    let mut quiet = jetstream.follow(Position::new(200)).await.unwrap();
    assert_eq!(next(&mut events).await, 6);
    server.kill();
    server.restart();
    publish_up_to(jetstream.clone(), 30, 10).await;
    for n in 7..=30 {
        assert_eq!(next(&mut events).await, n);
    }
    // One that never got a message yet must not begin at the start of the stream.
    assert_eq!(next(&mut quiet).await, 21);
}

#[tokio::test]
async fn a_message_of_somebody_else_disturbs_nobody() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    jetstream.publish(0, messages(1, 10)).await.unwrap();
    let foreign = jetstream
        .context
        .publish("hooklog.v1.x.y", "hello".into())
        .await
        .unwrap();
    assert_eq!(foreign.await.unwrap().sequence, 11);
    let end = jetstream.tail().await.unwrap();
    assert_eq!(end, tail(11, Some(10)));
    jetstream.publish(11, messages(11, 20)).await.unwrap();
    let mut events = jetstream.follow(Position::new(90)).await.unwrap();
    assert_eq!((next(&mut events).await, next(&mut events).await), (10, 11));
    let mut events = jetstream.follow(Position::new(100)).await.unwrap();
    assert_eq!(next(&mut events).await, 11);
}

#[tokio::test]
async fn waiting_for_an_event_can_be_given_up_and_begun_again() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut events = jetstream.follow(Position::START).await.unwrap();
    let publishing = tokio::spawn(publish_up_to(jetstream.clone(), 300, 7));
    for n in 1..=300 {
        let event = until("the next event", async || {
            let short = Duration::from_micros(50);
            tokio::time::timeout(short, events.next()).await.ok()
        });
        assert_eq!(event.await.unwrap().event.position, Position::new(n * 10));
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn an_absent_server_is_unavailable_at_once_and_found_when_it_comes() {
    let mut server = Server::start();
    server.kill();
    let jetstream = JetStream::connect(server.options()).await.unwrap();
    assert!(jetstream.set_bytes_max(1_000_000).await.is_err());
    assert_eq!(
        jetstream.bytes_max(),
        server.options().bytes_max,
        "it could not be told"
    );
    assert!(matches!(jetstream.tail().await, Err(FanOutError::Unavailable(_))));
    assert!(matches!(
        jetstream.follow(Position::START).await,
        Err(FanOutError::Unavailable(_))
    ));
    server.restart();
    until("a tail", async || jetstream.tail().await.ok()).await;
}

#[tokio::test]
async fn an_address_that_can_not_be_read_is_refused() {
    let options = JetStreamOptions {
        url: "not an address".into(),
        ..JetStreamOptions::default()
    };
    assert!(matches!(
        JetStream::connect(options).await,
        Err(FanOutError::Refused(_))
    ));
}
