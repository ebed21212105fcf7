use super::*;
use crate::testing::{TestDelivery, recorded};
use crate::{ReplayId, ReplayTo};

const BASE: &str = "http://127.0.0.1:3000";

fn log_id() -> LogId {
    LogId::new(uuid::Uuid::from_u128(7))
}

fn read_back(message: &Message) -> LiveEvent {
    let find = |name: &str| message.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
    event_of(find, message.payload.clone()).unwrap()
}

#[test]
fn an_event_survives_its_message() {
    let delivery = TestDelivery::new("push", "ümlaut ☃ 𝄞 \u{7f} and \"quotes\"");
    let event = recorded(9, &delivery);
    let message = message_of(&event, log_id(), Position::new(8), BASE).unwrap();
    for (name, value) in &message.headers {
        assert!(
            value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            "{name}: {value}"
        );
    }
    let live = read_back(&message);
    assert_eq!((live.log_id, live.previous), (log_id(), Position::new(8)));
    assert_eq!(
        DeliveryReceived::of(&live.event).unwrap().unwrap(),
        DeliveryReceived::of(&event).unwrap().unwrap()
    );
    assert_eq!(
        live.event,
        RecordedEvent {
            metadata: live.event.metadata.clone(),
            ..event
        }
    );
}

#[test]
fn metadata_over_several_lines_travels_on_one() {
    let mut event = recorded(3, &TestDelivery::new("push", "x"));
    let pretty: serde_json::Value = serde_json::from_slice(&event.metadata).unwrap();
    event.metadata = serde_json::to_vec_pretty(&pretty).unwrap().into();
    let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
    assert!(message.headers.iter().all(|h| !h.1.contains(['\n', '\r', '\t'])));
    let live = read_back(&message);
    assert_eq!(
        DeliveryReceived::of(&live.event).unwrap().unwrap(),
        DeliveryReceived::of(&event).unwrap().unwrap()
    );
}

#[test]
fn a_content_type_carries_no_spaces_around_it() {
    // NATS takes them off, so a subscriber would see another value than the log has.
    let of = |kept: &str| {
        let mut event = recorded(3, &TestDelivery::new("push", "x"));
        let mut received = DeliveryReceived::of(&event).unwrap().unwrap();
        received.headers = vec![crate::HeaderFact("Content-Type".into(), kept.into())];
        event.metadata = received.to_metadata();
        let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
        let mut headers = message.headers.into_iter();
        headers
            .find(|header| header.0 == "content-type")
            .map(|header| header.1)
    };
    assert_eq!(of("  text/plain ").as_deref(), Some("text/plain"));
    assert_eq!(of("  "), None);
}

#[test]
fn an_event_with_unreadable_metadata_still_has_a_message() {
    for (metadata, kept) in [("not json", "{}"), (r#"{"tenant":7}"#, r#"{"tenant":7}"#)] {
        let mut event = recorded(3, &TestDelivery::new("push", "x"));
        event.metadata = Bytes::from(metadata);
        assert!(message_of(&event, log_id(), Position::START, BASE).is_err());
        let message = unreadable_message_of(&event, log_id(), Position::new(2)).unwrap();
        assert_eq!(
            message.subject,
            "hooklog.log.v1.default.delivery.DeliveryReceived"
        );
        let live = read_back(&message);
        assert_eq!((live.previous, live.event.id), (Position::new(2), event.id));
        assert_eq!(live.event.metadata, kept);
    }
}

#[test]
fn a_body_in_the_store_travels_as_a_reference() {
    let mut event = recorded(1, &TestDelivery::new("push", "x"));
    event.data = EventData::Stored(BodyRef {
        sha256: crate::ContentHash::of(b"x"),
        bytes: 300_000,
    });
    let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
    assert!(message.payload.is_empty());
    let dataref = message.headers.iter().find(|h| h.0 == "ce-dataref").unwrap();
    assert!(
        dataref
            .1
            .starts_with("http://127.0.0.1:3000/api/webhooks/events/github."),
        "{dataref:?}"
    );
    assert_eq!(read_back(&message).event.data, event.data);
}

#[test]
fn outside_text_in_headers_is_encoded_as_cloudevents_asks() {
    let mut delivery = TestDelivery::new("push", "x");
    delivery.repository = Some("a b/\"ü\u{7f}%".into());
    delivery.delivery_id = " 1\t".into();
    let message = message_of(&recorded(1, &delivery), log_id(), Position::START, BASE).unwrap();
    let value = |name: &str| &message.headers.iter().find(|h| h.0 == name).unwrap().1;
    assert_eq!(value("ce-subject"), "a%20b/%22%C3%BC%7F%25");
    assert_eq!(value("Hooklog-Delivery-Id"), "%201%09");
}

#[test]
fn a_subject_is_escaped_and_lower_cased() {
    let mut delivery = TestDelivery::new("workflow_job", "x");
    delivery.repository = Some("Octo-Org/next.js".into());
    delivery.action = Some("queued".into());
    let event = recorded(1, &delivery);
    let received = DeliveryReceived::of(&event).unwrap().unwrap();
    assert_eq!(
        subject_of(&event, Some(&received)),
        "hooklog.v1.default.github.workflow_job.queued.octo-org.next%2Ejs"
    );
    // Of nested groups the owner is the first part, the rest is the name.
    delivery.repository = Some("Group/Sub.Group/Project".into());
    let event = recorded(1, &delivery);
    let received = DeliveryReceived::of(&event).unwrap().unwrap();
    assert_eq!(
        subject_of(&event, Some(&received)),
        "hooklog.v1.default.github.workflow_job.queued.group.sub%2Egroup%2Fproject"
    );
    delivery.repository = None;
    delivery.action = None;
    let event = recorded(1, &delivery);
    let received = DeliveryReceived::of(&event).unwrap().unwrap();
    assert_eq!(
        subject_of(&event, Some(&received)),
        "hooklog.v1.default.github.workflow_job._._._"
    );
    let other = RecordedEvent {
        event_type: "SecretAdded".parse().unwrap(),
        ..event
    };
    let other = RecordedEvent {
        stream: "source-default.github".parse().unwrap(),
        ..other
    };
    assert_eq!(
        subject_of(&other, None),
        "hooklog.log.v1.default.source.SecretAdded"
    );
}

/// A request to publish a delivery again, as a log would hold it two positions later.
fn request(original: &RecordedEvent, replay: Option<ReplayId>) -> (RecordedEvent, DeliveryReplayRequested) {
    let replay = DeliveryReplayRequested {
        to: ReplayTo::Subjects,
        destinations: Vec::new(),
        replay,
        requested_by: "ops ☃".into(),
        reason: Some("the consumer was down".into()),
    };
    let event = RecordedEvent {
        position: Position::new(original.position.get() + 2),
        revision: Revision::new(1),
        id: EventId::new(uuid::Uuid::from_u128(77)),
        event_type: "DeliveryReplayRequested".parse().unwrap(),
        recorded_at: original.recorded_at.plus_millis(60_000),
        metadata: serde_json::to_vec(&replay).unwrap().into(),
        data: EventData::Inline(Bytes::new()),
        ..original.clone()
    };
    (event, replay)
}

#[test]
fn a_replay_shows_the_delivery_again_and_is_read_back_as_the_request() {
    let replay = ReplayId::new(uuid::Uuid::from_u128(5));
    let large = EventData::Stored(BodyRef {
        sha256: crate::ContentHash::of(b"x"),
        bytes: 300_000,
    });
    for data in [EventData::Inline(Bytes::from_static(b"{\"n\":1}")), large] {
        let mut original = recorded(7, &TestDelivery::new("push", "x"));
        original.data = data;
        let shown = message_of(&original, log_id(), Position::new(6), BASE).unwrap();
        let (event, requested) = request(&original, Some(replay));
        let message =
            replayed_message_of(&event, &requested, &original, log_id(), Position::new(8), BASE).unwrap();
        assert_eq!(
            (&message.subject, &message.payload),
            (&shown.subject, &shown.payload)
        );
        assert_eq!(message.position, event.position);
        let value = |message: &Message, name: &str| {
            let header = message.headers.iter().find(|h| h.0 == name);
            header.map(|h| h.1.clone())
        };
        let same = [
            "ce-specversion",
            "ce-type",
            "ce-source",
            "ce-subject",
            "ce-time",
            "ce-dataref",
            "content-type",
            "Hooklog-Delivery-Id",
        ];
        for name in same {
            assert_eq!(value(&message, name), value(&shown, name), "{name}");
        }
        for (name, own) in [
            ("Nats-Msg-Id", format!("{}:9", log_id())),
            ("Hooklog-Position", "9".to_owned()),
            ("Hooklog-Previous", "8".to_owned()),
            ("ce-id", event.id.to_string()),
            ("Hooklog-Replay", replay.to_string()),
            ("Hooklog-Original-Position", "7".to_owned()),
        ] {
            assert_eq!(value(&message, name), Some(own), "{name}");
        }
        let live = read_back(&message);
        assert_eq!(live.previous, Position::new(8));
        let metadata = live.event.metadata.clone();
        assert_eq!(
            serde_json::from_slice::<DeliveryReplayRequested>(&metadata).unwrap(),
            requested
        );
        assert_eq!(live.event, RecordedEvent { metadata, ..event });
    }
}

#[test]
fn a_request_without_a_replay_of_its_own_is_marked_all_the_same() {
    let original = recorded(7, &TestDelivery::new("push", "x"));
    let (event, requested) = request(&original, None);
    let message =
        replayed_message_of(&event, &requested, &original, log_id(), Position::new(8), BASE).unwrap();
    let header = message.headers.iter().find(|h| h.0 == "Hooklog-Replay").unwrap();
    assert_eq!(header.1, event.id.to_string());
}

#[test]
fn what_is_no_delivery_is_not_published_again() {
    let original = recorded(7, &TestDelivery::new("push", "x"));
    let (event, requested) = request(&original, None);
    let other = RecordedEvent {
        event_type: "SecretAdded".parse().unwrap(),
        ..original.clone()
    };
    let refused = replayed_message_of(&event, &requested, &other, log_id(), Position::new(8), BASE);
    assert!(
        matches!(refused, Err(MessageError::NoDelivery(at)) if at == Position::new(7)),
        "{refused:?}"
    );
    let unreadable = RecordedEvent {
        metadata: Bytes::from_static(b"not json"),
        ..original
    };
    let refused = replayed_message_of(&event, &requested, &unreadable, log_id(), Position::new(8), BASE);
    assert!(matches!(refused, Err(MessageError::Envelope(_))), "{refused:?}");
}

#[test]
fn outcomes_replays_and_destinations_travel_among_the_events_of_the_log() {
    for (stream, kind, subject) in [
        (
            "delivery-default.github.41.7",
            "DeliveryFailed",
            "delivery.DeliveryFailed",
        ),
        (
            "delivery-default.github.41.7",
            "DeliveryReplayRequested",
            "delivery.DeliveryReplayRequested",
        ),
        ("replay-default.0190", "ReplayRequested", "replay.ReplayRequested"),
        (
            "destination-default.billing",
            "DestinationPaused",
            "destination.DestinationPaused",
        ),
    ] {
        let mut event = recorded(3, &TestDelivery::new("push", "x"));
        event.stream = stream.parse().unwrap();
        event.event_type = kind.parse().unwrap();
        event.metadata = Bytes::from_static(b"{}");
        event.data = EventData::Inline(Bytes::new());
        let message = message_of(&event, log_id(), Position::START, BASE).unwrap();
        assert_eq!(message.subject, format!("hooklog.log.v1.default.{subject}"));
        let live = read_back(&message);
        assert_eq!(live.event, event);
    }
}
