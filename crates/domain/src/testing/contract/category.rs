//! Rules of reading one category: all of it, only it, in order, in pieces.

use std::sync::Arc;

use super::{ContractLog, Subject, all, append, at, event, receive};
use crate::testing::TestDelivery;
use crate::{Category, CategoryPage, Expected, PageLimit, Position, RecordedEvent};

/// Events of sources among those of others: `source-default.a` at revisions 0, 2 and 3, `source-default.b`, one of each
/// other category, and names that only look alike.
async fn fill(log: &dyn ContractLog) {
    let mut n = 0;
    let mut events = |count: u128| {
        let new = (n..n + count).map(|n| event(n, b"x")).collect();
        n += count;
        new
    };
    for (stream, expected, count) in [
        ("source-default.a", Expected::NoStream, 1),
        ("replay-default.source-default.a", Expected::NoStream, 2),
        ("source-default.b", Expected::NoStream, 1),
        ("sources-default.a", Expected::NoStream, 1),
        ("source-default.a", at(0), 3),
        ("destination-default.a", Expected::NoStream, 1),
        ("source-default.b", at(0), 1),
        ("source-_.a", Expected::NoStream, 1),
    ] {
        log.append(append(stream, expected, events(count))).await.unwrap();
        receive(log, &TestDelivery::new("push", stream.to_owned())).await;
    }
}

async fn read(log: &dyn ContractLog, after: Position, events: usize) -> CategoryPage {
    let limit = PageLimit {
        events,
        ..PageLimit::default()
    };
    log.read_category(Category::Source, after, limit).await.unwrap()
}

async fn expected(log: &dyn ContractLog) -> Vec<RecordedEvent> {
    let mut events = all(log).await;
    events.retain(|event| event.stream.as_str().starts_with("source-"));
    events
}

pub(super) async fn a_category_is_read_in_the_order_of_the_log_and_alone(subject: Subject) {
    let log = &*subject.log;
    let empty = read(log, Position::START, 10).await;
    assert_eq!(empty, CategoryPage::default());
    fill(log).await;
    let (head, of_sources) = (log.head().await.unwrap(), expected(log).await);
    assert_eq!(of_sources.len(), 7);
    let page = read(log, Position::START, 100).await;
    assert_eq!((&page.events, page.upto), (&of_sources, head));
    for (n, event) in of_sources.iter().enumerate() {
        let page = read(log, event.position, 100).await;
        assert_eq!((&page.events[..], page.upto), (&of_sources[n + 1..], head));
    }
    for after in [head, Position::new(u64::MAX)] {
        let page = read(log, after, 100).await;
        assert_eq!((page.events.len(), page.upto), (0, head), "after {after}");
    }
    let none = log
        .read_category(Category::Replay, head, PageLimit::default())
        .await;
    assert_eq!(none.unwrap().events, []);
}

pub(super) async fn pages_of_a_category_are_bounded_and_miss_nothing(subject: Subject) {
    let log = &*subject.log;
    fill(log).await;
    let of_sources = expected(log).await;
    for events in 1..=8 {
        let (mut after, mut got) = (Position::START, Vec::new());
        while after < log.head().await.unwrap() {
            let page = read(log, after, events).await;
            assert!(page.events.len() <= events && page.upto > after, "{events}");
            got.extend(page.events);
            after = page.upto;
        }
        assert_eq!(got, of_sources, "{events} a page");
    }
    let tiny = PageLimit { events: 9, bytes: 1 };
    let page = log
        .read_category(Category::Source, Position::START, tiny)
        .await
        .unwrap();
    assert_eq!(
        (&page.events[..], page.upto),
        (&of_sources[..1], of_sources[0].position)
    );
}

pub(super) async fn a_category_read_while_it_grows_is_complete(subject: Subject) {
    let log = subject.log;
    let writing = tokio::spawn({
        let log = Arc::clone(&log);
        async move {
            for n in 0..200_u128 {
                let stream = format!("source-default.s{}", n % 20);
                let expected = u64::try_from(n / 20)
                    .unwrap()
                    .checked_sub(1)
                    .map_or(Expected::NoStream, at);
                log.append(append(&stream, expected, vec![event(n, b"x")]))
                    .await
                    .unwrap();
                receive(&*log, &TestDelivery::new("push", n.to_string())).await;
            }
        }
    });
    let (mut after, mut got) = (Position::START, 0);
    while got < 200 {
        let head = log.wait_past(after).await.unwrap();
        let page = read(&*log, after, 7).await;
        assert!(page.events.len() == 7 || page.upto >= head);
        got += page.events.len();
        after = page.upto;
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    assert_eq!(got, 200);
}
