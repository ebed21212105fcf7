//! Encoded bodies: decoded within the limits, verified and kept decoded.

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::rig::{Delivery, Rig, SECRET};
use crate::ContentCoding;

const CODINGS: [&str; 3] = ["gzip", "deflate", "br"];

async fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(plain).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match coding {
        "gzip" | "x-gzip" => encoded!(GzipEncoder),
        "deflate" => encoded!(ZlibEncoder),
        "br" => encoded!(BrotliEncoder),
        other => panic!("{other}"),
    }
}

/// Signs the plain body and sends the encoded one.
fn sent(plain: &[u8], coding: &str, encoded: Vec<u8>) -> Delivery {
    let mut delivery = Delivery::new("push", plain).with("content-encoding", coding);
    delivery.body = encoded;
    delivery
}

#[tokio::test]
async fn the_signature_covers_and_the_log_keeps_what_was_encoded() {
    let plain = format!("{{\"action\":\"a\",\"pad\":\"{}\"}}", "x".repeat(300_000));
    for coding in ["gzip", "x-gzip", "GZIP", "deflate", "br"] {
        let rig = Rig::with(|options, _| options.inline_bytes_max = 1000);
        let encoded = encode(&coding.to_lowercase(), plain.as_bytes()).await;
        let reply = rig.send(sent(plain.as_bytes(), coding, encoded.clone())).await;
        assert_eq!(reply.data()["action"], "a", "{coding}");
        let (event, received) = rig.only().await;
        assert_eq!(rig.body_of(&event), plain.as_bytes(), "{coding}");
        assert_eq!(received.body_bytes, plain.len() as u64);
        // What described the bytes on the wire would be a lie about those in the log.
        assert_eq!(
            (
                received.header("content-encoding"),
                received.header("content-length")
            ),
            (None, None)
        );
        assert_eq!(received.header("content-type"), Some("application/json"));
        let mut other = sent(plain.as_bytes(), coding, encoded);
        other.sign(SECRET);
        rig.send(other).await.assert(401, "SIGNATURE_INVALID");
    }
}

#[tokio::test]
async fn the_same_body_encoded_otherwise_is_the_same_content() {
    let rig = Rig::new();
    let plain = br#"{"action":"a"}"#;
    rig.send(Delivery::new("push", plain)).await.data();
    for coding in CODINGS {
        let encoded = encode(coding, plain).await;
        let reply = rig.send(sent(plain, coding, encoded)).await;
        assert!(reply.data()["duplicateOf"].is_string(), "{coding}: {reply:?}");
    }
}

#[tokio::test]
async fn a_bomb_is_cut_off_at_the_limit_of_a_body() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 100_000);
    for coding in CODINGS {
        let bomb = encode(coding, &vec![b' '; 30_000_000]).await;
        assert!(bomb.len() < 100_000, "{coding}: {}", bomb.len());
        rig.send(sent(b"", coding, bomb))
            .await
            .assert(413, "BODY_TOO_LARGE");
        let exact = encode(coding, &padded(100_000)).await;
        rig.send(sent(&padded(100_000), coding, exact)).await.data();
        let over = encode(coding, &padded(100_001)).await;
        rig.send(sent(&padded(100_001), coding, over))
            .await
            .assert(413, "BODY_TOO_LARGE");
    }
    assert_eq!(rig.bodies.open(), 0, "nothing stays behind");
}

fn padded(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"pad":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

#[tokio::test]
async fn encoded_bytes_that_decode_to_nothing_are_bounded_too() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 10_000);
    let nothing = encode("gzip", b"").await;
    let delivery = sent(b"", "gzip", nothing.repeat(1000)).in_pieces(700);
    rig.send(delivery).await.assert(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn several_members_are_one_body_and_anything_else_behind_the_end_is_refused() {
    let rig = Rig::new();
    let members = [encode("gzip", b"{\"a\":").await, encode("gzip", b"1}").await].concat();
    rig.send(sent(b"{\"a\":1}", "gzip", members)).await.data();
    for coding in CODINGS {
        let mut trailing = encode(coding, b"{}").await;
        trailing.extend_from_slice(b"more");
        for piece in [None, Some(1)] {
            let delivery = Delivery {
                chunked: piece,
                ..sent(b"{}", coding, trailing.clone())
            };
            rig.send(delivery).await.assert(400, "BODY_NOT_DECODABLE");
        }
    }
}

#[tokio::test]
async fn an_encoded_body_that_is_cut_short_or_damaged_is_refused() {
    let rig = Rig::new();
    let plain = padded(5000);
    for coding in CODINGS {
        let whole = encode(coding, &plain).await;
        let half = whole[..whole.len() / 2].to_vec();
        rig.send(sent(&plain, coding, half.clone()))
            .await
            .assert(400, "BODY_NOT_DECODABLE");
        rig.send(sent(&plain, coding, Vec::new()))
            .await
            .assert(400, "BODY_NOT_DECODABLE");
        let length = whole.len().to_string();
        let cut = sent(&plain, coding, half)
            .in_pieces(10)
            .with("content-length", &length);
        rig.send(cut).await.assert(400, "BODY_INCOMPLETE");
    }
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn a_coding_that_is_not_known_is_refused() {
    let rig = Rig::new();
    for coding in ["zstd", "compress", "gzip, gzip", "gzip;q=1", "chunked"] {
        rig.send(Delivery::push().with("content-encoding", coding))
            .await
            .assert(415, "CONTENT_ENCODING_UNSUPPORTED");
    }
    rig.send(
        Delivery::push()
            .with("content-encoding", "gzip")
            .and("content-encoding", "gzip"),
    )
    .await
    .assert(400, "HEADER_DUPLICATED");
    rig.send(Delivery::push().with("content-encoding", "gzip"))
        .await
        .assert(400, "BODY_NOT_DECODABLE");
    assert!(rig.events().await.is_empty());
}

#[tokio::test]
async fn a_coding_that_is_not_allowed_is_not_decoded() {
    let rig = Rig::with(|options, _| options.content_codings = vec![ContentCoding::Br]);
    let encoded = encode("gzip", b"{}").await;
    rig.send(sent(b"{}", "gzip", encoded))
        .await
        .assert(415, "CONTENT_ENCODING_UNSUPPORTED");
    let encoded = encode("br", b"{}").await;
    rig.send(sent(b"{}", "br", encoded)).await.data();
    rig.send(Delivery::push().with("content-encoding", "Identity"))
        .await
        .data();
}

#[tokio::test]
async fn an_encoded_form_is_read_like_any_other() {
    let rig = Rig::new();
    let form = b"payload=%7B%22action%22%3A%22opened%22%7D";
    let encoded = encode("gzip", form).await;
    let delivery = sent(form, "gzip", encoded).with("content-type", "application/x-www-form-urlencoded");
    assert_eq!(rig.send(delivery).await.data()["action"], "opened");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_body_in_every_cut_comes_out_as_it_went_in(
        pad in prop::collection::vec("[a-z]{0,40}", 0..400),
        coding in prop::sample::select(&CODINGS[..]),
        piece in 1_usize..5000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let plain = serde_json::to_vec(&serde_json::json!({ "pad": pad })).unwrap();
        let kept = runtime.block_on(async {
            let rig = Rig::with(|options, _| options.inline_bytes_max = 2000);
            let encoded = encode(coding, &plain).await;
            rig.send(sent(&plain, coding, encoded).in_pieces(piece)).await.data();
            rig.body_of(&rig.only().await.0)
        });
        prop_assert_eq!(kept, plain);
    }
}
