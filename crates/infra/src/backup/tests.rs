//! With a real log and a real body store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::testing::{ManualClock, TestDelivery};
use domain::{BodyStore, Checkpoints, Clock, EventLog, LogId, PageLimit, Position, RecordedEvent};
use secrecy::ExposeSecret;

use super::*;
use crate::body::{BodyOptions, DirectoryBodyStore};
use crate::budget::RoomHandle;
use crate::checkpoint::DirectoryCheckpoints;
use crate::data_dir::DataDir;
use crate::log::{LogOptions, SegmentedLog};

struct Node {
    directory: DataDir,
    log: Arc<SegmentedLog>,
    bodies: DirectoryBodyStore,
}

fn now() -> Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

async fn node(path: &Path) -> Node {
    let directory = DataDir::open(path).unwrap();
    let options = LogOptions {
        segment_bytes: 256 * 1024,
        fill_ahead_bytes: 128 * 1024,
        fill_step_bytes: 64 * 1024,
        ..LogOptions::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now()));
    Node {
        log: SegmentedLog::open(&directory.log(), options, clock)
            .await
            .unwrap(),
        bodies: DirectoryBodyStore::open(directory.bodies(), BodyOptions::default(), RoomHandle::default())
            .unwrap(),
        directory,
    }
}

impl Node {
    async fn append(&self, count: usize) {
        for n in 0..count {
            let delivery = TestDelivery::new("push", vec![b'x'; 500 + n % 20_000]);
            self.log.append(delivery.append()).await.unwrap();
        }
    }

    async fn body(&self, bytes: &'static [u8]) -> domain::BodyRef {
        let mut upload = self.bodies.begin().await.unwrap();
        upload.write(bytes.into()).await.unwrap();
        upload.commit().await.unwrap()
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        loop {
            let after = events.last().map_or(Position::START, |event| event.position);
            let page = self.log.read_all(after, PageLimit::default()).await.unwrap();
            if page.events.is_empty() {
                return events;
            }
            events.extend(page.events);
        }
    }
}

fn backup_of(from: &Path, target: &Path) -> Result<Report, BackupError> {
    backup(from, target, now(), |_| {})
}

#[tokio::test]
async fn a_restored_backup_is_the_same_log_with_its_bodies_and_secrets() {
    let parent = tempfile::tempdir().unwrap();
    let (from, target, into) = (
        parent.path().join("a"),
        parent.path().join("b"),
        parent.path().join("c"),
    );
    let source = node(&from).await;
    source.append(200).await;
    let body = source.body(b"a large one").await;
    let (secret, _) = source.directory.generated_secret("github").unwrap();
    let key = std::fs::read(source.directory.master_key().unwrap()).unwrap();
    let mut told = 0;
    let report = backup(&from, &target, now(), |bytes| told += bytes).unwrap();
    assert_eq!(report.manifest.log_id, source.log.id());
    assert_eq!(report.manifest.head, Position::new(200));
    assert_eq!(told, report.manifest.bytes());
    assert!(report.damaged_bodies.is_empty());
    check(&target, |_| {}).unwrap();

    restore(&target, &into, |_| {}).unwrap();
    let restored = node(&into).await;
    assert_eq!(restored.log.id(), source.log.id());
    assert_eq!(restored.events().await, source.events().await);
    assert_eq!(restored.bodies.read(&body, 0, 100).await.unwrap(), "a large one");
    let (same, _) = restored.directory.generated_secret("github").unwrap();
    assert_eq!(same.expose_secret(), secret.expose_secret());
    let same = restored
        .directory
        .master_key_file()
        .expect("the key of secrets comes along");
    assert_eq!(std::fs::read(&same).unwrap(), key);
    assert!(
        crate::secret::read_key_file(&same).is_ok(),
        "nobody else may read it"
    );
    restored.append(50).await;
    assert_eq!(restored.events().await.len(), 250);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_being_written_is_backed_up_with_all_that_was_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let from = parent.path().join("a");
    let source = Arc::new(node(&from).await);
    source.append(20).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (source, stop) = (Arc::clone(&source), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    source.append(1).await;
                }
            })
        })
        .collect();
    for round in 0..8 {
        let acknowledged = source.log.head().await.unwrap();
        let (from, target) = (from.clone(), parent.path().join(format!("b{round}")));
        let into = parent.path().join(format!("c{round}"));
        let report = tokio::task::spawn_blocking(move || {
            let report = backup_of(&from, &target).unwrap();
            restore(&target, &into, |_| {}).unwrap();
            (report, into)
        });
        let (report, into) = report.await.unwrap();
        assert!(
            report.manifest.head >= acknowledged,
            "{} < {acknowledged}",
            report.manifest.head
        );
        let restored = node(&into).await;
        let events = restored.events().await;
        assert_eq!(events.len() as u64, report.manifest.head.get());
        let page = PageLimit {
            events: events.len(),
            bytes: usize::MAX,
        };
        assert_eq!(
            source.log.read_all(Position::START, page).await.unwrap().events,
            events
        );
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (from, target) = (parent.path().join("a"), parent.path().join("b"));
    let source = node(&from).await;
    source.append(3).await;
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "precious").unwrap();
    assert!(matches!(backup_of(&from, &target), Err(BackupError::NotEmpty(_))));
    assert!(matches!(
        restore(&target, &parent.path().join("c"), |_| {}),
        Err(BackupError::NoBackup(_))
    ));
    fs::remove_file(target.join("mine")).unwrap();
    backup_of(&from, &target).unwrap();
    assert!(matches!(backup_of(&from, &target), Err(BackupError::NotEmpty(_))));
    assert!(matches!(
        restore(&target, &from, |_| {}),
        Err(BackupError::NotEmpty(_))
    ));
}

#[tokio::test]
async fn a_backup_that_was_tampered_with_is_not_restored() {
    let parent = tempfile::tempdir().unwrap();
    let (from, target) = (parent.path().join("a"), parent.path().join("b"));
    let source = node(&from).await;
    source.append(30).await;
    source.body(b"a large one").await;
    let manifest = backup_of(&from, &target).unwrap().manifest;
    for (n, file) in manifest.files.iter().enumerate() {
        let path = target.join(&file.path);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&path, &bad).unwrap();
        let into = parent.path().join(format!("c{n}"));
        let refused = restore(&target, &into, |_| {});
        assert!(
            matches!(&refused, Err(BackupError::Damaged { path: named, .. }) if *named == path),
            "{refused:?}"
        );
        assert!(
            DataDir::open(&into).is_err(),
            "{} was flipped, and the result is usable",
            file.path
        );
        assert!(check(&target, |_| {}).is_err());
        fs::remove_file(&path).unwrap();
        assert!(matches!(check(&target, |_| {}), Err(BackupError::Damaged { .. })));
        fs::write(&path, &good).unwrap();
    }
    check(&target, |_| {}).unwrap();
}

#[tokio::test]
async fn damage_in_the_source_is_said_and_never_backed_up_as_if_whole() {
    let parent = tempfile::tempdir().unwrap();
    let (from, target) = (parent.path().join("a"), parent.path().join("b"));
    let source = node(&from).await;
    source.append(100).await;
    let body = source.body(b"a large one").await.sha256.to_string();
    let log = source.directory.log();
    source.log.close().await;
    fs::write(
        from.join("bodies").join(&body[..2]).join(&body[2..]),
        "another one",
    )
    .unwrap();
    assert_eq!(backup_of(&from, &target).unwrap().damaged_bodies, [body]);
    let segment = log.join("0000000001.segment");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = backup_of(&from, &parent.path().join("c"));
    assert!(
        matches!(refused, Err(BackupError::Log(OpenError::Corrupt(_)))),
        "{refused:?}"
    );
    assert!(matches!(
        check(&parent.path().join("c"), |_| {}),
        Err(BackupError::NoBackup(_))
    ));
}

#[test]
fn a_directory_that_is_not_ours_is_not_backed_up() {
    let parent = tempfile::tempdir().unwrap();
    assert!(backup_of(parent.path(), &parent.path().join("b")).is_err());
    fs::write(parent.path().join("FORMAT"), "hooklog 9").unwrap();
    assert!(matches!(
        backup_of(parent.path(), &parent.path().join("b")),
        Err(BackupError::Source(_))
    ));
}

#[test]
fn a_backup_of_a_newer_version_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(
        parent.path().join("MANIFEST.json"),
        r#"{"format":2,"other":true}"#,
    )
    .unwrap();
    let refused = restore(parent.path(), &parent.path().join("c"), |_| {});
    assert!(
        matches!(refused, Err(BackupError::Newer { found: 2, known: 1 })),
        "{refused:?}"
    );
}

#[test]
fn a_manifest_never_leads_out_of_the_target() {
    let parent = tempfile::tempdir().unwrap();
    let mut manifest = Manifest::new(LogId::new(uuid::Uuid::nil()), Position::START, now());
    manifest.files.push(ManifestFile {
        path: "../../evil".into(),
        bytes: 0,
        sha256: domain::ContentHash::of(b""),
    });
    manifest.write(parent.path()).unwrap();
    let refused = restore(parent.path(), &parent.path().join("c"), |_| {});
    assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_restored_directory_has_no_notes_that_could_be_ahead_of_its_log() {
    let parent = tempfile::tempdir().unwrap();
    let (from, target, into) = (
        parent.path().join("a"),
        parent.path().join("b"),
        parent.path().join("c"),
    );
    let source = node(&from).await;
    source.append(3).await;
    let notes = DirectoryCheckpoints::open(&source.directory.checkpoints()).unwrap();
    notes.store("reactors", "{}".into()).await.unwrap();
    let report = backup_of(&from, &target).unwrap();
    assert!(
        report
            .manifest
            .files
            .iter()
            .all(|file| !file.path.contains("checkpoints"))
    );
    restore(&target, &into, |_| {}).unwrap();
    let restored = node(&into).await;
    let notes = DirectoryCheckpoints::open(&restored.directory.checkpoints()).unwrap();
    assert_eq!(notes.load("reactors").await.unwrap(), None);
}
