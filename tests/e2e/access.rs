//! Who may ask: keys, scopes, tenants, logins, the audit trail, from the outside.

use std::process::Output;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Launch, RawConnection, SECRET, Server, Signed, body_of, client, eventually, openssl_signature,
};

const SECOND_SECRET: &str = "another secret, of another team";

fn said(done: &Output) -> String {
    let (out, err) = (&done.stdout, &done.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Makes a key by the command line, through the socket in the data directory.
fn make(server: &Server, arguments: &[&str]) -> String {
    let done = server.launch().run(&[&["key", "create"], arguments].concat());
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    let key = String::from_utf8(done.stdout).unwrap().trim().to_owned();
    assert!(key.starts_with("hk_"), "{key}");
    key
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

async fn ask(server: &Server, method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = client().request(method, format!("{}{path}", server.base()));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request
        .send()
        .await
        .unwrap_or_else(|e| panic!("no answer at {path}: {e}"));
    let status = answer.status().as_u16();
    let body = body_of(answer).await;
    // What is no JSON, as a stream, is kept as a text.
    let text = || Value::from(String::from_utf8_lossy(&body).into_owned());
    let json = serde_json::from_slice(&body).unwrap_or_else(|_| text());
    Answer { status, json }
}

async fn get(server: &Server, path: &str, key: &str) -> Answer {
    ask(server, Method::GET, path, Some(key), None).await
}

/// Waits until the read models stand at the head.
async fn caught_up(server: &Server, key: &str) {
    eventually("every projection caught up", Duration::from_secs(120), || async {
        let answer = get(server, "/api/projections", key).await;
        let data = &answer.json["data"];
        let rows = data["projections"].as_array().cloned().unwrap_or_default();
        let settled = |row: &Value| row["state"] == "live" && row["position"] == data["head"];
        if !rows.is_empty() && rows.iter().all(settled) {
            Ok(())
        } else {
            Err(answer.json.to_string())
        }
    })
    .await;
}

/// While all keys are good; at the end the brief one no longer is.
async fn each_as_far_as_it_says(server: &Server, boss: &str, ci: &str, brief: &str) {
    assert_eq!(get(server, "/api/webhooks/events/types", ci).await.status, 200);
    assert_eq!(
        ask(server, Method::POST, "/api/webhooks/retry-failed", Some(ci), None)
            .await
            .status,
        403
    );
    assert_eq!(
        ask(
            server,
            Method::POST,
            "/api/webhooks/retry-failed",
            Some(boss),
            None
        )
        .await
        .status,
        200
    );
    eventually("the brief key has expired", Duration::from_secs(20), || async {
        let answer = get(server, "/api/webhooks/events/types", brief).await;
        if answer.status == 401 {
            Ok(())
        } else {
            Err(answer.json.to_string())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_over_a_restart_and_end_at_once_and_the_owner_always_gets_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    assert_eq!(
        server.ask("/api/webhooks/events/types").await.status,
        200,
        "no key yet"
    );
    let boss = make(&server, &["boss", "--scope", "admin"]);
    assert_eq!(
        server.ask("/api/webhooks/events/types").await.status,
        401,
        "the first key ends that"
    );
    let ci = make(&server, &["ci"]);
    let brief = make(&server, &["brief", "--scope", "operate", "--expires", &soon()]);
    each_as_far_as_it_says(&server, &boss, &ci, &brief).await;
    let mut printed = server.printed();
    let server = server.stop().await.start().await;
    assert_eq!(get(&server, "/api/webhooks/events/types", &ci).await.status, 200);
    assert_eq!(
        get(&server, "/api/webhooks/events/types", &brief).await.status,
        401
    );
    let revoke = format!("/api/keys/{}", id_of(&ci));
    assert_eq!(
        ask(&server, Method::DELETE, &revoke, Some(&ci), None)
            .await
            .status,
        403
    );
    assert_eq!(
        ask(&server, Method::DELETE, &revoke, Some(&boss), None)
            .await
            .status,
        200
    );
    assert_eq!(
        get(&server, "/api/webhooks/events/types", &ci).await.status,
        401,
        "revoked at once"
    );
    // The last key goes; who owns the data directory still gets in, and nobody else.
    let done = server.launch().run(&["key", "revoke", id_of(&boss)]);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(server.ask("/api/webhooks/events/types").await.status, 401);
    let again = make(&server, &["again", "--scope", "admin"]);
    assert_eq!(get(&server, "/api/keys", &again).await.status, 200);
    printed.push_str(&server.printed());
    nothing_is_told(&server, &printed, &[&boss, &ci, &brief, &again]);
}

/// The keys are in lists by their ids alone, in no log at all, and what was done with them is in the trail.
fn nothing_is_told(server: &Server, printed: &str, keys: &[&str]) {
    let listed = said(&server.launch().run(&["key", "list"]));
    let audited = said(&server.launch().run(&["audit", "--limit", "50"]));
    for key in keys {
        let secret = &key[16..];
        assert!(
            !listed.contains(secret) && !audited.contains(secret),
            "{listed}{audited}"
        );
        assert!(!printed.contains(secret), "a key was logged");
        assert!(listed.contains(id_of(key)), "{listed}");
    }
    for told in [
        "key.create",
        "key.revoke",
        "replay.dead",
        "refused",
        "local",
        "boss",
    ] {
        assert!(audited.contains(told), "{told}: {audited}");
    }
}

/// Two seconds from now; enough to make the key.
fn soon() -> String {
    let now = std::time::SystemTime::now() + Duration::from_secs(2);
    let secs = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{secs}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

/// A server for two teams, each with a secret of its own at the same URL.
fn two_teams(folder: &tempfile::TempDir) -> Launch {
    let settings = format!(
        "[source.github]\nsecrets = [\n  {{ value = \"{SECRET}\", tenant = \"team-a\" }},\n  \
         {{ value = \"{SECOND_SECRET}\", tenant = \"team-b\" }},\n]\n\
         [[destination]]\nname = \"orders\"\ntenant = \"team-a\"\nurl = \"https://orders.invalid/hooks\"\n"
    );
    Launch::bare(folder.path()).settings(&settings)
}

fn of_team_b(delivery: &str, body: &str) -> Signed {
    Signed {
        signature: openssl_signature(SECOND_SECRET, body.as_bytes()),
        ..Signed::new("issues", delivery, body)
    }
}

/// Asks for everything, by the names of what is team A's.
async fn tells_nothing(server: &Server, key: &str, replay: &str) {
    let document = get(server, "/openapi.json", key).await.json;
    let mut asked = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let path = template
                .replace("{owner}", "a-org")
                .replace("{repo}", "api")
                .replace("{name}", "orders")
                .replace(
                    "{id}",
                    if template.contains("replays") {
                        replay
                    } else {
                        "a-1"
                    },
                );
            let from = if template.ends_with("/stream") {
                "?after=0"
            } else {
                ""
            };
            let path = format!("{path}{from}");
            let method: Method = method.to_uppercase().parse().unwrap();
            let seen = ask(server, method.clone(), &path, Some(key), None).await;
            let text = seen.json.to_string();
            for theirs in ["of-team-a", "team-a", "alice", "a-org"] {
                let echoed = seen.status == 404 && theirs == "a-org";
                assert!(
                    echoed || !text.contains(theirs),
                    "{method} {path} tells of {theirs}: {text}"
                );
            }
            if template.contains('{') && !template.contains("/projections/") {
                assert!(
                    matches!(seen.status, 400 | 404),
                    "{method} {path}: {} {text}",
                    seen.status
                );
            }
            asked += 1;
        }
    }
    assert!(asked >= 36, "only {asked} operations");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_nothing_of_another_on_any_path() {
    let folder = tempfile::tempdir().unwrap();
    let server = two_teams(&folder).start().await;
    let body = r#"{"action":"opened","secret":"of-team-a","repository":{"full_name":"a-org/api"},"sender":{"login":"alice"}}"#;
    for n in 0..3 {
        let delivery = Signed::new(
            "issues",
            &format!("a-{n}"),
            body.replace("of-team-a", &format!("of-team-a {n}")),
        );
        assert_eq!(server.send(&delivery).await.status, 200);
    }
    let owner = make(&server, &["owner", "--scope", "admin"]);
    let a = make(&server, &["a", "--scope", "admin", "--tenant", "team-a"]);
    let b = make(&server, &["b", "--scope", "admin", "--tenant", "team-b"]);
    caught_up(&server, &owner).await;
    let page = get(&server, "/api/webhooks/events?limit=1", &a).await;
    assert_eq!(page.json["data"]["total"], 3, "{}", page.json);
    let cursor = page.json["data"]["nextCursor"].as_str().unwrap().to_owned();
    let replay = json!({"filter": {}, "to": "subjects", "reason": "to have one"});
    let replay = ask(
        &server,
        Method::POST,
        "/api/webhooks/replay",
        Some(&a),
        Some(replay),
    )
    .await;
    let replay = replay.json["data"]["id"].as_str().unwrap().to_owned();
    tells_nothing(&server, &b, &replay).await;
    let stolen = get(
        &server,
        &format!("/api/webhooks/events?limit=1&cursor={cursor}"),
        &b,
    )
    .await;
    assert_eq!(stolen.status, 400, "{}", stolen.json);
    // What B did above was about nothing of A's.
    let orders = get(&server, "/api/destinations/orders", &a).await;
    assert_eq!(orders.json["data"]["paused"], Value::Null, "{}", orders.json);
    let shown = get(&server, &format!("/api/webhooks/replays/{replay}"), &a).await;
    assert_eq!(shown.json["data"]["cancelledBy"], Value::Null, "{}", shown.json);
    assert_eq!(shown.json["data"]["requestedBy"], "a");
    b_has_its_own(&server, &b).await;
}

/// Team B finds what is its own, and the test delivery is among it.
async fn b_has_its_own(server: &Server, b: &str) {
    let own = of_team_b(
        "b-1",
        r#"{"action":"opened","repository":{"full_name":"b-org/web"},"sender":{"login":"bob"}}"#,
    );
    assert_eq!(server.send(&own).await.status, 200);
    assert_eq!(get(server, "/api/webhooks/events/b-1", b).await.status, 200);
    let tests = ask(server, Method::POST, "/api/webhooks/test", Some(b), None).await;
    let id = tests.json["data"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{}", tests.json))
        .to_owned();
    assert_eq!(
        get(server, &format!("/api/webhooks/events/{id}"), b).await.status,
        200
    );
    eventually(
        "the repository of team B is listed, alone",
        Duration::from_secs(30),
        || async {
            let answer = get(server, "/api/repositories", b).await;
            let rows = answer.json["data"]["repositories"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let names: Vec<&str> = rows.iter().filter_map(|row| row["repository"].as_str()).collect();
            if names.contains(&"b-org/web") && !names.iter().any(|name| name.starts_with("a-org")) {
                Ok(())
            } else {
                Err(answer.json.to_string())
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_told_to_wait_and_a_login_helps_no_other_site() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let key = make(&server, &["dash", "--scope", "operate"]);
    let login = client()
        .post(format!("{}/api/login", server.base()))
        .json(&json!({ "key": key }))
        .send()
        .await
        .unwrap();
    assert_eq!(login.status().as_u16(), 200);
    let cookie = login.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let retry = async |origin: Option<&str>| {
        let mut request = client()
            .post(format!("{}/api/webhooks/retry-failed", server.base()))
            .header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(retry(None).await, 200);
    assert_eq!(retry(Some(&server.base())).await, 200);
    assert_eq!(retry(Some("https://evil.example")).await, 403);
    let mut seen = Vec::new();
    for n in 0..40 {
        let guess = format!("{}{n:02}", &key[..key.len() - 2]);
        seen.push(get(&server, "/api/webhooks/events/types", &guess).await.status);
    }
    assert_eq!(seen.first(), Some(&401));
    assert_eq!(seen.last(), Some(&429), "{seen:?}");
    assert_eq!(
        get(&server, "/api/webhooks/events/types", &key).await.status,
        200,
        "a good key is let in all the same"
    );
}

/// Nothing but the truth: what can't be written down is not done.
#[tokio::test(flavor = "multi_thread")]
async fn every_action_is_in_the_trail_with_who_where_and_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let key = make(&server, &["ops", "--scope", "admin"]);
    assert_eq!(
        ask(&server, Method::POST, "/api/webhooks/test", Some(&key), None)
            .await
            .status,
        200
    );
    assert_eq!(
        ask(
            &server,
            Method::POST,
            "/api/webhooks/replay/none",
            Some(&key),
            None
        )
        .await
        .status,
        404
    );
    assert_eq!(
        ask(
            &server,
            Method::POST,
            "/api/projections/jobs/rebuild",
            Some(&key),
            None
        )
        .await
        .status,
        200
    );
    let answer = get(&server, "/api/audit?limit=4", &key).await;
    let actions = answer.json["data"]["actions"].as_array().unwrap();
    let told: Vec<(&str, &str, &str)> = actions
        .iter()
        .map(|a| {
            (
                a["action"].as_str().unwrap(),
                a["by"].as_str().unwrap(),
                a["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("projection.rebuild", "ops", "done"),
            ("replay.one", "ops", "failed"),
            ("delivery.test", "ops", "done"),
            ("key.create", "local", "done"),
        ],
        "{}",
        answer.json
    );
    told_in_full(&answer.json["data"]);
}

/// What of each action is kept.
fn told_in_full(data: &Value) {
    let actions = data["actions"].as_array().unwrap();
    assert_eq!(
        (&actions[1]["target"], &actions[1]["status"]),
        (&json!("none"), &json!(404))
    );
    assert_eq!(actions[0]["remote"], "127.0.0.1");
    assert!(
        actions[3]["remote"].as_str().unwrap().starts_with("socket"),
        "{}",
        actions[3]
    );
    assert!(
        actions[3]["target"].as_str().unwrap().contains("ops"),
        "{}",
        actions[3]
    );
    assert_eq!(data["nextCursor"], Value::Null, "that was all");
}

#[tokio::test]
async fn without_keys_a_proxy_that_speaks_http_1_0_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for (version, status) in [("1.1", 200), ("1.0", 401)] {
        let mut connection = RawConnection::to(&server).await;
        let head = format!(
            "GET /api/sources HTTP/{version}\r\nHost: 127.0.0.1:{}\r\n\r\n",
            server.port()
        );
        assert!(connection.write(head).await);
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, status, "HTTP/{version}: {}", answer.text);
    }
    server.stop().await;
}
