//! What operators see: bounded labels, no secrets and no bodies.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use domain::Hold;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::rig::{Delivery, Rig, SECRET};

/// Counts under the text of the key.
#[derive(Default, Clone)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

struct Count(Counts, String);

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += by;
    }
    fn absolute(&self, _: u64) {}
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<String> = key
            .labels()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        Counter::from_arc(Arc::new(Count(
            self.clone(),
            format!("{} {}", key.name(), labels.join(",")),
        )))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Log lines in memory.
#[derive(Default, Clone)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Receives one of each kind; gives what was counted and logged.
fn observed() -> (BTreeMap<String, u64>, String) {
    let (counts, lines) = (Counts::default(), Lines::default());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || {
        metrics::with_local_recorder(&counts, || {
            runtime.block_on(async {
                let rig = Rig::with(|_, source| source.repositories = vec!["o/*".into()]);
                let body =
                    |n: u32| format!(r#"{{"text":"inner matter {n}","repository":{{"full_name":"o/r"}}}}"#);
                let push = Delivery::new("push", body(1)).id("guid-1");
                rig.send(push.clone()).await.data();
                rig.send(push.clone()).await.data();
                rig.send(push.clone().with("x-github-hook-id", "42")).await.data();
                for n in 10..13 {
                    rig.send(Delivery::new(&format!("made-up-{n}"), body(n)))
                        .await
                        .data();
                }
                rig.send(Delivery::new("ping", "{}")).await.data();
                let mut forged = push.clone();
                forged.sign("another");
                rig.send(forged).await.assert(401, "SIGNATURE_INVALID");
                rig.send(push.clone().at("/webhooks/made-up"))
                    .await
                    .assert(404, "SOURCE_UNKNOWN");
                rig.ingest
                    .hold_source(&"paused".parse().unwrap(), None, Hold::Paused);
                rig.send(push.clone().at("/webhooks/paused"))
                    .await
                    .assert(503, "SOURCE_PAUSED");
                rig.log.set_unwritable(true);
                rig.send(push.id("guid-2")).await.assert(503, "NOT_WRITABLE");
            });
        });
    });
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let counts = counts.0.lock().unwrap().clone();
    (counts, lines)
}

#[test]
fn deliveries_are_counted_under_labels_that_senders_cannot_make() {
    let expected = [
        ("hooklog_ingest_ignored_total source=github", 1),
        (
            "hooklog_ingest_rejected_total source=github,reason=signature_invalid",
            1,
        ),
        (
            "hooklog_ingest_rejected_total source=github,reason=unavailable",
            1,
        ),
        (
            "hooklog_ingest_rejected_total source=other,reason=unknown_source",
            1,
        ),
        // A source that is held is known all the same.
        (
            "hooklog_ingest_rejected_total source=paused,reason=source_paused",
            1,
        ),
        ("webhook_events_total source=github,event=other,status=error", 1),
        ("webhook_events_total source=paused,event=other,status=error", 1),
        (
            "webhook_events_total source=github,event=other,status=rejected",
            1,
        ),
        ("webhook_events_total source=github,event=other,status=success", 3),
        (
            "webhook_events_total source=github,event=push,status=duplicate",
            2,
        ),
        ("webhook_events_total source=github,event=push,status=success", 1),
        ("webhook_events_total source=other,event=other,status=rejected", 1),
    ];
    let expected: BTreeMap<String, u64> = expected.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
    assert_eq!(observed().0, expected);
}

#[test]
fn the_log_names_deliveries_and_never_shows_a_body_a_secret_or_a_signature() {
    let lines = observed().1;
    let received = lines
        .lines()
        .find(|l| l.contains("github_webhook_received"))
        .unwrap();
    for field in [
        "repository=\"o/r\"",
        "delivery_id=\"guid-1\"",
        "event_type=\"push\"",
        "request_id=",
    ] {
        assert!(received.contains(field), "{field} is missing in {received}");
    }
    assert!(lines.contains("webhook_signature_verification_failed"), "{lines}");
    for hidden in ["inner matter", SECRET, "sha256="] {
        assert!(!lines.contains(hidden), "{hidden} is in the log");
    }
}
