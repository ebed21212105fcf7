//! Whether cost grows with size no faster than it should: the same things over logs and tables of several sizes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;

use super::{query, read, relay, restart};
use crate::delivery::Mould;
use crate::load::{self, Order};
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::{Rounded, Spread};
use crate::{Bench, disk_room, engines};

const BODY_BYTES: usize = 1024;
const STARTS: usize = 3;
/// Deliveries that are projected on top of what the tables hold.
const PROJECTED: Duration = Duration::from_secs(2);

/// A line of the table: one figure at each size.
struct Line {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

/// Lines that grow by a column.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn put(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|line| line.name == name) {
            Some(line) => line.values.push(value),
            None => self.0.push(Line {
                name: name.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }
}

pub(crate) async fn measure(bench: &Bench, recorder: &PrometheusHandle, report: &mut Report) {
    let mode = &bench.mode;
    if mode.growth_events.is_empty() {
        report.missing(
            "cost over size, the last column ÷ the first",
            "in make bench-scale alone",
        );
        return;
    }
    let mut logs = Lines::default();
    for &events in mode.growth_events {
        eprintln!("   a log of {events} events");
        of_log(bench, recorder, events, &mut logs).await;
    }
    let mut tables = Lines::default();
    for &rows in mode.growth_rows {
        eprintln!("   tables of {rows} deliveries");
        of_tables(bench, rows, &mut tables).await;
    }
    for line in logs.0.iter().chain(&tables.0) {
        if let (Some(first), Some(last)) = (line.values.first(), line.values.last()) {
            let name = format!("{}, at the largest size ÷ at the smallest", line.name);
            report.figure(Figure::alone(&name, "", &[last / first], Goal::AtMost(1.2)));
        }
    }
    let mut text = format!(
        "One run each; bodies of {BODY_BYTES} bytes in the log. What is given for each event should not depend on the size.\n\n"
    );
    text.push_str(&table("events in the log", mode.growth_events, &logs));
    text.push('\n');
    text.push_str(&table("deliveries in the tables", mode.growth_rows, &tables));
    report.section("Growth", &text);
}

fn table(head: &str, sizes: &[u64], lines: &Lines) -> String {
    let mut text = format!("| {head} |");
    for size in sizes {
        let _ = write!(text, " {size} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(sizes.len()));
    for line in &lines.0 {
        let _ = write!(text, "| {} |", line.name);
        for value in &line.values {
            let _ = write!(text, " {}{} |", Rounded(*value), line.unit);
        }
        text.push('\n');
    }
    text
}

async fn of_log(bench: &Bench, recorder: &PrometheusHandle, events: u64, lines: &mut Lines) {
    let (folder, engine_folder) = (bench.folder("growth"), bench.folder("growth-engines"));
    Server::start(&folder, "ingest").await.stop().await;
    let log = logs::open(&folder.join("data/log")).await;
    let moulds = vec![Mould::of_bytes(BODY_BYTES)];
    let (appended, took) = logs::fill(&log, moulds, 64, 0, Until::Count(events)).await;
    let each = |took: Duration, count: f64| took.as_secs_f64() * 1e6 / count;
    lines.put("append, 64 writers, an event", " µs", each(took, appended as f64));
    read::forget(&folder.join("data/log"));
    let began = Instant::now();
    read::read_all(&log).await;
    lines.put(
        "reading for a replay, cold, an event",
        " µs",
        each(began.elapsed(), events as f64),
    );
    let running = engines::start(&engine_folder, true, false).await;
    let nats = running.endpoints().nats.clone().expect("NATS was asked for");
    let before = logs::counted(recorder, "hooklog_relay_published_total");
    let took = relay::relay(&log, &nats).await;
    let published = logs::counted(recorder, "hooklog_relay_published_total") - before;
    lines.put("relay, an event", " µs", each(took, published));
    running.shutdown().await;
    log.close().await;
    drop(Arc::into_inner(log));
    disk_room(&[&engine_folder]);
    let server = Server::start(&folder, "").await;
    server.settled().await;
    server.stop().await;
    let mut starts = Vec::new();
    for start in 0..STARTS {
        let (server, started) = restart::start(bench, &folder, &format!("growth-{start}")).await;
        starts.push(started);
        server.settled().await;
        server.stop().await;
    }
    let median = |figure: fn(&restart::Started) -> f64| Spread::of(starts.iter().map(figure)).median();
    lines.put("restart: accepting", " s", median(|start| start.accepting));
    lines.put("restart: all ready", " s", median(|start| start.ready));
    disk_room(&[&folder]);
}

async fn of_tables(bench: &Bench, rows: u64, lines: &mut Lines) {
    let folder = bench.folder("growth");
    let delivery = query::prepare(bench, &folder, rows).await;
    let server = Server::spawn(&folder, "", &[("HOOKLOG_API__CACHE_MS", "0")]);
    server.ready().await;
    server.settled().await;
    for question in query::questions(&delivery) {
        let taken = query::ask(&server, &question, bench.mode.questions).await;
        lines.put(
            &format!("{}, uncached p95", question.name),
            " ms",
            taken.percentile(0.95),
        );
    }
    let order = Order {
        address: server.address(),
        payloads: bench.payloads.file.clone(),
        connections: 64,
        seconds: PROJECTED.as_secs_f64(),
        rate: None,
        run: "projected".to_owned(),
    };
    let began = Instant::now();
    let outcome = load::send(&order).await;
    server.settled().await;
    let each = began.elapsed().as_secs_f64() * 1e6 / outcome.taken as f64;
    lines.put(
        "receiving and projecting, until nothing is behind, a delivery",
        " µs",
        each,
    );
    server.stop().await;
    disk_room(&[&folder]);
}
