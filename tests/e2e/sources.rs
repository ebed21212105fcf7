//! Sources that are added, changed and removed while the server runs: by the command line and over REST, with deliveries that
//! openssl signs.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Launch, Server, client, github_headers, openssl_signature};

const OF_TEAM_A: &str = "a secret of team A, 0123456789";
const OF_TEAM_B: &str = "a secret of team B, 9876543210";

fn said(done: &Output) -> String {
    let (out, err) = (&done.stdout, &done.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs a command, through the socket in the data directory, and returns its standard output.
fn run(server: &Server, arguments: &[&str]) -> String {
    let done = server.launch().run(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// A secret that a command made: alone on standard output.
fn made(server: &Server, arguments: &[&str]) -> String {
    let out = run(server, arguments);
    let secret = out.trim_end();
    assert!(
        secret.len() >= 44 && !secret.contains(char::is_whitespace),
        "{arguments:?} printed {out:?}"
    );
    secret.to_owned()
}

/// What a sender is told.
struct Heard {
    status: u16,
    retry_after: Option<String>,
    json: Value,
}

/// Posts an opened issue as GitHub would, signed by openssl.
async fn deliver(server: &Server, path: &str, secret: &str, hook: &str, id: &str) -> Heard {
    let body =
        format!(r#"{{"action":"opened","told":"body-of-{id}","repository":{{"full_name":"octo-org/api"}}}}"#);
    let signature = openssl_signature(secret, body.as_bytes());
    let mut request = client().post(format!("{}{path}", server.base()));
    for (name, value) in github_headers("issues", id, &signature) {
        request = request.header(name, value);
    }
    let answer = request.header("X-GitHub-Hook-ID", hook).body(body).send().await;
    let answer = answer.expect("an answer");
    let retry_after = answer.headers().get("retry-after");
    Heard {
        status: answer.status().as_u16(),
        retry_after: retry_after.map(|value| value.to_str().unwrap().to_owned()),
        json: serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
    }
}

async fn status(server: &Server, source: &str, secret: &str, id: &str) -> u16 {
    deliver(server, &format!("/api/webhooks/{source}"), secret, "41", id)
        .await
        .status
}

async fn ask(server: &Server, method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = client().request(method, format!("{}{path}", server.base()));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null);
    Answer { status, json }
}

/// Ids of the secrets that verify.
fn ids(source: &Value) -> Vec<&str> {
    let secrets = source["secrets"].as_array().unwrap_or_else(|| panic!("{source}"));
    secrets
        .iter()
        .filter_map(|secret| secret["id"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_added_takes_deliveries_at_once_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    assert_eq!(status(&server, "hub", "any", "too-early").await, 404);
    let secret = made(&server, &["source", "add", "hub", "--path", "/hub"]);
    assert_eq!(status(&server, "hub", &secret, "first").await, 200);
    assert_eq!(
        deliver(&server, "/hub", &secret, "41", "second").await.status,
        200
    );
    assert_eq!(status(&server, "hub", "another secret", "forged").await, 401);
    let kept = server.data_of("/api/webhooks/events/first").await;
    assert_eq!(
        (&kept["source"], &kept["signature"]),
        (&json!("hub"), &json!("verified")),
        "{kept}"
    );
    for args in [&["source", "list"][..], &["source", "show", "hub"]] {
        let shown = run(&server, args);
        assert!(shown.contains("hub") && !shown.contains(&secret), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
    let server = server.kill().await.start().await;
    assert_eq!(status(&server, "hub", &secret, "third").await, 200);
    let again = deliver(&server, "/api/webhooks/hub", &secret, "41", "first").await;
    assert_eq!(again.json["data"]["duplicate"], true, "{}", again.json);
    let listed = server.data_of("/api/sources").await;
    let names: Vec<&str> = listed["sources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|source| source["name"].as_str())
        .collect();
    assert!(names.contains(&"hub") && names.contains(&"github"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_url_serves_the_hooks_of_two_tenants_and_each_sees_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let shared = json!({"name": "shared", "secret": "of the instance alone"});
    server.post("/api/sources", shared).await;
    for (secret, tenant, hook) in [(OF_TEAM_A, "team-a", "41"), (OF_TEAM_B, "team-b", "42")] {
        let body = json!({"secret": secret, "tenant": tenant, "hook": hook});
        server.post("/api/sources/shared/secrets", body).await;
    }
    let own = json!({"name": "own", "secret": "of team A as well", "tenant": "team-a"});
    server.post("/api/sources", own).await;
    let path = "/api/webhooks/shared";
    assert_eq!(deliver(&server, path, OF_TEAM_A, "41", "a-1").await.status, 200);
    assert_eq!(deliver(&server, path, OF_TEAM_B, "42", "b-1").await.status, 200);
    assert_eq!(deliver(&server, path, OF_TEAM_B, "41", "b-2").await.status, 401);
    let by_path = deliver(&server, "/api/webhooks/shared/42", OF_TEAM_B, "7", "b-3").await;
    assert_eq!(by_path.status, 200, "{}", by_path.json);
    let key = |tenant: &str| {
        let made = run(
            &server,
            &["key", "create", tenant, "--scope", "admin", "--tenant", tenant],
        );
        made.trim().to_owned()
    };
    let (a, b) = (key("team-a"), key("team-b"));
    for (key, mine, theirs) in [(&a, "a-1", "b-1"), (&b, "b-1", "a-1")] {
        let event = async |id: &str| {
            let path = format!("/api/webhooks/events/{id}");
            ask(&server, Method::GET, &path, Some(key), None).await.status
        };
        assert_eq!((event(mine).await, event(theirs).await), (200, 404));
    }
    another_tenant_reaches_nothing(&server, &b).await;
    let mine = ask(&server, Method::GET, "/api/sources/own", Some(&a), None).await;
    assert_eq!(mine.json["data"]["revision"], 0, "{}", mine.json);
}

/// Team B asks for everything that can be done to what is team A's.
async fn another_tenant_reaches_nothing(server: &Server, key: &str) {
    let listed = ask(server, Method::GET, "/api/sources", Some(key), None).await;
    assert_eq!(listed.json["data"]["sources"], json!([]), "{}", listed.json);
    let secret = json!({"secret": "of whom?"});
    for (method, path, body) in [
        (Method::GET, "", None),
        (Method::PATCH, "", Some(json!({"verify": false}))),
        (Method::POST, "/pause", None),
        (Method::POST, "/resume", None),
        (Method::POST, "/secrets", Some(secret.clone())),
        (Method::POST, "/rotate", Some(secret.clone())),
        (Method::DELETE, "/secrets/any", None),
        (Method::DELETE, "", None),
    ] {
        let path = format!("/api/sources/own{path}");
        let told = ask(server, method.clone(), &path, Some(key), body).await;
        assert_eq!(told.status, 404, "{method} {path}: {}", told.json);
        assert!(!told.json.to_string().contains("team-a"), "{}", told.json);
    }
    let taken = json!({"name": "own", "secret": "of team B"});
    let told = ask(server, Method::POST, "/api/sources", Some(key), Some(taken)).await;
    assert!(
        told.status == 409 && !told.json.to_string().contains("team-a"),
        "{}",
        told.json
    );
    let reseal = ask(server, Method::POST, "/api/secrets/reseal", Some(key), None).await;
    assert_eq!(reseal.status, 403, "{}", reseal.json);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_without_a_gap_and_the_old_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let old = made(&server, &["source", "add", "hub", "--secret-id", "old"]);
    let new = made(&server, &["source", "rotate", "hub", "--secret-id", "new"]);
    assert_ne!(old, new);
    assert_eq!(status(&server, "hub", &old, "by-old").await, 200);
    assert_eq!(status(&server, "hub", &new, "by-new").await, 200);
    let shown = server.data_of("/api/sources/hub").await;
    assert_eq!(ids(&shown), ["old", "new"]);
    assert!(shown["secrets"][0]["validUntil"].is_string(), "{shown}");
    run(&server, &["source", "secret", "revoke", "hub", "old"]);
    assert_eq!(status(&server, "hub", &old, "by-revoked").await, 401);
    assert_eq!(status(&server, "hub", &new, "by-new-still").await, 200);
    let last = server.launch().run(&["source", "secret", "revoke", "hub", "new"]);
    assert_eq!(last.status.code(), Some(1), "{}", said(&last));
    assert!(said(&last).contains("last"), "{}", said(&last));
    // From standard input, with no time for the one before.
    let rotate = [
        "source",
        "rotate",
        "hub",
        "--secret-file",
        "-",
        "--grace-seconds",
        "0",
    ];
    let done = server.launch().feed(&rotate, "the third secret of it\n");
    assert!(
        done.status.success() && !said(&done).contains("the third"),
        "{}",
        said(&done)
    );
    assert_eq!(status(&server, "hub", &new, "by-second").await, 401);
    assert_eq!(
        status(&server, "hub", "the third secret of it", "by-third").await,
        200
    );
    let server = server.stop().await.start().await;
    assert_eq!(status(&server, "hub", &old, "by-revoked-again").await, 401);
    assert_eq!(
        status(&server, "hub", "the third secret of it", "by-third-again").await,
        200
    );
    let resealed = run(&server, &["source", "reseal"]);
    assert!(resealed.contains("encrypted anew"), "{resealed}");
    assert_eq!(
        status(&server, "hub", "the third secret of it", "after-reseal").await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_paused_narrowed_and_removed_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let secret = made(&server, &["source", "add", "hub"]);
    let told = run(&server, &["source", "pause", "hub", "--reason", "maintenance"]);
    assert!(told.contains("takes no deliveries"), "{told}");
    let paused = deliver(&server, "/api/webhooks/hub", &secret, "41", "held").await;
    assert_eq!(paused.status, 503, "{}", paused.json);
    assert!(paused.retry_after.is_some(), "a sender is told when to come back");
    let shown = server.data_of("/api/sources/hub").await;
    assert_eq!(
        (&shown["status"], &shown["statusReason"], &shown["pausedBy"]),
        (&json!("paused"), &json!("maintenance"), &json!("local")),
        "{shown}"
    );
    let asked = json!({"source": "hub", "headers": {}, "body": "{}"});
    let told = server.post("/api/webhooks/verify", asked).await;
    let message = told["checks"][0]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("paused") && message.contains("503 SOURCE_PAUSED"),
        "{told}"
    );
    run(&server, &["source", "resume", "hub"]);
    assert_eq!(status(&server, "hub", &secret, "held").await, 200);
    run(&server, &["source", "set", "hub", "--event", "push"]);
    let unwanted = deliver(&server, "/api/webhooks/hub", &secret, "41", "unwanted").await;
    assert_eq!((unwanted.status, &unwanted.json["ignored"]), (200, &json!(true)));
    run(&server, &["source", "set", "hub", "--reset", "event"]);
    let wanted = deliver(&server, "/api/webhooks/hub", &secret, "41", "wanted").await;
    assert_eq!((wanted.status, &wanted.json["ignored"]), (200, &Value::Null));
    let nothing = server.launch().run(&["source", "set", "hub"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    let bad = server
        .launch()
        .run(&["source", "set", "hub", "--path", "/api/jobs"]);
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    run(
        &server,
        &["source", "remove", "hub", "--reason", "the contract has ended"],
    );
    assert_eq!(status(&server, "hub", &secret, "late").await, 404);
    assert_eq!(server.ask("/api/sources/hub").await.status, 404);
    assert_eq!(
        server.ask("/api/webhooks/events/wanted").await.status,
        200,
        "its deliveries stay"
    );
    let server = server.stop().await.start().await;
    assert_eq!(status(&server, "hub", &secret, "later").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_the_settings_is_changed_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let secret = json!({"secret": "any"});
    for (method, path, body) in [
        (
            Method::PATCH,
            "/api/sources/github",
            Some(json!({"events": ["push"]})),
        ),
        (Method::POST, "/api/sources/github/pause", None),
        (Method::POST, "/api/sources/github/secrets", Some(secret.clone())),
        (Method::POST, "/api/sources/github/rotate", Some(secret)),
        (Method::DELETE, "/api/sources/github", None),
        (
            Method::POST,
            "/api/sources",
            Some(json!({"name": "github", "secret": "any"})),
        ),
    ] {
        let told = ask(&server, method.clone(), path, None, body).await;
        assert_eq!(told.status, 409, "{method} {path}: {}", told.json);
        let message = told.json["error"]["message"].as_str().unwrap_or_default();
        let told = ["settings", "already"].iter().any(|word| message.contains(word));
        assert!(told, "{method} {path}: {message}");
    }
    let shown = server.data_of("/api/sources/github").await;
    assert_eq!(
        (&shown["origin"], &shown["status"], &shown["revision"]),
        (&json!("settings"), &json!("active"), &Value::Null),
        "{shown}"
    );
    let done = server
        .launch()
        .run(&["source", "set", "github", "--event", "push"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
}

/// Files below a folder that hold a text.
fn holding(folder: &Path, text: &str) -> String {
    let found = Command::new("grep")
        .args(["-rlF", "--", text])
        .arg(folder)
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_source_is_in_no_file_no_answer_and_no_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("LOG_LEVEL", "debug")
        .start()
        .await;
    let by_command = made(&server, &["source", "add", "hub", "--secret-id", "first"]);
    let mut answers = server
        .post("/api/sources", json!({"name": "rest", "secret": OF_TEAM_A}))
        .await
        .to_string();
    let rotated = json!({"secret": OF_TEAM_B, "id": "second"});
    answers += &server.post("/api/sources/hub/rotate", rotated).await.to_string();
    // What can't be used, and what is refused, is not written down either.
    for body in [
        json!({"name": "rest", "secret": "a secret that was refused"}),
        json!({"name": "Not A Name", "secret": "a secret that was refused"}),
        json!({"name": "std", "scheme": "standard", "secret": "a secret that was refused"}),
    ] {
        let told = ask(&server, Method::POST, "/api/sources", None, Some(body)).await;
        assert!(matches!(told.status, 400 | 409), "{}", told.json);
        answers += &told.json.to_string();
    }
    assert_eq!(status(&server, "hub", &by_command, "by-first").await, 200);
    assert_eq!(status(&server, "hub", OF_TEAM_B, "by-second").await, 200);
    assert_eq!(
        status(&server, "rest", "a guess that was wrong", "by-nobody").await,
        401
    );
    server.caught_up().await;
    for path in [
        "/api/sources",
        "/api/audit",
        "/api/webhooks/events/by-first",
        "/api/webhooks/rejected",
    ] {
        answers += &server.ask(path).await.json.to_string();
    }
    let printed = server.printed();
    let launch = server.stop().await;
    let data = launch.data();
    assert!(
        !holding(&data, "body-of-by-first").is_empty(),
        "the search finds what is there"
    );
    for secret in [
        by_command.as_str(),
        OF_TEAM_A,
        OF_TEAM_B,
        "a secret that was refused",
    ] {
        for text in [secret.to_owned(), STANDARD.encode(secret)] {
            assert_eq!(holding(&data, &text), "", "{text} lies on the disk");
            assert!(!printed.contains(&text), "{text} was logged");
            assert!(!answers.contains(&text), "{text} was answered");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_made_for_each_scheme_is_one_that_it_verifies_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let url = server.base();
    for scheme in [
        "github",
        "gitlab",
        "linear",
        "standard",
        "token",
        "codegen",
        "claude-code",
    ] {
        let name = format!("my-{scheme}");
        let secret = made(&server, &["source", "add", &name, "--scheme", scheme]);
        assert_eq!(
            scheme == "standard",
            secret.starts_with("whsec_"),
            "{scheme}: {secret}"
        );
        std::fs::write(folder.path().join("secret"), format!("{secret}\n")).unwrap();
        let sent = format!("send --source {name} --scheme {scheme} --secret-file secret --url {url}");
        run(&server, &sent.split(' ').collect::<Vec<_>>());
        let test = json!({"eventType": "push", "source": name});
        assert_eq!(
            server.post("/api/webhooks/test", test).await["source"],
            name.as_str()
        );
    }
    let shop = "source add shop --scheme hmac --proof header=X-Shop --proof secret_encoding=base64 --json";
    let told: Value = serde_json::from_str(&run(&server, &shop.split(' ').collect::<Vec<_>>())).unwrap();
    let secret = told["secret"].as_str().unwrap();
    assert_eq!(STANDARD.decode(secret).unwrap().len(), 32, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_given_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    std::fs::write(folder.path().join("given"), "one of mine").unwrap();
    let told = run(
        &server,
        &["source", "add", "mine", "--secret-file", "given", "--json"],
    );
    assert!(!told.contains("one of mine"), "{told}");
    assert_eq!(status(&server, "mine", "one of mine", "by-file").await, 200);
    let launch = server
        .launch()
        .clone()
        .env("HOOKLOG_NEW_SECRET", "of the variable");
    let done = launch.run(&["source", "secret", "add", "mine", "--hook", "42"]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(!said(&done).contains("of the variable"), "{}", said(&done));
    let by_variable = deliver(
        &server,
        "/api/webhooks/mine",
        "of the variable",
        "42",
        "by-variable",
    )
    .await;
    assert_eq!(by_variable.status, 200, "{}", by_variable.json);
}
