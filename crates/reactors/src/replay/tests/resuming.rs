//! Killed anywhere, beside another runner, with or without its note: each delivery is asked for once.

use proptest::prelude::*;

use super::*;

/// What must hold of a replay of so many deliveries, however it came to its end.
async fn check(world: &World, state: &ReplayState, deliveries: u64) {
    assert_eq!(state.status, ReplayStatus::Completed, "{state:?}");
    let counts = state.counts;
    assert_eq!(
        (counts.matched, counts.requested, counts.skipped),
        (deliveries, deliveries, 0)
    );
    let asked = world.asked(state.requested.replay).await;
    let mut streams: Vec<&StreamName> = asked.iter().map(|(stream, _)| stream).collect();
    streams.sort();
    streams.dedup();
    assert_eq!(
        (streams.len() as u64, asked.len() as u64),
        (deliveries, deliveries),
        "each exactly once"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn killed_at_any_append_and_resumed_it_asks_for_each_once_and_counts_the_same(
        kills in prop::collection::vec((0..25_u32, any::<bool>(), prop::bool::weighted(0.2)), 1..6),
        rate in prop::sample::select(vec![20_u32, 200, 10_000]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut world = World::new();
            world.options.replay_progress_interval_ms = 50;
            world.options.checkpoint_interval_ms = 30;
            world.deliver_many(40).await;
            let mut order = everything();
            order.rate_per_second = Some(rate);
            let replay = world.process().start_replay(order).await;
            for (n, (appends, written, forget)) in kills.into_iter().enumerate() {
                let mut process = world.process();
                process.kill_after(appends, written);
                process.start();
                tokio::select! {
                    () = process.wire.killed.cancelled() => {}
                    _ = process.ended(replay) => {}
                }
                process.shutdown.cancel();
                process.gone().await;
                if forget {
                    world.notes.forget(note::NAME);
                }
                world.deliver(&push(1000 + n)).await;
                world.clock.advance_millis(1);
            }
            let process = world.started();
            check(&world, &process.ended(replay).await, 40).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_takes_down_how_far_it_is_and_goes_on_from_there() {
    let mut world = World::new();
    world.options.replay_progress_interval_ms = 3_600_000;
    world.deliver_many(100).await;
    let mut process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(20);
    let replay = process.start_replay(order).await;
    sleep(Duration::from_secs(2)).await;
    process.stop().await;
    let state = process.handle.state(&TenantId::default(), replay).await.unwrap();
    assert_eq!(state.status, ReplayStatus::Running);
    let asked = world.asked(replay).await.len() as u64;
    assert!(asked > 20, "{asked}");
    assert_eq!(state.counts.requested, asked);
    let next = world.started();
    let appends_before = next.wire.appends.load(Ordering::SeqCst);
    check(&world, &next.ended(replay).await, 100).await;
    // The rest, and the end: nothing is asked for again.
    assert_eq!(
        next.wire.appends.load(Ordering::SeqCst) - appends_before,
        100 - asked + 1
    );
}

#[tokio::test(start_paused = true)]
async fn two_runners_at_once_ask_for_each_delivery_once() {
    for (progress_ms, rate) in [(20, 10_000), (100, 200), (1000, 50)] {
        let mut world = World::new();
        world.options.replay_progress_interval_ms = progress_ms;
        world.deliver_many(80).await;
        let (mut one, mut other) = (world.started(), world.started());
        let mut order = everything();
        order.rate_per_second = Some(rate);
        let state = one.carry_out(order).await;
        other.ended(state.requested.replay).await;
        check(&world, &state, 80).await;
        one.stop().await;
        other.stop().await;
        let ends = world.events(&state.stream()).await;
        let ends = ends
            .iter()
            .filter(|event| event.event_type.as_str() == "ReplayCompleted");
        assert_eq!(ends.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_overtaken_goes_on_from_there_and_counts_right() {
    let mut world = World::new();
    world.options.replay_progress_interval_ms = 50;
    world.deliver_many(100).await;
    let (slow, mut fast) = (world.started(), world.started());
    slow.wire.faults().delay_ms = 40;
    let mut order = everything();
    order.rate_per_second = Some(100);
    let replay = fast.start_replay(order).await;
    fast.until(replay, |state| state.counts.requested >= 70).await;
    fast.stop().await;
    check(&world, &slow.ended(replay).await, 100).await;
}

#[tokio::test(start_paused = true)]
async fn reactors_that_work_on_the_same_deliveries_at_the_same_time_do_no_harm() {
    let world = World::new();
    let streams = world.deliver_many(50).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(500);
    let replay = process.start_replay(order).await;
    for stream in &streams {
        world.attempt(stream, "ci", Ending::Fails).await;
        sleep(Duration::from_millis(1)).await;
        world.attempt(stream, "ci", Ending::Fails).await;
    }
    check(&world, &process.ended(replay).await, 50).await;
}

async fn ordered(world: &World) -> ReplayId {
    world.deliver_many(10).await;
    let mut process = world.started();
    process.carry_out(everything()).await;
    process.stop().await;
    assert!(world.notes.note(note::NAME).is_some());
    process.start_replay(everything()).await
}

#[tokio::test(start_paused = true)]
async fn a_note_that_is_lost_old_foreign_ahead_or_damaged_loses_no_replay() {
    let notes: [fn(&World); 8] = [
        |world| world.notes.forget(note::NAME),
        |world| world.notes.go_back(note::NAME, 1),
        |world| world.notes.put(note::NAME, "{\"logId\":"),
        |world| world.notes.fail_loads(1),
        |world| {
            let foreign = LogId::new(Uuid::from_u128(8));
            put(world, foreign, 1);
        },
        |world| put(world, world.log.id(), 1_000_000),
        // A place behind the order, in a log that was restored and went another way.
        |world| put(world, world.log.id(), world.log.health().head.get()),
        // The same place and event, in a copy of the log.
        |world| {
            let head = world.log.health().head;
            let last = futures_util::FutureExt::now_or_never(world.all())
                .unwrap()
                .pop()
                .unwrap();
            put_event(world, LogId::new(Uuid::from_u128(8)), head.get(), last.id);
        },
    ];
    for change in notes {
        let world = World::new();
        let replay = ordered(&world).await;
        world.deliver(&push(99)).await;
        change(&world);
        let process = world.started();
        check(&world, &process.ended(replay).await, 10).await;
    }
}

fn put(world: &World, log: LogId, position: u64) {
    put_event(world, log, position, EventId::new(Uuid::from_u128(1)));
}

fn put_event(world: &World, log: LogId, position: u64, id: EventId) {
    let note = format!("{{\"logId\":\"{log}\",\"position\":{position},\"eventId\":\"{id}\"}}");
    world.notes.put(note::NAME, note);
}

#[tokio::test(start_paused = true)]
async fn the_note_never_passes_a_replay_that_is_open() {
    let mut world = World::new();
    world.options.checkpoint_interval_ms = 10;
    world.deliver_many(40).await;
    let mut process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(1);
    let replay = process.start_replay(order).await;
    for n in 0..5 {
        process
            .handle
            .replay_one(one(&format!("github.41.d{n}")))
            .await
            .unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    process.stop().await;
    let first = world
        .events(&StreamName::of_replay(&TenantId::default(), replay))
        .await
        .remove(0);
    let note: serde_json::Value = serde_json::from_slice(&world.notes.note(note::NAME).unwrap()).unwrap();
    assert_eq!(note["position"], first.position.get());
    assert_eq!(note["eventId"], first.id.to_string());
    let begun = note::begin(&*world.notes, &*world.log).await.unwrap();
    assert!(begun < first.position && begun > Position::START);
}
