//! Bodies byte for byte, of every size and shape.

use domain::{ContentHash, EventData};
use proptest::prelude::*;

use super::rig::{Delivery, Rig};

fn padded(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"action":"a","pad":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

#[tokio::test]
async fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    for inline_bytes_max in [100_000, 500] {
        let rig = Rig::with(|options, _| {
            options.body_bytes_max = 1000;
            options.inline_bytes_max = inline_bytes_max;
        });
        for piece in [None, Some(1), Some(7), Some(1000), Some(5000)] {
            let sent = |bytes| Delivery {
                chunked: piece,
                ..Delivery::new("push", padded(bytes))
            };
            rig.send(sent(1000)).await.data();
            let over = rig.send(sent(1001)).await;
            over.assert(413, "BODY_TOO_LARGE");
            rig.send(sent(1_000_000)).await.assert(413, "BODY_TOO_LARGE");
        }
        assert_eq!(rig.bodies.open(), 0, "nothing stays behind");
    }
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_unread() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 1000);
    let reply = rig.send(Delivery::push().with("content-length", "1001")).await;
    reply.assert(413, "BODY_TOO_LARGE");
    assert_eq!(reply.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_source_may_have_its_own_limit() {
    let rig = Rig::with(|_, source| source.body_bytes_max = Some(100));
    rig.send(Delivery::new("push", padded(100))).await.data();
    rig.send(Delivery::new("push", padded(101)))
        .await
        .assert(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_body_cut_short_is_refused() {
    let rig = Rig::new();
    let cut = Delivery::new("push", padded(100))
        .in_pieces(10)
        .with("content-length", "101");
    rig.send(cut).await.assert(400, "BODY_INCOMPLETE");
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn a_large_body_is_in_the_store_before_its_event_is_in_the_log() {
    let rig = Rig::with(|options, _| options.inline_bytes_max = 1000);
    for (bytes, stored) in [(1000, false), (1001, true), (300_000, true)] {
        let body = padded(bytes);
        for piece in [None, Some(977)] {
            let sent = Delivery {
                chunked: piece,
                ..Delivery::new("push", body.clone())
            };
            assert_eq!(rig.send(sent).await.data()["action"], "a");
        }
        let events = rig.events().await;
        let event = events.last().unwrap();
        assert_eq!(matches!(event.data, EventData::Stored(_)), stored, "{bytes}");
        assert_eq!(rig.body_of(event), body);
    }
    assert_eq!(rig.bodies.count(), 2);
    assert_eq!(rig.bodies.open(), 0);
}

#[tokio::test]
async fn a_forged_large_body_leaves_nothing_in_the_store() {
    let rig = Rig::with(|options, _| options.inline_bytes_max = 100);
    let mut forged = Delivery::new("push", padded(5000));
    forged.sign("wrong");
    rig.send(forged).await.assert(401, "SIGNATURE_INVALID");
    let not_json = Delivery::new("push", vec![b'x'; 5000]);
    rig.send(not_json).await.assert(400, "BODY_NOT_JSON_OBJECT");
    assert_eq!((rig.bodies.count(), rig.bodies.open()), (0, 0));
}

#[tokio::test]
async fn a_body_with_a_sector_of_zeroes_is_in_the_store() {
    // Zeroes are no JSON, but in a form beside the payload they are bytes like any other.
    let rig = Rig::new();
    let mut body = b"payload=%7B%7D&x=".to_vec();
    body.resize(body.len() + 600, 0);
    let sent = Delivery::new("push", body.clone()).with("content-type", "application/x-www-form-urlencoded");
    rig.send(sent).await.data();
    let (event, _) = rig.only().await;
    assert!(matches!(event.data, EventData::Stored(_)));
    assert_eq!(rig.body_of(&event), body);
}

#[tokio::test]
async fn without_room_for_large_bodies_small_ones_go_on() {
    let rig = Rig::with(|options, _| options.inline_bytes_max = 1000);
    rig.bodies.set_full(true);
    let large = Delivery::new("push", padded(2000));
    let reply = rig.send(large.clone()).await;
    reply.assert(503, "NOT_WRITABLE");
    assert!(reply.header("retry-after").is_some());
    rig.send(Delivery::new("push", padded(1000))).await.data();
    rig.bodies.set_full(false);
    assert_eq!(rig.send(large).await.data()["duplicate"], false);
}

fn form(payload: &str) -> Delivery {
    let encoded: String = form_encode(payload);
    Delivery::new("push", format!("payload={encoded}"))
        .with("content-type", "application/x-www-form-urlencoded")
}

/// Every byte but letters and digits as `%XX`, as long as a form can be.
fn form_encode(payload: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    payload
        .bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[tokio::test]
async fn a_form_is_verified_raw_and_read_decoded() {
    let rig = Rig::with(|options, _| options.inline_bytes_max = 300);
    let payload = r#"{"action":"opened","issue":{"id":7},"repository":{"full_name":"a/ü b"}}"#;
    for pad in [0, 1000] {
        let payload = payload.replace("\"issue\"", &format!("\"pad\":\"{}\",\"issue\"", "%".repeat(pad)));
        for piece in [None, Some(1), Some(10)] {
            let sent = Delivery {
                chunked: piece,
                ..form(&payload)
            };
            let reply = rig.send(sent).await;
            assert_eq!(
                (&reply.data()["action"], &reply.data()["repository"]),
                (&"opened".into(), &"a/ü b".into())
            );
        }
    }
    let bad = form("not json");
    rig.send(bad).await.assert(400, "BODY_NOT_JSON_OBJECT");
    let without = Delivery::new("push", "x=1").with("content-type", "application/x-www-form-urlencoded");
    rig.send(without).await.assert(400, "BODY_NOT_JSON_OBJECT");
}

#[tokio::test]
async fn the_limit_of_a_form_holds_for_the_decoded_payload() {
    for inline_bytes_max in [100_000, 100] {
        let rig = Rig::with(|options, _| {
            options.body_bytes_max = 1000;
            options.inline_bytes_max = inline_bytes_max;
        });
        let payload = |bytes: usize| {
            let fixed = r#"{"p":""}"#.len();
            format!(r#"{{"p":"{}"}}"#, "%".repeat(bytes - fixed))
        };
        for piece in [None, Some(100)] {
            let sent = |bytes| Delivery {
                chunked: piece,
                ..form(&payload(bytes))
            };
            rig.send(sent(1000)).await.data();
            rig.send(sent(1001)).await.assert(413, "BODY_TOO_LARGE");
            rig.send(sent(100_000)).await.assert(413, "BODY_TOO_LARGE");
        }
    }
}

fn check_exact(body: &[u8], piece: usize, inline_bytes_max: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let rig = Rig::with(|options, _| options.inline_bytes_max = inline_bytes_max);
        rig.send(Delivery::new("push", body).in_pieces(piece))
            .await
            .data();
        let (event, received) = rig.only().await;
        assert_eq!(rig.body_of(&event), body);
        assert_eq!(
            (received.sha256, received.body_bytes),
            (ContentHash::of(body), body.len() as u64)
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_is_what_was_sent(text: String, space in "[ \t\r\n]{0,20}", piece in 1usize..50, inline in 0usize..100) {
        let text = serde_json::to_string(&text).unwrap();
        check_exact(format!("{space}{{{space}\"\\u0061\":{space}{text}}}{space}").as_bytes(), piece, inline);
    }
}
