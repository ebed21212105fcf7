//! What senders, and others, really send. Each gets its documented answer, and the service goes on.

use crate::harness::{Launch, RawAnswer, RawConnection, SECRET, Server, Signed, openssl_signature};
use crate::reconcile::sha256_of;

/// The default of `ingest.body_bytes_max`: 25 MiB and a margin.
const LIMIT: usize = 25 * 1024 * 1024 + 64 * 1024;

async fn server(folder: &tempfile::TempDir) -> Server {
    Launch::in_folder(folder.path()).start().await
}

/// After something odd: an ordinary delivery is still taken.
async fn goes_on(server: &Server) {
    let answer = server
        .send(&Signed::new("push", "and-now-something-ordinary", "{}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.json);
}

/// The lines of a head, signed, but for the length.
fn head(event: &str, delivery: &str, body: &[u8]) -> Vec<String> {
    vec![
        "Content-Type: application/json".into(),
        format!("X-GitHub-Event: {event}"),
        format!("X-GitHub-Delivery: {delivery}"),
        format!("X-Hub-Signature-256: {}", openssl_signature(SECRET, body)),
        "Connection: close".into(),
    ]
}

async fn post_raw(server: &Server, mut head: Vec<String>, body: &[u8]) -> RawAnswer {
    head.push(format!("Content-Length: {}", body.len()));
    let mut connection = RawConnection::to(server).await;
    connection.write_head(&head).await;
    connection.write(body).await;
    connection.answer().await.expect("an answer")
}

#[track_caller]
fn check(answer: &RawAnswer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert!(answer.text.contains(&format!("\"{code}\"")), "{}", answer.text);
    assert!(answer.text.contains("\"success\":false"), "{}", answer.text);
    assert!(answer.text.contains("requestId"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_but_valid_deliveries_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    let cases = [
        ("push", "no-repository", r#"{"ref":"x"}"#.to_owned()),
        ("ping", "no-action", r#"{"zen":"Keep it logically awesome.","repository":{"full_name":"a/b"}}"#.to_owned()),
        ("issues", "not-ascii", r#"{"action":"opened","issue":{"title":"Grüße, 世界 🦀 \u0000"},"repository":{"full_name":"Ünï/Cödé"}}"#.to_owned()),
        ("event_of_the_future", "unknown-event", r#"{"action":"launched"}"#.to_owned()),
        ("push", "null-everywhere", r#"{"action":null,"repository":null,"sender":null}"#.to_owned()),
        ("push", "wrong-types", r#"{"action":7,"repository":"text","sender":[1]}"#.to_owned()),
        ("push", "spaces", " \r\n\t{ \"a\" : 1 } \n".to_owned()),
        ("push", "nested", deep),
        ("push", "empty-object", "{}".to_owned()),
        ("push", "twice-the-key", r#"{"action":"one","action":"two"}"#.to_owned()),
    ];
    for (event, id, body) in &cases {
        let answer = server.send(&Signed::new(event, id, body.clone())).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.json);
        let (status, kept) = server.fetch(&format!("/api/webhooks/events/{id}/body")).await;
        assert_eq!(
            (status, sha256_of(&kept)),
            (200, sha256_of(body.as_bytes())),
            "{id}"
        );
    }
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/events").await;
    assert_eq!(
        listed["events"].as_array().map(Vec::len),
        Some(cases.len()),
        "{listed}"
    );
    let unknown = server
        .data_of("/api/webhooks/events?event=event_of_the_future")
        .await;
    assert_eq!(unknown["events"][0]["deliveryId"], "unknown-event", "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_delivery_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    for (what, body) in [
        ("not JSON", &b"hello"[..]),
        ("an array", b"[1,2]"),
        ("a string", b"\"text\""),
        ("nothing", b""),
        ("half an object", b"{\"a\":"),
        ("two objects", b"{}{}"),
        ("not UTF-8", b"{\"a\":\"\xff\xfe\"}"),
    ] {
        let answer = post_raw(&server, head("push", "not-json", body), body).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        check(&answer, 400, "BODY_NOT_JSON_OBJECT");
    }
    let missing = |name: &str| {
        let mut lines = head("push", "missing-header", b"{}");
        lines.retain(|l| !l.starts_with(name));
        lines
    };
    check(
        &post_raw(&server, missing("X-GitHub-Event"), b"{}").await,
        400,
        "HEADER_MISSING",
    );
    check(
        &post_raw(&server, missing("X-GitHub-Delivery"), b"{}").await,
        400,
        "HEADER_MISSING",
    );
    let twice = |line: &str| {
        let mut lines = head("push", "duplicate-header", b"{}");
        lines.push(line.to_owned());
        lines
    };
    for line in [
        "X-GitHub-Event: issues",
        "X-GitHub-Delivery: other",
        "X-Hub-Signature-256: sha256=00",
        "Content-Type: text/plain",
    ] {
        check(
            &post_raw(&server, twice(line), b"{}").await,
            400,
            "HEADER_DUPLICATED",
        );
    }
    let mut text = head("push", "plain-text", b"{}");
    text[0] = "Content-Type: text/plain".into();
    check(
        &post_raw(&server, text, b"{}").await,
        415,
        "CONTENT_TYPE_UNSUPPORTED",
    );
    goes_on(&server).await;
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/events").await;
    assert_eq!(
        listed["events"].as_array().map(Vec::len),
        Some(1),
        "nothing refused is in the log: {listed}"
    );
}

/// The text of the answer never tells how wrong a signature was.
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_signature_gets_the_same_answer() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let body = br#"{"forged":true}"#;
    let right = openssl_signature(SECRET, body);
    let almost = format!(
        "{}{}",
        &right[..right.len() - 1],
        if right.ends_with('0') { '1' } else { '0' }
    );
    let mut texts = std::collections::BTreeSet::new();
    for signature in [
        almost.as_str(),
        "sha256=00",
        "sha256=",
        "",
        "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709",
        &openssl_signature("another secret", body),
        &right["sha256=".len()..],
        "sha256=zz",
    ] {
        let mut lines = head("push", "forged", body);
        lines.retain(|l| !l.starts_with("X-Hub-Signature-256"));
        lines.push(format!("X-Hub-Signature-256: {signature}"));
        let answer = post_raw(&server, lines, body).await;
        assert!(
            matches!(answer.status, 400 | 401),
            "{signature:?}: {}",
            answer.text
        );
        if answer.status == 401 {
            check(&answer, 401, "SIGNATURE_INVALID");
            let json: serde_json::Value =
                serde_json::from_str(answer.text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            texts.insert(json["error"]["message"].to_string());
        }
        assert!(
            !answer.text.contains(&right["sha256=".len()..]),
            "the right signature leaked"
        );
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    goes_on(&server).await;
}

fn sized(bytes: usize) -> Vec<u8> {
    let (front, back) = (&br#"{"padding":""#[..], &br#""}"#[..]);
    [front, &b"x".repeat(bytes - front.len() - back.len()), back].concat()
}

async fn post_chunked(server: &Server, delivery: &str, body: &[u8]) -> RawAnswer {
    let mut lines = head("push", delivery, body);
    lines.push("Transfer-Encoding: chunked".into());
    let mut connection = RawConnection::to(server).await;
    connection.write_head(&lines).await;
    for piece in body.chunks(70_001) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        if !connection.write(chunk).await {
            break;
        }
    }
    connection.write("0\r\n\r\n").await;
    connection.answer().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let (exact, over) = (sized(LIMIT), sized(LIMIT + 1));
    let taken = post_raw(&server, head("push", "exactly-the-limit", &exact), &exact).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    let taken = post_chunked(&server, "exactly-the-limit-chunked", &exact).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    for id in ["exactly-the-limit", "exactly-the-limit-chunked"] {
        let (status, kept) = server.fetch(&format!("/api/webhooks/events/{id}/body")).await;
        assert_eq!(
            (status, kept.len(), sha256_of(&kept)),
            (200, LIMIT, sha256_of(&exact)),
            "{id}"
        );
    }
    check(
        &post_raw(&server, head("push", "over-the-limit", &over), &over).await,
        413,
        "BODY_TOO_LARGE",
    );
    check(
        &post_chunked(&server, "over-the-limit-chunked", &over).await,
        413,
        "BODY_TOO_LARGE",
    );
    goes_on(&server).await;
    assert_eq!(
        server.ask("/api/webhooks/events/over-the-limit").await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_kept_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    for bytes in [12 + 2, 70_001, 70_002, 256 * 1024, 256 * 1024 + 1, 1_000_000] {
        let body = sized(bytes);
        let id = format!("chunked-{bytes}");
        let answer = post_chunked(&server, &id, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let (_, kept) = server.fetch(&format!("/api/webhooks/events/{id}/body")).await;
        assert_eq!(sha256_of(&kept), sha256_of(&body), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_too_early_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    for bytes in [100, 400_000] {
        let body = sized(bytes);
        let id = format!("truncated-{bytes}");
        let mut lines = head("push", &id, &body);
        lines.push(format!("Content-Length: {}", body.len()));
        let mut connection = RawConnection::to(&server).await;
        connection.write_head(&lines).await;
        connection.write(&body[..body.len() / 2]).await;
        connection.finish().await;
        if let Some(answer) = connection.answer().await {
            assert_eq!(answer.status, 400, "{}", answer.text);
        }
        goes_on(&server).await;
        assert_eq!(
            server.ask(&format!("/api/webhooks/events/{id}")).await.status,
            404
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_verified_raw_and_read_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let body = b"payload=%7B%22action%22%3A%22opened%22%2C%22repository%22%3A%7B%22full_name%22%3A%22a%2Fb%22%7D%2C%22t%22%3A%22%C3%BC+1%22%7D";
    let mut lines = head("issues", "a-form", body);
    lines[0] = "Content-Type: application/x-www-form-urlencoded".into();
    let answer = post_raw(&server, lines, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let (_, kept) = server.fetch("/api/webhooks/events/a-form/body").await;
    assert_eq!(kept, body, "kept as received");
    let seen = server.data_of("/api/webhooks/events/a-form").await;
    assert_eq!(
        (&seen["action"], &seen["repository"]),
        (&"opened".into(), &"a/b".into()),
        "{seen}"
    );
    assert_eq!(seen["payload"]["t"], "ü 1", "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_and_endless_headers_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let bottomless = format!(r#"{{"a":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    let answer = post_raw(
        &server,
        head("push", "bottomless", bottomless.as_bytes()),
        bottomless.as_bytes(),
    )
    .await;
    // Kept or refused, but never the end of the service.
    assert!(matches!(answer.status, 200 | 400), "{}", answer.text);
    let mut many = head("push", "many-headers", b"{}");
    many.extend((0..150).map(|n| format!("X-Extra-{n}: value")));
    let answer = post_raw(&server, many, b"{}").await;
    assert!(matches!(answer.status, 400 | 431), "{}", answer.text);
    goes_on(&server).await;
    server.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_source_and_every_alias_are_answered_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let client = crate::harness::client();
    let paths = [
        "/api/webhooks/github",
        "/webhooks/github",
        "/webhook/github",
        "/api/v2/webhooks/github",
    ];
    let post = async |path: &str, id: &str| {
        let delivery = Signed::new("push", id, format!(r#"{{"id":"{id}"}}"#));
        let mut request = client
            .post(format!("{}{path}", server.base()))
            .body(delivery.body);
        for (name, value) in crate::harness::github_headers("push", id, &delivery.signature) {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for (n, path) in paths.iter().enumerate() {
        assert_eq!(post(path, &format!("alias-{n}")).await, 200, "{path}");
    }
    // A connection in the path is one that a secret is bound to; there is none here.
    for nobody in ["/api/webhooks/nobody", "/api/webhooks/github/nobody"] {
        assert_eq!(post(nobody, "to-nobody").await, 404, "{nobody}");
    }
    goes_on(&server).await;
}
