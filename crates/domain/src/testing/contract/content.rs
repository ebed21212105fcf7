//! Rules of content: which delivery counts as the repeat of another one.

use super::{Subject, all, receive};
use crate::testing::TestDelivery;
use crate::{EventId, StreamName};

fn later(delivery: &TestDelivery, ms: i64) -> TestDelivery {
    TestDelivery {
        received_at: delivery.received_at.plus_millis(ms),
        ..TestDelivery::new(&delivery.event, delivery.body.clone())
    }
}

fn stream_of(delivery: &TestDelivery) -> Option<StreamName> {
    Some(delivery.received().stream())
}

pub(super) async fn the_same_body_within_the_window_is_marked(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    assert_eq!(receive(log, &original).await.duplicate_of, None);
    for ms in [0, 1, 60_000, -60_000] {
        let repeat = later(&original, ms);
        assert_eq!(
            receive(log, &repeat).await.duplicate_of,
            stream_of(&original),
            "{ms} ms later"
        );
    }
    let other = TestDelivery::new("push", "{\"a\":2}");
    assert_eq!(receive(log, &other).await.duplicate_of, None);
    let marks: Vec<bool> = all(log).await.iter().map(|e| e.duplicate_of.is_some()).collect();
    assert_eq!(marks, [false, true, true, true, true, false]);
}

pub(super) async fn the_same_body_outside_the_window_is_not_marked(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let off = TestDelivery {
        window_ms: 0,
        ..later(&original, 0)
    };
    assert_eq!(receive(log, &off).await.duplicate_of, None);
    let late = later(&original, 60_001);
    assert_eq!(receive(log, &late).await.duplicate_of, None);
    // It is the original of those that follow.
    let repeat = later(&original, 120_001);
    assert_eq!(receive(log, &repeat).await.duplicate_of, stream_of(&late));
}

pub(super) async fn a_mark_always_names_the_unmarked_original(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let repeat = later(&original, 40_000);
    assert_eq!(receive(log, &repeat).await.duplicate_of, stream_of(&original));
    // The window runs from the original, not from the repeat.
    let third = later(&original, 80_000);
    assert_eq!(receive(log, &third).await.duplicate_of, None);
    // The id of a marked delivery under another hook leads to the original too.
    let other_hook = TestDelivery {
        hook: Some("42".into()),
        delivery_id: repeat.delivery_id.clone(),
        ..TestDelivery::new("push", "{\"b\":1}")
    };
    assert_eq!(receive(log, &other_hook).await.duplicate_of, stream_of(&original));
}

pub(super) async fn the_same_sender_id_under_another_hook_is_marked_for_ever(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let other_hook = TestDelivery {
        event_id: EventId::new(uuid::Uuid::from_u128(5)),
        hook: Some("42".into()),
        received_at: original.received_at.plus_millis(1_000_000_000),
        window_ms: 0,
        ..original.clone()
    };
    assert_eq!(receive(log, &other_hook).await.duplicate_of, stream_of(&original));
}

pub(super) async fn content_is_compared_within_tenant_and_source(subject: Subject) {
    let log = &*subject.log;
    let original = TestDelivery::new("push", "{\"a\":1}");
    receive(log, &original).await;
    let other_source = TestDelivery {
        source: "github-2".into(),
        event_id: EventId::new(uuid::Uuid::from_u128(5)),
        ..original.clone()
    };
    assert_eq!(receive(log, &other_source).await.duplicate_of, None);
    let mut other_tenant = later(&original, 0).append();
    other_tenant.stream = format!("delivery-team-b.{}", other_tenant.stream.id())
        .parse()
        .unwrap();
    if let Some(content) = &mut other_tenant.content {
        content.tenant = "team-b".parse().unwrap();
        content.sender_id = Some(original.delivery_id.clone());
    }
    let answer = log.append(other_tenant).await.unwrap();
    assert_eq!(answer.duplicate_of, None);
}
