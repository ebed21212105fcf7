//! Publishing to NATS subjects.

use bytes::Bytes;
use domain::{ErrorCode, EventData, PublishError};

use super::rig::{Published, Rig, bare, code, delivered, dispatch};
use crate::Sent;

fn rig(subject: &str) -> Rig {
    let mut options = bare();
    options.subject = Some(subject.into());
    Rig::of(options)
}

fn header<'a>(published: &'a Published, name: &str) -> Option<&'a str> {
    let found = published.1.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_delivery_is_published_as_a_cloud_event() {
    let rig = rig("ci.{source}.{event}.{owner}.{repo}");
    let attempt = dispatch("{\"a\":1}");
    let sent = rig.send(&attempt).await;
    assert!(
        matches!(&sent, Sent::Delivered { target, response: None }
        if target == "nats:ci.github.push.octo-org.octo-repo"),
        "{sent:?}"
    );
    let published = rig.subjects.published.lock().unwrap().remove(0);
    assert_eq!(published.0, "ci.github.push.octo-org.octo-repo");
    assert_eq!(published.2, "{\"a\":1}");
    for (name, value) in [
        ("Nats-Msg-Id", attempt.idempotency_key.as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", &attempt.event_id.to_string()),
        ("ce-type", "DeliveryReceived"),
        ("ce-source", "/default/github"),
        ("ce-subject", "octo-org/octo-repo"),
        ("content-type", "application/json"),
        ("Hooklog-Attempt", "1"),
    ] {
        assert_eq!(header(&published, name), Some(value), "{name}");
    }
    assert_eq!(header(&published, "ce-dataref"), None);
    assert_eq!(
        rig.target().describe(),
        ["nats:ci.{source}.{event}.{owner}.{repo}"]
    );
}

#[tokio::test]
async fn a_large_body_travels_as_a_reference_and_a_small_stored_one_as_it_is() {
    let rig = rig("ci.builds");
    let mut attempt = dispatch("");
    attempt.data = EventData::Stored(rig.bodies.put(vec![b'x'; 256 * 1024 + 1].into()));
    delivered(rig.send(&attempt).await);
    attempt.data = EventData::Stored(rig.bodies.put(Bytes::from_static(&[0; 600])));
    delivered(rig.send(&attempt).await);
    let published = rig.subjects.published.lock().unwrap();
    let reference = format!(
        "https://hooks.example/api/webhooks/events/{}/body",
        attempt.received.key
    );
    assert_eq!(header(&published[0], "ce-dataref"), Some(reference.as_str()));
    assert!(published[0].2.is_empty());
    assert_eq!(header(&published[1], "ce-dataref"), None);
    assert_eq!(published[1].2.len(), 600);
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_and_a_refusal_is_not() {
    let rig = rig("ci.builds");
    for (error, expected) in [
        (PublishError::Unavailable("away".into()), ErrorCode::NetworkError),
        (
            PublishError::Refused("too large".into()),
            ErrorCode::ValidationError,
        ),
    ] {
        *rig.subjects.failing.lock().unwrap() = Some(error);
        assert_eq!(code(rig.send(&dispatch("{}")).await), expected);
    }
}
