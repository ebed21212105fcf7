//! Stream and tables may be thrown away at any time: they come back from the log, to the same answers.

use std::fs;

use crate::harness::{Launch, Server, Signed, Tools, eventually};
use crate::reconcile::{Sent, answers, reconcile};

/// A server that has seen some of everything, and what was sent to it.
async fn filled(launch: &Launch, tools: &Tools, prefix: &str) -> (Server, Vec<Sent>) {
    let server = launch.start().await;
    let mut sent = Vec::new();
    let mut deliveries = Signed::many(tools, 400, prefix);
    deliveries.extend(Signed::examples(tools).into_iter().step_by(5));
    for delivery in deliveries {
        let answer = server.send(&delivery).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        sent.push(Sent::new(delivery, answer.position()));
    }
    server.caught_up().await;
    (server, sent)
}

async fn comes_back_without(folders: &[&str]) {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let (server, sent) = filled(&Launch::in_folder(folder.path()), &tools, "rebuild").await;
    let before = answers(&server, &tools);
    let launch = server.stop().await;
    for name in folders {
        let engine = launch.data().join(name);
        assert!(
            engine.is_dir(),
            "{} is where the engine keeps its data",
            engine.display()
        );
        fs::remove_dir_all(engine).unwrap();
    }
    let server = launch.start().await;
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    let after = answers(&server, &tools);
    assert_eq!(before, after, "without {folders:?}");
    // And it goes on from there.
    let next = Signed::new("push", "after-the-rebuild", r#"{"ref":"refs/heads/after"}"#);
    let answer = server.send(&next).await;
    assert_eq!((answer.status, answer.is_duplicate()), (200, false));
    server.caught_up().await;
    let mut sent = sent;
    sent.push(Sent::new(next, answer.position()));
    reconcile(&server, &tools, &sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_deleted_while_stopped_comes_back() {
    comes_back_without(&["nats"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_deleted_while_stopped_come_back() {
    comes_back_without(&["clickhouse"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_and_tables_deleted_while_stopped_come_back() {
    comes_back_without(&["nats", "clickhouse"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_of_another_log_are_recognised() {
    let tools = Tools::ready();
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, _) = filled(&Launch::in_folder(other.path()), &tools, "other").await;
    let other = server.stop().await;
    let (server, sent) = filled(&Launch::in_folder(mine.path()), &tools, "mine").await;
    let before = answers(&server, &tools);
    let mine = server.stop().await;
    for engine in ["nats", "clickhouse"] {
        fs::remove_dir_all(mine.data().join(engine)).unwrap();
        fs::rename(other.data().join(engine), mine.data().join(engine)).unwrap();
    }
    let server = mine.start().await;
    eventually(
        "the foreign stream and tables are named",
        std::time::Duration::from_secs(30),
        || async {
            let printed = server.printed().to_lowercase();
            if printed.contains("another log") || printed.contains("foreign") {
                Ok(())
            } else {
                Err("nothing said so".into())
            }
        },
    )
    .await;
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    assert_eq!(
        before,
        answers(&server, &tools),
        "nothing of the other log is left in the answers"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_built_anew_gives_the_same_answers() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let (server, sent) = filled(&Launch::in_folder(folder.path()), &tools, "anew").await;
    let before = answers(&server, &tools);
    let build_of = async |name: &str| {
        let data = server.data_of("/api/projections").await;
        let rows = data["projections"].as_array().cloned().unwrap_or_default();
        let row = rows
            .into_iter()
            .find(|row| row["name"] == name)
            .expect("the projection is listed");
        (row["build"].as_u64(), row["rebuild"].is_null())
    };
    for name in [
        "deliveries",
        "statistics",
        "repository_activity",
        "jobs",
        "health",
    ] {
        let (old, _) = build_of(name).await;
        let url = format!("{}/api/projections/{name}/rebuild", server.base());
        let answer = crate::harness::client().post(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
        eventually(
            "the new build has taken over",
            std::time::Duration::from_secs(60),
            || async {
                match build_of(name).await {
                    (new, true) if new > old => Ok(()),
                    other => Err(format!("{name}: {other:?}, was {old:?}")),
                }
            },
        )
        .await;
    }
    server.caught_up().await;
    reconcile(&server, &tools, &sent);
    assert_eq!(before, answers(&server, &tools));
}
