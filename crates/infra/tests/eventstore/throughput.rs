//! What a delivery costs the server, one by one and many at once.
#![allow(clippy::print_stdout, reason = "it says what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::testing::TestDelivery;
use eventstore_sim::Calls;
use futures_util::{StreamExt as _, stream};
use infra::eventstore::{EventStoreLog, EventStoreOptions};

use super::harness::{Server, delivery, options, receive};

/// How many deliveries are under way at the same time.
const IN_FLIGHT: usize = 64;

struct Run {
    took: Duration,
    calls: Calls,
    originals: usize,
    slowest: Duration,
}

/// Receives deliveries through some logs of one server, so many at the same time.
async fn run(
    server: &Server,
    logs: &[Arc<EventStoreLog>],
    deliveries: Vec<TestDelivery>,
    in_flight: usize,
) -> Run {
    let (begin, before) = (Instant::now(), server.node.faults.calls());
    let receiving = deliveries.into_iter().enumerate().map(|(n, delivery)| {
        let log = Arc::clone(&logs[n % logs.len()]);
        async move {
            let begin = Instant::now();
            let received = tokio::spawn(async move { receive(&log, &delivery).await });
            (received.await.unwrap().duplicate_of, begin.elapsed())
        }
    });
    let done: Vec<_> = stream::iter(receiving)
        .buffer_unordered(in_flight)
        .collect()
        .await;
    let after = server.node.faults.calls();
    Run {
        took: begin.elapsed(),
        calls: Calls {
            appends: after.appends - before.appends,
            batched: after.batched - before.batched,
            reads: after.reads - before.reads,
            ..Calls::default()
        },
        originals: done.iter().filter(|(mark, _)| mark.is_none()).count(),
        slowest: done.iter().map(|(_, took)| *took).max().unwrap_or_default(),
    }
}

fn print(what: &str, count: usize, run: &Run) {
    println!(
        "{what}: {count} in {:.2?} ({:.0}/s, slowest {:.2?}); appends {}, reads {}",
        run.took,
        count as f64 / run.took.as_secs_f64(),
        run.slowest,
        run.calls.appends + run.calls.batched,
        run.calls.reads
    );
}

fn as_in_production(server: &Server) -> EventStoreOptions {
    let short = options(&server.node.url());
    EventStoreOptions {
        url: short.url,
        append_timeout_ms: 60_000,
        ..EventStoreOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_distinct_bodies_cost_four_calls_each() {
    let server = Server::start().await;
    let logs = [server.log_with(as_in_production(&server)).await];
    for (count, in_flight) in [(50, 1), (2000, IN_FLIGHT)] {
        let deliveries = (0..count)
            .map(|n| delivery(&format!("{in_flight} {n}")))
            .collect();
        let run = run(&server, &logs, deliveries, in_flight).await;
        print(&format!("distinct bodies, {in_flight} in flight"), count, &run);
        assert_eq!(run.originals, count);
        assert_eq!(run.calls.appends + run.calls.batched, 3 * count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_one_body_at_once_cost_no_more_than_others() {
    for (count, processes) in [(200, 1), (200, 3), (2000, 1), (2000, 3)] {
        let server = Server::start().await;
        let mut logs = Vec::new();
        for _ in 0..processes {
            logs.push(server.log_with(as_in_production(&server)).await);
        }
        let deliveries = (0..count).map(|_| delivery("one")).collect();
        let run = run(&server, &logs, deliveries, count).await;
        print(
            &format!("one body, all in flight, {processes} processes"),
            count,
            &run,
        );
        assert_eq!(run.originals, 1);
        // A look, an announcement under its own id, and itself; in each process one looks for the original, or a few.
        assert!(run.calls.appends + run.calls.batched <= 2 * count + 20 * processes);
        assert!(run.calls.reads <= count + 200 * processes, "{:?}", run.calls);
        assert_eq!(server.store.count("hooklog.delivery-"), count);
    }
}
