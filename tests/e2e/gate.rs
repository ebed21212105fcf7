//! The gate: who is believed about an address, what is decoded, and what is made of requests that are built to be read in two
//! ways. Sent byte by byte, as no well-behaved client would.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Launch, SECRET, Server, Signed, openssl_signature, peak_resident_bytes};
use crate::reconcile::sha256_of;

const PATIENT: Duration = Duration::from_secs(60);

/// Writes bytes on a connection of their own and reads until it is closed, or until nothing comes for a second after an
/// answer.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("the server listens");
    // The server may have closed already.
    let _closed = socket.write_all(bytes).await;
    let mut seen = Vec::new();
    loop {
        let limit = if seen.is_empty() {
            PATIENT
        } else {
            Duration::from_secs(1)
        };
        match tokio::time::timeout(limit, socket.read_buf(&mut seen)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => break,
            Err(_) => {
                assert!(!seen.is_empty(), "neither an answer nor a close");
                break;
            }
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The lines of a signed delivery but the first, `Host` and the framing.
fn lines(delivery: &str, body: &[u8]) -> String {
    format!(
        "Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: {delivery}\r\n\
         X-Hub-Signature-256: {}\r\n",
        openssl_signature(SECRET, body)
    )
}

/// What senders send whose request two servers would read differently: the framing, and the body.
const SHAPES: &[(&str, &[u8], &[u16])] = &[
    ("Content-Length: 2\r\nContent-Length: 40", b"{}", &[400]),
    ("Content-Length: 40\r\nContent-Length: 2", b"{}", &[400]),
    ("Content-Length: 2, 2", b"{}", &[400]),
    ("Content-Length: +2", b"{}", &[400]),
    ("Content-Length: 0x2", b"{}", &[400]),
    ("Content-Length: -2", b"{}", &[400]),
    ("Content-Length: 99999999999999999999", b"{}", &[400]),
    ("Content-Length : 2", b"{}", &[400]),
    // RFC 9112 §6.1: chunks go before a length, and the connection ends.
    (
        "Content-Length: 7\r\nTransfer-Encoding: chunked",
        b"2\r\n{}\r\n0\r\n\r\n",
        &[200],
    ),
    (
        "Transfer-Encoding: chunked\r\nContent-Length: 7",
        b"2\r\n{}\r\n0\r\n\r\n",
        &[200],
    ),
    ("Transfer-Encoding: xchunked", b"2\r\n{}\r\n0\r\n\r\n", &[400]),
    (
        "Transfer-Encoding: chunked, identity",
        b"2\r\n{}\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "Transfer-Encoding: gzip, chunked",
        b"2\r\n{}\r\n0\r\n\r\n",
        &[501],
    ),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"2\r\n{}\r\n0\r\n\r\n",
        &[501],
    ),
    ("Transfer-Encoding : chunked", b"2\r\n{}\r\n0\r\n\r\n", &[400]),
    ("Transfer-Encoding:\x0bchunked", b"2\r\n{}\r\n0\r\n\r\n", &[400]),
    ("Transfer-Encoding: chunked", b"2\n{}\n0\n\n", &[400]),
    ("Transfer-Encoding: chunked", b"2 {}\r\n0\r\n\r\n", &[400]),
    (
        "Transfer-Encoding: chunked",
        b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        &[400],
    ),
    ("Transfer-Encoding: chunked", b"-2\r\n{}\r\n0\r\n\r\n", &[400]),
    ("X-Folded: a\r\n b\r\nContent-Length: 2", b"{}", &[400]),
    ("X-Bare: a\rContent-Length: 9\r\nContent-Length: 2", b"{}", &[400]),
    ("X-Null: a\0b\r\nContent-Length: 2", b"{}", &[400]),
    ("X-Escape: a\x1b[31m\r\nContent-Length: 2", b"{}", &[400]),
    ("X Space: a\r\nContent-Length: 2", b"{}", &[400]),
    (": nameless\r\nContent-Length: 2", b"{}", &[400]),
    ("Host: other\r\nContent-Length: 2", b"{}", &[400]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_servers_would_read_differently_smuggles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let smuggled = format!(
        "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        lines("smuggled", b"{}")
    );
    for (number, (framing, body, expected)) in SHAPES.iter().enumerate() {
        let signed = lines(&format!("shape-{number}"), b"{}");
        let head =
            format!("POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{signed}{framing}\r\n\r\n");
        let bytes = [head.as_bytes(), body, smuggled.as_bytes()].concat();
        let answer = exchange(&server, &bytes).await;
        assert!(
            expected.contains(&status_of(&answer)),
            "{framing:?} {body:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{framing:?}: {answer}");
    }
    for (line, expected) in [
        ("POST http://127.0.0.1/api/webhooks/github HTTP/1.1", 200),
        ("POST http://evil.example/api/webhooks/github HTTP/1.1", 400),
        (
            "POST http://127.0.0.1@evil.example/api/webhooks/github HTTP/1.1",
            400,
        ),
        ("POST /api/webhooks/github HTTP/3.0", 400),
        ("POST /api/webhooks/github HTTP/1.1 HTTP/1.1", 400),
        ("POST /api/webhooks/github\tHTTP/1.1", 400),
        ("POST /api/webhooks/git\0hub HTTP/1.1", 400),
        ("POST /api/webhooks/github", 400),
        ("PRI * HTTP/2.0", 400),
    ] {
        let signed = lines("by-its-target", b"{}");
        let head = format!(
            "{line}\r\nHost: 127.0.0.1\r\n{signed}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let answer = exchange(&server, head.as_bytes()).await;
        assert_eq!(status_of(&answer), expected, "{line:?}: {answer}");
    }
    let missing = format!(
        "POST /api/webhooks/github HTTP/1.1\r\n{}Content-Length: 2\r\n\r\n{{}}",
        lines("no-host", b"{}")
    );
    assert_eq!(status_of(&exchange(&server, missing.as_bytes()).await), 400);
    for id in ["smuggled", "no-host"] {
        let found = server.ask(&format!("/api/webhooks/events/{id}")).await;
        assert_eq!(found.status, 404, "{id}: {}", found.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_only_looks_like_another_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for (path, expected) in [
        ("/api/webhooks/github", 200),
        ("/api/webhooks/github/", 200),
        ("/api/webhooks/github?source=other#x", 200),
        ("//api/webhooks/github", 404),
        ("/api//webhooks/github", 404),
        ("/api/webhooks//github", 404),
        ("/api/webhooks/github//", 404),
        ("/api/webhooks/./github", 404),
        ("/api/webhooks/../webhooks/github", 404),
        ("/api/webhooks/nobody/../github", 404),
        ("/api/webhooks/%2e%2e/webhooks/github", 404),
        ("/api/webhooks/%67ithub", 404),
        ("/api%2fwebhooks%2fgithub", 404),
        ("/api/webhooks/github%2f", 404),
        ("/api/webhooks/github%2fevents", 404),
        ("/api/webhooks/github%00", 404),
        ("/api/webhooks/github%0d%0aX-Forged:%201", 404),
        ("/api/webhooks/GitHub", 404),
        ("/API/webhooks/github", 404),
        ("/api/webhooks/github;x=1", 404),
        ("/api/webhooks/github/..", 404),
    ] {
        let signed = lines(&format!("path-{}", sha256_of(path.as_bytes())), b"{}");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{signed}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        let answer = exchange(&server, request.as_bytes()).await;
        assert_eq!(status_of(&answer), expected, "{path}: {answer}");
        assert!(
            !answer.to_lowercase().contains("\r\nx-forged"),
            "{path}: {answer}"
        );
    }
    // What is not open to a client behind a proxy does not become so by another spelling.
    for path in [
        "/api/webhooks/events",
        "/health/../api/webhooks/events",
        "/health/%2e%2e/api/webhooks/events",
        "/health%2f..%2fapi/webhooks/events",
        "//api/webhooks/events",
        "/api/webhooks/events/",
        "/API/webhooks/events",
        "/metrics",
        "/metrics/",
        "/health/../metrics",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(&server, request.as_bytes()).await;
        assert!(matches!(status_of(&answer), 401 | 404), "{path}: {answer}");
    }
}

/// What a sender can put into a header, and into what a log line names, to break out of its line.
async fn send_odd_names(server: &Server) {
    let names = [
        "nel-\u{85}forged",
        "separator-\u{2028}forged",
        "csi-\u{9b}31mforged",
        "bidi-\u{202e}forged",
        "quote-\" forged=\"1\" level=\"ERROR",
        "brace-\"}{\"forged\":1}",
    ];
    for name in names {
        let body =
            br#"{"repository":{"full_name":"o/r\n2026-01-01T00:00:00Z ERROR forged\u001b[31m\u0085x"}}"#;
        let request = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n",
            lines(name, body),
            body.len()
        );
        let answer = exchange(server, &[request.as_bytes(), body].concat()).await;
        assert_eq!(status_of(&answer), 200, "{name}: {answer}");
    }
    for broken in ["\n", "\r", "\0", "\x1b[2J", "\x7f"] {
        let request = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nX-GitHub-Delivery: a{broken}ERROR forged\r\n\r\n"
        );
        let answer = exchange(server, request.as_bytes()).await;
        assert!(status_of(&answer) != 200, "{broken:?}: {answer}");
    }
}

fn delivery_lines(server: &Server) -> Vec<String> {
    let printed = server.printed();
    let lines = printed.lines().filter(|l| l.contains("github_webhook_received"));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_breaks_out_of_its_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    send_odd_names(&server).await;
    let lines = crate::harness::eventually("the log has its lines", PATIENT, || async {
        let lines = delivery_lines(&server);
        if lines.len() == 6 {
            Ok(lines)
        } else {
            Err(server.printed())
        }
    })
    .await;
    for line in &lines {
        assert!(
            line.chars()
                .all(|c| !c.is_control() && c != '\u{2028}' && c != '\u{202e}'),
            "{line:?}"
        );
    }
    assert!(
        server
            .printed()
            .lines()
            .all(|l| !l.trim_start().starts_with("2026-01-01T00:00:00Z")),
        "a line was forged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_breaks_out_of_its_object_of_the_json_log() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path()).env("HOOKLOG_TELEMETRY__FORMAT", "json");
    let server = launch.start().await;
    send_odd_names(&server).await;
    let lines = crate::harness::eventually("the log has its lines", PATIENT, || async {
        let lines = delivery_lines(&server);
        if lines.len() == 6 {
            Ok(lines)
        } else {
            Err(server.printed())
        }
    })
    .await;
    for line in lines {
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(object["level"], "INFO", "{line}");
        assert_eq!(object.get("forged"), None, "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\n'), "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_who_sends_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n\
                    [source.github]\naddresses = [\"198.51.100.0/24\"]\n";
    let server = Launch::in_folder(folder.path()).settings(settings).start().await;
    for (number, (forwarded, expected)) in [
        ("X-Forwarded-For: 198.51.100.7", 200),
        (
            "X-Forwarded-For: garbage, \", 203.0.113.9, 198.51.100.7, 10.0.0.2",
            200,
        ),
        (
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: [::ffff:198.51.100.7]:80",
            200,
        ),
        ("X-Forwarded-For: 198.51.100.7, 203.0.113.9", 403),
        ("X-Forwarded-For: 198.51.100.7, unknown", 403),
        ("Forwarded: for=198.51.100.7", 403),
        ("X-Real-IP: 198.51.100.7", 403),
        ("X-Unrelated: 1", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("proxied-{number}");
        let body = format!("{{\"number\":{number}}}");
        let request = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: hooks.example.com\r\n{forwarded}\r\n{}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            lines(&id, body.as_bytes()),
            body.len()
        );
        let answer = exchange(&server, request.as_bytes()).await;
        assert_eq!(status_of(&answer), expected, "{forwarded}: {answer}");
        if expected == 200 {
            let kept = server.data_of(&format!("/api/webhooks/events/{id}")).await;
            assert_eq!(kept["remote"], "198.51.100.7", "{kept}");
        }
    }
    // Whatever a proxy says, it never makes anybody a client of this machine.
    for forwarded in [
        "X-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: ",
    ] {
        let request = format!(
            "GET /api/webhooks/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{forwarded}\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(&server, request.as_bytes()).await;
        assert_eq!(status_of(&answer), 401, "{forwarded}: {answer}");
    }
}

/// Encodes by the system's own gzip.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .args(["-c", "-9"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is installed");
    let mut input = child.stdin.take().expect("piped");
    let plain = plain.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&plain).expect("gzip takes it"));
    let output = child.wait_with_output().expect("gzip ends");
    writing.join().expect("all was written");
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_decoded_within_the_limit_of_a_body_and_kept_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let plain = format!("{{\"action\":\"opened\",\"pad\":\"{}\"}}", "x".repeat(400_000)).into_bytes();
    let post = async |id: &str, signed: &[u8], body: &[u8]| {
        let request = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n{}Content-Length: {}\r\n\
             Connection: close\r\n\r\n",
            lines(id, signed),
            body.len()
        );
        exchange(&server, &[request.as_bytes(), body].concat()).await
    };
    let encoded = gzip(&plain);
    let answer = post("encoded", &plain, &encoded).await;
    assert_eq!(status_of(&answer), 200, "{answer}");
    let (_, kept) = server.fetch("/api/webhooks/events/encoded/body").await;
    assert_eq!(sha256_of(&kept), sha256_of(&plain));
    let seen = server.data_of("/api/webhooks/events/encoded").await;
    assert_eq!(seen["action"], "opened", "{seen}");
    let answer = post("signed-encoded", &encoded, &encoded).await;
    assert_eq!(status_of(&answer), 401, "{answer}");
    let before = peak_resident_bytes(server.pid());
    // A quarter of a GiB of zeroes in a quarter of a MiB.
    let bomb = gzip(&vec![0; 1 << 28]);
    for number in 0..4 {
        let answer = post(&format!("bomb-{number}"), b"", &bomb).await;
        assert_eq!(status_of(&answer), 413, "{answer}");
    }
    let grown = peak_resident_bytes(server.pid()) - before;
    assert!(grown < 64 << 20, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .settings("[server]\nconnections_max = 50\n")
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut socket = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
        socket
            .write_all(b"POST /api/webhooks/github HTTP/1.1\r\nX-Slow: ")
            .await
            .unwrap();
        slow.push(socket);
    }
    for number in 0..20 {
        let sent = Signed::new("push", &format!("honest-{number}"), format!("{{\"n\":{number}}}"));
        let answer = server.send(&sent).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        for socket in &mut slow {
            // Those that were shown out can't write any more.
            let _gone = socket.write_all(b"x").await;
        }
    }
}
