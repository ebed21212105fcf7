//! The log on a real folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::testing::TestDelivery;
use domain::{
    Append, AppendError, EventData, EventLog, Expected, FindDeliveries, PageLimit, Position, Revision,
};

use super::{Bench, clock, small};
use crate::log::power_cut::Disk;
use crate::log::read::read_stream;
use crate::log::{LogOptions, OpenError, SegmentedLog, dump, verify};

#[tokio::test]
async fn what_was_appended_is_read_back_over_many_segments_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut deliveries = Vec::new();
    let log = SegmentedLog::open(folder.path(), small(), clock()).await.unwrap();
    for n in 0..60 {
        let delivery = TestDelivery::new("push", vec![b'x'; 1000 * (n % 20)]);
        let appended = log.append(delivery.append()).await.unwrap();
        assert_eq!(appended.first, Position::new(n as u64 + 1));
        deliveries.push(delivery);
    }
    for round in 0..2 {
        let log = if round == 0 {
            Arc::clone(&log)
        } else {
            SegmentedLog::open(folder.path(), small(), clock()).await.unwrap()
        };
        let page = log.read_all(Position::START, PageLimit::default()).await.unwrap();
        assert_eq!(page.events.len(), 60);
        assert_eq!(page.head, Position::new(60));
        for (event, delivery) in page.events.iter().zip(&deliveries) {
            let stream = delivery.received().stream();
            let read = log
                .read_stream(&stream, Revision::new(0), PageLimit::default())
                .await
                .unwrap();
            assert_eq!(read, std::slice::from_ref(event));
            assert_eq!(event.data, domain::EventData::Inline(delivery.body.clone()));
            let found = log
                .by_sender_id(&"default".parse().unwrap(), &delivery.delivery_id, 10)
                .await
                .unwrap();
            assert_eq!(found, [stream]);
        }
        assert_eq!(log.tail_start(u64::MAX).await.unwrap(), Position::START);
        log.close().await;
    }
    let report = verify(folder.path()).unwrap();
    assert_eq!((report.problem, report.events, report.streams), (None, 60, 60));
    assert!(report.segments > 5, "{}", report.segments);
    let dumped: Vec<_> = dump(folder.path(), Position::new(10), 20)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(dumped.first().map(|e| e.position), Some(Position::new(11)));
    assert_eq!(dumped.len(), 20);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = SegmentedLog::open(folder.path(), small(), clock()).await.unwrap();
    let Err(error) = SegmentedLog::open(folder.path(), small(), clock()).await else {
        panic!("two have it open");
    };
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    first.close().await;
    assert!(SegmentedLog::open(folder.path(), small(), clock()).await.is_ok());
}

#[tokio::test]
async fn a_closed_log_refuses_appends_and_wakes_those_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let log = SegmentedLog::open(folder.path(), small(), clock()).await.unwrap();
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_past(Position::START).await }
    });
    log.close().await;
    assert!(waiting.await.unwrap().is_err());
    let refused = log.append(TestDelivery::new("push", "{}").append()).await;
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    SegmentedLog::open(folder.path(), small(), clock())
        .await
        .unwrap()
        .close()
        .await;
    std::fs::write(folder.path().join("FORMAT"), "hooklog log format 2\n").unwrap();
    let opened = SegmentedLog::open(folder.path(), small(), clock())
        .await
        .map(|_| ());
    assert!(matches!(opened, Err(OpenError::Newer { found: 2 })), "{opened:?}");
    assert!(matches!(
        verify(folder.path()),
        Err(OpenError::Newer { found: 2 })
    ));
}

#[tokio::test]
async fn what_can_never_be_written_is_invalid() {
    let folder = tempfile::tempdir().unwrap();
    let log = SegmentedLog::open(folder.path(), small(), clock()).await.unwrap();
    let with = |change: fn(&mut Append)| {
        let mut append = TestDelivery::new("push", "{}").append();
        change(&mut append);
        append
    };
    let refused = [
        with(|a| a.events[0].data = EventData::Inline(vec![0; 512].into())),
        with(|a| a.events[0].metadata = vec![0; 600].into()),
        with(|a| a.events[0].metadata = vec![b' '; 64 * 1024 + 1].into()),
        with(|a| a.events[0].data = EventData::Inline(vec![b'x'; 64 * 1024].into())),
        with(|a| a.events.clear()),
        with(|a| a.content.as_mut().unwrap().sender_id = Some("x".repeat(9000))),
    ];
    for append in refused {
        let answer = log.append(append).await;
        assert!(matches!(answer, Err(AppendError::Invalid(_))), "{answer:?}");
    }
    // 511 zeroes at either end of a body are no trouble.
    let edge = [&[0; 511][..], b"x", &[0; 511]].concat();
    log.append(TestDelivery::new("push", edge).append())
        .await
        .unwrap();
    assert_eq!(log.head().await, Ok(Position::new(1)));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions {
        segment_bytes: 1000,
        ..small()
    };
    let opened = SegmentedLog::open(folder.path(), options, clock())
        .await
        .map(|_| ());
    assert!(matches!(opened, Err(OpenError::Settings(_))), "{opened:?}");
}

#[tokio::test]
async fn a_folder_with_a_missing_segment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = SegmentedLog::open(folder.path(), small(), clock()).await.unwrap();
    for n in 1..20_u8 {
        log.append(TestDelivery::new("push", vec![n; 10_000]).append())
            .await
            .unwrap();
    }
    log.close().await;
    std::fs::remove_file(folder.path().join("0000000002.segment")).unwrap();
    let opened = SegmentedLog::open(folder.path(), small(), clock())
        .await
        .map(|_| ());
    assert!(matches!(opened, Err(OpenError::Incomplete(_))), "{opened:?}");
}

#[test]
fn an_event_of_a_stream_can_be_read_as_soon_as_it_is_known() {
    let mut bench = Bench::open_with(&Disk::empty(), LogOptions::default()).unwrap();
    let shared = Arc::clone(&bench.shared);
    let stream = TestDelivery::new("push", "{}").received().stream();
    let (written, named) = (Arc::new(AtomicBool::new(false)), stream.clone());
    let until = Arc::clone(&written);
    let reader = std::thread::spawn(move || {
        let mut next = Revision::new(0);
        while !until.load(Ordering::Relaxed) {
            let read = read_stream(&shared, &named, next, PageLimit::default()).unwrap();
            next = read
                .last()
                .map_or(next, |last| Revision::new(last.revision.get() + 1));
        }
    });
    for revision in 0..20_000_u64 {
        let append = Append {
            stream: stream.clone(),
            expected: revision
                .checked_sub(1)
                .map_or(Expected::NoStream, |last| Expected::Revision(Revision::new(last))),
            content: None,
            ..TestDelivery::new("push", "{}").append()
        };
        assert!(matches!(bench.commit(&[append])[..], [Some(Ok(_))]));
    }
    written.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}
