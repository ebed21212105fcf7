//! The drill: back up a running server, lose everything, restore, and nothing is missing.

use crate::harness::{Launch, Signed, Tools};
use crate::reconcile::{Sent, answers, dump, reconcile};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_restores_to_the_same_answers() {
    let tools = Tools::ready();
    let (folder, safe, elsewhere) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let server = Launch::in_folder(folder.path()).start().await;
    let mut sent = Vec::new();
    for delivery in Signed::many(&tools, 350, "backup") {
        let answer = server.send(&delivery).await;
        sent.push(Sent::new(delivery, answer.position()));
    }
    server.caught_up().await;
    let before = answers(&server, &tools);

    let data = server.launch().data().display().to_string();
    let target = safe.path().join("backup").display().to_string();
    let done = server
        .launch()
        .run(&["log", "backup", "--data-dir", &data, &target]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // What comes after the backup is not in it.
    assert_eq!(
        server.send(&Signed::new("push", "too-late", "{}")).await.status,
        200
    );
    server.kill().await;
    drop(folder);

    let restored = Launch::in_folder(elsewhere.path());
    let data = restored.data().display().to_string();
    let done = restored.run(&["log", "restore", "--data-dir", &data, &target]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let done = restored.run(&["log", "verify", "--data-dir", &data]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(dump(&restored).len(), sent.len());

    let server = restored.start().await;
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    assert_eq!(before, answers(&server, &tools));
    // It knows what it has seen.
    let again = server.send(&sent[0].delivery).await;
    assert!(again.is_duplicate());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_never_overwrites_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    let server = launch.start().await;
    assert_eq!(
        server.send(&Signed::new("push", "precious", "{}")).await.status,
        200
    );
    server.stop().await;
    let data = launch.data().display().to_string();
    let target = folder.path().join("backup").display().to_string();
    assert!(
        launch
            .run(&["log", "backup", "--data-dir", &data, &target])
            .status
            .success()
    );
    let done = launch.run(&["log", "restore", "--data-dir", &data, &target]);
    assert_eq!(
        done.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(dump(&launch).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_says_that_long_bodies_are_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    let server = launch.start().await;
    assert_eq!(server.send(&Signed::new("push", "kept", "{}")).await.status, 200);
    server.stop().await;
    let store = format!("file://{}", folder.path().join("long-bodies").display());
    let elsewhere = Launch::in_folder(folder.path()).env("HOOKLOG_BODIES__URL", &store);
    for (name, launch, is_told) in [("first", &launch, false), ("second", &elsewhere, true)] {
        let data = launch.data().display().to_string();
        let target = folder.path().join(name).display().to_string();
        let done = launch.run(&["log", "backup", "--data-dir", &data, &target]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let line = said.lines().find(|line| line.starts_with("NOT in it"));
        assert_eq!(line.is_some_and(|line| line.contains(&store)), is_told, "{said}");
    }
}
