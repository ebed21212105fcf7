//! What receiving does while the log is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog};
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, EventLog, LogHealth, LogId, LogPage, PageLimit,
    Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, Timestamp,
};
use futures_util::stream;
use poem::{Body, Endpoint};
use tokio::time::Instant;

use super::rig::{Delivery, Reply, Rig};
use crate::PressureOptions;

/// A log that takes its time, and says that so many appends wait.
struct Behind {
    log: Arc<MemoryLog>,
    append_ms: AtomicU64,
    waiting: AtomicUsize,
}

#[async_trait]
impl EventLog for Behind {
    fn id(&self) -> LogId {
        self.log.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        tokio::time::sleep(Duration::from_millis(self.append_ms.load(Ordering::SeqCst))).await;
        self.log.append(append).await
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.log.read_stream(stream, from, limit).await
    }
    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        self.log.read_all(after, limit).await
    }
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.log.read_category(category, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.log.wait_past(position).await
    }
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.log.tail_start(bytes).await
    }
    fn spacing(&self) -> Spacing {
        self.log.spacing()
    }
    fn health(&self) -> LogHealth {
        LogHealth {
            queue_len: self.waiting.load(Ordering::SeqCst),
            queue_max: 100,
            ..self.log.health()
        }
    }
}

fn rig(pressure: PressureOptions, address_rate: u32) -> (Rig, Arc<Behind>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)));
    let id = LogId::new(uuid::Uuid::from_u128(7));
    let log = Arc::new(MemoryLog::new(id, Arc::<ManualClock>::clone(&clock)));
    let behind = Arc::new(Behind {
        log: Arc::clone(&log),
        append_ms: AtomicU64::new(0),
        waiting: AtomicUsize::new(0),
    });
    let rig = Rig::over(Arc::<Behind>::clone(&behind), log, clock, |options, _| {
        options.pressure = pressure;
        options.address_rate_per_minute = address_rate;
    });
    (rig, behind)
}

/// Sends a delivery whose body must not be asked for.
async fn unread(rig: &Rig, delivery: Delivery) -> Reply {
    let mut request = delivery.request();
    let pieces = stream::poll_fn(|_| -> std::task::Poll<Option<std::io::Result<Bytes>>> {
        panic!("the body was read");
    });
    request.set_body(Body::from_bytes_stream(pieces));
    // A sender that waits for a word first, so that nothing is read to get the answer through either.
    request
        .headers_mut()
        .insert("expect", "100-continue".parse().unwrap());
    Reply::of(rig.ingest.get_response(request).await).await
}

#[tokio::test]
async fn while_the_queue_is_full_a_request_is_refused_unread() {
    let (rig, behind) = rig(PressureOptions::default(), 0);
    behind.waiting.store(99, Ordering::SeqCst);
    rig.send(Delivery::push()).await.data();
    behind.waiting.store(100, Ordering::SeqCst);
    for delivery in [
        Delivery::push(),
        Delivery::push().with("x-hub-signature-256", "forged"),
    ] {
        let reply = unread(&rig, delivery).await;
        reply.assert(503, "LOG_BEHIND");
        assert!(reply.header("retry-after").is_some());
    }
    behind.waiting.store(0, Ordering::SeqCst);
    rig.send(Delivery::push()).await.data();
    let never = PressureOptions {
        shed_queue_percent: 0,
        ..PressureOptions::default()
    };
    let (rig, behind) = self::rig(never, 0);
    behind.waiting.store(100, Ordering::SeqCst);
    rig.send(Delivery::push()).await.data();
}

#[tokio::test(start_paused = true)]
async fn while_appends_take_too_long_a_request_is_refused_unread_and_taken_again_later() {
    let shed = PressureOptions {
        shed_latency_ms: 500,
        ..PressureOptions::default()
    };
    let (rig, behind) = rig(shed, 0);
    behind.append_ms.store(4000, Ordering::SeqCst);
    let mut refused = false;
    for _ in 0..10 {
        if rig.send(Delivery::push()).await.status == 503 {
            refused = true;
            break;
        }
    }
    assert!(refused, "it was never refused");
    unread(&rig, Delivery::push()).await.assert(503, "LOG_BEHIND");
    behind.append_ms.store(0, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.send(Delivery::push()).await.data();
}

#[tokio::test(start_paused = true)]
async fn while_appends_are_slow_a_request_waits_a_little_and_counts_for_more() {
    let slow = PressureOptions {
        slow_latency_ms: 50,
        ..PressureOptions::default()
    };
    let (rig, behind) = rig(slow, 1000);
    let began = Instant::now();
    for _ in 0..20 {
        rig.send(Delivery::push()).await.data();
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "a quick log lets nobody wait");
    behind.append_ms.store(2000, Ordering::SeqCst);
    let mut took = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        rig.send(Delivery::push()).await.data();
        took = began.elapsed() - Duration::from_secs(2);
    }
    assert!(
        took > Duration::from_millis(500) && took <= Duration::from_secs(1),
        "{took:?}"
    );
    // The rate knows no paused clock: of 1000 a minute, as eight each, little more than a hundred are left.
    let mut taken = 0;
    while rig.send(Delivery::push()).await.status == 200 {
        taken += 1;
        assert!(taken < 200, "no request counted for more");
    }
}
