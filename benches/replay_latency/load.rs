//! Signed deliveries at a rate, or as fast as they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::server::SECRET;

/// Requests of an open loop that may be under way; beyond it the generator itself waits, which the report would show as latency.
const IN_FLIGHT_MAX: usize = 4096;

/// Sends deliveries to a server.
#[derive(Clone)]
pub(crate) struct Sender {
    url: Arc<str>,
    client: reqwest::Client,
    filler: Arc<str>,
    connections: usize,
    next: Arc<AtomicU64>,
}

/// How long the deliveries of a run took.
pub(crate) struct Latencies {
    sorted: Vec<Duration>,
    elapsed: Duration,
}

impl Latencies {
    fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            sorted: latencies,
            elapsed,
        }
    }

    /// Deliveries taken a second.
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(crate) fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile, in milliseconds.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index far below 2^53"
    )]
    pub(crate) fn percentile_ms(&self, share: f64) -> f64 {
        let at = (self.sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        self.sorted.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1000.0)
    }
}

impl Sender {
    pub(crate) fn new(url: &str, body_bytes: usize, connections: usize) -> Self {
        Self {
            url: format!("{url}/api/webhooks/github").into(),
            client: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(connections)
                .build()
                .expect("a client"),
            filler: "x".repeat(body_bytes.saturating_sub(160)).into(),
            connections,
            next: Arc::default(),
        }
    }

    /// As fast as answers come, over a fixed number of connections.
    pub(crate) async fn closed_loop(&self, run: Duration) -> Latencies {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let sender = self.clone();
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < run {
                    let begun = Instant::now();
                    sender.send().await;
                    latencies.push(begun.elapsed());
                }
                latencies
            });
        }
        let all = tasks.join_all().await.into_iter().flatten().collect();
        Latencies::of(all, start.elapsed())
    }

    /// At a fixed rate, whether answers come or not; latency counts from the time a delivery was due.
    pub(crate) async fn open_loop(&self, per_second: f64, run: Duration) -> Latencies {
        let start = Instant::now();
        let gap = Duration::from_secs_f64(1.0 / per_second);
        let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let mut tasks = JoinSet::new();
        let mut latencies = Vec::new();
        let mut due = start;
        while due < start + run {
            tokio::time::sleep_until(due).await;
            let permit = Arc::clone(&room).acquire_owned().await.expect("never closed");
            let sender = self.clone();
            let was_due = due;
            tasks.spawn(async move {
                sender.send().await;
                drop(permit);
                was_due.elapsed()
            });
            while let Some(ended) = tasks.try_join_next() {
                latencies.push(ended.expect("a request ends"));
            }
            due += gap;
        }
        latencies.extend(tasks.join_all().await);
        Latencies::of(latencies, run)
    }

    /// One delivery, unlike every other. Whatever is not taken stops the benchmark: its figures would mean nothing.
    async fn send(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            r#"{{"action":"opened","number":{number},"repository":{{"full_name":"octo-org/bench-{}"}},"sender":{{"login":"octocat"}},"filler":"{}"}}"#,
            number % 50,
            self.filler
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let answer = self
            .client
            .post(&*self.url)
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "issues")
            .header("X-GitHub-Delivery", format!("bench-{number}"))
            .header("X-Hub-Signature-256", format!("sha256={signature}"))
            .body(body)
            .send()
            .await
            .expect("the server answers");
        assert!(
            answer.status().is_success(),
            "a delivery was answered {}",
            answer.status()
        );
        let _ = answer.bytes().await;
    }
}
