//! All roles and engines on this machine: the greatest rate at which nothing falls behind.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::load::{self, Order, Outcome};
use crate::process::Watched;
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::{Rounded, Spread};
use crate::{Bench, disk_room};

const CONNECTIONS: usize = 64;
/// A lag of less than this much time is no lag that grows.
const LAG: Duration = Duration::from_secs(1);
/// What is to be kept up with, in deliveries a second.
const GOAL: f64 = 3000.0;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// One rate, tried.
struct Try {
    rate: f64,
    outcome: Outcome,
    /// Events behind: the most in the first half of the time, and in the second.
    behind: (u64, u64),
    /// How long it took until nothing was behind any more.
    settling: Duration,
    /// Processor time in microseconds for each delivery: ours, NATS, ClickHouse.
    used_us: [f64; 3],
    kept_up: bool,
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("sustained");
    let server = Server::start(&folder, "").await;
    let order = |seconds: Duration, rate: Option<f64>, run: usize| Order {
        address: server.address(),
        payloads: bench.payloads.file.clone(),
        connections: CONNECTIONS,
        seconds: seconds.as_secs_f64(),
        rate,
        run: format!("run-{run}"),
    };
    let greatest = load::send(&order(bench.mode.load, None, 0)).await.per_second();
    server.settled().await;
    let (mut kept, mut lost) = (0.0, greatest);
    let mut tries: Vec<Try> = Vec::new();
    // One more than planned when the last was kept up with: what it could do is above.
    while tries.len() < bench.mode.sustained_tries
        || tries.len() == bench.mode.sustained_tries && tries.last().is_some_and(|last| last.kept_up)
    {
        let rate = next_rate(kept, lost);
        let order = order(bench.mode.sustained, Some(rate), tries.len() + 1);
        let tried = attempt(&server, &order, rate).await;
        eprintln!(
            "   {rate:.0}/s: {} behind, then {}; {}",
            tried.behind.0,
            tried.behind.1,
            if tried.kept_up { "kept up" } else { "fell behind" }
        );
        if tried.kept_up {
            kept = rate
        } else {
            lost = rate
        }
        tries.push(tried);
    }
    report.figure(Figure::alone(
        "sustained end to end, all roles and engines",
        "/s",
        &[kept],
        Goal::AtLeast(GOAL),
    ));
    report.section("End to end", &details(&tries, greatest, bench.mode.sustained));
    if let Some(last) = tries.iter().rfind(|tried| tried.kept_up).or(tries.last()) {
        report.gap(gap(last));
    }
    server.stop().await;
    disk_room(&[&folder]);
}

/// Halfway, or the goal itself where that is near.
fn next_rate(kept: f64, lost: f64) -> f64 {
    let halfway = f64::midpoint(kept, lost);
    if kept < GOAL && GOAL < lost && (halfway - GOAL).abs() < GOAL / 3.0 {
        GOAL
    } else {
        halfway
    }
}

async fn attempt(server: &Server, order: &Order, rate: f64) -> Try {
    let parts = parts(server);
    let before = parts.clone().map(used);
    let seconds = Duration::from_secs_f64(order.seconds);
    let (outcome, behind) = tokio::join!(load::send(order), watch(server, seconds));
    let spent = Instant::now();
    server.settled().await;
    let settling = spent.elapsed();
    let taken = outcome.taken as f64;
    let after = parts.map(used);
    let used_us = std::array::from_fn(|n| (after[n].saturating_sub(before[n])).as_secs_f64() * 1e6 / taken);
    let sent_in_time = outcome.per_second() > rate * 0.97 && outcome.refused == 0;
    let small = (rate * LAG.as_secs_f64()) as u64;
    Try {
        kept_up: sent_in_time && (behind.1 <= small || behind.1 <= behind.0 + behind.0 / 10),
        rate,
        outcome,
        behind,
        settling,
        used_us,
    }
}

/// The most that projections and relay were behind, in the first and in the second half.
async fn watch(server: &Server, time: Duration) -> (u64, u64) {
    let began = Instant::now();
    let mut most = (0, 0);
    while began.elapsed() < time {
        let relay = server.metric("hooklog_relay_lag_events").await.unwrap_or(0.0);
        let behind = server.behind().await.max(relay as u64);
        let half = if began.elapsed() < time / 2 {
            &mut most.0
        } else {
            &mut most.1
        };
        *half = (*half).max(behind);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    most
}

/// Ours, NATS, ClickHouse, each with its wrapper.
fn parts(server: &Server) -> [Vec<Watched>; 3] {
    let children = server.process().descendants();
    let named = |name: &str| {
        let of_it = children.iter().filter(|(_, line)| line.contains(name));
        of_it.map(|(pid, _)| Watched(*pid)).collect()
    };
    [vec![server.process()], named("nats"), named("clickhouse")]
}

fn used(processes: Vec<Watched>) -> Duration {
    processes.into_iter().map(Watched::cpu).sum()
}

fn details(tries: &[Try], greatest: f64, time: Duration) -> String {
    let mut text = format!(
        "`hooklog serve` with everything it does by default, its engines embedded, {CONNECTIONS} connections. Receiving alone, closed loop, it took {greatest:.0}/s while the rest \
         fell behind. Then rates were tried for {} s each, an open loop: one is kept up with when all were taken in time and what is behind (relay or projections, the most) does not grow \
         from the first half to the second, or stays within a second's worth.\n\n\
         | rate | kept up | taken/s | ack p50 | ack p99 | behind, first half | second half | settled after | CPU: ours | NATS | ClickHouse | generator |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        time.as_secs()
    );
    for tried in tries {
        let _ = writeln!(
            text,
            "| {:.0}/s | {} | {:.0} | {} ms | {} ms | {} | {} | {:.1} s | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs |",
            tried.rate,
            if tried.kept_up { "yes" } else { "no" },
            tried.outcome.per_second(),
            Rounded(tried.outcome.p50_ms),
            Rounded(tried.outcome.p99_ms),
            tried.behind.0,
            tried.behind.1,
            tried.settling.as_secs_f64(),
            tried.used_us[0],
            tried.used_us[1],
            tried.used_us[2],
            tried.outcome.generator_us(),
        );
    }
    text
}

fn gap(tried: &Try) -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
    let sum = tried.used_us.iter().sum::<f64>() + tried.outcome.generator_us();
    format!(
        "**End to end**: at {:.0}/s a delivery costs {} µs of processor time: {} ours, {} of NATS, {} of ClickHouse, {} of the generator. \
         The sum of its parts allows {}/s on {cores} cores.",
        tried.rate,
        Rounded(sum),
        Rounded(tried.used_us[0]),
        Rounded(tried.used_us[1]),
        Rounded(tried.used_us[2]),
        Rounded(tried.outcome.generator_us()),
        Spread::of([cores * 1e6 / sum]).cell(""),
    )
}
