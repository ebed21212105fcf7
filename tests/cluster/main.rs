//! What runs in production, on one machine: three NATS servers with three copies, two processes for each part of the work, a log of the
//! protocol of EventStoreDB, a ClickHouse. Under steady load one after the other is killed, and put to sleep for longer than its
//! lease; the log too: while it is away deliveries are refused. Nothing may be lost or doubled, and what comes out is what an
//! undisturbed process makes of the same log.
//!
//! `HOOKLOG_CLUSTER_VICTIMS` says of how many of each kind it is tried: one (of the NATS servers that which leads), and in `make drill` all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails loudly, and what it says helps"
)]

#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "of what the end-to-end tests stand on this needs a part"
)]
#[path = "../e2e/harness/mod.rs"]
mod harness;

mod log;
mod nats;
mod observe;
mod process;
mod reconcile;
mod sender;
mod world;

use std::time::{Duration, Instant};

use harness::{eventually, knob};
use process::Kind;
use world::{STREAM, World};

/// How long a lease lasts here.
const LEASE: Duration = Duration::from_secs(2);
/// The longest pause in projecting, whoever dies or sleeps while the log is there.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long it may take until the others go on: far more than it takes, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_or_sleeps_nothing_is_lost_or_doubled_and_projecting_hardly_pauses() {
    let victims = knob("HOOKLOG_CLUSTER_VICTIMS", 1);
    let mut world = World::start().await;
    for kind in Kind::ALL {
        for n in 0..victims.min(2) {
            world.kill(kind, n).await;
            world.pause(kind, 1 - n).await;
        }
    }
    // The one that leads comes first; who leads then is another one's turn.
    for n in world.nats.in_turn(STREAM).await.into_iter().take(victims) {
        world.kill_nats(n).await;
        world.pause_nats(n).await;
    }
    world.kill_log().await;
    world.pause_log().await;
    let sent = world.end_of_load().await;
    world.reconcile(&sent).await;
    world.summary(&sent);
    world.is_as_undisturbed().await;
    assert!(
        sent.failures.is_empty(),
        "requests that reached a living ingest failed: {:#?}",
        sent.failures
    );
    let longest = world.longest_pause();
    assert!(longest < PAUSE_MAX, "projecting paused for {longest:?}");
}

/// Waits as long as somebody sleeps.
async fn lasts(time: Duration) {
    let begin = Instant::now();
    eventually("the time is over", time + SOON, || async {
        (begin.elapsed() >= time).then_some(()).ok_or_else(String::new)
    })
    .await;
}
