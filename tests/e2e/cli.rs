//! The command line: help with examples, exit codes, settings and their errors.

use std::process::Output;

use crate::harness::{Launch, Server};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["send"],
    &["verify"],
    &["tail"],
    &["forward"],
    &["events"],
    &["show"],
    &["stats"],
    &["log"],
    &["log", "verify"],
    &["log", "dump"],
    &["log", "backup"],
    &["log", "restore"],
    &["config"],
    &["config", "print"],
    &["config", "check"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "revoke"],
    &["source"],
    &["source", "add"],
    &["source", "list"],
    &["source", "show"],
    &["source", "set"],
    &["source", "rotate"],
    &["source", "pause"],
    &["source", "resume"],
    &["source", "remove"],
    &["source", "secret"],
    &["source", "secret", "add"],
    &["source", "secret", "revoke"],
    &["source", "reseal"],
    &["audit"],
    &["doctor"],
    &["health"],
    &["engine"],
    &["engine", "fetch"],
];

fn said(done: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

#[tokio::test]
async fn every_command_explains_itself_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::bare(folder.path());
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let done = launch.run(&arguments);
        assert_eq!(done.status.code(), Some(0), "{command:?}: {}", said(&done));
        let text = said(&done);
        assert!(text.contains("Example"), "{command:?} shows no example:\n{text}");
        let shown = format!("hooklog {}", command.join(" "));
        assert!(
            text.contains(shown.trim()),
            "{command:?} shows no example of itself:\n{text}"
        );
    }
}

#[tokio::test]
async fn exit_codes_tell_failure_from_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::bare(folder.path());
    assert_eq!(launch.run(&["--version"]).status.code(), Some(0));
    for wrong in [
        &["frobnicate"][..],
        &["serve", "--prot", "3000"],
        &["log"],
        &["serve", "--port", "many"],
    ] {
        let done = launch.run(wrong);
        assert_eq!(done.status.code(), Some(2), "{wrong:?}: {}", said(&done));
    }
    let done = launch.run(&["log", "verify", "--data-dir", "nowhere"]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
    assert!(
        said(&done).contains("nowhere"),
        "it names the directory: {}",
        said(&done)
    );
}

#[tokio::test]
async fn an_unknown_setting_names_the_nearest_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let done = Launch::bare(folder.path())
        .env("HOOKLOG_SERVER__PROT", "1")
        .run(&["config", "check"]);
    assert_ne!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).to_lowercase().contains("port"), "{}", said(&done));

    std::fs::write(
        folder.path().join("hooklog.toml"),
        "[ingest]\nbody_byte_max = 5\n",
    )
    .unwrap();
    let done = Launch::bare(folder.path()).run(&["config", "check"]);
    assert_ne!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("body_bytes_max"), "{}", said(&done));

    std::fs::write(folder.path().join("hooklog.toml"), "[server]\nport = \"many\"\n").unwrap();
    let done = Launch::bare(folder.path()).run(&["config", "check"]);
    assert_ne!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("port"), "{}", said(&done));
}

#[tokio::test]
async fn the_settings_say_where_they_come_from_and_hide_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hooklog.toml"), "[server]\nport = 4001\n").unwrap();
    let launch = Launch::bare(folder.path())
        .env("GITHUB_WEBHOOK_SECRET", "do-not-print-me")
        .env("WEBHOOK_DEDUP_TTL", "1234");
    let done = launch.run(&["config", "print"]);
    let text = said(&done);
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert!(text.contains("4001") && text.contains("hooklog.toml"), "{text}");
    assert!(
        text.contains("1234") && text.contains("WEBHOOK_DEDUP_TTL"),
        "{text}"
    );
    assert!(!text.contains("do-not-print-me"), "{text}");
    assert_eq!(launch.run(&["config", "check"]).status.code(), Some(0));
}

async fn sends(server: &Server, arguments: &[&str]) -> Output {
    let url = server.base();
    let mut all = vec!["send", "--url", &url];
    all.extend_from_slice(arguments);
    server.launch().run(&all)
}

#[tokio::test(flavor = "multi_thread")]
async fn send_signs_a_delivery_that_the_server_takes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let done = sends(
        &server,
        &[
            "--event",
            "issues",
            "--action",
            "opened",
            "--repository",
            "octo-org/cli",
        ],
    )
    .await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    server.caught_up().await;
    let listed = server.data_of("/api/webhooks/events").await;
    let row = &listed["events"][0];
    assert_eq!(
        (&row["event"], &row["action"], &row["repository"]),
        (&"issues".into(), &"opened".into(), &"octo-org/cli".into()),
        "{listed}"
    );
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_a_supervisor_whether_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let data = server.launch().data().display().to_string();
    let url = server.base();
    for arguments in [
        &["health", "--data-dir", &data][..],
        &["health", "--ready", "--data-dir", &data],
        &["health", "--url", &url],
    ] {
        let done = server.launch().run(arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", said(&done));
    }
    let launch = server.launch().clone();
    server.kill().await;
    let done = launch.run(&["health", "--data-dir", &data]);
    assert_eq!(done.status.code(), Some(1), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_healthy_server_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let data = server.launch().data().display().to_string();
    let done = server.launch().run(&["doctor", "--data-dir", &data]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
}
