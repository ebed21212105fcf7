//! The commands of the README are taken from the README and run.

use std::path::Path;
use std::process::Command;

use crate::harness::{Launch, eventually};

/// The `sh` blocks of the README.
fn blocks() -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    readme
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// Runs a block word for word, but for the port: the tests may not take 3000.
fn run(block: &str, folder: &Path, port: u16) -> String {
    let here = block.replace("127.0.0.1:3000", &format!("127.0.0.1:{port}"));
    let done = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &here])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{here}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_delivery_of_the_readme_works_word_for_word() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::bare(folder.path()).start().await;
    let blocks = blocks();
    let post = blocks
        .iter()
        .find(|b| b.contains("X-Hub-Signature-256"))
        .expect("the README shows a first delivery");
    assert!(post.contains("127.0.0.1:3000"), "on the default port: {post}");

    let first: serde_json::Value = serde_json::from_str(&run(post, folder.path(), server.port())).unwrap();
    assert_eq!(first["success"], true, "{first}");
    assert_eq!(first["data"]["duplicate"], false, "{first}");
    let again: serde_json::Value = serde_json::from_str(&run(post, folder.path(), server.port())).unwrap();
    assert_eq!(again["data"]["duplicate"], true, "{again}");
    assert_eq!(again["data"]["position"], first["data"]["position"]);

    server.caught_up().await;
    let asks: Vec<&String> = blocks
        .iter()
        .filter(|b| b.contains("curl") && *b != post)
        .collect();
    assert!(!asks.is_empty(), "the README asks for the delivery");
    for line in asks
        .iter()
        .flat_map(|b| b.lines())
        .filter(|l| l.starts_with("curl"))
    {
        let answer: serde_json::Value =
            serde_json::from_str(&run(line, folder.path(), server.port())).unwrap();
        assert_eq!(answer["success"], true, "{line}: {answer}");
    }
    let statistics = eventually(
        "the statistics count it",
        std::time::Duration::from_secs(10),
        || async {
            let data = server.data_of("/api/webhooks/statistics").await;
            if data["summary"]["totalEvents"] == 1 {
                Ok(data)
            } else {
                Err(data.to_string())
            }
        },
    )
    .await;
    assert_eq!(statistics["summary"]["processedEvents"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_secret_is_for_its_owner_only_and_never_printed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::bare(folder.path()).start().await;
    let file = server.launch().data().join("secrets/github");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(secret.trim().len() >= 32, "long enough");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        !server.printed().contains(secret.trim()),
        "the secret itself is not printed"
    );
    eventually(
        "its place is shown",
        std::time::Duration::from_secs(10),
        || async {
            if server.printed().contains("secrets/github") {
                Ok(())
            } else {
                Err(server.printed())
            }
        },
    )
    .await;
    // It stays the same over a restart.
    let server = server.stop().await.start().await;
    assert_eq!(
        std::fs::read_to_string(server.launch().data().join("secrets/github")).unwrap(),
        secret
    );
}
