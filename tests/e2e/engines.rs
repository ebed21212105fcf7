//! The embedded engines: they may die, nobody else gets in, and none outlives its server.

use std::time::Duration;

use crate::harness::{Launch, Load, Server, Signed, Tools, child_running, descendants, eventually, kill9};
use crate::reconcile::{Sent, dump, reconcile, same_answers_as_the_fold};

const DELIVERIES: usize = 3_000;
const WRITERS: usize = 16;

async fn survives_the_death_of(engine: &str) {
    let tools = Tools::ready();
    let deliveries = Signed::many(&tools, DELIVERIES, engine);
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let load = Load::of(deliveries.clone());
    let writers = load.start(&server.base(), WRITERS);
    for share in [5, 3, 2] {
        load.acknowledged(DELIVERIES / share).await;
        let pid = eventually("the engine runs", Duration::from_secs(60), || async {
            child_running(server.pid(), engine).ok_or_else(|| format!("no child runs {engine}"))
        })
        .await;
        kill9(pid);
    }
    writers.join_all().await;
    let report = load.report();
    assert_eq!(
        (report.positions.len(), report.unanswered),
        (DELIVERIES, 0),
        "refused: {:?}",
        report.refused.first()
    );
    assert!(
        report.refused.is_empty(),
        "ingest never needs an engine: {:?}",
        report.refused.first()
    );
    eventually("the engine is back", Duration::from_secs(60), || async {
        child_running(server.pid(), engine)
            .map(|_| ())
            .ok_or_else(|| "it is not".to_owned())
    })
    .await;
    server.caught_up().await;
    let sent: Vec<Sent> = deliveries
        .into_iter()
        .map(|d| {
            let position = report.positions[&d.delivery];
            Sent::new(d, position)
        })
        .collect();
    reconcile(&server, &tools, &sent);
    same_answers_as_the_fold(&server, &tools, &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_goes_on_while_nats_is_killed_and_everything_catches_up() {
    survives_the_death_of("nats").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_goes_on_while_clickhouse_is_killed_and_everything_catches_up() {
    survives_the_death_of("clickhouse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_engine_outlives_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    assert!(
        descendants(server.pid()).len() >= 2,
        "both engines run as children"
    );
    // `kill` waits for the children, at most three seconds.
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Launch::in_folder(folder.path()).start().await;
    let (code, printed) = Launch::in_folder(folder.path()).refusal().await;
    assert_eq!(code, Some(1), "{printed}");
    let plain = printed.to_lowercase();
    assert!(
        plain.contains("data")
            && (plain.contains("in use") || plain.contains("another") || plain.contains("already")),
        "{printed}"
    );
    assert!(!plain.contains("panicked"), "{printed}");
    // The first one did not notice.
    let delivery = Signed::new("push", "still-here", "{}");
    assert_eq!(first.send(&delivery).await.status, 200);
}

/// What anybody on the machine could try: queries, files, a stop, publishing, reading the stream.
#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_client_on_the_machine_can_do_nothing() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let delivery = Signed::new("push", "secret-business", r#"{"secret":"business"}"#);
    assert_eq!(server.send(&delivery).await.status, 200);
    server.caught_up().await;
    let data = server.launch().data().display().to_string();
    let tried = tools.python_json("intrude.py", &["--data", &data]);
    assert!(tried["attempts"].as_u64().unwrap() >= 20, "{tried}");
    assert_eq!(tried["succeeded"], serde_json::json!([]), "{tried}");
    // The engines are still the ones that were there, and nothing was added.
    still_works(&server).await;
    assert_eq!(dump(server.launch()).len(), 2);
}

async fn still_works(server: &Server) {
    let delivery = Signed::new("push", "afterwards", "{\"n\":2}");
    assert_eq!(server.send(&delivery).await.status, 200);
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/events").await;
    assert_eq!(listed["events"].as_array().map(Vec::len), Some(2), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passwords_of_the_engines_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let mut secrets = Vec::new();
    for name in ["engines.json", "credentials.json"] {
        let file = server.launch().data().join(name);
        let mode = std::fs::metadata(&file).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: mode {mode:o}");
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        texts(&json, &mut secrets);
    }
    secrets.retain(|text| text.len() >= 20 && !text.starts_with("http") && !text.starts_with("nats"));
    assert!(secrets.len() >= 4, "the secrets of both engines");
    let printed = server.printed();
    for secret in &secrets {
        assert!(!printed.contains(secret.as_str()), "a password was logged");
        assert!(
            !command_lines(server.pid()).contains(secret.as_str()),
            "a password is on a command line"
        );
    }
}

fn texts(json: &serde_json::Value, found: &mut Vec<String>) {
    found.extend(json.as_str().map(str::to_owned));
    json.as_object()
        .into_iter()
        .flatten()
        .for_each(|(_, value)| texts(value, found));
}

fn command_lines(pid: u32) -> String {
    let all = descendants(pid).into_iter().chain([pid]);
    all.filter_map(|p| std::fs::read(format!("/proc/{p}/cmdline")).ok())
        .map(|raw| String::from_utf8_lossy(&raw).into_owned())
        .collect()
}
