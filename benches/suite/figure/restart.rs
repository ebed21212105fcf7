//! Starting again over a log with many events: how soon deliveries are taken, and how soon everything is ready.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{self, Connection, Template};
use crate::delivery::Mould;
use crate::load::{self, Order};
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::{Bench, disk_room};

const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(600);
/// Bodies of the log that is begun with: what a start costs depends on how many events there are, not on their size.
const BODY_BYTES: usize = 1024;

/// When a started server did what, in seconds from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    pub(crate) accepting: f64,
    pub(crate) ready: f64,
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("restart");
    let events = bench.mode.restart_events;
    fill(&folder, events).await;
    let (mut clean, mut killed) = (Vec::new(), Vec::new());
    let mut runs = 0;
    let mut server = Server::start(&folder, "").await;
    server.settled().await;
    for _ in 0..bench.mode.pairs.min(3) {
        server.stop().await;
        (server, runs) = (again(bench, &folder, &mut clean, runs).await, runs + 1);
        server.settled().await;
        let order = Order {
            address: server.address(),
            payloads: bench.payloads.file.clone(),
            connections: 64,
            seconds: 1.0,
            rate: None,
            run: format!("before-the-kill-{runs}"),
        };
        load::send(&order).await;
        // Dropped is killed: engines, index and checkpoints are as they happen to be.
        drop(server);
        (server, runs) = (again(bench, &folder, &mut killed, runs).await, runs + 1);
        server.settled().await;
    }
    server.stop().await;
    let each = |runs: &[Started], figure: fn(&Started) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    let goals = events >= 100_000;
    let goal = |bound| if goals { Goal::AtMost(bound) } else { Goal::None };
    let name = |what: &str| format!("restart over {events} events: {what}");
    let both: Vec<Started> = clean.iter().chain(&killed).copied().collect();
    report.figure(Figure::alone(
        &name("accepting"),
        " s",
        &each(&both, |run| run.accepting),
        goal(1.0),
    ));
    report.figure(Figure::alone(
        &name("all ready after a clean stop"),
        " s",
        &each(&clean, |run| run.ready),
        goal(3.0),
    ));
    report.figure(Figure::alone(
        &name("all ready after kill -9"),
        " s",
        &each(&killed, |run| run.ready),
        goal(10.0),
    ));
    report.section(
        "Starting again",
        &format!(
            "All roles and engines over a log of {events} events and more ({BODY_BYTES} bytes each, then a second of full load before each kill -9). \
             Times are from the start of the process: until a signed delivery is answered 200, and until `/ready` is."
        ),
    );
    disk_room(&[&folder]);
}

/// A log of that many events in the data directory of a server.
pub(crate) async fn fill(folder: &Path, events: u64) {
    // The first start makes the data directory.
    Server::start(folder, "ingest").await.stop().await;
    let log = logs::open(&folder.join("data/log")).await;
    logs::fill(
        &log,
        vec![Mould::of_bytes(BODY_BYTES)],
        256,
        0,
        Until::Count(events),
    )
    .await;
    log.close().await;
}

async fn again(bench: &Bench, folder: &Path, times: &mut Vec<Started>, run: usize) -> Server {
    let (server, started) = start(bench, folder, &format!("restart-{run}")).await;
    times.push(started);
    server
}

/// Starts a server and takes its times.
pub(crate) async fn start(bench: &Bench, folder: &Path, run: &str) -> (Server, Started) {
    let example = &bench.payloads.examples[0];
    let template = Template::new(
        &example.event,
        &example.signature,
        example.body.clone().into_bytes(),
        run,
    );
    let mut head = Vec::new();
    template.head_of(0, &mut head);
    let began = Instant::now();
    let server = Server::spawn(folder, "", &[]);
    let mut accepting = None;
    loop {
        assert!(
            began.elapsed() < PATIENCE,
            "it never became ready: {}",
            server.printed()
        );
        if accepting.is_none() {
            accepting = takes(&server, &head, &template.body)
                .await
                .then(|| began.elapsed());
        } else if matches!(client::get(server.address(), "/ready").await, Ok((200, _))) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let started = Started {
        accepting: accepting.unwrap_or_default().as_secs_f64(),
        ready: began.elapsed().as_secs_f64(),
    };
    (server, started)
}

async fn takes(server: &Server, head: &[u8], body: &[u8]) -> bool {
    let Ok(mut connection) = Connection::open(server.address()).await else {
        return false;
    };
    connection
        .exchange(head, body)
        .await
        .is_ok_and(|answer| answer.status == 200)
}
