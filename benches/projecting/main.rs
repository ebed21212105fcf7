//! How fast one log is projected by 1, 2 and 4 partitions, in one process and in one process for each.
//!
//! A process is a runtime of its own here, on a thread of its own; all of them read one log in memory and write into one real
//! ClickHouse, which starts empty each time. The log holds the example payloads of GitHub over and over. Nothing is published:
//! what is measured is catching up. Every run has to come to the same answers. What it prints is a part of
//! `docs/benchmarks.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures says what it does and stops loudly"
)]

#[path = "../../tests/roles/answers.rs"]
mod answers;
mod process;
mod store;

use std::sync::Arc;
use std::time::Duration;

use answers::Answers;
use domain::testing::MemoryLog;
use domain::{EventLog, LogId, Position};
use process::Process;
use store::Store;
use tokio::time::Instant;
use uuid::Uuid;

/// How a run is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    partitions: u32,
    processes: u32,
}

const WAYS: [Way; 5] = [way(1, 1), way(2, 1), way(4, 1), way(2, 2), way(4, 4)];
const DEADLINE: Duration = Duration::from_secs(1800);

const fn way(partitions: u32, processes: u32) -> Way {
    Way {
        partitions,
        processes,
    }
}

fn knob(name: &str, default: u64) -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "the knobs of the benchmark are no settings of the product"
    )]
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let deliveries = knob("HOOKLOG_BENCH_DELIVERIES", 20_000);
    let runs = knob("HOOKLOG_BENCH_RUNS", 5).max(1);
    let log = Arc::new(MemoryLog::new(
        LogId::new(Uuid::now_v7()),
        Arc::new(process::Clockwork),
    ));
    let bytes = store::fill(&log, deliveries).await;
    eprintln!(
        "{deliveries} deliveries, {} bytes each on average",
        bytes / deliveries.max(1)
    );
    let store = Store::start().await;
    let mut answers = None;
    // ClickHouse and this program are warm after it.
    run(&store, &log, WAYS[0], &mut answers).await;
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
    for n in 0..usize::try_from(runs).unwrap() {
        // Each way stands at each place once in as many runs as there are ways.
        for place in 0..WAYS.len() {
            let which = (n + place) % WAYS.len();
            let way = WAYS[which];
            let seconds = run(&store, &log, way, &mut answers).await;
            let rate = events_per_second(deliveries, seconds);
            eprintln!(
                "run {}: {} partitions in {} processes, {rate:.0} events/s",
                n + 1,
                way.partitions,
                way.processes
            );
            measured[which].push(rate);
        }
    }
    store.stop().await;
    print_report(deliveries, bytes, runs, &mut measured);
}

#[expect(clippy::cast_precision_loss, reason = "a rate, for people to look at")]
fn events_per_second(events: u64, seconds: f64) -> f64 {
    events as f64 / seconds
}

/// Projects the log from its start into an empty store; how long it took, in seconds.
async fn run(store: &Store, log: &Arc<MemoryLog>, way: Way, answers: &mut Option<Answers>) -> f64 {
    store.empty().await;
    let head: Position = log.head().await.expect("the log is readable");
    let began = Instant::now();
    let running: Vec<Process> = (0..way.processes)
        .map(|nth| Process::start(way, nth, Arc::clone(log), store.options()))
        .collect();
    while !store.holds(head, way.partitions).await {
        assert!(began.elapsed() < DEADLINE, "it was never projected: {way:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed().as_secs_f64();
    running.into_iter().for_each(Process::stop);
    let found = answers::answers(&store.tables()).await;
    let first = answers.get_or_insert_with(|| found.clone());
    assert_eq!(*first, found, "{way:?} comes to other answers");
    took
}

fn print_report(deliveries: u64, bytes: u64, runs: u64, measured: &mut [Vec<f64>]) {
    println!("### Projecting with partitions\n");
    println!(
        "Catching up with {deliveries} deliveries in memory ({} bytes each on average: the example payloads of GitHub), all read \
         models, into one ClickHouse that was empty; {runs} alternating runs. After every run the tables, rollups added \
         up over partitions and blocks, had the same rows and hashes.\n",
        bytes / deliveries.max(1)
    );
    println!("| partitions | processes | events/s, median | from | to | times that of one |");
    println!("|---|---|---|---|---|---|");
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let one = median(&mut measured[0]);
    for (way, rates) in WAYS.iter().zip(measured) {
        let middle = median(rates);
        println!(
            "| {} | {} | {middle:.0} | {:.0} | {:.0} | {:.2} |",
            way.partitions,
            way.processes,
            rates[0],
            rates[rates.len() - 1],
            middle / one
        );
    }
}
