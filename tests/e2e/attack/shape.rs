//! Requests of shapes that no sender sends.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{SECRET, Server, Signed, openssl_signature};

const ENDLESS_BYTES: usize = 2 * 1024 * 1024 * 1024;
/// The limit of a body, what is still read of a refused one, and what the system has in its buffers.
const TAKEN_BYTES_MAX: usize = 96 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const FORGED: &str =
    "X-Hub-Signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000";

/// The lines of a forged delivery between its request line and the end of its head.
fn lines(more: &str) -> String {
    format!(
        "Host: 127.0.0.1\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: shape\r\n{FORGED}\r\n{more}"
    )
}

fn delivery(more: &str, rest: &str) -> Vec<u8> {
    format!(
        "POST /api/webhooks/github HTTP/1.1\r\n{}\r\n\r\n{rest}",
        lines(more)
    )
    .into_bytes()
}

/// A request that wants to be taken for two: what follows the first one's body is another.
const SMUGGLED: &str = "GET /api/webhooks/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

fn shapes() -> Vec<(String, Vec<u8>)> {
    let mut shapes: Vec<(String, Vec<u8>)> = [
        ("two lengths", "Content-Length: 2\r\nContent-Length: 3"),
        ("two lengths in one", "Content-Length: 2, 3"),
        ("a signed length", "Content-Length: +2"),
        ("a length in hex", "Content-Length: 0x2"),
        ("a length beyond all", "Content-Length: 99999999999999999999"),
        ("chunked, but not last", "Transfer-Encoding: chunked, gzip"),
        ("an unknown coding", "Transfer-Encoding: xchunked"),
        ("a space before the colon", "Content-Length : 2"),
        ("a folded line", "X-Folded: a\r\n b"),
        ("a bare line feed", "X-Bare: a\nX-Other: b"),
        ("a zero byte", "X-Zero: a\0b"),
        ("an escape", "X-Escape: \x1b[2J"),
    ]
    .into_iter()
    .map(|(what, more)| (what.to_owned(), delivery(more, "{}")))
    .collect();
    let chunks = [
        ("a chunk of no number", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a chunk beyond all", "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a chunk longer than said", "1\r\n{}\r\n0\r\n\r\n"),
    ];
    shapes.extend(chunks.map(|(what, body)| (what.to_owned(), delivery("Transfer-Encoding: chunked", body))));
    let many: String = (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    shapes.push(("10,000 headers".to_owned(), delivery(many.trim_end(), "")));
    let long = format!("X-Long: {}", "x".repeat(2 * 1024 * 1024));
    shapes.push(("a header of 2 MiB".to_owned(), delivery(&long, "")));
    for path in [
        "/api/webhooks/../../etc/passwd",
        "/api/webhooks/github/../../../etc/passwd",
        "/api/webhooks/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/api/webhooks/events/..%2f..%2f..%2fetc%2fpasswd/body",
        "//api/webhooks/github//",
        "/api/webhooks/github%00",
        "/api/webhooks/github;x=1",
        "/dashboard/../../etc/passwd",
        "*",
    ] {
        let post = format!(
            "POST {path} HTTP/1.1\r\n{}\r\n\r\n{{}}",
            lines("Content-Length: 2")
        );
        shapes.push((format!("POST {path}"), post.into_bytes()));
        let get = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        shapes.push((format!("GET {path}"), get.into_bytes()));
    }
    shapes
}

/// None is taken, none is an error of the server's.
pub(super) async fn every_shape_is_refused(server: &Server) {
    let all = shapes();
    let asked = all.iter().map(|(_, request)| exchange(server, request));
    for ((what, _), answers) in all.iter().zip(join_all(asked).await) {
        let refused = answers.iter().all(|status| (300..500).contains(status));
        assert!(refused, "{what}: {answers:?}");
    }
    for (what, more, rest) in [
        (
            "both framings",
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            format!("0\r\n\r\n{SMUGGLED}"),
        ),
        (
            "two lengths",
            "Content-Length: 2\r\nContent-Length: 60",
            format!("{{}}{SMUGGLED}"),
        ),
    ] {
        let answers = exchange(server, &delivery(more, &rest)).await;
        assert!(
            answers.len() <= 1,
            "{what}: a second request was answered: {answers:?}"
        );
        assert!(
            answers.iter().all(|status| (400..500).contains(status)),
            "{what}: {answers:?}"
        );
    }
}

/// A chunked body that never ends is cut at the limit, whatever its sender still has to say.
pub(super) async fn an_endless_body_is_cut(server: &Server) {
    let mut stream = connect(server).await;
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    let mut written = 0;
    let writing = async {
        stream
            .write_all(&delivery("Transfer-Encoding: chunked", ""))
            .await?;
        while written < ENDLESS_BYTES {
            stream.write_all(&chunk).await?;
            written += chunk.len();
        }
        Ok::<_, std::io::Error>(())
    };
    let cut = tokio::time::timeout(PATIENCE, writing)
        .await
        .expect("it is read or cut");
    assert!(cut.is_err(), "{written} bytes were taken");
    assert!(written < TAKEN_BYTES_MAX, "{written} bytes were taken");
}

/// A small body that wants to be a large one: refused by its encoding, its signature or its size.
pub(super) async fn a_bomb_does_not_go_off(server: &Server, bomb: &[u8]) {
    let signed = format!("X-Hub-Signature-256: {}", openssl_signature(SECRET, bomb));
    for signature in [FORGED, signed.as_str()] {
        let head = delivery(
            &format!("Content-Encoding: gzip\r\nContent-Length: {}", bomb.len()),
            "",
        );
        let head = String::from_utf8(head).unwrap().replace(FORGED, signature);
        let answers = exchange(server, &[head.as_bytes(), bomb].concat()).await;
        assert!(matches!(answers[..], [401 | 413 | 415]), "{answers:?}");
    }
}

/// Whatever a delivery says of itself, the server's own log has its lines to itself.
pub(super) async fn a_hostile_text_stays_in_its_line(server: &Server) {
    let hostile = "octo\n2026-11-27T00:00:00Z ERROR INJECTED\r\nINJECTED \u{1b}[2J\u{2028}INJECTED";
    let body = json!({"action": hostile, "repository": {"full_name": hostile}, "sender": {"login": hostile}});
    let mut signed = Signed::new("issues", "hostile-text", body.to_string());
    assert_eq!(server.send(&signed).await.status, 200);
    signed.signature = "sha256=00".into();
    signed.delivery = "INJECTED \u{fc}".into();
    assert_eq!(server.send(&signed).await.status, 401);
    for line in server.printed().lines() {
        let forged = line.starts_with("INJECTED") || line.starts_with("2026-11-27T00:00:00Z");
        assert!(!forged && !line.contains('\u{1b}'), "{line:?}");
    }
}

async fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).await;
    stream.expect("the server listens")
}

/// Sends bytes, and returns the status of every answer that came before the server closed, as it does when nothing follows.
async fn exchange(server: &Server, request: &[u8]) -> Vec<u16> {
    let (mut reading, mut writing) = connect(server).await.into_split();
    let mut seen = Vec::new();
    let both = async {
        // The server may answer and close before all is written.
        let write = async { writing.write_all(request).await.is_ok() };
        let read = async { reading.read_to_end(&mut seen).await.is_ok() };
        tokio::join!(write, read);
    };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    let begin = request[..80.min(request.len())].escape_ascii();
    assert!(ended.is_ok(), "the connection is still open: {begin}");
    let text = String::from_utf8_lossy(&seen);
    let answers = text.split("HTTP/1.1 ").skip(1);
    answers
        .filter_map(|answer| answer.get(..3)?.parse().ok())
        .collect()
}
