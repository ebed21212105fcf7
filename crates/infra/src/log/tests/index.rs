//! The index is derived: whatever happens to it, the answers are the same.

use std::path::Path;
use std::sync::Arc;

use domain::testing::TestDelivery;
use domain::{
    Append, Appended, EventLog, Expected, FindDeliveries, NewEvent, PageLimit, Position, RecordedEvent,
    Revision, StreamName,
};

use super::{clock, small};
use crate::log::{SegmentedLog, verify};

async fn open(folder: &Path) -> Arc<SegmentedLog> {
    SegmentedLog::open(folder, small(), clock()).await.unwrap()
}

/// Deliveries whose answers depend on the index: with repeats of ids and bodies among them.
fn deliveries() -> Vec<TestDelivery> {
    let mut all = Vec::new();
    for n in 0..40_u32 {
        let delivery = TestDelivery::new("push", format!("{{\"n\":{}}}{}", n / 2, " ".repeat(5000)));
        if n % 5 == 4 {
            all.push(TestDelivery {
                hook: Some("42".into()),
                delivery_id: delivery.delivery_id.clone(),
                ..TestDelivery::new("push", format!("{{\"other\":{n}}}"))
            });
        }
        all.push(delivery);
    }
    all
}

fn follow_up(stream: &StreamName) -> Append {
    Append {
        stream: stream.clone(),
        expected: Expected::Revision(Revision::new(0)),
        events: vec![NewEvent {
            event_type: "DeliveryProcessed".parse().unwrap(),
            ..TestDelivery::new("push", "{}").append().events.remove(0)
        }],
        content: None,
    }
}

async fn fill(log: &SegmentedLog) -> Vec<TestDelivery> {
    let deliveries = deliveries();
    for (n, delivery) in deliveries.iter().enumerate() {
        log.append(delivery.append()).await.unwrap();
        if n % 3 == 0 {
            log.append(follow_up(&delivery.received().stream()))
                .await
                .unwrap();
        }
    }
    deliveries
}

#[derive(Debug, PartialEq)]
struct Answers {
    streams: Vec<Vec<RecordedEvent>>,
    found: Vec<Vec<StreamName>>,
    repeats: Vec<Appended>,
    marks: Vec<Option<StreamName>>,
}

/// Everything that rests on the index. The last part appends, so it is asked of a copy.
async fn answers(folder: &Path, deliveries: &[TestDelivery]) -> Answers {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    let log = open(copy.path()).await;
    let mut answers = Answers {
        streams: Vec::new(),
        found: Vec::new(),
        repeats: Vec::new(),
        marks: Vec::new(),
    };
    let limit = PageLimit::default();
    for delivery in deliveries {
        let stream = delivery.received().stream();
        answers
            .streams
            .push(log.read_stream(&stream, Revision::new(0), limit).await.unwrap());
        let found = log
            .by_sender_id(&"default".parse().unwrap(), &delivery.delivery_id, 9)
            .await;
        answers.found.push(found.unwrap());
        answers.repeats.push(log.append(delivery.append()).await.unwrap());
    }
    for delivery in deliveries {
        let again = TestDelivery::new("push", delivery.body.clone());
        answers
            .marks
            .push(log.append(again.append()).await.unwrap().duplicate_of);
    }
    log.close().await;
    answers
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_trusted_is_rebuilt_to_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = open(folder).await;
    let deliveries = fill(&log).await;
    log.close().await;
    drop(log);
    let expected = answers(folder, &deliveries).await;
    assert!(expected.marks.iter().all(Option::is_some));
    assert!(expected.streams.iter().any(|s| s.len() == 2) && expected.found.iter().any(|f| f.len() == 2));
    let index = folder.join("index");

    std::fs::remove_dir_all(&index).unwrap();
    assert_eq!(answers(folder, &deliveries).await, expected, "deleted");

    open(folder).await.close().await;
    for name in ["0000000001.keys", "0000000002.keys"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    std::fs::remove_dir_all(&index).unwrap();
    assert_eq!(
        answers(folder, &deliveries).await,
        expected,
        "deleted with key files"
    );

    std::fs::remove_dir_all(&index).ok();
    std::fs::create_dir_all(&index).unwrap();
    std::fs::write(index.join("version"), b"nonsense").unwrap();
    std::fs::write(index.join("0.jnl"), b"nonsense").unwrap();
    assert_eq!(answers(folder, &deliveries).await, expected, "unopenable");

    let other = tempfile::tempdir().unwrap();
    let foreign = open(other.path()).await;
    fill(&foreign).await;
    foreign.close().await;
    std::fs::remove_dir_all(&index).ok();
    copy_folder(&other.path().join("index"), &index);
    assert_eq!(answers(folder, &deliveries).await, expected, "foreign");

    std::fs::remove_dir_all(&index).ok();
    open(folder).await.close().await;
    as_of_the_first_layout(&index);
    assert_eq!(
        answers(folder, &deliveries).await,
        expected,
        "of an earlier layout"
    );
}

/// Leaves of an index what one of the first layout says: that it is complete, but nothing in the tree that is asked now.
fn as_of_the_first_layout(index: &Path) {
    let database = fjall::Database::builder(index).open().unwrap();
    let open = |name: &str| {
        database
            .keyspace(name, fjall::KeyspaceCreateOptions::default)
            .unwrap()
    };
    let state = open("state");
    let mut upto = state.get("upto").unwrap().unwrap().to_vec();
    assert_eq!(upto[..4], 2_u32.to_le_bytes(), "the layout number of today");
    upto[..4].copy_from_slice(&1_u32.to_le_bytes());
    state.insert("upto", upto).unwrap();
    database.delete_keyspace(open("entries")).unwrap();
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_behind_the_log_is_caught_up_and_one_ahead_is_rebuilt() {
    let (earlier, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(earlier.path()).await;
    let deliveries = fill(&log).await;
    log.close().await;
    drop(log);
    copy_folder(earlier.path(), later.path());
    let log = open(later.path()).await;
    let mut more = Vec::new();
    for n in 0..30 {
        let delivery = TestDelivery::new("push", format!("{{\"more\":{n}}}{}", " ".repeat(4000)));
        log.append(delivery.append()).await.unwrap();
        more.push(delivery);
    }
    log.close().await;
    drop(log);
    let expected = answers(earlier.path(), &deliveries).await;
    let all = [deliveries.clone(), more].concat();
    let expected_later = answers(later.path(), &all).await;
    let (index_early, index_late) = (earlier.path().join("index"), later.path().join("index"));
    let kept = tempfile::tempdir().unwrap();
    copy_folder(&index_early, kept.path());

    std::fs::remove_dir_all(&index_early).unwrap();
    copy_folder(&index_late, &index_early);
    assert_eq!(answers(earlier.path(), &deliveries).await, expected, "ahead");

    std::fs::remove_dir_all(&index_late).unwrap();
    copy_folder(kept.path(), &index_late);
    assert_eq!(answers(later.path(), &all).await, expected_later, "behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_other_events_under_the_same_log_id_is_rebuilt() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(one.path()).await;
    log.append(TestDelivery::new("push", "first").append())
        .await
        .unwrap();
    log.close().await;
    drop(log);
    // Two histories from one backup.
    copy_folder(one.path(), two.path());
    let mut last = Vec::new();
    for folder in [one.path(), two.path()] {
        let log = open(folder).await;
        let delivery = TestDelivery::new("push", "second");
        log.append(delivery.append()).await.unwrap();
        log.close().await;
        last.push(delivery);
    }
    std::fs::remove_dir_all(one.path().join("index")).unwrap();
    copy_folder(&two.path().join("index"), &one.path().join("index"));
    let log = open(one.path()).await;
    let (ours, theirs) = (last[0].received().stream(), last[1].received().stream());
    let limit = PageLimit::default();
    assert_eq!(
        log.read_stream(&ours, Revision::new(0), limit)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        log.read_stream(&theirs, Revision::new(0), limit)
            .await
            .unwrap()
            .len(),
        0
    );
    let tail = log.read_all(Position::START, limit).await.unwrap();
    assert_eq!(tail.events.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_bytes_of_small_events_open_from_key_files_and_verify() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let appends = (0..1000).map(|n| {
        let (log, append) = (
            Arc::clone(&log),
            TestDelivery::new("push", format!("{n}{}", " ".repeat(700))).append(),
        );
        tokio::spawn(async move { log.append(append).await })
    });
    for answer in appends.collect::<Vec<_>>() {
        answer.await.unwrap().unwrap();
    }
    log.close().await;
    drop(log);
    let log = open(folder.path()).await;
    assert_eq!(log.head().await, Ok(Position::new(1000)));
    let segments = verify(folder.path()).unwrap().segments;
    let written = key_files(folder.path());
    assert_eq!(written.len() as u64, segments - 1);
    assert!(segments > 10, "{segments}");
    log.close().await;
    drop(log);
    // Those were written from what was kept of each segment; read again, it says the same.
    for path in written.keys() {
        std::fs::remove_file(path).unwrap();
    }
    drop(open(folder.path()).await);
    assert_eq!(key_files(folder.path()), written);
}

fn key_files(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let keys = entries.filter(|path| path.extension().is_some_and(|end| end == "keys"));
    keys.map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_fails_is_opened_again_and_nothing_is_decided_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let deliveries = fill(&log).await;
    log.shared.close_index();
    // A repeat could not be recognised now, so it is refused, unless the index is back already.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match log.append(deliveries[0].append()).await {
            Ok(appended) => {
                assert_eq!(appended.first, Position::new(1));
                break;
            }
            Err(error) => assert!(error.retry(), "{error}"),
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the index never came back"
        );
        tokio::task::yield_now().await;
    }
    let repeat = TestDelivery::new("push", deliveries[0].body.clone());
    let repeat = log.append(repeat.append()).await.unwrap();
    assert_eq!(repeat.duplicate_of, Some(deliveries[0].received().stream()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_does_not_pretend_to_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path()).await;
    let deliveries = fill(&log).await;
    log.close().await;
    let stream = deliveries[0].received().stream();
    let read = log
        .read_stream(&stream, Revision::new(0), PageLimit::default())
        .await;
    assert!(matches!(read, Err(domain::ReadError::Unavailable(_))), "{read:?}");
    let found = log
        .by_sender_id(&"default".parse().unwrap(), &deliveries[0].delivery_id, 9)
        .await;
    assert!(
        matches!(found, Err(domain::ReadError::Unavailable(_))),
        "{found:?}"
    );
}
