//! Whether a replay at the default rate leaves live deliveries their latency.
//!
//! It starts the real server with a destination, finds the greatest rate at which deliveries are taken (closed loop), then sends
//! half of it (open loop: latency counts from the time a delivery was due, not from when it could be sent), alternately with and
//! without a replay under way. What it prints is a part of `docs/benchmarks.md`. It asserts nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures says what it does and stops loudly"
)]

mod load;
mod server;
mod sink;

use std::time::Duration;

use load::{Latencies, Sender};
use server::Server;

/// Pairs of runs, alternating; the figure is the median of their ratios.
const PAIRS: usize = 5;
const CONNECTIONS: usize = 64;
const BODY_BYTES: usize = 10 * 1024;

fn seconds() -> Duration {
    #[allow(
        clippy::disallowed_methods,
        reason = "the knobs of the benchmark are no settings of the product"
    )]
    let given = std::env::var("HOOKLOG_BENCH_SECONDS").ok();
    Duration::from_secs(given.and_then(|text| text.parse().ok()).unwrap_or(15))
}

#[tokio::main]
async fn main() {
    // A client can't be built without one, whether it speaks TLS or not.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let sink = sink::start().await;
    let server = Server::start(folder.path(), sink.url()).await;
    let sender = Sender::new(server.url(), BODY_BYTES, CONNECTIONS);
    let run = seconds();
    // Deliveries to replay, and a warm server.
    let warm = sender.closed_loop(run).await;
    let greatest = sender.closed_loop(run).await;
    server.settled().await;
    let rate = greatest.per_second() / 2.0;
    eprintln!(
        "greatest rate {:.0}/s (warming up {:.0}/s); half of it is sent",
        greatest.per_second(),
        warm.per_second()
    );
    let mut pairs = Vec::new();
    for pair in 1..=PAIRS {
        let alone = sender.open_loop(rate, run).await;
        server.settled().await;
        let replay = server.start_replay().await;
        let beside = sender.open_loop(rate, run).await;
        let asked = server.cancel(&replay).await;
        server.settled().await;
        eprintln!(
            "pair {pair}: p99 {:.2} ms alone, {:.2} ms beside a replay that asked for {asked} deliveries",
            alone.percentile_ms(0.99),
            beside.percentile_ms(0.99)
        );
        pairs.push((alone, beside, asked));
    }
    print_report(greatest.per_second(), rate, run, &pairs);
    eprintln!("{} requests reached the destination", sink.received());
    server.stop().await;
}

fn print_report(greatest: f64, rate: f64, run: Duration, pairs: &[(Latencies, Latencies, u64)]) {
    println!("### Live deliveries beside a replay\n");
    println!(
        "Open loop, {rate:.0} deliveries/s of {BODY_BYTES} bytes over {CONNECTIONS} connections, half of the {greatest:.0}/s that \
         a closed loop reached; {} s a run, {PAIRS} alternating pairs; one destination on loopback; the replay at its default \
         rate.\n",
        run.as_secs()
    );
    println!(
        "| pair | p50 alone | p50 beside | p99 alone | p99 beside | ratio of p99 | replayed meanwhile |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for (number, (alone, beside, asked)) in pairs.iter().enumerate() {
        let ratio = beside.percentile_ms(0.99) / alone.percentile_ms(0.99);
        ratios.push(ratio);
        println!(
            "| {} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {ratio:.2} | {asked} |",
            number + 1,
            alone.percentile_ms(0.5),
            beside.percentile_ms(0.5),
            alone.percentile_ms(0.99),
            beside.percentile_ms(0.99),
        );
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
    let (least, most) = (
        ratios.first().copied().unwrap_or(f64::NAN),
        ratios.last().copied().unwrap_or(f64::NAN),
    );
    println!("\nMedian ratio **{median:.2}** (from {least:.2} to {most:.2}); the goal is 1.5 or less.");
}
