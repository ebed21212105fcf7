//! What an attempt leads to.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    DeliveryOutcome, DeliveryStatus, Destinations, ErrorCode, Failure, Outcome, TenantId, Timestamp, Work,
};

use super::doubles::*;
use crate::Sent;
use crate::runtime::retry::pause_ms;

#[tokio::test(start_paused = true)]
async fn a_destination_that_fails_three_times_is_tried_again_at_the_documented_times() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([fails(), fails(), fails()]);
    let plan = bench.plan("ci", &target);
    let policy = plan.retry;
    let running = bench.run(vec![plan]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    let failed = "DeliveryFailed";
    assert_eq!(
        bench.types(&stream).await,
        ["DeliveryReceived", failed, failed, failed, "DeliveryProcessed"]
    );
    let state = bench.state(&stream).await;
    let key = format!("{}.ci", state.receipt.event_id);
    let mut due: Timestamp = state.receipt.recorded_at;
    let got = target.got();
    for (number, got) in (1..=4).zip(&got) {
        assert_eq!((got.number, &got.key), (number, &key));
        assert!(
            (0..=2).contains(&got.at.millis_since(due)),
            "attempt {number} was {} ms late",
            got.at.millis_since(due)
        );
        let pause = pause_ms(&policy, &key, number);
        assert!(pause <= 1000 << (number - 1));
        due = got.at.plus_millis(i64::try_from(pause).unwrap());
    }
    assert_eq!(got.len(), 4);
    assert_eq!(state.attempts, 4);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_given_up_after_its_budget_with_the_whole_history() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|_| fails());
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is dead", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Dead
    })
    .await;
    let history = bench.history(&stream).await;
    let last = DeliveryOutcome::of(history.last().unwrap()).unwrap().unwrap();
    let Outcome::DeadLettered(dead) = last.outcome else {
        panic!("it ends with {last:?}");
    };
    let numbers: Vec<u32> = dead.history.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(dead.failure.code, ErrorCode::ServiceUnavailable);
    until("it is remembered", async || {
        running.handle.dead_letters().streams == [stream.clone()]
    })
    .await;
    assert!(running.handle.dead_letters().complete);
    pass(Duration::from_secs(3600)).await;
    assert_eq!(target.got().len(), 4, "nothing comes after the end");

    // Asked for again, it gets a new round: another key, all attempts anew.
    target.answers(|_| ok());
    bench.replay(&stream, &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    let got = target.got();
    assert_eq!(got[4].number, 1);
    assert_ne!(got[4].key, got[3].key);
    assert!(running.handle.dead_letters().streams.is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_no_retry_mends_is_given_up_at_once() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([status(400, ErrorCode::ValidationError)]);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is dead", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Dead
    })
    .await;
    assert_eq!(target.got().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_the_least_wait_and_is_bounded() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let asks = |after: Duration| Sent::Failed {
        target: "test://target".into(),
        response: None,
        failure: Failure::new(ErrorCode::RateLimitError, "slower"),
        retry_after: Some(after),
        gone: false,
    };
    target.says([
        asks(Duration::from_secs(90)),
        asks(Duration::from_secs(1_000_000)),
    ]);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    let got = target.got();
    let waits: Vec<i64> = got
        .windows(2)
        .map(|two| two[1].at.millis_since(two[0].at))
        .collect();
    assert!((90_000..90_010).contains(&waits[0]), "{waits:?}");
    assert!((3_600_000..3_600_010).contains(&waits[1]), "{waits:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_sending_is_processed_without_an_attempt() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([Sent::Skipped("the condition does not hold".into())]);
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(bench.state(&stream).await.attempts, 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_is_cut_off_and_the_attempt_counts() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(1_000_000));
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it failed once", async || {
        bench.state(&stream).await.attempts == 1
    })
    .await;
    let failure = bench.state(&stream).await.failure.unwrap();
    assert_eq!(failure.code, ErrorCode::TimeoutError);
    target.takes(Duration::ZERO);
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_panics_costs_its_delivery_and_nothing_else() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|dispatch| {
        assert!(
            dispatch.number > 1 || dispatch.received.repository.is_some(),
            "a defect"
        );
        ok()
    });
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let bad = bench.deliver_to("bad", None, &["ci"]).await;
    let good = bench.deliver("good", &["ci"]).await;
    until("both have ended", async || {
        bench.state(&bad).await.status() == DeliveryStatus::Dead
            && bench.state(&good).await.status() == DeliveryStatus::Processed
    })
    .await;
    let failure = bench.state(&bad).await.failure.unwrap();
    assert_eq!(failure.code, ErrorCode::ValidationError);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_gone_is_paused_and_keeps_the_delivery() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.says([fails(), fails(), fails(), gone()]);
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    let running = bench.run(vec![plan.clone()]);
    let stream = bench.deliver("a", &["ci"]).await;
    until("it is paused", async || {
        running.handle.list().await[0].paused.is_some()
    })
    .await;
    let paused = running.handle.list().await[0].paused.clone().unwrap();
    assert_eq!(paused.by, "hooklog");
    let other = bench.deliver("b", &["ci"]).await;
    pass(Duration::from_secs(24 * 3600)).await;
    assert_eq!(target.got().len(), 4, "nothing goes out while it is paused");
    let part = bench.state(&stream).await.destinations[&name("ci")].clone();
    assert_eq!(part.work, Work::Open, "even beyond its budget it is kept");
    running.stop().await;

    let running = bench.run(vec![plan]);
    pass(Duration::from_secs(60)).await;
    assert_eq!(target.got().len(), 4, "it stays paused over a restart");
    running
        .handle
        .resume(&TenantId::default(), &name("ci"), "someone".into())
        .await
        .unwrap();
    until("both are processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
            && bench.state(&other).await.status() == DeliveryStatus::Processed
    })
    .await;
    running.stop().await;
}
