//! What a scrape would show.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::testing::{Ending, ManualClock, MemoryLog, TestDelivery, attempted, decide_and_append};
use domain::{DeliveryCommand, ReplayTo, Timestamp};
use metrics::{Key, KeyName, Metadata, SharedString, Unit};
use tokio::task::JoinHandle;

use super::*;
use crate::doubles::{FakeBodies, clock, log_id, until};

/// Keeps counters and gauges by name and labels.
#[derive(Default)]
struct Page {
    counters: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

fn shown(key: &Key) -> String {
    let labels: Vec<_> = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Page {
    /// The counters that are not 0, as `name{labels} value`.
    fn counters(&self) -> Vec<String> {
        let counters = self.counters.lock().unwrap();
        let lines = counters
            .iter()
            .map(|(name, value)| (name, value.load(Ordering::SeqCst)));
        lines
            .filter(|(_, value)| *value > 0)
            .map(|(name, value)| format!("{name} {value}"))
            .collect()
    }

    fn gauge(&self, name: &str) -> Option<f64> {
        let gauges = self.gauges.lock().unwrap();
        Some(f64::from_bits(gauges.get(name)?.load(Ordering::SeqCst)))
    }

    fn gauges(&self) -> usize {
        self.gauges.lock().unwrap().len()
    }
}

impl metrics::Recorder for Page {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        let mut counters = self.counters.lock().unwrap();
        metrics::Counter::from_arc(Arc::clone(counters.entry(shown(key)).or_default()))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        let mut gauges = self.gauges.lock().unwrap();
        metrics::Gauge::from_arc(Arc::clone(gauges.entry(shown(key)).or_default()))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

struct Running {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// A meter over a log, at its head.
    async fn start(log: Arc<MemoryLog>, clock: Arc<ManualClock>, options: MeterOptions) -> Self {
        let shutdown = CancellationToken::new();
        let meter = Meter::build(
            options,
            Arc::clone(&log) as Arc<dyn EventLog>,
            Arc::new(FakeBodies::default()),
            Arc::clone(&clock) as Arc<dyn Clock>,
            &domain::Unshared,
        );
        let task = tokio::spawn(meter.run(shutdown.clone()));
        // It has to know the head before anything is appended.
        sleep(Duration::from_millis(1)).await;
        Self {
            log,
            clock,
            shutdown,
            task,
        }
    }

    async fn fresh() -> Self {
        let clock = clock();
        let log = Arc::new(MemoryLog::new(log_id(1), Arc::clone(&clock) as Arc<dyn Clock>));
        Self::start(log, clock, MeterOptions::default()).await
    }

    async fn append(&self, delivery: &TestDelivery) {
        self.log.append(delivery.append()).await.unwrap();
    }

    /// Waits for long enough that everything appended is counted and every mean is set.
    async fn settle(&self) {
        sleep(Duration::from_secs(11)).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn job(id: u64, state: &str, repository: &str) -> TestDelivery {
    let body = serde_json::json!({"action": state, "workflow_job": {
        "id": id, "run_attempt": 1, "status": state, "conclusion": (state == "completed").then_some("success"),
        "created_at": "2026-11-21T10:00:00Z", "started_at": "2026-11-21T10:00:20Z",
        "completed_at": (state == "completed").then_some("2026-11-21T10:03:20Z"),
        "check_run_url": uuid::Uuid::new_v4().to_string(),
    }});
    let mut delivery = TestDelivery::new("workflow_job", body.to_string());
    delivery.action = Some(state.to_owned());
    delivery.repository = Some(repository.to_owned());
    delivery
}

#[tokio::test(start_paused = true)]
async fn each_job_counts_once_however_often_it_is_announced() {
    let page = Page::default();
    let _guard = metrics::set_default_local_recorder(&page);
    let running = Running::fresh().await;
    for state in ["completed", "queued", "in_progress", "queued", "completed"] {
        running.append(&job(7, state, "o/r")).await;
    }
    running.append(&job(8, "queued", "o/r")).await;
    running.settle().await;
    let expected = [
        "github_jobs_completed_total{repository=o/r,conclusion=success} 1",
        "github_jobs_queued_total{repository=o/r} 2",
    ];
    assert_eq!(page.counters(), expected);
    assert_eq!(
        page.gauge("github_job_duration_seconds{repository=o/r}"),
        Some(180.0)
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn history_synthetic_deliveries_duplicates_and_replays_count_nothing() {
    let page = Page::default();
    let _guard = metrics::set_default_local_recorder(&page);
    let clock = clock();
    let log = Arc::new(MemoryLog::new(log_id(1), Arc::clone(&clock) as Arc<dyn Clock>));
    let old = job(1, "queued", "o/r");
    log.append(old.append()).await.unwrap();
    let running = Running::start(log, clock, MeterOptions::default()).await;
    let mut synthetic = job(2, "queued", "o/r");
    synthetic.synthetic = true;
    synthetic.received_at = Timestamp::from_micros(running.clock.now().as_micros() - 100_000_000);
    running.append(&synthetic).await;
    let mut again = old.clone();
    again.hook = Some("42".into());
    running.append(&again).await;
    decide_and_append(running.log.as_ref(), &old.received().stream(), |_| {
        domain::testing::replayed(ReplayTo::Processing, &["a".to_owned()])
    })
    .await;
    decide_and_append(running.log.as_ref(), &old.received().stream(), |state| {
        attempted(state, "a", Ending::Delivered, old.received_at).unwrap()
    })
    .await;
    running.settle().await;
    assert_eq!(page.counters(), Vec::<String>::new());
    // The marked duplicate was processed as soon as it was received; that is all there is.
    assert_eq!(page.gauges(), 1);
    let gauge = page.gauge("webhook_processing_duration_seconds{event=workflow_job}");
    assert_eq!(gauge, Some(0.0));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn processing_times_are_of_receipts_and_outcomes_and_end_after_five_minutes() {
    let page = Page::default();
    let _guard = metrics::set_default_local_recorder(&page);
    let running = Running::fresh().await;
    let gauge = || page.gauge("webhook_processing_duration_seconds{event=push}");
    let mut due = TestDelivery::new("push", "{\"n\":1}");
    due.due = vec!["a"];
    due.received_at = running.clock.now();
    running.append(&due).await;
    running.settle().await;
    assert_eq!(gauge(), None, "it is not processed yet");
    running.clock.advance_millis(4000);
    let delivered = |state: &domain::DeliveryState| -> DeliveryCommand {
        attempted(state, "a", Ending::Delivered, due.received_at).unwrap()
    };
    decide_and_append(running.log.as_ref(), &due.received().stream(), delivered).await;
    let mut at_once = TestDelivery::new("push", "{\"n\":2}");
    at_once.received_at = Timestamp::from_micros(running.clock.now().as_micros() - 2_000_000);
    running.append(&at_once).await;
    running.settle().await;
    assert_eq!(gauge(), Some(3.0), "of 4 s and 2 s");
    running.clock.advance_millis(320_000);
    until("the gauge ends", async || gauge().is_some_and(f64::is_nan)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn means_that_are_set_more_often_than_the_log_is_read_do_not_keep_it_from_being_read() {
    let page = Page::default();
    let _guard = metrics::set_default_local_recorder(&page);
    let clock = clock();
    let log = Arc::new(MemoryLog::new(log_id(1), Arc::clone(&clock) as Arc<dyn Clock>));
    let options = MeterOptions {
        refresh_ms: 50,
        batch_wait_ms: 200,
        ..MeterOptions::default()
    };
    let running = Running::start(log, clock, options).await;
    running.append(&job(1, "queued", "o/a")).await;
    running.settle().await;
    assert_eq!(page.counters(), ["github_jobs_queued_total{repository=o/a} 1"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn repositories_beyond_the_most_share_a_label_and_so_do_unknown_conclusions() {
    let page = Page::default();
    let _guard = metrics::set_default_local_recorder(&page);
    let clock = clock();
    let log = Arc::new(MemoryLog::new(log_id(1), Arc::clone(&clock) as Arc<dyn Clock>));
    let options = MeterOptions {
        repositories_max: 2,
        ..MeterOptions::default()
    };
    let running = Running::start(log, clock, options).await;
    for (id, repository) in [(1, "o/a"), (2, "o/b"), (3, "o/c"), (4, "o/d"), (5, "o/a")] {
        running.append(&job(id, "queued", repository)).await;
    }
    let mut odd = job(6, "completed", "o/a");
    odd.body = String::from_utf8(odd.body.to_vec())
        .unwrap()
        .replace("success", "made-up-by-a-sender")
        .into();
    running.append(&odd).await;
    running.settle().await;
    let expected = [
        "github_jobs_completed_total{repository=o/a,conclusion=other} 1",
        "github_jobs_queued_total{repository=o/a} 2",
        "github_jobs_queued_total{repository=o/b} 1",
        "github_jobs_queued_total{repository=other} 2",
    ];
    assert_eq!(page.counters(), expected);
    running.stop().await;
}
