//! What `hooklog` itself takes: memory idle, at full rate, with the largest bodies under way; processor time when nothing
//! happens; the size of its binary.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::sync::Arc;
use tokio::task::JoinSet;

use crate::client::{Connection, Template};
use crate::load::{self, Order};
use crate::report::{Figure, Goal, Report};
use crate::server::{SECRET, Server};
use crate::{Bench, disk_room};

const LARGE: usize = 32;
const LARGE_BYTES: usize = 25 * 1024 * 1024;

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("resources");
    let server = Server::start(&folder, "").await;
    server.settled().await;
    let process = server.process();
    tokio::time::sleep(bench.mode.idle / 2).await;
    let before = process.cpu();
    tokio::time::sleep(bench.mode.idle).await;
    let used = (process.cpu().saturating_sub(before)).as_secs_f64() / bench.mode.idle.as_secs_f64();
    let (resident, _) = process.resident_mib();
    report.figure(Figure::alone(
        "resident memory, idle",
        " MiB",
        &[resident],
        Goal::AtMost(60.0),
    ));
    report.figure(Figure::alone(
        "processor time, idle",
        " % of a core",
        &[used * 100.0],
        Goal::AtMost(0.5),
    ));
    process.forget_peak();
    let order = Order {
        address: server.address(),
        payloads: bench.payloads.file.clone(),
        connections: 64,
        seconds: bench.mode.load.as_secs_f64(),
        rate: None,
        run: "full-rate".to_owned(),
    };
    load::send(&order).await;
    let (_, peak) = process.resident_mib();
    report.figure(Figure::alone(
        "resident memory, the most at full rate",
        " MiB",
        &[peak],
        Goal::AtMost(200.0),
    ));
    server.settled().await;
    process.forget_peak();
    large(&server).await;
    server.settled().await;
    let (_, peak) = process.resident_mib();
    report.figure(Figure::alone(
        "resident memory, the most with 32 × 25 MiB under way",
        " MiB",
        &[peak],
        Goal::AtMost(300.0),
    ));
    build(report);
    report.section(
        "Memory and processor",
        &format!(
            "The process `hooklog` with all roles, its engines apart: resident as the kernel counts it (`VmRSS`, `VmHWM`), files that are mapped included. Idle is {} s after the start, for {} s. \
             The largest bodies are {LARGE} of {LARGE_BYTES} bytes at once, equal but for their ids.",
            (bench.mode.idle / 2).as_secs_f64(),
            bench.mode.idle.as_secs()
        ),
    );
    server.stop().await;
    disk_room(&[&folder]);
}

/// What building costs and gives.
fn build(report: &mut Report) {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_hooklog")).map_or(0, |file| file.len());
    report.figure(Figure::alone(
        "size of the binary",
        " MiB",
        &[bytes as f64 / 1024.0 / 1024.0],
        Goal::None,
    ));
    report.missing(
        "cold release build on 2 cores",
        "it would take the cache of builds away: `cargo clean && cargo build --release --timings`",
    );
}

async fn large(server: &Server) {
    let (before, after) = (r#"{"action":"opened","filler":""#, r#""}"#);
    let mut body = before.as_bytes().to_vec();
    body.resize(LARGE_BYTES - after.len(), b'x');
    body.extend_from_slice(after.as_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(&body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let template = Arc::new(Template::new("issues", &signature, body, "large"));
    let mut tasks = JoinSet::new();
    for number in 0..LARGE {
        let template = Arc::clone(&template);
        let mut connection = Connection::open(server.address())
            .await
            .expect("the server accepts");
        tasks.spawn(async move {
            let mut head = Vec::new();
            template.head_of(number as u64, &mut head);
            let answer = connection
                .exchange(&head, &template.body)
                .await
                .expect("an answer");
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(answer.body));
        });
    }
    tasks.join_all().await;
}
