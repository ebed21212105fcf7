//! The terminal: what came in, as it comes in, sent on; readable at 80 columns, and by scripts.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Behaviour, Following, Launch, Receiver, SECRET, Server, Signed, Tools, openssl_signature,
};

const SOON: Duration = Duration::from_secs(30);
const COLUMNS: usize = 80;

fn said(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).expect("text")
}

fn run(server: &Server, arguments: &[&str]) -> String {
    said(&server.launch().run(arguments))
}

/// A script reads no colours, and a person no line that is too long.
fn is_readable(text: &str) {
    for line in text.lines() {
        assert!(!line.contains('\u{1b}'), "{line:?}");
        // An id, and whatever the sender says of itself, is as long as it is.
        let is_whole = line.starts_with("  ")
            || ["delivery", "sha256", "from"]
                .iter()
                .any(|name| line.starts_with(name));
        assert!(
            is_whole || line.chars().count() <= COLUMNS,
            "{} columns: {line}",
            line.chars().count()
        );
    }
}

/// Each delivery that was told, once, by the sender's id.
fn told(lines: &[String]) -> Vec<String> {
    let rows = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a row a line"));
    rows.map(|row| row["deliveryId"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_one_delivery_and_statistics_are_read_in_a_terminal_and_by_scripts() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let sent: Vec<Signed> = Signed::examples(&tools).into_iter().take(40).collect();
    for delivery in &sent {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    server.caught_up().await;
    let listed = run(&server, &["events", "--limit", "10"]);
    is_readable(&listed);
    assert!(listed.contains("10 of 40"), "{listed}");
    let whole: Value = serde_json::from_str(&run(&server, &["events", "--json", "--limit", "100"])).unwrap();
    assert_eq!(whole["events"].as_array().unwrap().len(), 40);
    let first = &sent[0];
    let only = run(&server, &["events", "--event", &first.event, "--json"]);
    let only: Value = serde_json::from_str(&only).unwrap();
    assert!(
        only["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["event"] == first.event),
        "{only}"
    );
    assert!(run(&server, &["events", "--event", "nonsense"]).contains("no delivery fits"));

    let shown = run(&server, &["show", &first.delivery]);
    is_readable(&shown);
    for part in [
        "headers",
        "x-hub-signature-256",
        "DeliveryReceived",
        "payload",
        "status      processed",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let body = server.launch().run(&["show", &first.delivery, "--body"]);
    assert_eq!(body.stdout, first.body.as_bytes(), "byte for byte");
    let unknown = server.launch().run(&["show", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(1));

    let statistics = run(&server, &["stats"]);
    is_readable(&statistics);
    assert!(statistics.contains("deliveries    40"), "{statistics}");
    let statistics: Value = serde_json::from_str(&run(&server, &["stats", "--json"])).unwrap();
    assert_eq!(statistics["summary"]["totalEvents"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_goes_on_where_it_was_when_the_server_was_killed() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let sent = Signed::many(&tools, 60, "tail");
    let (before, after) = sent.split_at(30);
    for delivery in &before[..10] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let tail = server.launch().begin(&["tail", "--after", "0", "--json"]);
    let plain = server
        .launch()
        .begin(&["tail", "--after", "0", "--ids", "--changes"]);
    tail.prints(10, SOON).await;
    for delivery in &before[10..] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    tail.prints(30, SOON).await;
    let server = server.kill().await.start().await;
    for delivery in after {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let lines = tail.prints(60, SOON).await;
    let expected: Vec<String> = sent.iter().map(|delivery| delivery.delivery.clone()).collect();
    assert_eq!(told(&lines), expected, "each once, in order");
    tail.says("nothing is missing", SOON).await;
    is_readable(&plain.prints(120, SOON).await.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_whose_log_is_another_one_says_that_there_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let first = Signed::new("push", "before-the-gap", "{}");
    let tail = server.launch().begin(&["tail", "--after", "0", "--json"]);
    assert_eq!(server.send(&first).await.status, 200);
    tail.prints(1, SOON).await;
    let launch = server.stop().await;
    std::fs::remove_dir_all(launch.data()).unwrap();
    let server = launch.start().await;
    tail.says("gap", SOON).await;
    goes_on(&server, &tail, 1).await;
    let gaps: Vec<_> = tail
        .aside()
        .into_iter()
        .filter(|line| line.contains("gap"))
        .collect();
    assert_eq!(gaps.len(), 1, "it is one gap: {gaps:?}");
    // So does one that finds in its file that the log is another one.
    let receiver = Receiver::start().await;
    let foreign = "00000000-0000-7000-8000-000000000000:5";
    std::fs::write(folder.path().join("resume"), foreign).unwrap();
    let forward = forward(&server, &receiver, &[]);
    forward.says("gap", SOON).await;
    goes_on(&server, &forward, 0).await;
}

/// It may take a moment until it listens again; what comes in from then on is told.
async fn goes_on(server: &Server, listening: &Following, told: usize) {
    let mut n = 0;
    while listening.lines().len() <= told {
        n += 1;
        assert!(n < 1000, "nothing was told: {:?}", listening.aside());
        let delivery = Signed::new("push", &format!("after-the-gap-{n}"), json!({"n": n}).to_string());
        assert_eq!(server.send(&delivery).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_typed_and_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let receiver = Receiver::start().await;
    let to = receiver.url();
    for (after, why) in [
        ("999999", "the log ends at position"),
        ("00000000-0000-7000-8000-000000000000:0", "another log"),
        ("nonsense", "a position of the log is expected"),
    ] {
        for command in [&["tail"][..], &["forward", "--to", &to]] {
            let done = server.launch().run(&[command, &["--after", after]].concat());
            let said = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{command:?} --after {after}: {said}");
            assert!(
                said.contains(why) && !said.contains("gap"),
                "{command:?} --after {after}: {said}"
            );
            assert!(done.stdout.is_empty());
        }
    }
    let away = server.launch().run(&["tail", "--url", "http://127.0.0.1:1"]);
    assert_eq!(away.status.code(), Some(1));
}

fn forward(server: &Server, receiver: &Receiver, more: &[&str]) -> Following {
    let to = receiver.url();
    server
        .launch()
        .begin(&[&["forward", "--to", &to, "--resume-file", "resume"], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_sent_on_as_they_came_in_order_and_none_is_left_out_over_restarts() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    // Whatever it answers is shown, and the next one sent. The last of the first ten ends the connection.
    let last = Behaviour::Answer(200, vec![("connection", "close".to_owned())]);
    let script = std::iter::once(Behaviour::status(500)).chain((0..8).map(|_| Behaviour::status(200)));
    let mut receiver = Receiver::with(script.chain([last, Behaviour::Cut])).await;
    let sent: Vec<Signed> = Signed::examples(&tools).into_iter().take(30).collect();
    let first = forward(&server, &receiver, &[]);
    // Where it begins is written down at once, so that nothing that comes in later is left out.
    crate::harness::eventually("the resume file is there", SOON, || async {
        std::fs::read_to_string(folder.path().join("resume")).map_err(|error| error.to_string())
    })
    .await;
    for delivery in &sent[..10] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let taken = receiver.has_taken(10, SOON).await;
    for (taken, sent) in taken.iter().zip(&sent) {
        assert_eq!(taken.body, sent.body.as_bytes(), "byte for byte");
        assert_eq!(taken.header("x-github-event"), Some(sent.event.as_str()));
        assert_eq!(
            taken.header("x-hub-signature-256"),
            Some(sent.signature.as_str()),
            "intact"
        );
    }
    first.prints(10, SOON).await;
    // The program is away, then the forwarder, then the server: all the same.
    receiver.go_away().await;
    for delivery in &sent[10..20] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    first.says("is away", SOON).await;
    drop(first);
    receiver.come_back().await;
    let server = server.kill().await.start().await;
    let second = forward(&server, &receiver, &[]);
    for delivery in &sent[20..] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    second.prints(20, SOON).await;
    let taken = receiver.taken();
    let ids: BTreeSet<&str> = taken
        .iter()
        .filter_map(|taken| taken.header("x-github-delivery"))
        .collect();
    let expected: BTreeSet<&str> = sent.iter().map(|sent| sent.delivery.as_str()).collect();
    assert_eq!(ids, expected);
    // The one that it broke off on came again.
    assert_eq!(taken.len(), 31, "nothing else came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_however_deep_is_shown_and_sent_on_and_the_next_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let receiver = Receiver::start().await;
    let deep = format!(
        "{{\"n\":1.0e2,\"n\":2,\"a\":{}{}}}",
        "[".repeat(300),
        "]".repeat(300)
    );
    let (deep, next) = (
        Signed::new("push", "deep", deep),
        Signed::new("push", "next", "{}"),
    );
    for delivery in [&deep, &next] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let to = receiver.url();
    let forward = server.launch().begin(&["forward", "--to", &to, "--after", "0"]);
    forward.prints(2, SOON).await;
    assert_eq!(receiver.taken()[0].body, deep.body.as_bytes());
    server.caught_up().await;
    let body = server.launch().run(&["show", "deep", "--body"]);
    assert_eq!(body.stdout, deep.body.as_bytes());
    assert!(run(&server, &["show", "deep"]).contains("  \"n\": 1.0e2,\n"));
    let whole = run(&server, &["show", "deep", "--json"]);
    assert!(
        whole.contains(&format!("\"payload\":{}", deep.body)),
        "as the API answers"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_which_nothing_is_known_leaves_no_delivery_out() {
    let folder = tempfile::tempdir().unwrap();
    let shop = "[source.shop]\nscheme = \"github\"\nsecrets = [\"the secret of the shop\"]\n";
    let server = Launch::in_folder(folder.path()).settings(shop).start().await;
    let receiver = Receiver::start().await;
    std::fs::write(folder.path().join("dev-secret"), "a secret of the laptop\n").unwrap();
    let body = "{\"order\":7}";
    let request = crate::harness::client()
        .post(format!("{}/api/webhooks/shop", server.base()))
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", "of-the-shop")
        .header("Content-Type", "application/json")
        .header(
            "X-Hub-Signature-256",
            openssl_signature("the secret of the shop", body.as_bytes()),
        )
        .body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    // The source is removed.
    let server = server.stop().await.settings("").start().await;
    let to = receiver.url();
    let asked = [
        "forward",
        "--to",
        &to,
        "--after",
        "0",
        "--secret-file",
        "dev-secret",
    ];
    let done = server.launch().run(&asked);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("say it with --scheme"), "{said}");
    let forward = server
        .launch()
        .begin(&[&asked[..], &["--scheme", "github"]].concat());
    forward.prints(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_can_not_be_reached_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    assert_eq!(server.send(&Signed::new("push", "a", "{}")).await.status, 200);
    let to = ["forward", "--after", "0", "--to", "http://127.0.0.1:1/hook"];
    let forward = server.launch().begin(&to);
    forward.says("refused", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_takes_too_long_is_told_and_gets_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let receiver = Receiver::with([Behaviour::Hang, Behaviour::status(200)]).await;
    for id in ["a", "b"] {
        let delivery = Signed::new("push", id, json!({"id": id}).to_string());
        assert_eq!(server.send(&delivery).await.status, 200);
    }
    let to = receiver.url();
    let forward = server
        .launch()
        .begin(&["forward", "--after", "0", "--timeout", "1", "--to", &to]);
    forward.says("did not answer in time", SOON).await;
    forward.prints(1, SOON).await;
    let taken = receiver.taken();
    let ids: Vec<_> = taken
        .iter()
        .filter_map(|taken| taken.header("x-github-delivery"))
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_can_be_signed_anew_with_a_secret_of_the_developer() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let receiver = Receiver::start().await;
    std::fs::write(folder.path().join("dev-secret"), "a secret of the laptop\n").unwrap();
    let _forward = forward(
        &server,
        &receiver,
        &["--secret-file", "dev-secret", "--event", "push"],
    );
    crate::harness::eventually("the resume file is there", SOON, || async {
        std::fs::read_to_string(folder.path().join("resume")).map_err(|error| error.to_string())
    })
    .await;
    let (unwanted, wanted) = (
        Signed::new("ping", "unwanted", "{}"),
        Signed::new("push", "wanted", "{\"a\":1}"),
    );
    for delivery in [&unwanted, &wanted] {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let taken = receiver.has_taken(1, SOON).await;
    let [taken] = taken.as_slice() else {
        panic!("{taken:?}");
    };
    assert_eq!(taken.header("x-github-delivery"), Some("wanted"));
    let expected = openssl_signature("a secret of the laptop", wanted.body.as_bytes());
    assert_eq!(taken.header("x-hub-signature-256"), Some(expected.as_str()));
    assert_ne!(openssl_signature(SECRET, wanted.body.as_bytes()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_leaves_open_is_signed_anew_as_the_server_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path())
        .settings(
            "[source.shop]\nscheme = \"hmac\"\nsecrets = [\"the secret of the shop\"]\n\
             proof = { header = \"X-Shop-Signature\", prefix = \"v1=\", encoding = \"base64\", hash = \"sha512\" }\n\
             facts = { event_header = \"X-Topic\", id_header = \"X-Id\" }\n",
        )
        .start()
        .await;
    let receiver = Receiver::start().await;
    std::fs::write(folder.path().join("dev-secret"), "a secret of the laptop\n").unwrap();
    // The developer's machine knows nothing of the shop.
    std::fs::write(folder.path().join("own.toml"), "").unwrap();
    let to = receiver.url();
    let base = server.base();
    let forward = server.launch().begin(&[
        "forward",
        "--config",
        "own.toml",
        "--url",
        &base,
        "--to",
        &to,
        "--after",
        "0",
        "--secret-file",
        "dev-secret",
    ]);
    let body = "{\"order\":7}";
    let signature = hmac_sha512_base64("the secret of the shop", body.as_bytes());
    let request = crate::harness::client()
        .post(format!("{base}/api/webhooks/shop"))
        .header("X-Shop-Signature", format!("v1={signature}"))
        .header("X-Topic", "order.paid")
        .header("X-Id", "7")
        .body(body);
    assert_eq!(request.send().await.unwrap().status(), 200);
    let taken = receiver.has_taken(1, SOON).await;
    let expected = format!(
        "v1={}",
        hmac_sha512_base64("a secret of the laptop", body.as_bytes())
    );
    assert_eq!(
        taken[0].header("x-shop-signature"),
        Some(expected.as_str()),
        "{:?}",
        forward.aside()
    );
    assert_eq!(taken[0].header("x-topic"), Some("order.paid"));
    assert_eq!(taken[0].body, body.as_bytes());
}

/// By openssl.
fn hmac_sha512_base64(secret: &str, body: &[u8]) -> String {
    let mut child = std::process::Command::new("sh")
        .args([
            "-c",
            "openssl dgst -sha512 -binary -hmac \"$0\" | openssl base64 -A",
            secret,
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("openssl runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), body).expect("it reads");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("base64")
}
