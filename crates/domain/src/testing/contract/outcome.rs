//! Rules of what follows a delivery in its stream: events of metadata alone, appended at the revision that was seen.

use super::{Subject, all, receive};
use crate::testing::{Ending, TestDelivery, attempted, decide_and_append};
use crate::{
    AppendError, DeliveryOutcome, DeliveryStatus, EventData, EventId, NewEvent, PageLimit, Position,
    Revision, load_delivery,
};

fn due() -> TestDelivery {
    TestDelivery {
        due: vec!["orders", "chat"],
        ..TestDelivery::new("push", "{\"a\":1}")
    }
}

pub(super) async fn an_outcome_without_data_is_read_back_in_its_stream(subject: Subject) {
    let log = &*subject.log;
    let delivery = due();
    let receipt = receive(log, &delivery).await;
    receive(log, &TestDelivery::new("push", "another between")).await;
    let stream = delivery.received().stream();
    let mut appended = Vec::new();
    for ending in [Ending::Fails, Ending::GivenUp] {
        let command = |state: &_| attempted(state, "orders", ending, delivery.received_at).unwrap();
        appended.push(decide_and_append(log, &stream, command).await.unwrap());
    }
    let events = log
        .read_stream(&stream, Revision::new(1), PageLimit::default())
        .await
        .unwrap();
    let read: Vec<DeliveryOutcome> = events
        .iter()
        .map(|e| DeliveryOutcome::of(e).unwrap().unwrap())
        .collect();
    assert_eq!(read, appended);
    for event in &events {
        assert_eq!(event.data, EventData::Inline(bytes::Bytes::new()));
        assert_eq!((&event.stream, &event.duplicate_of), (&stream, &None));
    }
    // Up to a position it is what it was there.
    let at = |position: Position| load_delivery(log, &stream, Some(position));
    let states = [
        (receipt.last, DeliveryStatus::Received),
        (events[0].position, DeliveryStatus::Retrying),
        (events[1].position, DeliveryStatus::Dead),
    ];
    for (position, status) in states {
        assert_eq!(
            at(position).await.unwrap().unwrap().status(),
            status,
            "at {position}"
        );
    }
}

pub(super) async fn of_two_outcomes_decided_from_one_state_one_stands(subject: Subject) {
    let log = &*subject.log;
    let delivery = due();
    let first = receive(log, &delivery).await.first;
    let stream = delivery.received().stream();
    let state = load_delivery(log, &stream, None).await.unwrap().unwrap();
    let mut appends = ["orders", "chat"].map(|name| {
        let command = attempted(&state, name, Ending::Delivered, delivery.received_at).unwrap();
        let outcome = state.decide(command).unwrap().unwrap();
        state.append(&outcome, EventId::new(uuid::Uuid::now_v7()))
    });
    let stands = log.append(appends[0].clone()).await.unwrap();
    let conflict = AppendError::Conflict {
        current: Revision::new(1),
        first,
    };
    assert_eq!(log.append(appends[1].clone()).await, Err(conflict));
    // The same one again is the same one; decided anew, the other follows.
    assert_eq!(log.append(appends[0].clone()).await, Ok(stands));
    let command = |state: &_| attempted(state, "chat", Ending::Delivered, delivery.received_at).unwrap();
    decide_and_append(log, &stream, command).await.unwrap();
    assert_eq!(all(log).await.len(), 3);
    // A repeat of the receipt learns how far the stream is.
    appends[0] = delivery.append();
    appends[0].events[0].id = EventId::new(uuid::Uuid::now_v7());
    let conflict = AppendError::Conflict {
        current: Revision::new(2),
        first,
    };
    assert_eq!(log.append(appends[0].clone()).await, Err(conflict));
}

pub(super) async fn metadata_up_to_its_limit_is_taken(subject: Subject) {
    let log = &*subject.log;
    let delivery = due();
    receive(log, &delivery).await;
    let mut append = delivery.append();
    append.expected = super::at(0);
    append.content = None;
    let text = "x".repeat(NewEvent::METADATA_BYTES_MAX - 2);
    append.events = vec![NewEvent {
        id: EventId::new(uuid::Uuid::now_v7()),
        metadata: format!("\"{text}\"").into(),
        data: EventData::Inline(bytes::Bytes::new()),
        ..super::event(1, b"")
    }];
    let metadata = append.events[0].metadata.clone();
    log.append(append).await.unwrap();
    assert_eq!(all(log).await[1].metadata, metadata);
}
