//! An attacker's day: everything at once that somebody without a secret can do, while honest senders go on.
//!
//! Everything is refused as documented, memory stays bounded, nothing of it is kept, and every honest delivery gets its 200.
//! How long those took is printed beside a quiet hour, never asserted: a test machine is no measuring device.

mod attacker;
mod flood;
mod shape;
mod slow;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Launch, Server, Signed, Tools, client, eventually, knob, peak_resident_bytes};
use attacker::Attacker;
use flood::Flood;
use slow::Slow;

/// Forged deliveries; `make drill` sends 100,000.
const FORGERIES: usize = 3000;
/// Connections that send a byte a second; `make drill` opens 10,000.
const SLOW: usize = 500;
/// Honest deliveries, in the quiet hour and in the day itself; `make drill` sends 1,000 for a p99 that says something.
const HONEST: usize = 200;
/// How long the server lets a head, or a body, take in this test.
const PATIENCE_MS: &str = "4000";

/// What the server may take, beside what each open connection costs.
const RESIDENT_BYTES_MAX: u64 = 300 * 1024 * 1024;
const CONNECTION_BYTES_MAX: u64 = 32 * 1024;
/// How soon a destination that must not be reached is given up.
const SOON: Duration = Duration::from_secs(60);

const DESTINATION: &str = r#"
[[destination]]
name = "metadata"
url = "http://169.254.169.254/latest/meta-data"
events = ["ping"]
timeout_ms = 2000
"#;

#[tokio::test(flavor = "multi_thread")]
async fn honest_senders_are_served_while_everything_is_thrown_at_the_server() {
    let (forgeries, slow) = (
        knob("HOOKLOG_FORGERIES", FORGERIES),
        Slow::possible(knob("HOOKLOG_SLOW", SLOW)),
    );
    let count = knob("HOOKLOG_HONEST", HONEST);
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let bomb = folder.path().join("bomb.gz");
    tools.python("bomb.py", &[&bomb.display().to_string(), "1024"]);
    let bomb = std::fs::read(bomb).unwrap();
    let server = start(&folder, slow).await;

    let quiet = honest(&server, Signed::many(&tools, count, "quiet")).await;

    let day = Signed::many(&tools, count, "day");
    let attacker = Attacker::new();
    let slow_ones = Slow::begin(&attacker, &server, slow).await;
    let flood = Flood::begin(&attacker, &server, forgeries);
    let (busy, ()) = tokio::join!(honest(&server, day), async {
        shape::every_shape_is_refused(&server).await;
        shape::an_endless_body_is_cut(&server).await;
        shape::a_bomb_does_not_go_off(&server, &bomb).await;
    });
    let refused = flood.end().await;
    let cut = slow_ones.all_cut().await;
    shape::a_hostile_text_stays_in_its_line(&server).await;
    the_inside_is_not_reached(&server).await;
    nothing_else_was_kept(&server, 2 * count + 2).await;

    let (resident, allowed) = (
        peak_resident_bytes(server.pid()),
        RESIDENT_BYTES_MAX + CONNECTION_BYTES_MAX * slow as u64,
    );
    eprintln!(
        "{refused} forgeries and {cut} slow connections refused; peak memory {} MiB; p99 of honest deliveries {:?} quiet, {:?} on \
         the day",
        resident / (1024 * 1024),
        p99(quiet),
        p99(busy)
    );
    assert_eq!(refused, forgeries);
    assert!(cut >= slow, "{cut} of {slow} slow connections were cut");
    assert!(resident < allowed, "{resident} bytes, {allowed} allowed");
}

async fn start(folder: &tempfile::TempDir, slow: usize) -> Server {
    Launch::in_folder(folder.path())
        .settings(DESTINATION)
        .env("HOOKLOG_SERVER__CONNECTIONS_MAX", &(slow + 1000).to_string())
        .env("HOOKLOG_SERVER__IDLE_TIMEOUT_MS", PATIENCE_MS)
        .env("HOOKLOG_INGEST__BODY_TIMEOUT_MS", PATIENCE_MS)
        .start()
        .await
}

/// Sends deliveries one after the other at the pace of a busy sender, and says how long each took. On a thread of its own: what
/// else this process does must not be taken for time that the server took.
async fn honest(server: &Server, deliveries: Vec<Signed>) -> Vec<Duration> {
    let base = server.base();
    let sending = async move {
        let (client, mut pace) = (client(), tokio::time::interval(Duration::from_millis(20)));
        let mut took = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            pace.tick().await;
            let begun = Instant::now();
            let answer = delivery.post(&client, &base).await.expect("an answer");
            took.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{}: {}", delivery.delivery, answer.json);
            assert!(!answer.is_duplicate(), "{}", delivery.delivery);
        }
        took
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    tokio::task::spawn_blocking(move || runtime.block_on(sending))
        .await
        .expect("every honest delivery is taken")
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() * 99 / 100]
}

/// A destination at the address where clouds keep their credentials is never asked.
async fn the_inside_is_not_reached(server: &Server) {
    let ping = Signed::new(
        "ping",
        "to-the-inside",
        json!({"zen": "Design for failure."}).to_string(),
    );
    assert_eq!(server.send(&ping).await.status, 200);
    let shown = server.delivery_becomes("to-the-inside", "dead", SOON).await;
    assert_eq!(shown["errorCode"], "VALIDATION_ERROR", "{shown}");
}

/// The log holds what honest senders sent, and nothing else.
async fn nothing_else_was_kept(server: &Server, expected: usize) {
    server.caught_up().await;
    eventually("the list is complete", SOON, || async {
        let listed = server.data_of("/api/webhooks/events?limit=1").await;
        let statistics = server.data_of("/api/webhooks/statistics").await;
        let (total, counted) = (&listed["total"], &statistics["summary"]["totalEvents"]);
        if *total == expected && *counted == expected {
            Ok(())
        } else {
            Err(format!(
                "{total} are listed and {counted} counted, not {expected}"
            ))
        }
    })
    .await;
}
