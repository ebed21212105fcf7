//! Bounds of time, headers and places.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use poem::{Body, Endpoint};
use tokio::time::{Instant, sleep};

use super::rig::{Delivery, Reply, Rig};

/// A delivery whose body comes a byte at a time.
async fn slow(rig: &Rig, body: &str, pause: Duration) -> (Reply, Duration) {
    let mut request = Delivery::new("push", body).request();
    let bytes: Vec<u8> = body.bytes().collect();
    let pieces = stream::iter(bytes).then(move |byte| async move {
        sleep(pause).await;
        Ok::<_, std::io::Error>(Bytes::from(vec![byte]))
    });
    request.set_body(Body::from_bytes_stream(pieces));
    let began = Instant::now();
    let reply = Reply::of(rig.ingest.get_response(request).await).await;
    (reply, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_is_not_waited_for_for_ever() {
    let rig = Rig::with(|options, _| {
        options.body_idle_timeout_ms = 1000;
        options.body_timeout_ms = 5000;
    });
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(20));
    let (reply, took) = slow(&rig, &body, Duration::from_millis(1500)).await;
    reply.assert(408, "BODY_TIMEOUT");
    assert!(took < Duration::from_millis(1200), "silence ends it: {took:?}");
    let (reply, took) = slow(&rig, &body, Duration::from_millis(900)).await;
    reply.assert(408, "BODY_TIMEOUT");
    assert!(
        took < Duration::from_millis(5200),
        "the whole time ends it: {took:?}"
    );
    let (reply, _) = slow(&rig, &body, Duration::from_millis(100)).await;
    reply.data();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_off_long_before_its_time_is_over() {
    let rig = Rig::with(|options, _| {
        options.body_grace_ms = 1000;
        options.body_bytes_per_second_min = 10;
    });
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(50));
    let (reply, took) = slow(&rig, &body, Duration::from_millis(200)).await;
    reply.assert(408, "BODY_TIMEOUT");
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(3),
        "{took:?}"
    );
    let (reply, _) = slow(&rig, &body, Duration::from_millis(90)).await;
    reply.data();
}

#[tokio::test(start_paused = true)]
async fn what_came_fast_is_no_credit_for_a_silence() {
    let rig = Rig::with(|options, _| {
        options.body_idle_timeout_ms = 10_000;
        options.body_grace_ms = 1000;
        options.body_bytes_per_second_min = 10;
    });
    // A minute's worth at once, and then nothing.
    let (delivery, begun) = (Delivery::push(), Instant::now());
    let mut request = delivery.request();
    let first = std::io::Result::Ok(Bytes::from(vec![b'x'; 600]));
    let pieces = stream::iter([first]).chain(stream::pending());
    request.headers_mut().remove("content-length");
    request.set_body(poem::Body::from_bytes_stream(pieces));
    let reply = Reply::of(rig.ingest.get_response(request).await).await;
    reply.assert(408, "BODY_TIMEOUT");
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(1200), "{took:?}");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let rig = Rig::with(|options, _| {
        options.headers_max = 20;
        options.header_bytes_max = 2000;
    });
    let mut many = Delivery::push();
    for _ in 0..20 {
        many = many.and("x-more", "1");
    }
    rig.send(many).await.assert(431, "HEADERS_TOO_LARGE");
    rig.send(Delivery::push().with("x-long", &"x".repeat(2000)))
        .await
        .assert(431, "HEADERS_TOO_LARGE");
    rig.send(Delivery::push().with("x-long", &"x".repeat(1000)))
        .await
        .data();
}

#[tokio::test]
async fn headers_that_do_not_fit_beside_the_event_are_refused() {
    let rig = Rig::with(|options, _| options.header_bytes_max = 1_000_000);
    let quotes = "\"".repeat(40_000);
    rig.send(Delivery::push().with("x-long", &quotes))
        .await
        .assert(431, "HEADERS_TOO_LARGE");
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn header_values_that_are_not_utf8_are_kept_as_latin_1() {
    let rig = Rig::new();
    let mut delivery = Delivery::push();
    let value = poem::http::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    delivery.headers.insert("x-note", value);
    rig.send(delivery).await.data();
    assert_eq!(rig.only().await.1.header("x-note"), Some("café"));
}

#[tokio::test(start_paused = true)]
async fn large_bodies_take_turns() {
    let rig = Rig::with(|options, _| {
        options.uploads_max = 1;
        options.inline_bytes_max = 10;
        options.upload_wait_ms = 1000;
        options.body_idle_timeout_ms = 10_000;
        options.body_bytes_per_second_min = 0;
    });
    let body = "{\"a\":\"0123456789\"}";
    // The first holds the only turn for longer than the second waits.
    let (slow_one, refused) = tokio::join!(slow(&rig, body, Duration::from_millis(500)), async {
        while rig.bodies.open() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        rig.send(Delivery::new("push", "{\"b\":\"0123456789\"}")).await
    });
    slow_one.0.data();
    refused.assert(503, "TOO_BUSY");
    rig.send(Delivery::new("push", "{\"b\":\"0123456789\"}"))
        .await
        .data();
    assert_eq!(rig.bodies.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_in_memory_share_what_is_set_aside_for_them() {
    let body = "{\"a\":\"0123456789\"}";
    let rig = Rig::with(|options, _| {
        options.inline_bytes_max = body.len();
        options.memory_bytes_max = body.len();
        options.upload_wait_ms = 1000;
        options.body_bytes_per_second_min = 0;
    });
    let (slow_one, refused) = tokio::join!(slow(&rig, body, Duration::from_millis(500)), async {
        sleep(Duration::from_millis(600)).await;
        rig.send(Delivery::new("push", "{\"b\":\"0123456789\"}")).await
    });
    slow_one.0.data();
    refused.assert(503, "TOO_BUSY");
    assert!(refused.header("retry-after").is_some());
    rig.send(Delivery::new("push", "{\"b\":\"0123456789\"}"))
        .await
        .data();
    // What has gone to the store needs no memory any more.
    let large = format!("{{\"c\":\"{}\"}}", "0".repeat(20));
    let (large_one, small) = tokio::join!(slow(&rig, &large, Duration::from_millis(500)), async {
        while rig.bodies.open() == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        rig.send(Delivery::new("push", "{}")).await
    });
    large_one.0.data();
    small.data();
}

#[test]
fn a_setting_that_is_no_secret_is_not_printed_either() {
    for secret in [
        r#"{"id":"a","value":87654321}"#,
        r#"{"id":"a","value":["87654321"]}"#,
    ] {
        let error = serde_json::from_str::<crate::Secret>(secret).unwrap_err();
        assert!(!error.to_string().contains("87654321"), "{error}");
    }
}

#[tokio::test]
async fn settings_are_read_and_unknown_ones_refused() {
    let options: crate::IngestOptions = serde_json::from_str(r#"{"body_bytes_max": 5}"#).unwrap();
    assert_eq!((options.body_bytes_max, options.inline_bytes_max), (5, 262_144));
    assert!(serde_json::from_str::<crate::IngestOptions>(r#"{"body_max": 5}"#).is_err());
    let source: crate::SourceOptions = serde_json::from_str(
        r#"{"name":"github","secrets":[{"id":"a","value":"plain-text","hook":"41"}],"address_allow":["10.0.0.0/8"]}"#,
    )
    .unwrap();
    assert!(source.verify && source.secrets.len() == 1);
    assert!(
        !format!("{source:?}").contains("plain-text"),
        "secrets are never printed"
    );
    assert!(serde_json::from_str::<crate::SourceOptions>(r#"{"name":"github","secret":"x"}"#).is_err());
    assert!(serde_json::from_str::<crate::SourceOptions>(r#"{"name":"Git Hub"}"#).is_err());
}
