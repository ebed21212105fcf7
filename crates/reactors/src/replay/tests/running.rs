//! How a replay goes.

use domain::CommandError;

use super::causes::all_dead;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_second_replay_of_the_same_asks_for_all_again() {
    let world = World::new();
    let streams = world.deliver_many(30).await;
    let process = world.started();
    let first = process.carry_out(everything()).await;
    let second = process.carry_out(everything()).await;
    for state in [first, second] {
        assert_eq!(
            (state.status, state.counts.requested),
            (ReplayStatus::Completed, 30)
        );
        let asked = world.asked(state.requested.replay).await;
        let asked: Vec<StreamName> = asked.into_iter().map(|(stream, _)| stream).collect();
        assert_eq!(asked, streams, "each once, in the order of the log");
    }
}

#[tokio::test(start_paused = true)]
async fn several_repositories_are_asked_for_at_once_and_each_in_its_order() {
    let world = World::new();
    let mut streams = Vec::new();
    for n in 0..200 {
        let delivery = TestDelivery {
            repository: Some(format!("octo-org/r{}", n * 7 % 10)),
            ..push(n)
        };
        streams.push(world.deliver(&delivery).await);
    }
    let process = world.started();
    let begun = Instant::now();
    let state = process.carry_out(everything()).await;
    // Each append takes 3 ms.
    assert!(
        begun.elapsed() < Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    let asked = world.asked(state.requested.replay).await;
    assert_eq!(asked.len(), 200);
    for repository in 0..10 {
        let mine = |stream: &&StreamName| {
            let at = streams.iter().position(|other| other == *stream);
            at.is_some_and(|n| n * 7 % 10 == repository)
        };
        let asked: Vec<_> = asked.iter().map(|(stream, _)| stream).filter(mine).collect();
        let received: Vec<_> = streams.iter().filter(mine).collect();
        assert_eq!(asked, received);
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_to_those_that_want_it_and_names_narrow_them() {
    let world = World::new();
    world.deliver(&push(0)).await;
    let issue = TestDelivery {
        event: "issues".to_owned(),
        ..push(1)
    };
    world.deliver(&issue).await;
    let process = world.started();
    let to = async |destinations: &[&str]| {
        let mut order = everything();
        order.destinations = destinations.iter().map(|d| name(d)).collect();
        let state = process.carry_out(order).await;
        let asked = world.asked(state.requested.replay).await;
        asked
            .into_iter()
            .map(|(_, names)| names.join(","))
            .collect::<Vec<_>>()
    };
    assert_eq!(to(&[]).await, ["ci,cd", "ci"]);
    // An issue is not wanted by cd; it is asked for all the same, of nobody.
    assert_eq!(to(&["cd"]).await, ["cd", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_to_the_subjects_leaves_the_status_alone() {
    let world = World::new();
    let streams = world.deliver_many(2).await;
    world.attempt(&streams[0], "ci", Ending::Delivered).await;
    world.attempt(&streams[1], "ci", Ending::GivenUp).await;
    let process = world.started();
    let mut order = everything();
    order.to = ReplayTo::Subjects;
    let state = process.carry_out(order).await;
    assert_eq!(state.counts.requested, 2);
    assert_eq!(world.state(&streams[0]).await.status(), DeliveryStatus::Processed);
    assert_eq!(world.state(&streams[1]).await.status(), DeliveryStatus::Dead);
    assert!(!world.state(&streams[0]).await.replayed);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_those_that_were_given_up_and_to_no_other() {
    let world = World::new();
    let both = TestDelivery {
        due: vec!["ci", "cd"],
        ..push(0)
    };
    let half_dead = world.deliver(&both).await;
    world.attempt(&half_dead, "ci", Ending::Delivered).await;
    world.attempt(&half_dead, "cd", Ending::GivenUp).await;
    let well = world.deliver(&push(1)).await;
    world.attempt(&well, "ci", Ending::Delivered).await;
    let theirs = world
        .deliver_to(
            "team-b",
            &TestDelivery {
                due: vec!["other"],
                ..push(2)
            },
        )
        .await;
    world.attempt(&theirs, "other", Ending::GivenUp).await;
    let process = world.started();
    let retry = || process.handle.retry_dead(all_dead());
    let state = retry().await.unwrap().expect("a dead letter");
    assert_eq!(
        (state.requested.expected, state.requested.dead_only),
        (Some(1), true)
    );
    let replay = state.requested.replay;
    assert_eq!(process.ended(replay).await.counts.requested, 1);
    assert_eq!(world.asked(replay).await, [(half_dead, vec!["cd".to_owned()])]);
    assert_eq!(world.state(&theirs).await.status(), DeliveryStatus::Dead);
    assert_eq!(retry().await.unwrap(), None, "nothing is dead any more");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_retried_meanwhile_is_skipped() {
    let world = World::new();
    let streams = world.deliver_many(2).await;
    for stream in &streams {
        world.attempt(stream, "ci", Ending::GivenUp).await;
    }
    let process = world.process();
    let state = process.handle.retry_dead(all_dead()).await;
    let replay = state.unwrap().expect("dead letters").requested.replay;
    decide_and_append(&*world.log, &streams[0], |state| {
        Step::RetryDead.command(state, NOON).unwrap()
    })
    .await;
    let next = world.started();
    let state = next.ended(replay).await;
    assert_eq!(
        (state.counts.matched, state.counts.requested, state.counts.skipped),
        (2, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept() {
    let world = World::new();
    world.deliver_many(100).await;
    let process = world.started();
    for (rate, at_least_ms, at_most_ms) in [(10, 9880, 10_400), (200, 470, 900), (5000, 0, 600)] {
        let mut order = everything();
        order.rate_per_second = Some(rate);
        let begun = Instant::now();
        let state = process.carry_out(order).await;
        let taken = u64::try_from(begun.elapsed().as_millis()).unwrap();
        assert_eq!(state.counts.requested, 100);
        assert!(
            (at_least_ms..=at_most_ms).contains(&taken),
            "{taken} ms at {rate} a second"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn it_yields_to_lag_and_to_a_busy_log_and_goes_on_afterwards() {
    let world = World::new();
    world.deliver_many(50).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(10);
    let replay = process.start_replay(order).await;
    process.until(replay, |state| state.counts.requested >= 10).await;
    let stands = async || {
        // What was under way comes to its end.
        sleep(Duration::from_millis(500)).await;
        let before = world.asked(replay).await.len();
        sleep(Duration::from_secs(60)).await;
        let after = world.asked(replay).await.len();
        assert_eq!(before, after, "it went on");
        assert!(after < 50);
        after as u64
    };
    world.lag.0.store(1001, Ordering::SeqCst);
    let yielded = stands().await;
    world.lag.0.store(1000, Ordering::SeqCst);
    process
        .until(replay, |state| state.counts.requested > yielded + 5)
        .await;
    process.wire.faults().queue_len = 51;
    let yielded = stands().await;
    process.wire.faults().queue_len = 50;
    process
        .until(replay, |state| state.counts.requested > yielded + 5)
        .await;
    world.log.set_unwritable(true);
    stands().await;
    world.log.set_unwritable(false);
    assert_eq!(process.ended(replay).await.counts.requested, 50);
}

#[tokio::test(start_paused = true)]
async fn a_replay_cancelled_at_half_stops_and_says_exactly_what_it_did() {
    let world = World::new();
    world.deliver_many(100).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(20);
    let replay = process.start_replay(order).await;
    process.until(replay, |state| state.counts.requested >= 40).await;
    let tenant = TenantId::default();
    let begun = Instant::now();
    let state = process
        .handle
        .cancel(&tenant, replay, "paul".to_owned())
        .await
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(
        (state.status, state.cancelled_by.as_deref()),
        (ReplayStatus::Cancelled, Some("paul"))
    );
    sleep(Duration::from_secs(60)).await;
    let asked = world.asked(replay).await.len() as u64;
    assert!((40..60).contains(&asked), "{asked}");
    assert_eq!((state.counts.matched, state.counts.requested), (asked, asked));
    // Once more changes nothing; one that is done can't be stopped.
    assert_eq!(
        process
            .handle
            .cancel(&tenant, replay, "olga".to_owned())
            .await
            .unwrap(),
        state
    );
    let done = process.carry_out(everything()).await.requested.replay;
    let refused = process.handle.cancel(&tenant, done, "olga".to_owned()).await;
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replay_cancelled_through_another_process_stops_here() {
    let world = World::new();
    world.deliver_many(100).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(10);
    let replay = process.start_replay(order).await;
    process.until(replay, |state| state.counts.requested >= 20).await;
    let elsewhere = world.process();
    elsewhere
        .handle
        .cancel(&TenantId::default(), replay, "paul".to_owned())
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    let asked = world.asked(replay).await.len();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.asked(replay).await.len(), asked);
    assert!(asked < 30, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn progress_is_taken_down_once_a_second_not_once_a_delivery() {
    let world = World::new();
    world.deliver_many(100).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(20);
    let state = process.carry_out(order).await;
    let types: Vec<String> = world
        .events(&state.stream())
        .await
        .iter()
        .map(|e| e.event_type.to_string())
        .collect();
    let progressed = types.iter().filter(|t| *t == "ReplayProgressed").count();
    assert!((4..=6).contains(&progressed), "{types:?}");
    assert_eq!(types.last().map(String::as_str), Some("ReplayCompleted"));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_run_at_once_and_the_oldest_goes_first() {
    let mut world = World::new();
    world.options.replays_max = 2;
    world.deliver_many(40).await;
    let process = world.started();
    let mut replays = Vec::new();
    for _ in 0..4 {
        let mut order = everything();
        order.rate_per_second = Some(10);
        replays.push(process.start_replay(order).await);
    }
    process
        .until(replays[0], |state| state.counts.requested >= 20)
        .await;
    let asked = async |n: usize| world.asked(replays[n]).await.len();
    assert!(asked(1).await >= 18, "they share the time");
    assert_eq!((asked(2).await, asked(3).await), (0, 0));
    for replay in &replays {
        assert_eq!(process.ended(*replay).await.counts.requested, 40);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_can_not_be_used_for_a_while_costs_nothing_but_time() {
    let world = World::new();
    world.deliver_many(60).await;
    let process = world.started();
    let refusals = [
        AppendError::Unavailable("busy".to_owned()),
        AppendError::Unknown("no answer".to_owned()),
        AppendError::Unavailable("busy".to_owned()),
    ];
    let mut order = everything();
    order.rate_per_second = Some(50);
    let replay = process.start_replay(order).await;
    for _ in 0..5 {
        process.wire.faults().refusals.extend(refusals.clone());
        let unreadable = (0..3).map(|_| ReadError::Unavailable("busy".to_owned()));
        process.wire.faults().unreadable.extend(unreadable);
        sleep(Duration::from_millis(200)).await;
    }
    process.wire.faults().unreadable.clear();
    let state = process.ended(replay).await;
    assert_eq!((state.counts.matched, state.counts.requested), (60, 60));
    assert_eq!(world.asked(replay).await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_fails_the_replay_with_the_reason() {
    let world = World::new();
    world.deliver_many(60).await;
    let process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(10);
    let replay = process.start_replay(order).await;
    process.until(replay, |state| state.counts.requested >= 10).await;
    let damage = ReadError::Corrupt("segment 3 at 4096".to_owned());
    // Whoever reads the log next for the replay; questions about its state read it too, so none are asked here.
    process.wire.faults().unreadable.push_back(damage);
    sleep(Duration::from_secs(10)).await;
    let state = process.ended(replay).await;
    assert_eq!(state.status, ReplayStatus::Failed);
    assert!(
        state.error.as_ref().unwrap().contains("segment 3 at 4096"),
        "{:?}",
        state.error
    );
    assert_eq!(state.counts.requested, world.asked(replay).await.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_replay_says_what_it_did_though_it_had_not_yet() {
    let mut world = World::new();
    world.options.replay_progress_interval_ms = 3_600_000;
    world.deliver_many(100).await;
    let process = world.started();
    process.wire.faults().delay_ms = 50;
    let mut order = everything();
    order.rate_per_second = Some(15);
    let replay = process.start_replay(order).await;
    within(async {
        while world.asked(replay).await.len() < 30 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let tenant = TenantId::default();
    let cancelled = process.handle.cancel(&tenant, replay, "paul".to_owned()).await;
    let state = cancelled.unwrap();
    assert_eq!(state.status, ReplayStatus::Cancelled);
    assert_eq!(state.counts.requested, world.asked(replay).await.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_asked_for_when_it_was_stopped_is_not_counted() {
    let world = World::new();
    world.deliver_many(100).await;
    let mut process = world.started();
    let mut order = everything();
    order.rate_per_second = Some(20);
    let replay = process.start_replay(order).await;
    process.until(replay, |state| state.counts.requested >= 20).await;
    process.wire.faults().deliveries_refused = true;
    sleep(Duration::from_millis(500)).await;
    process.stop().await;
    let state = process.handle.state(&TenantId::default(), replay).await;
    let (counts, asked) = (state.unwrap().counts, world.asked(replay).await.len() as u64);
    assert_eq!(
        (counts.matched, counts.requested, counts.skipped),
        (asked, asked, 0)
    );
}
