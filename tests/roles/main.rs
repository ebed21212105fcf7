//! Several processes over one log, with the real NATS and the real ClickHouse: they share the work by leases, and stop, die, and
//! sleep through their leases while deliveries come in. Stream and tables are then what one undisturbed process makes of the log.
//!
//! A process is a thread here, with a runtime of its own, so that it can be stopped as a signal would stop it: nothing in it
//! runs until it is woken, and then it goes on where it was. The log is in memory, since the embedded one belongs to one process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails loudly, and what it says helps"
)]

mod answers;
mod process;
mod world;

use std::time::Duration;

use process::Does;
use projections::RelayState;
use world::World;

/// One relay and one projector at a time, of several, each stopped, killed or put to sleep in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_and_tables_are_those_of_an_undisturbed_run_whatever_happens_to_whom() {
    for partitions in [1, 2, 4] {
        let world = World::new(partitions).await;
        let first = world.start("first", Does::Everything);
        world.deliver(60).await;
        first.has_caught_up(&world).await;
        let second = world.start("second", Does::Everything);
        second.stands_by_or_works(&world).await;
        let load = world.keep_delivering();

        // It sleeps in the middle of its work, for longer than its lease; the other one goes on.
        first.sleep();
        second.publishes(&world).await;
        second.has_caught_up(&world).await;
        first.wake();
        first.has_caught_up(&world).await;

        // Dies, and gives nothing back.
        second.kill();
        first.has_caught_up(&world).await;
        let third = world.start("third", Does::Everything);
        third.stands_by_or_works(&world).await;

        // Is stopped as an operator stops it.
        first.stop();
        third.publishes(&world).await;
        third.has_caught_up(&world).await;

        load.end().await;
        third.has_caught_up(&world).await;
        world.stream_is_the_log().await;
        third.tables_are_the_log().await;
        third.stop();
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_only_asks_sees_the_projections_and_has_them_rebuilt_by_others() {
    let world = World::new(4).await;
    let [one, other] = ["one", "other"].map(|name| world.start(name, Does::Projections));
    let relay = world.start("relay", Does::Relay);
    let asks = world.start("asks", Does::Asks);
    world.deliver(120).await;
    asks.has_caught_up(&world).await;
    let load = world.keep_delivering();
    let begun = asks.rebuild_all().await;
    assert!(begun.iter().all(|(_, build)| *build == 2), "{begun:?}");
    // Deliveries never stop: the new builds are swapped in without a moment of silence.
    for process in [&asks, &one, &other] {
        process.asks_build(&world, 2).await;
    }
    load.end().await;
    asks.has_caught_up(&world).await;
    asks.tables_are_the_log().await;
    for process in [one, other, relay, asks] {
        process.stop();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projecting_reads_the_log_while_nobody_publishes() {
    let world = World::new(2).await;
    let [one, other] = ["one", "other"].map(|name| world.start(name, Does::Projections));
    let relay = world.start("relay", Does::Relay);
    world.deliver(30).await;
    one.has_caught_up(&world).await;
    relay.sleep();
    world.deliver(30).await;
    one.has_caught_up(&world).await;
    other.has_caught_up(&world).await;
    relay.wake();
    world
        .until("the relay goes on", || {
            relay
                .relay()
                .is_some_and(|status| status.state == RelayState::Live && status.lag_events == Some(0))
        })
        .await;
    world.stream_is_the_log().await;
    one.tables_are_the_log().await;
    for process in [one, other, relay] {
        process.stop();
    }
    world.end().await;
}

/// The number of partitions is fixed for a build: to change it is to rebuild.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_log_comes_to_the_same_answers_by_one_two_and_four_partitions() {
    let mut world = World::new(1).await;
    world.deliver(300).await;
    let mut first = None;
    for (build, partitions) in [(1, 1), (2, 2), (3, 4)] {
        world.partitions = partitions;
        let [one, other] = ["one", "other"].map(|name| world.start(name, Does::Projections));
        if build > 1 {
            one.rebuild_all().await;
        }
        for process in [&one, &other] {
            process.asks_build(&world, build).await;
            process.has_caught_up(&world).await;
        }
        let found = answers::answers(&world.tables()).await;
        assert!(found.iter().any(|(_, rows, _)| *rows == 300), "{found:?}");
        assert_eq!(
            *first.get_or_insert(found.clone()),
            found,
            "{partitions} partitions"
        );
        one.stop();
        other.stop();
    }
    world.end().await;
}

/// Nothing takes longer on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(180);
