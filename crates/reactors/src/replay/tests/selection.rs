//! What a replay is about.

use super::causes::all_dead;
use super::*;

/// The senders' ids of what fits, in the order of the log.
async fn found(world: &World, order: &ReplayOrder) -> Vec<String> {
    let process = world.started();
    process.wire.faults().in_order = true;
    let counted = process.handle.count(order).await.unwrap();
    let state = process.carry_out(order.clone()).await;
    assert_eq!(state.status, ReplayStatus::Completed);
    assert_eq!(
        state.counts.matched, counted.count,
        "the dry run and the run differ"
    );
    let asked = world.asked(state.requested.replay).await;
    let ids = asked
        .iter()
        .map(|(stream, _)| stream.id().rsplit('.').next().unwrap().to_owned());
    ids.collect()
}

#[tokio::test(start_paused = true)]
async fn each_field_of_the_filter_narrows_it() {
    let world = World::new();
    let base = |id: &str| TestDelivery {
        delivery_id: id.to_owned(),
        body: id.to_owned().into(),
        ..push(0)
    };
    let mut all = [
        base("plain"),
        base("gitlab"),
        base("issue"),
        base("closed"),
        base("elsewhere"),
        base("later"),
    ];
    all[1].source = "gitlab".to_owned();
    all[2].event = "issues".to_owned();
    all[3].action = Some("closed".to_owned());
    all[4].repository = Some("acme/web".to_owned());
    all[5].received_at = NOON.plus_millis(5000);
    for delivery in &all {
        world.deliver(delivery).await;
    }
    let dead = world.deliver(&base("dead")).await;
    world.attempt(&dead, "ci", Ending::GivenUp).await;
    let some = |text: &str| Some(text.to_owned());
    let filter = ReplayFilter::default;
    let cases: Vec<(ReplayFilter, &[&str])> = vec![
        (
            ReplayFilter {
                source: Some("gitlab".parse().unwrap()),
                ..filter()
            },
            &["gitlab"],
        ),
        (
            ReplayFilter {
                source: Some("git".parse().unwrap()),
                ..filter()
            },
            &[],
        ),
        (
            ReplayFilter {
                event: some("Issues"),
                ..filter()
            },
            &["issue"],
        ),
        (
            ReplayFilter {
                event: some("push.closed"),
                ..filter()
            },
            &["closed"],
        ),
        (
            ReplayFilter {
                action: some("Closed"),
                ..filter()
            },
            &["closed"],
        ),
        (
            ReplayFilter {
                repository: some("ACME/*"),
                ..filter()
            },
            &["elsewhere"],
        ),
        (
            ReplayFilter {
                status: Some(DeliveryStatus::Dead),
                ..filter()
            },
            &["dead"],
        ),
        (
            ReplayFilter {
                from: Some(NOON.plus_millis(5000)),
                ..filter()
            },
            &["later"],
        ),
        (
            ReplayFilter {
                from: Some(NOON.plus_millis(5001)),
                ..filter()
            },
            &[],
        ),
        (
            ReplayFilter {
                to: Some(NOON),
                ..filter()
            },
            &[],
        ),
        (
            ReplayFilter {
                delivery: Some("github.41.plain".parse().unwrap()),
                ..filter()
            },
            &["plain"],
        ),
        (
            ReplayFilter {
                delivery: Some("github.41.nobody".parse().unwrap()),
                ..filter()
            },
            &[],
        ),
        (
            filter(),
            &["plain", "gitlab", "issue", "closed", "elsewhere", "later", "dead"],
        ),
    ];
    let start = world.head().await;
    for (filter, ids) in cases {
        // Earlier cases ask for the deliveries and so change their status.
        let mut order = order(filter.clone());
        order.to_position = Some(start);
        assert_eq!(found(&world, &order).await, ids, "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_is_that_of_the_last_position_whatever_happened_since() {
    let world = World::new();
    let streams = world.deliver_many(3).await;
    world.attempt(&streams[0], "ci", Ending::GivenUp).await;
    world.attempt(&streams[1], "ci", Ending::Fails).await;
    let before = world.head().await;
    world.attempt(&streams[1], "ci", Ending::GivenUp).await;
    world.attempt(&streams[2], "ci", Ending::Delivered).await;
    for (status, id) in [
        (DeliveryStatus::Dead, "d0"),
        (DeliveryStatus::Retrying, "d1"),
        (DeliveryStatus::Received, "d2"),
    ] {
        let mut order = order(ReplayFilter {
            status: Some(status),
            ..ReplayFilter::default()
        });
        order.to_position = Some(before);
        assert_eq!(found(&world, &order).await, [id], "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn marked_duplicates_are_done_again_only_when_they_are_asked_for_by_id() {
    let world = World::new();
    let same = |id: &str| TestDelivery {
        delivery_id: id.to_owned(),
        body: "same".into(),
        ..push(0)
    };
    world.deliver(&same("original")).await;
    let copy = world.deliver(&same("copy")).await;
    assert!(world.state(&copy).await.receipt.duplicate_of.is_some());
    assert_eq!(found(&world, &everything()).await, ["original"]);
    let mut published = everything();
    published.to = ReplayTo::Subjects;
    assert_eq!(found(&world, &published).await, ["original", "copy"]);
    let process = world.process();
    let done = process.handle.replay_one(one("github.41.copy")).await.unwrap();
    assert_eq!(done.destinations, [name("ci"), name("cd")]);
    // Now it has something that can be given up, and then it can be retried with the others.
    world.attempt(&copy, "ci", Ending::GivenUp).await;
    let retried = process.handle.retry_dead(all_dead()).await;
    assert_eq!(
        retried.unwrap().expect("a dead letter").requested.expected,
        Some(1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_imported_delivery_is_found_by_its_time_of_receipt() {
    let world = World::new();
    world.deliver(&push(1)).await;
    world.clock.advance_millis(10 * 86_400_000);
    for (id, days) in [("old", 3), ("new", 10)] {
        world
            .deliver(&TestDelivery {
                delivery_id: id.to_owned(),
                received_at: NOON.plus_millis(days * 86_400_000),
                ..push(0)
            })
            .await;
    }
    let range = order(ReplayFilter {
        from: Some(NOON.plus_millis(86_400_000)),
        to: Some(NOON.plus_millis(5 * 86_400_000)),
        ..ReplayFilter::default()
    });
    assert_eq!(found(&world, &range).await, ["old"]);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_understood_is_counted_and_skipped_and_stops_nothing() {
    let world = World::new();
    let streams = world.deliver_many(3).await;
    world
        .garbage(
            &"delivery-default.github.41.x".parse().unwrap(),
            "DeliveryReceived",
        )
        .await;
    world
        .garbage(
            &"delivery-default.gitlab._.x".parse().unwrap(),
            "DeliveryReceived",
        )
        .await;
    world
        .garbage(
            &"delivery-team-b.github.41.x".parse().unwrap(),
            "DeliveryReceived",
        )
        .await;
    world.garbage(&streams[1], "DeliveryFailed").await;
    let order = order(ReplayFilter {
        source: Some("github".parse().unwrap()),
        ..ReplayFilter::default()
    });
    let process = world.started();
    let count = process.handle.count(&order).await.unwrap().count;
    let state = process.carry_out(order).await;
    assert_eq!(state.status, ReplayStatus::Completed);
    assert_eq!(
        (state.counts.matched, state.counts.requested, state.counts.skipped),
        (4, 2, 2)
    );
    assert_eq!(count, 4);
}

#[tokio::test(start_paused = true)]
async fn remembered_dead_letters_are_those_of_another_moment_and_the_rest_is_found() {
    let world = World::new();
    let streams = world.deliver_many(4).await;
    let retry = async |n: usize| {
        let command = |state: &DeliveryState| Step::RetryDead.command(state, NOON).unwrap();
        decide_and_append(&*world.log, &streams[n], command).await;
    };
    world.attempt(&streams[0], "ci", Ending::GivenUp).await;
    world.attempt(&streams[1], "ci", Ending::GivenUp).await;
    world.remember(&streams).await;
    let early = world.memory.0.lock().unwrap().clone();
    retry(0).await;
    world.attempt(&streams[2], "ci", Ending::GivenUp).await;
    // Dead by now: 1 and 2.
    let mut order = order(ReplayFilter::default());
    order.dead_only = true;
    order.to_position = Some(world.head().await);
    retry(1).await;
    world.attempt(&streams[3], "ci", Ending::GivenUp).await;
    world.remember(&streams).await;
    let late = world.memory.0.lock().unwrap().clone();
    let process = world.process();
    for remembered in [early, late, None] {
        *world.memory.0.lock().unwrap() = remembered.clone();
        let count = process.handle.count(&order).await.unwrap().count;
        assert_eq!(count, 2, "{remembered:?}");
    }
    *world.memory.0.lock().unwrap() = None;
    // 1 was retried since: it fits, and nothing is left to do.
    assert_eq!(found(&world, &order).await, ["d2"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_range_reads_little_of_a_long_log() {
    let world = World::new();
    for n in 0..500 {
        world.clock.advance_millis(3_600_000);
        let received_at = domain::Clock::now(&*world.clock);
        world
            .deliver(&TestDelivery {
                received_at,
                ..push(n)
            })
            .await;
    }
    let process = world.process();
    let range = order(ReplayFilter {
        from: Some(NOON.plus_millis(490 * 3_600_000)),
        ..ReplayFilter::default()
    });
    assert_eq!(process.handle.count(&range).await.unwrap().count, 11);
    let pages = process.wire.pages.load(Ordering::SeqCst);
    assert!(pages < 20, "{pages} pages");
}
