//! Durable receiving beside a handler that keeps nothing: requests a second, processor time, syncs, and how long an answer
//! takes at half of the greatest rate.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::Bench;
use crate::disk;
use crate::load::{self, Order, Outcome};
use crate::logs;
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::{Rounded, Spread};

const CONNECTIONS: usize = 64;
/// How much ground the log prepares with one sync (`log.embedded.fill_step_bytes`).
const FILL_STEP_BYTES: f64 = 512.0 * 1024.0;

/// A run, and what the server used meanwhile.
struct Run {
    outcome: Outcome,
    /// Processor time of the server, in microseconds for each delivery.
    server_us: f64,
    /// Syncs of the log for each delivery, where there is a log.
    syncs: f64,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Ours,
    Bare,
    Durable,
}

struct Contest<'b> {
    bench: &'b Bench,
    /// Where ours is.
    folder: PathBuf,
    ours: Server,
    bare: Server,
    durable: Server,
    runs: u32,
}

impl Contest<'_> {
    async fn run(&mut self, side: Side, time: Duration, rate: Option<f64>) -> Run {
        let server = match side {
            Side::Ours => &self.ours,
            Side::Bare => &self.bare,
            Side::Durable => &self.durable,
        };
        self.runs += 1;
        let order = Order {
            address: server.address(),
            payloads: self.bench.payloads.file.clone(),
            connections: CONNECTIONS,
            seconds: time.as_secs_f64(),
            rate,
            run: format!("run-{}", self.runs),
        };
        let before = (server.process().cpu(), self.syncs(side).await);
        let outcome = load::send(&order).await;
        let used = server.process().cpu().saturating_sub(before.0);
        let syncs = self.syncs(side).await - before.1;
        assert_eq!(
            outcome.refused, 0,
            "what was refused makes the figures mean nothing"
        );
        let taken = outcome.taken as f64;
        Run {
            server_us: used.as_secs_f64() * 1e6 / taken,
            syncs: syncs / taken,
            outcome,
        }
    }

    /// Syncs of the log so far: one for each batch, and one for each piece of ground that is prepared for coming ones.
    async fn syncs(&self, side: Side) -> f64 {
        if side != Side::Ours {
            return 0.0;
        }
        let batches = self.ours.metric("hooklog_log_syncs_total").await.unwrap_or(0.0);
        batches + logs::prepared_bytes(&self.folder.join("data/log")) / FILL_STEP_BYTES
    }
}

/// Runs of all three, in turns.
#[derive(Default)]
struct Runs {
    ours: Vec<Run>,
    bare: Vec<Run>,
    durable: Vec<Run>,
}

impl Runs {
    fn each(&self, figure: impl Fn(&Run) -> f64) -> (Vec<f64>, Vec<f64>) {
        (
            self.ours.iter().map(&figure).collect(),
            self.bare.iter().map(&figure).collect(),
        )
    }

    fn durable(&self, figure: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.durable.iter().map(figure).collect()
    }
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let [folder, bare_folder, durable_folder] =
        ["ingest", "bare-handler", "durable-handler"].map(|name| bench.folder(name));
    let mut contest = Contest {
        ours: Server::start(&folder, "ingest").await,
        bare: Server::handler(&bare_folder, "bare-handler").await,
        durable: Server::handler(&durable_folder, "durable-handler").await,
        folder: folder.clone(),
        bench,
        runs: 0,
    };
    for side in [Side::Ours, Side::Durable, Side::Bare] {
        contest.run(side, bench.mode.warm_up, None).await;
    }
    let closed = closed(&mut contest, report).await;
    let (ours, _) = closed.each(|run| run.outcome.per_second());
    let rate = Spread::of(ours).median() / 2.0;
    let (open, limits, synced) = open(&mut contest, rate, report).await;
    let mut text = details(&closed, &open, &synced, rate);
    contest.ours.stop().await;
    contest.ours = Server::spawn(&folder, "ingest", &[("LOG_LEVEL", "info")]);
    contest.ours.ready().await;
    let talkative = contest.run(Side::Ours, bench.mode.load, None).await;
    let _ = write!(
        text,
        " With a line of log for each delivery, as by default (`info`, into a file): {:.0}/s, {} µs of server CPU.",
        talkative.outcome.per_second(),
        Rounded(talkative.server_us)
    );
    text.push_str(&reference(&closed, &open, &limits));
    report.section("Receiving", &text);
    report.gap(gap(&closed));
    contest.ours.stop().await;
    drop(contest.durable);
    crate::disk_room(&[&folder, &durable_folder]);
}

/// As fast as answers come.
async fn closed(contest: &mut Contest<'_>, report: &mut Report) -> Runs {
    let (mode, mut runs) = (contest.bench.mode, Runs::default());
    for _ in 0..mode.pairs {
        runs.ours.push(contest.run(Side::Ours, mode.load, None).await);
        runs.durable
            .push(contest.run(Side::Durable, mode.load, None).await);
        runs.bare.push(contest.run(Side::Bare, mode.load, None).await);
    }
    let (ours, bare) = runs.each(|run| run.outcome.per_second());
    report.figure(Figure::beside(
        "durable ingest ÷ bare handler, closed loop",
        "/s",
        &ours,
        &bare,
        Goal::AtLeast(0.70),
    ));
    let (ours, bare) = runs.each(|run| run.server_us);
    report.figure(Figure::beside(
        "server CPU per durable delivery ÷ bare handler",
        " µs",
        &ours,
        &bare,
        Goal::AtMost(1.6),
    ));
    let (syncs, _) = runs.each(|run| run.syncs);
    report.figure(Figure::alone(
        "fdatasyncs per delivery, closed loop",
        "",
        &syncs,
        Goal::AtMost(0.1),
    ));
    runs
}

/// At a rate, beside the disk alone.
async fn open(contest: &mut Contest<'_>, rate: f64, report: &mut Report) -> (Runs, Vec<f64>, Vec<f64>) {
    let (mode, mut runs, mut synced) = (contest.bench.mode, Runs::default(), Vec::new());
    for _ in 0..mode.pairs {
        let ours = contest.run(Side::Ours, mode.load, Some(rate)).await;
        let batch_bytes = contest.bench.payloads.mean_bytes() / ours.syncs.max(1e-3);
        runs.ours.push(ours);
        runs.durable
            .push(contest.run(Side::Durable, mode.load, Some(rate)).await);
        runs.bare
            .push(contest.run(Side::Bare, mode.load, Some(rate)).await);
        synced.push(disk::syncs(&contest.folder, batch_bytes as usize, mode.load / 2).percentile(0.99));
    }
    let (ours, bare) = runs.each(|run| run.outcome.p99_ms);
    let bounds: Vec<f64> = bare
        .iter()
        .zip(&synced)
        .map(|(bare, sync)| bare + 2.0 * sync)
        .collect();
    let name = format!(
        "ack p99 at half of the maximum rate ({rate:.0}/s, open loop) ÷ (bare handler's p99 + 2 × the disk's sync p99)"
    );
    report.figure(Figure::beside(&name, " ms", &ours, &bounds, Goal::AtMost(1.0)));
    (runs, bounds, synced)
}

fn details(closed: &Runs, open: &Runs, synced: &[f64], rate: f64) -> String {
    let mut text = format!(
        "`hooklog serve --roles ingest` (log level `warn`) beside a poem handler that reads the body, checks the HMAC, takes event, action and \
         repository out of it with borrowed structs, and keeps nothing. {CONNECTIONS} connections. The generator is a process \
         of its own on the same cores; what it uses itself stands beside.\n\n\
         | loop | server | deliveries/s | p50 | p99 | p99.9 | server CPU | generator CPU | syncs per delivery |\n|---|---|---|---|---|---|---|---|---|\n"
    );
    for (kind, runs) in [("closed", closed), (&*format!("open, {rate:.0}/s"), open)] {
        for (server, runs) in [
            ("Hooklog", &runs.ours),
            ("durable handler", &runs.durable),
            ("bare handler", &runs.bare),
        ] {
            let each = |figure: &dyn Fn(&Run) -> f64, unit| Spread::of(runs.iter().map(figure)).cell(unit);
            let syncs = if server == "Hooklog" {
                each(&|run| run.syncs, "")
            } else {
                "–".to_owned()
            };
            let _ = writeln!(
                text,
                "| {kind} | {server} | {} | {} | {} | {} | {} | {} | {syncs} |",
                each(&|run| run.outcome.per_second(), ""),
                each(&|run| run.outcome.p50_ms, " ms"),
                each(&|run| run.outcome.p99_ms, " ms"),
                each(&|run| run.outcome.p999_ms, " ms"),
                each(&|run| run.server_us, " µs"),
                each(&|run| run.outcome.generator_us(), " µs"),
            );
        }
    }
    let _ = write!(
        text,
        "\nThe disk alone, writing and syncing what a batch of the open loop holds, right after each pair: p99 {}.",
        Spread::of(synced.iter().copied()).cell(" ms")
    );
    text
}

/// What a receiver costs that does only what cannot be left out, beside the goals.
fn reference(closed: &Runs, open: &Runs, limits: &[f64]) -> String {
    let mut text = "\n\nThe durable handler is the bare one with the least that a receiver with our contract has to add: a SHA-256 of the body, which is then handed over with 700 bytes of metadata \
         to one writer; all that wait are put into one buffer with a CRC-32C, padded, written and synced, and answered. No index, no deduplication, no decisions, no metrics; syncs begin as far apart \
         as ours, in a file that grows. It is what a receiver costs that does only what cannot be left out: where it misses a goal, leaving out all that we do beside would not reach it. That is \
         measured for a receiver built like this one, with this server and this disk, and is no bound for others; where ours does better, as preparing ground may for its p99, ours is the nearer to what can be done.\n\n\
         | durable handler | | held against the goal | goal | ours ÷ durable handler |\n|---|---|---|---|---|\n"
        .to_owned();
    let per_second = |run: &Run| run.outcome.per_second();
    let (server_us, p99) = (|run: &Run| run.server_us, |run: &Run| run.outcome.p99_ms);
    let rows = [
        (
            "deliveries/s, closed loop",
            closed.each(per_second),
            closed.durable(per_second),
            "≥ 0.700",
        ),
        (
            "server CPU, closed loop",
            closed.each(server_us),
            closed.durable(server_us),
            "≤ 1.60",
        ),
        (
            "ack p99, open loop",
            (open.each(p99).0, limits.to_vec()),
            open.durable(p99),
            "≤ 1.00",
        ),
    ];
    for ((name, (ours, ceiling), durable, goal), unit) in rows.into_iter().zip(["/s", " µs", " ms"]) {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {goal} | {} |",
            Spread::of(durable.iter().copied()).cell(unit),
            Spread::ratio(&durable, &ceiling).cell(""),
            Spread::ratio(&ours, &durable).cell(""),
        );
    }
    text
}

fn gap(closed: &Runs) -> String {
    let median = |figure: &dyn Fn(&Run) -> f64, runs: &[Run]| Spread::of(runs.iter().map(figure)).median();
    let (ours, bare) = (
        median(&|run| run.server_us, &closed.ours),
        median(&|run| run.server_us, &closed.bare),
    );
    let generator = median(&|run| run.outcome.generator_us(), &closed.ours);
    format!(
        "**Receiving**: {} µs of processor time for each delivery beside {} µs; the generator takes {} µs more of the same cores. \
         With those, the cores alone would allow {}/s.",
        Rounded(ours),
        Rounded(bare),
        Rounded(generator),
        Rounded(
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64 * 1e6
                / (ours + generator)
        ),
    )
}
