//! Trouble around it: no room, no engines, slow senders, engines of somebody else's. Whatever is answered with 200 is kept,
//! and what can't be kept is not.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Launch, RawConnection, Signed, child_running, eventually, free_port, github_headers};
use crate::reconcile::dump;

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_the_disk_deliveries_are_refused_until_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let roomy = Launch::in_folder(folder.path());
    let server = roomy.start().await;
    let first = Signed::new("push", "while-there-was-room", r#"{"n":1}"#);
    assert_eq!(server.send(&first).await.status, 200);
    server.stop().await;

    // No disk has so much room.
    let server = roomy
        .clone()
        .env("HOOKLOG_DATA__BUDGET__FLOOR_BYTES", "9000000000000000000")
        .spawn();
    let refused = Signed::new("push", "no-room", r#"{"n":2}"#);
    eventually("deliveries are refused", Duration::from_secs(30), || async {
        match refused.post(&crate::harness::client(), &server.base()).await {
            Ok(answer) if answer.status == 503 => Ok(()),
            Ok(answer) => panic!("without room: {}", answer.json),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let mut request = crate::harness::client().post(format!("{}/api/webhooks/github", server.base()));
    for (name, value) in github_headers("push", &refused.delivery, &refused.signature) {
        request = request.header(name, value);
    }
    let answer = request.body(refused.body.clone()).send().await.unwrap();
    let wait = answer
        .headers()
        .get("Retry-After")
        .expect("when to come back")
        .to_str()
        .unwrap()
        .to_owned();
    assert!(wait.parse::<u32>().is_ok_and(|s| s > 0), "{wait}");
    // What is there can still be read.
    assert_eq!(
        server
            .ask("/api/webhooks/events/while-there-was-room")
            .await
            .status,
        200
    );
    server.kill().await;

    let server = roomy.start().await;
    assert_eq!(server.send(&refused).await.status, 200);
    assert_eq!(dump(server.launch()).len(), 2);
}

/// The log is all that receiving needs.
#[tokio::test(flavor = "multi_thread")]
async fn without_engines_deliveries_are_taken_all_the_same() {
    let (folder, nothing) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let launch = Launch::in_folder(folder.path());
    let poor = launch
        .clone()
        .env("HOOKLOG_ENGINES", nothing.path().to_str().unwrap())
        .env("HOOKLOG_ENGINES__FETCH", "false")
        .env("PATH", "/nowhere");
    let server = poor.spawn();
    let delivery = Signed::new(
        "push",
        "without-engines",
        r#"{"n":1,"repository":{"full_name":"a/b"}}"#,
    );
    eventually("a delivery is taken", Duration::from_secs(30), || async {
        match delivery.post(&crate::harness::client(), &server.base()).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.json.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    let (status, text) = server.fetch("/ready").await;
    assert_eq!(status, 503, "{}", String::from_utf8_lossy(&text));
    assert_eq!(server.fetch("/health").await.0, 200, "alive all the same");
    // One delivery is read from the log; lists need the tables, and say so.
    assert_eq!(
        server.ask("/api/webhooks/events/without-engines").await.status,
        200
    );
    assert_eq!(server.ask("/api/webhooks/events").await.status, 503);
    server.kill().await;
    let server = launch.start().await;
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/events").await;
    assert_eq!(listed["events"][0]["deliveryId"], "without-engines");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_falls_silent_is_answered_and_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .env("HOOKLOG_INGEST__BODY_IDLE_TIMEOUT_MS", "300")
        .start()
        .await;
    let mut slow = RawConnection::to(&server).await;
    slow.write_head(&[
        "Content-Type: application/json".into(),
        "X-GitHub-Event: push".into(),
        "X-GitHub-Delivery: slow".into(),
        format!("X-Hub-Signature-256: sha256={}", "0".repeat(64)),
        "Content-Length: 1000".into(),
    ])
    .await;
    slow.write("{").await;
    let answer = slow.answer().await.expect("an answer");
    assert_eq!(answer.status, 408, "{}", answer.text);
    // One that never finishes its head is let go as well.
    let server = server
        .kill()
        .await
        .env("HOOKLOG_SERVER__IDLE_TIMEOUT_MS", "300")
        .start()
        .await;
    let mut silent = RawConnection::to(&server).await;
    silent
        .write("POST /api/webhooks/github HTTP/1.1\r\nHost: x\r\n")
        .await;
    if let Some(answer) = silent.answer().await {
        assert!(matches!(answer.status, 400 | 408), "{}", answer.text);
    }
}

/// Somebody else's NATS server; killed when dropped.
struct Nats(std::process::Child);

impl Drop for Nats {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_server_that_is_named_is_used_and_none_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    let fetched = String::from_utf8(launch.run(&["engine", "fetch"]).stdout).unwrap();
    let line = fetched
        .lines()
        .find(|l| l.starts_with("NATS"))
        .expect("the NATS server is fetched");
    let program = line.split_whitespace().last().unwrap();
    let port = free_port();
    let store = folder.path().join("their-nats");
    let _theirs = Nats(
        Command::new(program)
            .args([
                "-a",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-js",
                "-sd",
                store.to_str().unwrap(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the NATS server runs"),
    );
    let server = launch
        .env("HOOKLOG_NATS__URL", &format!("nats://127.0.0.1:{port}"))
        .start()
        .await;
    assert_eq!(
        server
            .send(&Signed::new("push", "through-theirs", "{}"))
            .await
            .status,
        200
    );
    server.caught_up().await;
    assert!(
        child_running(server.pid(), "nats").is_none(),
        "no server of our own"
    );
    assert!(
        child_running(server.pid(), "clickhouse").is_some(),
        "ClickHouse was not named"
    );
    assert!(store.join("jetstream").is_dir(), "the stream is theirs");
}
