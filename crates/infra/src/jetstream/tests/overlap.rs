//! Pages that run into each other, on the real server.

use async_nats::jetstream::stream::State;
use domain::Publishing;

use super::*;

async fn all_stored(publishing: &mut Box<dyn Publishing>, meant: u64) {
    while publishing.settle().await.unwrap() < meant {}
}

#[tokio::test]
async fn a_page_is_sent_while_the_one_before_it_is_under_way() {
    // A server that stands still answers nobody.
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut publishing = jetstream.publish_after(0);
    server.stand_still();
    assert_eq!(publishing.send(messages(1, 20)).await, Ok(0));
    assert_eq!(publishing.send(messages(21, 40)).await, Ok(0));
    server.go_on();
    all_stored(&mut publishing, 40).await;
    assert_eq!(jetstream.tail().await.unwrap(), tail(40, Some(40)));
    // It goes on behind the last of them, also after a while in which nothing was under way.
    assert!(publishing.send(messages(41, 41)).await.is_ok());
    all_stored(&mut publishing, 41).await;
}

#[tokio::test]
async fn an_error_in_a_page_keeps_the_pages_behind_it_out() {
    let server = Server::start();
    let (one, two) = (bound(&server).await, server.connect().await);
    one.publish(0, messages(1, 10)).await.unwrap();
    let mut stale = two.publish_after(4);
    server.stand_still();
    // The first message of the third page expects the sequence that the stream really ends with: by that alone it would be
    // taken.
    for page in 0..4 {
        let from = 100 + page * 3;
        assert_eq!(stale.send(messages(from, from + 2)).await, Ok(4));
    }
    server.go_on();
    assert_eq!(stale.settle().await, Err(FanOutError::Moved));
    assert_eq!(
        stale.send(messages(11, 20)).await,
        Err(FanOutError::Moved),
        "nothing is sent after an error"
    );
    assert_eq!(stale.settle().await, Err(FanOutError::Moved), "nor waited for");
    assert_eq!(one.tail().await.unwrap(), tail(10, Some(10)));
}

#[tokio::test]
async fn what_could_not_be_sent_leaves_no_hole_before_what_is_sent_next() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut publishing = jetstream.publish_after(0);
    let mut bad = messages(1, 5);
    bad[2].headers.push(("X-Bad", "two\r\nlines".into()));
    let refused = publishing.send(bad).await;
    assert!(matches!(refused, Err(FanOutError::Refused(_))), "{refused:?}");
    assert_eq!(publishing.send(messages(6, 9)).await, refused);
    assert_eq!(jetstream.tail().await.unwrap(), tail(2, Some(2)));
}

#[tokio::test]
async fn waiting_for_an_acknowledgement_can_be_given_up() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut publishing = jetstream.publish_after(0);
    server.stand_still();
    publishing.send(messages(1, 20)).await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), publishing.settle()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    server.go_on();
    all_stored(&mut publishing, 20).await;
    let mut stream = jetstream.stream().await.unwrap();
    let State { messages, .. } = stream.info().await.unwrap().state;
    assert_eq!(messages, 20);
}

/// What the server sent to a client meanwhile, answers among it.
fn heard(jetstream: &JetStream) -> u64 {
    let statistics = jetstream.client.statistics();
    statistics.in_messages.load(Ordering::SeqCst)
}

#[tokio::test]
async fn only_some_messages_are_asked_about_and_the_rest_is_known_by_them() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut publishing = jetstream.publish_after(0);
    let before = heard(&jetstream);
    publishing.send(messages(1, 640)).await.unwrap();
    all_stored(&mut publishing, 640).await;
    let answers = heard(&jetstream) - before;
    assert!((20..=22).contains(&answers), "{answers} answers");
    assert_eq!(jetstream.tail().await.unwrap(), tail(640, Some(640)));
    // Those that come one by one are known at once.
    for n in 641..=645 {
        publishing.send(messages(n, n)).await.unwrap();
        all_stored(&mut publishing, n).await;
    }
}

#[tokio::test]
async fn messages_that_nobody_asked_about_are_turned_away_and_so_is_what_follows() {
    let server = Server::start();
    let jetstream = bound(&server).await;
    let mut publishing = jetstream.publish_after(0);
    publishing.send(messages(1, 10)).await.unwrap();
    all_stored(&mut publishing, 10).await;
    let foreign = jetstream.context.publish("hooklog.v1.x.y", "hello".into());
    assert_eq!(foreign.await.unwrap().await.unwrap().sequence, 11);
    // Only the last of them is asked about, and the server turned away nine before it.
    let mut done = publishing.send(messages(11, 20)).await;
    while let Ok(10) = done {
        done = publishing.settle().await;
    }
    assert_eq!(done, Err(FanOutError::Moved));
    assert_eq!(jetstream.tail().await.unwrap(), tail(11, Some(10)));
}
