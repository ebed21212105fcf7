//! The log on a real folder.

use std::sync::Arc;

use domain::testing::{ManualClock, TestDelivery};
use domain::{EventLog, FindDeliveries, PageLimit, Position, Revision, Timestamp};

use crate::log::{LogOptions, SegmentedLog, dump, verify};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)))
}

fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        fill_ahead_bytes: 64 * 1024,
        fill_step_bytes: 16 * 1024,
        ..LogOptions::default()
    }
}

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
            assert_eq!(read, [event.clone()]);
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
