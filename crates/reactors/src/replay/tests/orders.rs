//! What is refused, and what one delivery comes to.

use domain::CommandError;

use super::*;

async fn refusal(order: ReplayOrder) -> CommandError {
    let process = World::new().process();
    process.handle.start(order).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_makes_no_sense_is_refused_with_what_to_do() {
    let with = |change: fn(&mut ReplayOrder)| {
        let mut order = everything();
        change(&mut order);
        order
    };
    let cases: [(&str, ReplayOrder); 9] = [
        ("needs a reason", with(|o| o.reason = None)),
        ("needs a reason", with(|o| o.reason = Some("  ".to_owned()))),
        ("at most 1000", with(|o| o.reason = Some("x".repeat(1001)))),
        ("1 to 10000", with(|o| o.rate_per_second = Some(0))),
        ("1 to 10000", with(|o| o.rate_per_second = Some(10_001))),
        (
            "no destination nowhere",
            with(|o| o.destinations = vec![name("nowhere")]),
        ),
        (
            "no destination other",
            with(|o| o.destinations = vec![name("other")]),
        ),
        (
            "goes to no destination",
            with(|o| (o.to, o.dead_only) = (ReplayTo::Subjects, true)),
        ),
        (
            "ends before it begins",
            with(|o| {
                o.filter.from = Some(NOON);
                o.filter.to = Some(NOON.plus_millis(-1));
            }),
        ),
    ];
    for (text, order) in cases {
        let refusal = refusal(order).await;
        assert!(matches!(refusal, CommandError::Invalid(_)), "{text}: {refusal:?}");
        assert!(
            refusal.to_string().contains(text),
            "{refusal} does not say {text:?}"
        );
    }
    let glob = refusal(order(ReplayFilter {
        repository: Some("a[".to_owned()),
        ..ReplayFilter::default()
    }));
    assert!(matches!(glob.await, CommandError::Invalid(_)));
}

#[tokio::test(start_paused = true)]
async fn a_position_beyond_the_head_is_refused_by_counting_and_by_starting() {
    let world = World::new();
    world.deliver_many(2).await;
    let process = world.process();
    let head = world.head().await;
    let mut order = everything();
    order.to_position = Some(head);
    assert_eq!(process.handle.count(&order).await.unwrap().to_position, head);
    order.to_position = Some(Position::new(head.get() + 1));
    assert!(matches!(
        process.handle.count(&order).await,
        Err(CommandError::Invalid(_))
    ));
    assert!(matches!(
        process.handle.start(order).await,
        Err(CommandError::Invalid(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_count_needs_no_reason_and_leaves_no_trace() {
    let world = World::new();
    world.deliver_many(20).await;
    let process = world.started();
    let before = world.head().await;
    let mut order = everything();
    order.reason = None;
    let count = process.handle.count(&order).await.unwrap();
    assert_eq!((count.count, count.to_position), (20, before));
    assert_eq!(world.head().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_takes_too_long_says_to_narrow_the_range() {
    let mut world = World::new();
    world.options.replay_count_timeout_ms = 50;
    world.deliver_many(1).await;
    let process = world.process();
    let _all = process.handle.counts.acquire_many(2).await.unwrap();
    match process.handle.count(&everything()).await {
        Err(CommandError::Invalid(said)) => assert!(said.contains("narrow"), "{said}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_delivery_is_asked_for_at_once_and_its_replay_stands_in_the_log() {
    let world = World::new();
    let streams = world.deliver_many(3).await;
    world.attempt(&streams[1], "ci", Ending::Delivered).await;
    let process = world.started();
    let done = process.handle.replay_one(one("github.41.d1")).await.unwrap();
    assert_eq!(done.destinations, [name("ci"), name("cd")]);
    assert_eq!(done.status, DeliveryStatus::Received);
    let last = world.events(&streams[1]).await.pop().unwrap();
    assert_eq!(
        (last.position, last.event_type.as_str()),
        (done.position, "DeliveryReplayRequested")
    );
    let state = process.ended(done.replay).await;
    assert_eq!(state.status, ReplayStatus::Completed);
    assert_eq!(
        (state.counts.matched, state.counts.requested, state.counts.skipped),
        (1, 1, 0)
    );
    assert_eq!(state.requested.requested_by, "olga");
    assert_eq!(world.asked(done.replay).await.len(), 1);
    // Once more is another replay.
    let again = process.handle.replay_one(one("github.41.d1")).await.unwrap();
    assert_ne!(again.replay, done.replay);
    assert_eq!(world.asked(again.replay).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_delivery_works_without_a_runner_here() {
    let world = World::new();
    let streams = world.deliver_many(1).await;
    let process = world.process();
    let mut order = one("github.41.d0");
    order.to = ReplayTo::Subjects;
    let done = process.handle.replay_one(order).await.unwrap();
    assert_eq!(
        (done.destinations.len(), done.status),
        (0, DeliveryStatus::Received)
    );
    assert_eq!(world.state(&streams[0]).await.replays, [done.replay]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_one_that_was_killed_in_between_is_ended_by_the_runner() {
    // Its appends are: ordered, asked for, completed.
    for (appends, written) in [(0, true), (1, false), (1, true), (2, false), (2, true)] {
        let world = World::new();
        let streams = world.deliver_many(2).await;
        let process = world.process();
        process.kill_after(appends, written);
        tokio::select! {
            done = process.handle.replay_one(one("github.41.d1")) => panic!("it was killed, not {done:?}"),
            () = process.wire.killed.cancelled() => {}
        }
        drop(process);
        let mut next = world.started();
        let ordered = world.all().await;
        let ordered = ordered
            .iter()
            .find(|event| event.event_type.as_str() == "ReplayRequested");
        let replay: ReplayId = ordered.expect("an order").stream.id().parse().unwrap();
        let state = next.ended(replay).await;
        assert_eq!(state.status, ReplayStatus::Completed, "{appends} {written}");
        assert_eq!((state.counts.matched, state.counts.requested), (1, 1));
        let asked = world.asked(replay).await;
        assert_eq!(
            asked,
            [(streams[1].clone(), vec!["ci".to_owned(), "cd".to_owned()])]
        );
        next.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let process = World::new().started();
    let missing = process.handle.replay_one(one("github.41.d9")).await;
    assert!(matches!(missing, Err(CommandError::NotFound(_))), "{missing:?}");
    let (tenant, replay) = (TenantId::default(), ReplayId::new(Uuid::now_v7()));
    let state = process.handle.state(&tenant, replay).await;
    assert!(matches!(state, Err(CommandError::NotFound(_))));
    let cancel = process.handle.cancel(&tenant, replay, "olga".to_owned()).await;
    assert!(matches!(cancel, Err(CommandError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_or_replay_of_another_tenant_is_not_found() {
    let world = World::new();
    world.deliver_to("team-b", &push(1)).await;
    let process = world.started();
    let foreign = process.handle.replay_one(one("github.41.d1")).await;
    assert!(matches!(foreign, Err(CommandError::NotFound(_))));
    let mut theirs = one("github.41.d1");
    theirs.tenant = "team-b".parse().unwrap();
    let done = process.handle.replay_one(theirs).await.unwrap();
    let state = process.handle.state(&TenantId::default(), done.replay).await;
    assert!(matches!(state, Err(CommandError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn too_many_open_replays_are_refused() {
    let mut world = World::new();
    world.options.replays_open_max = 2;
    world.deliver_many(1).await;
    world.lag.0.store(10_000, Ordering::SeqCst);
    let process = world.started();
    let first = process.start_replay(everything()).await;
    process.start_replay(everything()).await;
    within(async {
        while process.handle.start(everything()).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    world.lag.0.store(0, Ordering::SeqCst);
    process.ended(first).await;
    within(async {
        while process.handle.start(everything()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
