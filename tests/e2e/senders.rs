//! Each provider's own verifier and ours agree on the same bytes, both ways; and what each provider expects in answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Answer, Launch, Receiver, Server, Tools, client};
use crate::reconcile::sha256_of;

/// The secrets of `tests/tools/providers.mjs`, and those of senders that no library signs for.
const SETTINGS: &str = r#"
[source.linear]
secrets = ["another", "lin_wh_0123456789abcdef"]
[source.standard]
secrets = ["whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
[source.svix]
scheme = "standard"
secrets = ["whsec_plJ3nmyCDGBKInavdOK15jsl"]
[source.gitlab]
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "a plain token"]
events = ["push", "pipeline", "Push Hook"]
[source.patient]
scheme = "linear"
secrets = ["lin_wh_0123456789abcdef"]
tolerance_ms = 25200000
[source.shop]
scheme = "hmac"
secrets = ["hush"]
proof = { header = "X-Shopify-Hmac-Sha256", encoding = "base64" }
facts = { id_header = "X-Shopify-Webhook-Id", event_header = "X-Shopify-Topic" }
[source.monitor]
scheme = "token"
secrets = ["a bearer token"]
facts = { id_header = "X-Id", event_pointer = "/kind" }
[source.codegen]
secrets = ["codegen secret"]
[source.claude-code]
secrets = ["claude secret"]
"#;

/// A request as `providers.mjs` made it, with what the provider's own library says of it.
#[derive(Debug, Deserialize)]
struct Request {
    source: String,
    name: String,
    headers: Vec<(String, String)>,
    body: String,
    accepted: bool,
}

async fn server(folder: &tempfile::TempDir) -> Server {
    Launch::in_folder(folder.path()).settings(SETTINGS).start().await
}

async fn post(server: &Server, source: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = client().post(format!("{}/api/webhooks/{source}", server.base()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body.to_vec()).send().await.expect("an answer");
    let status = response.status().as_u16();
    let json = serde_json::from_slice(&response.bytes().await.expect("the whole answer"));
    Answer {
        status,
        json: json.unwrap_or(Value::Null),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_take_what_the_providers_own_libraries_take_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let lines = Tools::ready().node("providers.mjs", &["sign"]);
    let requests: Vec<Request> = lines
        .lines()
        .map(|l| serde_json::from_str(l).expect("a request"))
        .collect();
    let mut taken = 0;
    for request in &requests {
        let body = STANDARD.decode(&request.body).unwrap();
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        let answer = post(&server, &request.source, &headers, &body).await;
        let expected = if request.accepted { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{}: {}", request.name, answer.json);
        if request.accepted {
            taken += 1;
            let path = format!("/api/webhooks/events/{}/body", request.name);
            let (status, kept) = server.fetch(&path).await;
            assert_eq!(
                (status, sha256_of(&kept)),
                (200, sha256_of(&body)),
                "{}",
                request.name
            );
        } else {
            assert_eq!(
                answer.json["error"]["code"], "SIGNATURE_INVALID",
                "{}",
                request.name
            );
        }
    }
    assert!(
        taken >= 30 && requests.len() - taken >= 200,
        "{taken} of {}",
        requests.len()
    );
}

/// Signs by `hooklog send`'s own code and has the libraries verify what arrived.
#[tokio::test(flavor = "multi_thread")]
async fn the_providers_own_libraries_take_what_we_sign() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let launch = Launch::in_folder(folder.path()).settings(SETTINGS);
    let secrets = [
        ("github", "It's a Secret to Everybody"),
        ("linear", "lin_wh_0123456789abcdef"),
        ("standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("gitlab", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ];
    let file = folder.path().join("secret");
    let mut lines = String::new();
    for (n, (source, secret)) in secrets.iter().enumerate() {
        std::fs::write(&file, secret).unwrap();
        let url = receiver.url();
        let sent = launch.run(&[
            "send",
            "--source",
            source,
            "--event",
            "Issue",
            "--secret-file",
            "secret",
            "--url",
            &url,
        ]);
        assert!(
            sent.status.success(),
            "{source}: {}",
            String::from_utf8_lossy(&sent.stderr)
        );
        let taken = receiver.taken().remove(n);
        let headers: serde_json::Map<String, Value> = taken
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let line = json!({"library": source, "secret": secret, "headers": headers, "body": STANDARD.encode(&taken.body)});
        lines.push_str(&format!("{line}\n"));
    }
    let path = folder.path().join("requests.ndjson");
    std::fs::write(&path, lines).unwrap();
    let said = Tools::ready().node("providers.mjs", &["verify", path.to_str().unwrap()]);
    assert_eq!(said.trim(), "agreed on 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_sender_is_received_from_the_command_line_and_as_a_test() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    for source in [
        "github",
        "linear",
        "standard",
        "svix",
        "gitlab",
        "patient",
        "shop",
        "monitor",
        "codegen",
        "claude-code",
    ] {
        let sent = server.launch().run(&[
            "send",
            "--source",
            source,
            "--event",
            "push",
            "--id",
            &format!("sent-{source}"),
            "--url",
            &server.base(),
        ]);
        let said =
            String::from_utf8_lossy(&sent.stdout).into_owned() + &String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.success(), "{source}: {said}");
        let kept = server
            .data_of(&format!("/api/webhooks/events/sent-{source}"))
            .await;
        assert_eq!(kept["source"], source, "{kept}");
        let text = kept.to_string();
        assert!(
            !text.contains("bearer token") && !text.contains("whsec_"),
            "{text}"
        );
        let test = json!({"eventType": "push", "source": source});
        let data = server.post("/api/webhooks/test", test).await;
        assert_eq!(
            (&data["source"], &data["event"]),
            (&source.into(), &"push".into()),
            "{data}"
        );
    }
    let nobody = json!({"source": "nobody"});
    let answer = server
        .command(reqwest::Method::POST, "/api/webhooks/test", Some(nobody))
        .await;
    assert_eq!(answer.status, 404, "{}", answer.json);
}

fn linear(at_ms: i64) -> (Vec<u8>, String) {
    let body =
        format!(r#"{{"action":"create","type":"Issue","data":{{"id":"i"}},"webhookTimestamp":{at_ms}}}"#);
    let signed = crate::harness::openssl_signature("lin_wh_0123456789abcdef", body.as_bytes());
    (body.into_bytes(), signed.trim_start_matches("sha256=").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_hears_exactly_200_and_its_late_retries_are_handled_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_millis()).unwrap();
    let send = async |source: &str, id: &str, at: i64| {
        let (body, signature) = linear(at);
        let headers = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Linear-Delivery", id),
            ("Linear-Signature", &signature),
        ];
        post(&server, source, &headers, &body).await
    };
    let six_hours_ago = now - 6 * 3_600_000;
    let late = send("linear", "late", six_hours_ago).await;
    assert_eq!(late.status, 401, "{}", late.json);
    let anew = send("linear", "late", now).await;
    assert_eq!((anew.status, anew.is_duplicate()), (200, false));
    let again = send("linear", "late", now).await;
    assert_eq!((again.status, again.is_duplicate()), (200, true));
    // Whoever finds that his retries carry the old time raises the tolerance.
    assert_eq!(send("patient", "late", six_hours_ago).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_never_hears_4xx_about_what_it_may_send_and_its_uuids_identify_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let token = ("X-Gitlab-Token", "a plain token");
    let uuids = [("X-Gitlab-Event-UUID", "same"), ("X-Gitlab-Webhook-UUID", "same")];
    let body = br#"{"object_kind":"push","project":{"path_with_namespace":"a/b/c"}}"#;
    let key = ("Idempotency-Key", "key-1");
    let first = post(&server, "gitlab", &[token, key, uuids[0]], body).await;
    assert_eq!(
        (first.status, first.is_duplicate()),
        (200, false),
        "{}",
        first.json
    );
    let again = post(&server, "gitlab", &[token, key, uuids[1]], body).await;
    assert_eq!((again.position(), again.is_duplicate()), (first.position(), true));
    let bare = [token, uuids[0], uuids[1]];
    let positions = [
        post(&server, "gitlab", &bare, body).await.position(),
        post(&server, "gitlab", &bare, body).await.position(),
    ];
    assert!(
        positions[0] != positions[1],
        "a request without an id is its own delivery: {positions:?}"
    );
    for unwanted in [&br#"{"object_kind":"note"}"#[..], b"", b"not even JSON", b"[1]"] {
        let answer = post(&server, "gitlab", &[token], unwanted).await;
        assert_eq!(
            (answer.status, &answer.json["ignored"]),
            (200, &true.into()),
            "{}",
            answer.json
        );
    }
    let wrong = post(&server, "gitlab", &[("X-Gitlab-Token", "a plain tokem")], body).await;
    assert_eq!(wrong.status, 401, "{}", wrong.json);
}
