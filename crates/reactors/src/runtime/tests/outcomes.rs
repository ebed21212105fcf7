//! How an outcome gets into the log, whatever the log does.

use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryStatus, Destinations, EventId, Work};

use super::doubles::*;

#[tokio::test(start_paused = true)]
async fn two_destinations_that_end_at_the_same_moment_both_take_it_down() {
    let bench = Bench::new();
    let targets: Vec<Arc<ScriptedTarget>> = (0..5).map(|_| Arc::default()).collect();
    for target in &targets {
        target.takes(Duration::from_secs(1));
    }
    let names = ["a", "b", "c", "d", "e"];
    let plans = names
        .iter()
        .zip(&targets)
        .map(|(name, target)| bench.plan(name, target));
    let running = bench.run(plans.collect());
    let stream = bench.deliver("x", &names).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(bench.history(&stream).await.len(), 6);
    assert!(targets.iter().all(|target| target.got().len() == 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_round_that_was_replaced_under_an_attempt_takes_nothing_down() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([fails()]);
    let stream = bench.deliver("x", &["ci"]).await;
    let replay = bench.replay_append(&stream, &["ci"]).await;
    bench.log.meddle(replay);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(
        bench.types(&stream).await,
        ["DeliveryReceived", "DeliveryReplayRequested", "DeliveryProcessed"]
    );
    let numbers: Vec<u32> = target.got().iter().map(|got| got.number).collect();
    assert_eq!(numbers, [1, 1], "the new round has all its attempts");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_the_log_says_an_attempt_is_made_once_and_taken_down_once() {
    for faults in [
        vec![Fault::WrittenUnknown],
        vec![Fault::LostUnknown],
        vec![Fault::Unavailable; 20],
        vec![
            Fault::LostUnknown,
            Fault::Unavailable,
            Fault::WrittenUnknown,
            Fault::Unavailable,
        ],
    ] {
        let bench = Bench::new();
        let target = Arc::new(ScriptedTarget::default());
        bench.log.fail_appends(&faults);
        let running = bench.run(vec![bench.plan("ci", &target)]);
        let stream = bench.deliver("x", &["ci"]).await;
        until("it is processed", async || {
            bench.state(&stream).await.status() == DeliveryStatus::Processed
        })
        .await;
        pass(Duration::from_secs(600)).await;
        assert_eq!(bench.history(&stream).await.len(), 2, "{faults:?}");
        assert_eq!(target.got().len(), 1, "{faults:?}");
        assert_eq!(running.handle.status().open, 0);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_was_written_unseen_is_not_written_again_after_another_one() {
    let bench = Bench::new();
    let (ci, cd) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    cd.takes(Duration::from_millis(10));
    // The first outcome is written, but nobody learns so before the second stands behind it.
    bench.log.fail_appends(&[Fault::WrittenUnknown]);
    let running = bench.run(vec![bench.plan("ci", &ci), bench.plan("cd", &cd)]);
    let stream = bench.deliver("x", &["ci", "cd"]).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(
        bench.types(&stream).await,
        ["DeliveryReceived", "DeliveryProcessed", "DeliveryProcessed"]
    );
    let ids: std::collections::HashSet<EventId> = bench.history(&stream).await.iter().map(|e| e.id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!((ci.got().len(), cd.got().len()), (1, 1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_log_never_takes_does_not_send_again_and_again() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    bench.log.fail_appends(&[Fault::Invalid]);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("x", &["ci"]).await;
    let other = bench.deliver("y", &["ci"]).await;
    until("the other is processed", async || {
        bench.state(&other).await.status() == DeliveryStatus::Processed
    })
    .await;
    pass(Duration::from_secs(3600)).await;
    assert_eq!(target.got().len(), 2);
    let part = bench.state(&stream).await.destinations[&name("ci")].work;
    assert_eq!(part, Work::Open, "it stays open");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_not_be_read_waits_for_a_person_and_holds_up_nobody() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    plan.ordering = crate::Ordering::Repository;
    let bad = bench.deliver("bad", &["ci"]).await;
    bench.log.corrupt(Some(bad.clone()));
    let running = bench.run(vec![plan.clone()]);
    let good = bench.deliver("good", &["ci"]).await;
    until("the other is processed", async || {
        bench.state(&good).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(running.handle.list().await[0].open, 1);
    running.stop().await;
    bench.log.corrupt(None);
    let running = bench.run(vec![plan]);
    until("it is processed", async || {
        bench.state(&bad).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(target.bodies(), ["good", "bad"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_can_not_be_read_for_a_while_only_delays() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    bench.log.fail_reads_of_streams(30);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("x", &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(target.got().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_what_is_under_way_and_begins_nothing() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(5));
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    let running = bench.run(vec![plan]);
    let first = bench.deliver("1", &["ci"]).await;
    let second = bench.deliver("2", &["ci"]).await;
    until("it is under way", async || target.got().len() == 1).await;
    running.stop().await;
    assert_eq!(bench.state(&first).await.status(), DeliveryStatus::Processed);
    assert_eq!(bench.state(&second).await.status(), DeliveryStatus::Received);
    assert_eq!(target.got().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_no_longer_than_it_may_and_the_attempt_is_made_again_under_its_key() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(12));
    let plan = bench.plan("ci", &target);
    let running = bench.run(vec![plan.clone()]);
    let stream = bench.deliver("1", &["ci"]).await;
    until("it is under way", async || target.got().len() == 1).await;
    let from = tokio::time::Instant::now();
    running.stop().await;
    let waited = from.elapsed();
    assert!((9_990..10_100).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(bench.state(&stream).await.status(), DeliveryStatus::Received);
    let running = bench.run(vec![plan]);
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    let got = target.got();
    assert_eq!((&got[0].key, got[0].number), (&got[1].key, got[1].number));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_out_for_duplicates_for_nobody_and_for_replays_to_the_subjects() {
    use domain::testing::TestDelivery;
    use domain::{DeliveryCommand, EventLog, ReplayId, ReplayTo};
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let plain = bench.deliver("for nobody", &[]).await;
    for _ in 0..2 {
        let delivery = TestDelivery::new("push", "the same");
        let mut append = delivery.append();
        let mut received = delivery.received();
        received.reactors_due = vec!["destination:ci".into(), "something-else".into()];
        append.events[0].metadata = received.to_metadata();
        bench.log.append(append).await.unwrap();
    }
    let state = bench.state(&plain).await;
    let command = DeliveryCommand::Replay {
        to: ReplayTo::Subjects,
        destinations: vec![name("ci")],
        replay: ReplayId::new(uuid::Uuid::now_v7()),
        requested_by: "test".into(),
        reason: None,
    };
    let outcome = state.decide(command).unwrap().unwrap();
    let append = state.append(&outcome, EventId::new(uuid::Uuid::now_v7()));
    bench.log.append(append).await.unwrap();
    pass(Duration::from_secs(60)).await;
    assert_eq!(target.bodies(), ["the same"], "the original alone");
    running.stop().await;
}
