//! Pages that run into each other: what is sent before the acknowledgements of the page before it, and what comes of an error.

use super::*;

/// A relay whose pages of five are all under way, and a log of twelve events.
async fn all_under_way() -> (Arc<MemoryLog>, Arc<FakeStream>, Running) {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 12).await;
    stream.hold(true);
    let relay = start(&log, &stream);
    sent(&stream, 3).await;
    assert!(stream.live().is_empty(), "nothing is stored yet");
    (log, stream, relay)
}

async fn sent(stream: &FakeStream, pages: usize) {
    until("pages are sent behind pages under way", async || {
        stream.state().published.len() == pages
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pages_are_sent_before_those_ahead_are_stored_and_count_once_they_are() {
    let (log, stream, relay) = all_under_way().await;
    let status = relay.handle.status();
    assert_eq!(
        (status.position, status.state),
        (Position::START, RelayState::CatchingUp),
        "what is sent is not published"
    );
    // What comes meanwhile does not wait for an answer either.
    append(log.as_ref(), 1).await;
    sent(&stream, 4).await;
    append(log.as_ref(), 1).await;
    sent(&stream, 5).await;
    stream.hold(false);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    let status = relay.handle.status();
    assert_eq!((status.position, status.lag_events), (status.head, Some(0)));
    assert_eq!((status.errors, status.republished), (0, 0));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_in_one_page_leaves_no_hole_before_the_pages_behind_it() {
    let (log, stream, relay) = all_under_way().await;
    stream.state().lose_next = true;
    stream.hold(false);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    let status = relay.handle.status();
    assert_eq!((status.errors, status.republished), (1, 0));
    // All three pages once more, from what the stream really holds.
    assert_eq!(stream.state().published.len(), 6);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_went_on_without_us_turns_all_pages_under_way_away() {
    let (log, stream, relay) = all_under_way().await;
    let events = all_events(log.as_ref()).await;
    // Another relay was quicker.
    stream.put(log.id(), &events[0], Position::START);
    stream.put(log.id(), &events[1], events[0].position);
    stream.hold(false);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    assert_eq!(relay.handle.status().errors, 0, "that is no failure");
    relay.stop().await;
}
