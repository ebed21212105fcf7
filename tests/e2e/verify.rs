//! A signature that does not fit: the running server says why, and never what would be right.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Answer, Launch, SECRET, Server, Signed, client, openssl_signature};

const SETTINGS: &str = r#"
[source.github]
secrets = [{ id = "general", value = "It's a Secret to Everybody" }, { id = "of-team", value = "swordfish", tenant = "team-a", hook = "77" }]
[source.codegen]
secrets = [{ id = "of-codegen", value = "sesame" }]
"#;

const BODY: &str = "{\"ref\":\"refs/heads/main\",\"repository\":{\"full_name\":\"octo-org/hello\"}}";

/// Without a secret in the environment, which would go before the file.
async fn server(folder: &tempfile::TempDir) -> Server {
    Launch::bare(folder.path()).settings(SETTINGS).start().await
}

fn signed(secret: &str, body: &str) -> Value {
    json!({
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "d-1",
        "X-Hub-Signature-256": openssl_signature(secret, body.as_bytes()),
    })
}

async fn verify(server: &Server, key: Option<&str>, asked: &Value) -> Answer {
    let mut request = client().post(format!("{}/api/webhooks/verify", server.base()));
    if let Some(key) = key {
        request = request.header("X-Api-Key", key);
    }
    let response = request.json(asked).send().await.expect("an answer");
    let status = response.status().as_u16();
    let json = response.json().await.expect("JSON");
    Answer { status, json }
}

/// The check that failed, with its hint.
fn failed(told: &Value) -> (String, String) {
    let checks = told["checks"].as_array().expect("checks");
    let failed: Vec<&Value> = checks
        .iter()
        .filter(|check| check["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{told}");
    let text = |name: &str| failed[0][name].as_str().unwrap_or_default().to_owned();
    (text("name"), text("hint"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_does_not_fit_is_explained_and_never_corrected() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let of = |secret: &str, signed_over: &str, came: &str| json!({"source": "github", "headers": signed(secret, signed_over), "body": came});
    let right = verify(&server, None, &of(SECRET, BODY, BODY)).await;
    assert_eq!(right.status, 200, "{}", right.json);
    let told = &right.json["data"];
    assert_eq!(
        (&told["verified"], &told["secretId"]),
        (&json!(true), &json!("general")),
        "{told}"
    );
    let spaced = BODY.replace("\":", "\": ").replace(",\"", ", \"");
    for (asked, check, hint) in [
        (of(SECRET, &spaced, BODY), "signature", "as Python writes it"),
        (
            of(SECRET, BODY, &format!("{BODY}\n")),
            "signature",
            "without the line breaks at its end",
        ),
        (of("nobody's", BODY, BODY), "signature", "another secret"),
        (
            of("swordfish", BODY, BODY),
            "signature",
            "secret of-team of this source, which is bound to 77",
        ),
        (
            of("sesame", BODY, BODY),
            "signature",
            "secret of-codegen of the source codegen",
        ),
    ] {
        let answer = verify(&server, None, &asked).await;
        assert_eq!(failed(&answer.json["data"]).0, check, "{}", answer.json);
        assert!(
            failed(&answer.json["data"]).1.contains(hint),
            "{hint}: {}",
            answer.json
        );
        let (text, came) = (answer.json.to_string(), asked["body"].as_str().unwrap());
        for secret in [SECRET, "swordfish", "sesame"] {
            let signature = openssl_signature(secret, came.as_bytes());
            assert!(
                !text.contains(secret) && !text.contains(&signature["sha256=".len()..]),
                "{text}"
            );
        }
    }
    // Nothing of it was received.
    let id = Signed::new("push", "d-1", BODY);
    assert_eq!(server.ask("/api/webhooks/events/d-1").await.status, 404);
    assert_eq!(server.send(&id).await.status, 200);
    server.stop().await;
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_the_same_with_a_server_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let headers = |secret: &str| {
        let headers = signed(secret, BODY);
        let lines = headers.as_object().unwrap().iter();
        lines
            .map(|(name, value)| format!("{name}: {}\n", value.as_str().unwrap()))
            .collect::<String>()
    };
    write(folder.path(), "right.txt", &headers(SECRET));
    write(folder.path(), "wrong.txt", &headers("nobody's"));
    write(folder.path(), "body.json", BODY);
    write(folder.path(), "secret.txt", &format!("{SECRET}\n"));
    let run = |more: &[&str]| {
        let usual = ["verify", "--source", "github", "--body", "body.json"];
        let done = server.launch().run(&[&usual[..], more].concat());
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        (done.status.code(), text, errors)
    };
    for (file, code) in [("right.txt", 0), ("wrong.txt", 1)] {
        let online = run(&["--headers", file, "--json"]);
        let offline = run(&["--headers", file, "--json", "--offline"]);
        assert_eq!(
            (online.0, offline.0),
            (Some(code), Some(code)),
            "{online:?} {offline:?}"
        );
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(json(&online.1), json(&offline.1));
        let shown = run(&["--headers", file]);
        assert_eq!(shown.0, Some(code));
        assert!(
            shown.1.lines().all(|line| line.chars().count() <= 80),
            "{}",
            shown.1
        );
        assert!(shown.1.contains("signature: "), "{}", shown.1);
    }
    let at_hand = run(&[
        "--headers",
        "right.txt",
        "--offline",
        "--secret-file",
        "secret.txt",
    ]);
    assert_eq!(at_hand.0, Some(0), "{at_hand:?}");
    let changed = run(&["--headers", "right.txt", "-H", "X-Hub-Signature-256: sha256=00"]);
    assert_eq!(changed.0, Some(1), "twice is once too often: {changed:?}");
    assert_eq!(run(&["--header", "no colon"]).0, Some(2));
    assert_eq!(
        run(&["--secret-file", "secret.txt"]).0,
        Some(2),
        "a secret is not sent anywhere"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_hears_of_its_own_secrets_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let made = server.launch().run(&[
        "key", "create", "team", "--scope", "operate", "--tenant", "team-a",
    ]);
    let key = String::from_utf8(made.stdout).unwrap();
    let key = Some(key.trim());
    let asked = |source: &str, secret: &str, hook: &str| {
        let mut headers = signed(secret, BODY);
        headers["X-GitHub-Hook-ID"] = hook.into();
        json!({"source": source, "headers": headers, "body": BODY})
    };
    let own = verify(&server, key, &asked("github", "swordfish", "77")).await;
    assert_eq!(own.json["data"]["secretId"], "of-team", "{}", own.json);
    let theirs = verify(&server, key, &asked("github", SECRET, "1")).await;
    let guess = verify(&server, key, &asked("github", "a guess", "1")).await;
    assert_eq!((theirs.status, &theirs.json), (200, &guess.json));
    assert!(!theirs.json.to_string().contains("general"), "{}", theirs.json);
    let other = verify(&server, key, &asked("codegen", "sesame", "1")).await;
    let nowhere = verify(&server, key, &asked("nowhere", "sesame", "1")).await;
    assert_eq!(other.json["data"]["checks"], nowhere.json["data"]["checks"]);
    assert_eq!(
        verify(&server, None, &asked("github", SECRET, "1")).await.status,
        401
    );
    server.stop().await;
}
