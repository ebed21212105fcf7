//! Rules of appending: what is taken, what conflicts, what counts as a retry.

use std::sync::Arc;

use super::{Subject, all, append, at, event, receive};
use crate::testing::TestDelivery;
use crate::{AppendError, EventId, Expected, Position, Revision, TenantId};

pub(super) async fn a_stream_that_is_there_conflicts_with_no_stream(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{}");
    let first = receive(log, &delivery).await;
    let mut again = delivery.append();
    again.events[0].id = EventId::new(uuid::Uuid::from_u128(99));
    let conflict = AppendError::Conflict {
        current: Revision::new(0),
        first: first.first,
    };
    assert_eq!(log.append(again).await, Err(conflict));
    assert_eq!(all(log).await.len(), 1);
}

pub(super) async fn a_wrong_revision_conflicts(subject: Subject) {
    let log = &*subject.log;
    let both = vec![event(1, b"a"), event(2, b"b")];
    let first = log
        .append(append("replay-default.a", Expected::NoStream, both))
        .await
        .unwrap();
    for wrong in [at(0), at(2), at(u64::MAX)] {
        let conflict = AppendError::Conflict {
            current: Revision::new(1),
            first: first.first,
        };
        let answer = log
            .append(append("replay-default.a", wrong, vec![event(9, b"x")]))
            .await;
        assert_eq!(answer, Err(conflict), "{wrong:?}");
    }
    let nothing = AppendError::Conflict {
        current: Revision::new(0),
        first: Position::START,
    };
    let answer = log
        .append(append("replay-default.none", at(0), vec![event(9, b"x")]))
        .await;
    assert_eq!(answer, Err(nothing));
    assert_eq!(all(log).await.len(), 2);
}

pub(super) async fn an_append_without_events_is_invalid(subject: Subject) {
    let answer = subject
        .log
        .append(append("replay-default.a", Expected::NoStream, Vec::new()))
        .await;
    assert!(
        matches!(&answer, Err(error @ AppendError::Invalid(_)) if !error.retry()),
        "{answer:?}"
    );
}

pub(super) async fn a_retry_with_the_same_ids_gets_the_first_answer(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{}");
    let stream = delivery.received().stream();
    let first = receive(log, &delivery).await;
    subject.clock.advance_millis(1000);
    assert_eq!(receive(log, &delivery).await, first);
    let both = || append(stream.as_str(), at(0), vec![event(1, b"a"), event(2, b"b")]);
    let second = log.append(both()).await.unwrap();
    assert_eq!(log.append(both()).await, Ok(second));
    // The first append is still recognised, with later events behind it.
    assert_eq!(receive(log, &delivery).await, first);
    assert_eq!(all(log).await.len(), 3);
    let marked = TestDelivery {
        hook: Some("42".into()),
        event_id: EventId::new(uuid::Uuid::from_u128(7)),
        ..delivery.clone()
    };
    let answer = receive(log, &marked).await;
    assert_eq!(answer.duplicate_of, Some(stream));
    assert_eq!(receive(log, &marked).await, answer);
}

pub(super) async fn a_retry_must_repeat_the_whole_append_at_its_place(subject: Subject) {
    let log = &*subject.log;
    let both = vec![event(1, b"a"), event(2, b"b")];
    log.append(append("replay-default.a", Expected::NoStream, both))
        .await
        .unwrap();
    let refused = [
        (Expected::NoStream, vec![event(1, b"a"), event(3, b"c")]),
        (
            Expected::NoStream,
            vec![event(1, b"a"), event(2, b"b"), event(3, b"c")],
        ),
        (Expected::NoStream, vec![event(2, b"b")]),
        (at(1), vec![event(2, b"b")]),
    ];
    for (expected, events) in refused {
        let fits = expected == at(1);
        let answer = log.append(append("replay-default.a", expected, events)).await;
        // An id at another place is another event: what fits is written.
        assert_eq!(answer.is_ok(), fits, "{expected:?} {answer:?}");
    }
    let part = log
        .append(append(
            "replay-default.a",
            Expected::NoStream,
            vec![event(1, b"a")],
        ))
        .await;
    assert_eq!(part.map(|appended| appended.revision), Ok(Revision::new(0)));
}

pub(super) async fn a_refused_append_leaves_nothing(subject: Subject) {
    let log = &*subject.log;
    let delivery = TestDelivery::new("push", "{\"a\":1}");
    let mut wrong = delivery.append();
    wrong.expected = at(4);
    assert!(log.append(wrong).await.is_err());
    // Nor is its content remembered.
    let other = TestDelivery::new("push", "{\"a\":1}");
    assert_eq!(receive(log, &other).await.duplicate_of, None);
    let found = log
        .by_sender_id(&TenantId::default(), &delivery.delivery_id, 5)
        .await;
    assert_eq!(found, Ok(Vec::new()));
}

pub(super) async fn one_of_many_appends_with_one_key_wins(subject: Subject) {
    let delivery = TestDelivery::new("push", "{}");
    let tries = (0..64).map(|n| {
        let mut append = delivery.append();
        append.events[0].id = EventId::new(uuid::Uuid::from_u128(1000 + n));
        let log = Arc::clone(&subject.log);
        tokio::spawn(async move { log.append(append).await })
    });
    let tries: Vec<_> = tries.collect();
    let (mut won, mut conflicts) = (Vec::new(), Vec::new());
    for answer in tries {
        match answer.await.unwrap() {
            Ok(appended) => won.push(appended.first),
            Err(AppendError::Conflict { first, .. }) => conflicts.push(first),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((won.len(), conflicts.len()), (1, 63));
    assert!(conflicts.iter().all(|first| *first == won[0]));
    assert_eq!(all(&*subject.log).await.len(), 1);
}
