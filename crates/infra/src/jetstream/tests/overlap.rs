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
