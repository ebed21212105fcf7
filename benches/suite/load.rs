//! The generator of load, a process of its own: deliveries as fast as answers come (closed loop), or at a rate, with
//! latency counted from the moment a delivery was due (open loop).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Connection, Template};
use super::payload;
use super::process::Watched;
use super::spread::Spread;

/// What a run is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) payloads: PathBuf,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// Deliveries a second; without it the loop is closed.
    pub(crate) rate: Option<f64>,
    /// No two runs against one server share it.
    pub(crate) run: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Deliveries that were answered 200.
    pub(crate) taken: u64,
    /// Deliveries that were answered otherwise.
    pub(crate) refused: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    /// Processor time of the generator.
    pub(crate) cpu_seconds: f64,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.taken as f64 / self.seconds
    }

    /// Processor time of the generator, in microseconds for each delivery.
    pub(crate) fn generator_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.taken as f64
    }
}

/// Has a process of its own send deliveries.
pub(crate) async fn send(order: &Order) -> Outcome {
    let own = std::env::current_exe().expect("this program");
    let order = serde_json::to_string(order).expect("an order");
    let mut command = tokio::process::Command::new(own);
    command
        .args(["load", &order])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .expect("the generator runs");
    assert!(output.status.success(), "the generator failed");
    serde_json::from_slice(&output.stdout).expect("an outcome")
}

/// The process itself.
pub(crate) fn run(order: &str) {
    let order: Order = serde_json::from_str(order).expect("an order");
    // One thread: the generator shares the machine with what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.expect("a runtime").block_on(generate(&order));
    println!("{}", serde_json::to_string(&outcome).expect("an outcome"));
}

/// What the connections share.
struct Shared {
    templates: Vec<Template>,
    next: AtomicU64,
    started: Instant,
    end: Instant,
    pace: Option<Pace>,
}

/// When the deliveries of an open loop are due.
struct Pace {
    gap: Duration,
    due: Semaphore,
}

#[derive(Default)]
struct Tally {
    latencies_ms: Vec<f64>,
    refused: u64,
    last: Option<Instant>,
}

async fn generate(order: &Order) -> Outcome {
    let templates = templates(&order.payloads, &order.run);
    let mut connections = Vec::with_capacity(order.connections);
    for _ in 0..order.connections {
        connections.push(Connection::open(order.address).await.expect("the server accepts"));
    }
    let own = Watched(std::process::id());
    let cpu_before = own.cpu();
    let started = Instant::now();
    let shared = Arc::new(Shared {
        templates,
        next: AtomicU64::new(0),
        started,
        end: started + Duration::from_secs_f64(order.seconds),
        pace: order.rate.map(|rate| Pace {
            gap: Duration::from_secs_f64(1.0 / rate),
            due: Semaphore::new(0),
        }),
    });
    if shared.pace.is_some() {
        let shared = Arc::clone(&shared);
        // A thread: the timer of the runtime ticks in milliseconds, which is more than many an answer takes.
        std::thread::spawn(move || keep_pace(&shared));
    }
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(converse(Arc::clone(&shared), connection));
    }
    let tallies = tasks.join_all().await;
    let cpu = own.cpu().saturating_sub(cpu_before);
    let last = tallies
        .iter()
        .filter_map(|tally| tally.last)
        .max()
        .unwrap_or(started);
    let refused = tallies.iter().map(|tally| tally.refused).sum();
    let latencies = Spread::of(tallies.into_iter().flat_map(|tally| tally.latencies_ms));
    Outcome {
        taken: latencies.count() as u64,
        refused,
        seconds: (last - started).as_secs_f64(),
        p50_ms: latencies.percentile(0.5),
        p99_ms: latencies.percentile(0.99),
        p999_ms: latencies.percentile(0.999),
        cpu_seconds: cpu.as_secs_f64(),
    }
}

fn templates(file: &Path, run: &str) -> Vec<Template> {
    let examples = payload::read(file).into_iter();
    examples
        .map(|example| Template::new(&example.event, &example.signature, example.body.into_bytes(), run))
        .collect()
}

/// Lets deliveries go as they become due.
fn keep_pace(shared: &Shared) {
    let Some(pace) = &shared.pace else { return };
    let mut due = shared.started;
    while due < shared.end {
        let now = Instant::now();
        if due > now {
            std::thread::sleep(due - now);
        }
        pace.due.add_permits(1);
        due += pace.gap;
    }
    pace.due.close();
}

async fn converse(shared: Arc<Shared>, mut connection: Connection) -> Tally {
    let mut tally = Tally::default();
    let mut head = Vec::new();
    while let Some((number, due)) = next(&shared).await {
        let template = &shared.templates[number as usize % shared.templates.len()];
        template.head_of(number, &mut head);
        let answer = connection
            .exchange(&head, &template.body)
            .await
            .expect("the server answers");
        let status = answer.status;
        if status == 200 {
            tally.latencies_ms.push(due.elapsed().as_secs_f64() * 1000.0);
        } else {
            if tally.refused == 0 {
                eprintln!("answered {status}: {}", String::from_utf8_lossy(answer.body));
            }
            tally.refused += 1;
        }
        tally.last = Some(Instant::now());
    }
    tally
}

/// The number of the next delivery, and when it was due.
async fn next(shared: &Shared) -> Option<(u64, Instant)> {
    let number = || shared.next.fetch_add(1, Ordering::Relaxed);
    match &shared.pace {
        None => (Instant::now() < shared.end).then(|| (number(), Instant::now())),
        Some(pace) => {
            pace.due.acquire().await.ok()?.forget();
            let number = number();
            Some((number, shared.started + pace.gap * number as u32))
        }
    }
}
