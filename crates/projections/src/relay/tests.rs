use domain::testing::{MemoryLog, TestDelivery};
use domain::{Append, LogId, NewEvent, Unshared};
use tokio::task::JoinHandle;

use super::*;

use crate::doubles::{
    Dice, FakeStream, Gauges, all_events, append, clock, dense_log, gapful_log, log_id, until,
};

mod overlap;
mod replays;
mod standby;

struct Running {
    handle: RelayHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn options() -> RelayOptions {
    RelayOptions {
        page_events_max: 5,
        ..RelayOptions::default()
    }
}

fn start_with(options: RelayOptions, log: &Arc<MemoryLog>, stream: &Arc<FakeStream>) -> Running {
    start_leased(options, log, stream, &Unshared)
}

fn start_leased(
    options: RelayOptions,
    log: &Arc<MemoryLog>,
    stream: &Arc<FakeStream>,
    leases: &dyn Leases,
) -> Running {
    let (relay, handle) = Relay::build(
        options,
        Arc::<MemoryLog>::clone(log),
        Arc::<FakeStream>::clone(stream),
        clock(),
        leases,
    );
    let stop = CancellationToken::new();
    let task = tokio::spawn(relay.run(stop.clone()));
    Running { handle, stop, task }
}

fn start(log: &Arc<MemoryLog>, stream: &Arc<FakeStream>) -> Running {
    start_with(options(), log, stream)
}

impl Running {
    async fn published_all(&self, log: &MemoryLog, stream: &FakeStream) {
        let head = log.head().await.unwrap();
        until("the relay publishes everything", async || {
            let last = stream.state().messages.last().map(|(_, m)| m.position);
            let idle = head == Position::START || self.handle.status().state == RelayState::Live;
            last.unwrap_or_default() == head && idle
        })
        .await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// The stream holds the end of the log, without a hole, each message with what truly precedes it.
async fn check(log: &MemoryLog, stream: &FakeStream, from_the_start: bool) {
    let events = all_events(log).await;
    let live = stream.live();
    assert!(
        !from_the_start || live.len() == events.len(),
        "{} of {}",
        live.len(),
        events.len()
    );
    let skipped = events.len() - live.len();
    let mut previous = skipped
        .checked_sub(1)
        .map_or(Position::START, |n| events[n].position);
    for (event, live) in events.iter().skip(skipped).zip(&live) {
        assert_eq!((live.event.position, live.previous), (event.position, previous));
        assert_eq!((&live.event.id, &live.event.data), (&event.id, &event.data));
        previous = event.position;
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_published_in_order_and_then_as_it_comes() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 12).await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    append(log.as_ref(), 3).await;
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    let status = relay.handle.status();
    assert_eq!(
        (status.lag_events, status.errors, status.republished),
        (Some(0), 0, 0)
    );
    assert_eq!(status.position, status.head);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_relay_goes_on_from_the_end_of_the_stream() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 7).await;
    let first = start(&log, &stream);
    first.published_all(&log, &stream).await;
    first.stop().await;
    append(log.as_ref(), 7).await;
    let second = start(&log, &stream);
    second.published_all(&log, &stream).await;
    assert_eq!(second.handle.status().republished, 0);
    second.stop().await;
    check(&log, &stream, true).await;
}

#[tokio::test(start_paused = true)]
async fn no_fault_leaves_a_hole_or_loses_an_event() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let (log, stream) = (gapful_log(), FakeStream::new(seed));
        stream.state().faults = dice.roll(30);
        let mut relays = vec![start(&log, &stream)];
        let mut from_the_start = true;
        for _ in 0..dice.roll(12) {
            append(log.as_ref(), dice.roll(9)).await;
            tokio::time::sleep(Duration::from_millis(dice.roll(300))).await;
            match dice.roll(8) {
                0 => stream.wipe(),
                1 => {
                    stream.purge(usize::try_from(dice.roll(4)).unwrap());
                    from_the_start = false;
                }
                // A second relay, as another replica would run it.
                2 if relays.len() < 3 => relays.push(start(&log, &stream)),
                3 => {
                    let killed = relays.remove(0);
                    killed.stop().await;
                    relays.push(start(&log, &stream));
                }
                _ => {}
            }
        }
        append(log.as_ref(), 1).await;
        stream.state().faults = 0;
        println!("seed {seed}");
        relays[0].published_all(&log, &stream).await;
        check(&log, &stream, from_the_start).await;
        for relay in relays {
            relay.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_wiped_while_nothing_happens_is_filled_again() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 7).await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    stream.wipe();
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    assert_eq!(relay.handle.status().republished, 7);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_stream_gets_what_it_can_hold_and_names_what_precedes_it() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 20).await;
    let event = &all_events(log.as_ref()).await[0];
    stream.state().bytes_max = 4 * (event.metadata.len() as u64 + event.data.byte_len() + 1);
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, false).await;
    assert_eq!(stream.live().len(), 4);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_another_log_is_emptied_and_bound_to_this_one() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    let foreign: LogId = log_id(99);
    append(log.as_ref(), 3).await;
    stream.put(
        foreign,
        &domain::testing::recorded(5000, &TestDelivery::new("push", "{}")),
        Position::START,
    );
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    assert_eq!(stream.state().log_id, Some(log.id()));
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ahead_of_the_log_stops_the_relay_unless_told_to_refill_it() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 3).await;
    stream.put(
        log.id(),
        &domain::testing::recorded(5000, &TestDelivery::new("push", "{}")),
        Position::START,
    );
    let relay = start(&log, &stream);
    until("the relay stops", async || {
        relay.handle.status().state == RelayState::Ahead
    })
    .await;
    assert!(
        relay
            .handle
            .status()
            .error
            .is_some_and(|e| e.contains("5000") && e.contains("21"))
    );
    append(log.as_ref(), 3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        stream.live().len(),
        1,
        "it must not publish behind what it does not know"
    );
    relay.stop().await;

    let told = RelayOptions {
        rebind_when_ahead: true,
        ..options()
    };
    let relay = start_with(told, &log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_the_same_log_before_an_older_backup_is_emptied_and_refilled() {
    // Below, at and beyond where the stream ended.
    for restored in [5, 9, 12] {
        let (log, stream) = (gapful_log(), FakeStream::new(1));
        append(log.as_ref(), 9).await;
        let relay = start(&log, &stream);
        relay.published_all(&log, &stream).await;
        relay.stop().await;
        // The same log id and the same positions, but other events from the sixth on.
        let older = gapful_log();
        append(older.as_ref(), restored).await;
        let told = RelayOptions {
            rebind_when_ahead: restored < 9,
            ..options()
        };
        let relay = start_with(told, &older, &stream);
        until("the stream holds the other events", async || {
            let events = all_events(older.as_ref()).await;
            let ids = |live: &domain::LiveEvent| live.event.id;
            stream.live().iter().map(ids).eq(events.iter().map(|e| e.id))
        })
        .await;
        append(older.as_ref(), 3).await;
        relay.published_all(&older, &stream).await;
        check(&older, &stream, true).await;
        relay.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_at_a_position_that_the_log_skipped_is_refilled() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 3).await;
    let foreign = domain::testing::recorded(10, &TestDelivery::new("push", "{}"));
    stream.put(log.id(), &foreign, Position::START);
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unreadable_metadata_neither_stops_the_relay_nor_leaves_a_hole() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    append(log.as_ref(), 2).await;
    let mut odd: Append = TestDelivery::new("push", "kept").append();
    let event: &mut NewEvent = odd.events.first_mut().unwrap();
    event.metadata = "not json".into();
    log.append(odd).await.unwrap();
    append(log.as_ref(), 2).await;
    let relay = start(&log, &stream);
    relay.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_out_of_reach_shows_in_the_status_and_is_waited_for() {
    let (log, stream) = (dense_log(), FakeStream::new(1));
    append(log.as_ref(), 2).await;
    stream.state().down = true;
    let relay = start(&log, &stream);
    until("the relay waits", async || {
        relay.handle.status().state == RelayState::Waiting
    })
    .await;
    assert_eq!(relay.handle.status().lag_events, Some(2));
    stream.state().down = false;
    relay.published_all(&log, &stream).await;
    assert_eq!(relay.handle.status().error, None);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_gauges_tell_of_a_lag_while_nothing_can_be_published() {
    let gauges = Gauges::default();
    let _guard = metrics::set_default_local_recorder(&gauges);
    for (log, events) in [(dense_log(), Some(3.0)), (gapful_log(), None)] {
        let stream = FakeStream::new(1);
        append(log.as_ref(), 2).await;
        let running = start(&log, &stream);
        running.published_all(&log, &stream).await;
        until("there is no lag", async || {
            gauges.get("hooklog_relay_lag_events") == Some(0.0)
        })
        .await;
        stream.state().down = true;
        append(log.as_ref(), 3).await;
        // Positions that count no events say that there is a lag, and not how many it is.
        until("the lag is told", async || {
            let told = gauges.get("hooklog_relay_lag_events");
            told.is_some_and(|told| events.map_or(told.is_nan(), |events| told == events))
        })
        .await;
        assert!(gauges.get("hooklog_relay_lag_seconds").is_some());
        running.stop().await;
    }
}
