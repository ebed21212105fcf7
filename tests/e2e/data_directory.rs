//! The data directory on disk: old ones open, newer ones are refused, damage is named.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Launch, Signed};
use crate::reconcile::{dump, sha256_of};

/// A directory written by the first version, with its bodies' SHA-256 beside it.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/data-1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_golden_data_directory_opens() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    copy(&golden(), &launch.data());
    let expected = fs::read_to_string(golden().with_extension("expected")).unwrap();
    let server = launch.start().await;
    server.caught_up().await;
    let mut seen = 0;
    for line in expected.lines() {
        let (id, sha256) = line.split_once(' ').unwrap();
        let (status, body) = server.fetch(&format!("/api/webhooks/events/{id}/body")).await;
        assert_eq!((status, sha256_of(&body).as_str()), (200, sha256), "{id}");
        seen += 1;
    }
    assert!(seen >= 5, "the golden directory holds some deliveries");
    let listed = server.data_of("/api/webhooks/events?limit=1000").await;
    assert_eq!(listed["events"].as_array().map(Vec::len), Some(seen));
    // It goes on where it stood.
    let first = expected.lines().next().unwrap().split(' ').next().unwrap();
    let again = Signed {
        hook: "41".into(),
        ..Signed::new("push", first, r#"{"another":"body"}"#)
    };
    assert!(server.send(&again).await.is_duplicate(), "{first} is known");
}

async fn a_server_that_refuses(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    let server = launch.start().await;
    for n in 0..5 {
        assert_eq!(
            server
                .send(&Signed::new(
                    "push",
                    &format!("before-{n}"),
                    format!(r#"{{"n":{n}}}"#)
                ))
                .await
                .status,
            200
        );
    }
    server.stop().await;
    change(&launch.data());
    let (code, printed) = launch.refusal().await;
    assert_eq!(code, Some(1), "{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_a_newer_format_is_refused() {
    let printed = a_server_that_refuses(|data| {
        let file = data.join("FORMAT");
        let text = fs::read_to_string(&file).expect("the data directory says its format");
        let newer: String = text
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert_ne!(text, newer, "a number: {text:?}");
        fs::write(file, newer).unwrap();
    })
    .await;
    assert!(
        printed.to_lowercase().contains("newer") && printed.contains('9'),
        "{printed}"
    );
}

/// The files of the log that hold deliveries.
fn segments(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![data.join("log")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "segment" || e == "seg") {
                found.push(entry);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_acknowledged_data_is_refused_by_name() {
    let printed = a_server_that_refuses(|data| {
        let segments = segments(data);
        assert!(!segments.is_empty(), "the log has segments");
        let mut bytes = fs::read(&segments[0]).unwrap();
        let at = bytes
            .windows(8)
            .position(|w| w == b"before-0")
            .expect("the first delivery is in the first segment");
        bytes[at] ^= 1;
        fs::write(&segments[0], bytes).unwrap();
    })
    .await;
    let plain = printed.to_lowercase();
    assert!(plain.contains("corrupt") || plain.contains("damage"), "{printed}");
    assert!(
        plain.contains("segment") && plain.contains("offset"),
        "it names segment and offset: {printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_made_again_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path());
    let server = launch.start().await;
    let deliveries: Vec<Signed> = (0..50)
        .map(|n| Signed::new("push", &format!("indexed-{n}"), format!(r#"{{"n":{n}}}"#)))
        .collect();
    let mut positions = Vec::new();
    for delivery in &deliveries {
        positions.push(server.send(delivery).await.position());
    }
    server.stop().await;
    let before: Vec<u64> = dump(&launch).iter().map(|e| e.position()).collect();
    assert_eq!(before, positions);
    let index = launch.data().join("log/index");
    assert!(index.exists(), "{}", index.display());
    fs::remove_dir_all(index).unwrap();
    let server = launch.start().await;
    for (delivery, position) in deliveries.iter().zip(positions) {
        let again = server.send(delivery).await;
        assert_eq!(
            (again.status, again.is_duplicate(), again.position()),
            (200, true, position)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_and_dump_read_a_live_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for n in 0..10 {
        server
            .send(&Signed::new(
                "push",
                &format!("live-{n}"),
                format!(r#"{{"n":{n}}}"#),
            ))
            .await;
    }
    let data = server.launch().data().display().to_string();
    let done = server.launch().run(&["log", "verify", "--data-dir", &data]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(dump(server.launch()).len(), 10);
}
