//! What arrives: the body byte for byte, the headers, the signature.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::{BodyRef, ContentHash, ErrorCode, EventData, EventId};

use super::rig::{Bodies, Rig, code, delivered, dispatch, failed};
use super::server::{Answer, Seen, Server};

const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";

async fn ok() -> Server {
    Server::answering(&[Answer::status("200 OK")]).await
}

/// The signature as openssl makes it from what arrived, without a line of ours.
fn signature_of(seen: &Seen, secret: &str) -> String {
    let key = hex(&STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap());
    let (id, timestamp) = (
        seen.header("webhook-id").unwrap(),
        seen.header("webhook-timestamp").unwrap(),
    );
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &seen.body].concat();
    let directory = std::env::temp_dir().join(format!("hooklog-signed-{}", uuid::Uuid::new_v4()));
    std::fs::write(&directory, signed).unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-binary", "-macopt"])
        .arg(format!("hexkey:{key}"))
        .arg(&directory)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    std::fs::remove_file(&directory).unwrap();
    assert!(output.status.success());
    format!("v1,{}", STANDARD.encode(output.stdout))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn every_byte_arrives_as_it_came() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    for body in [
        Vec::new(),
        b"{ \"a\" : 1,\r\n\t\"b\":\"\\u00fc \xc3\xbc\" }\n".to_vec(),
        b"payload=%7B%22a%22%3A1%7D&x=+".to_vec(),
        all_bytes.repeat(500),
    ] {
        let server = ok().await;
        let sent = Rig::at(server.url("/hook?a=b%20c"))
            .send(&dispatch(body.clone()))
            .await;
        delivered(sent);
        let seen = &server.seen()[0];
        assert_eq!(seen.line, "POST /hook?a=b%20c HTTP/1.1");
        assert!(
            seen.body == body,
            "{} bytes arrived of {}",
            seen.body.len(),
            body.len()
        );
        assert_eq!(
            seen.header("content-length"),
            Some(body.len().to_string().as_str())
        );
        assert_eq!(seen.header("transfer-encoding"), None);
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(seen.header("x-github-event"), Some("push"));
        assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
        assert_eq!(seen.header("webhook-signature"), None);
    }
}

#[tokio::test]
async fn a_large_body_is_streamed_from_the_store_and_signed_on_the_way() {
    let body: Bytes = (0..25 * 1024 * 1024_u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect::<Vec<_>>()
        .into();
    let server = ok().await;
    let mut rig = Rig::at(server.url("/"));
    rig.options.secret = Some(SECRET.into());
    rig.options.timeout_ms = Some(60_000);
    let mut attempt = dispatch("");
    attempt.data = EventData::Stored(rig.bodies.put(body.clone()));
    delivered(rig.send(&attempt).await);
    let seen = server.seen().remove(0);
    assert_eq!(ContentHash::of(&seen.body), ContentHash::of(&body));
    assert_eq!(seen.header("content-length"), Some("26214400"));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(
        seen.header("webhook-signature"),
        Some(signature_of(&seen, SECRET).as_str())
    );
    let largest = rig.bodies.largest_read.load(Ordering::SeqCst);
    assert!(largest <= 256 * 1024, "{largest} bytes were held at once");
}

#[tokio::test]
async fn the_example_of_svix_goes_out_as_svix_would_send_it() {
    let server = ok().await;
    let mut rig = Rig::at(server.url("/"));
    rig.options.secret = Some(SECRET.into());
    let mut attempt = dispatch(r#"{"event_type":"ping","data":{"success":true}}"#);
    attempt.idempotency_key = "msg_loFOjxBNrRLzqYUf".into();
    delivered(rig.send(&attempt).await);
    let seen = &server.seen()[0];
    for (name, value) in [
        ("webhook-id", "msg_loFOjxBNrRLzqYUf"),
        ("webhook-timestamp", "1731705121"),
        (
            "webhook-signature",
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
        ("idempotency-key", "msg_loFOjxBNrRLzqYUf"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn with_two_secrets_each_signature_is_right_for_its_own() {
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let server = ok().await;
    let mut rig = Rig::at(server.url("/"));
    rig.options.secret = Some(format!("{SECRET} {other}").into());
    delivered(rig.send(&dispatch("{\"a\":1}")).await);
    let seen = &server.seen()[0];
    let both = format!("{} {}", signature_of(seen, SECRET), signature_of(seen, other));
    assert_eq!(seen.header("webhook-signature"), Some(both.as_str()));
}

#[tokio::test]
async fn a_body_made_anew_is_signed_as_it_is_sent() {
    let server = ok().await;
    let mut rig = Rig::at(server.url("/"));
    rig.options.secret = Some(SECRET.into());
    rig.options.transform = Some("{text: .a}".into());
    delivered(rig.send(&dispatch("{\"a\": \"ü\"}")).await);
    let seen = &server.seen()[0];
    assert_eq!(String::from_utf8_lossy(&seen.body), "{\"text\":\"ü\"}");
    assert_eq!(
        seen.header("webhook-signature"),
        Some(signature_of(seen, SECRET).as_str())
    );
}

#[tokio::test]
async fn headers_of_the_settings_win_over_the_original_ones() {
    let server = ok().await;
    let mut rig = Rig::at(server.url("/"));
    for (name, value) in [
        ("Authorization", "Bearer t"),
        ("X-GitHub-Event", "mine"),
        ("User-Agent", "me"),
    ] {
        rig.options.headers.insert(name.into(), value.into());
    }
    delivered(rig.send(&dispatch("{}")).await);
    let seen = &server.seen()[0];
    assert_eq!(seen.header("authorization"), Some("Bearer t"));
    assert_eq!(seen.header("user-agent"), Some("me"));
    let events: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "x-github-event")
        .collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(seen.header("x-github-event"), Some("mine"));
}

#[tokio::test]
async fn a_body_that_the_store_has_not_is_no_fault_of_the_destination() {
    let server = ok().await;
    let rig = Rig::at(server.url("/"));
    let mut attempt = dispatch("");
    attempt.event_id = EventId::new(uuid::Uuid::from_u128(1));
    attempt.data = EventData::Stored(BodyRef {
        sha256: ContentHash::of(b"never put"),
        bytes: 9,
    });
    let failure = failed(rig.send(&attempt).await);
    assert_eq!(failure.code, ErrorCode::ValidationError);
    assert!(
        failure.message.contains("is not in the body store"),
        "{failure:?}"
    );
    assert!(server.seen().is_empty(), "nothing arrived");
}

#[tokio::test]
async fn a_store_that_breaks_in_the_middle_is_tried_again() {
    for secret in [None, Some(SECRET)] {
        let server = ok().await;
        let mut rig = Rig::at(server.url("/"));
        rig.bodies = std::sync::Arc::new(Bodies {
            breaks_at: Some(512 * 1024),
            ..Bodies::default()
        });
        rig.options.secret = secret.map(Into::into);
        let mut attempt = dispatch("");
        attempt.data = EventData::Stored(rig.bodies.put(vec![b'x'; 2 * 1024 * 1024].into()));
        assert_eq!(
            code(rig.send(&attempt).await),
            ErrorCode::ServiceUnavailable,
            "{secret:?}"
        );
        assert!(server.seen().is_empty(), "no whole request arrived");
    }
}
