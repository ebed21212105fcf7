//! What does not fit is read again, and nothing is lost or done twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryStatus, Destinations, ErrorCode, Failure, StreamName};

use super::doubles::*;
use crate::Sent;

async fn all_processed(bench: &Bench, streams: &[StreamName]) -> bool {
    for stream in streams {
        if bench.state(stream).await.status() != DeliveryStatus::Processed {
            return false;
        }
    }
    true
}

async fn each_went_once(bench: &Bench, target: &ScriptedTarget, streams: &[StreamName]) {
    let mut counts: HashMap<_, usize> = HashMap::new();
    for got in target.got() {
        *counts.entry(got.event).or_default() += 1;
    }
    assert_eq!(counts.len(), streams.len());
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    for stream in streams {
        assert_eq!(bench.history(stream).await.len(), 2, "one outcome each");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_deliveries_pass_through_a_window_of_three() {
    let mut bench = Bench::new();
    bench.options.window_max = 3;
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_millis(10));
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let mut streams = Vec::new();
    for n in 0..100 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
        bench.deliver("for nobody", &[]).await;
        if n % 10 == 0 {
            pass(Duration::from_millis(15)).await;
            assert!(running.handle.status().open <= 3);
        }
    }
    until("all are processed", async || {
        all_processed(&bench, &streams).await
    })
    .await;
    each_went_once(&bench, &target, &streams).await;
    until("nothing is open", async || running.handle.status().open == 0).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waited_while_nobody_ran_passes_through_a_window_of_three() {
    let mut bench = Bench::new();
    bench.options.window_max = 3;
    let target = Arc::new(ScriptedTarget::default());
    let mut streams = Vec::new();
    for n in 0..100 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
    }
    let running = bench.run(vec![bench.plan("ci", &target)]);
    until("all are processed", async || {
        all_processed(&bench, &streams).await
    })
    .await;
    each_went_once(&bench, &target, &streams).await;
    running.stop().await;

    // From the start once more, without the note: all of it is closed, and none goes out.
    bench.checkpoints.0.lock().unwrap().clear();
    let running = bench.run(vec![bench.plan("ci", &target)]);
    until("the log was read", async || {
        running.handle.status().ready && running.handle.status().open == 0
    })
    .await;
    pass(Duration::from_secs(60)).await;
    each_went_once(&bench, &target, &streams).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_window_of_one_destination_holds_up_no_other() {
    let mut bench = Bench::new();
    bench.options.window_max = 3;
    let (slow, quick) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    slow.answers(|_| fails());
    let running = bench.run(vec![bench.plan("slow", &slow), bench.plan("quick", &quick)]);
    for n in 0..50 {
        bench.deliver(&n.to_string(), &["slow", "quick"]).await;
    }
    pass(Duration::from_millis(100)).await;
    assert_eq!(quick.got().len(), 50);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_destination_keeps_a_window_and_loses_nothing() {
    let mut bench = Bench::new();
    bench.options.window_max = 3;
    let target = Arc::new(ScriptedTarget::default());
    let mut plan = bench.plan("ci", &target);
    plan.paused = true;
    let running = bench.run(vec![plan.clone()]);
    let mut streams = Vec::new();
    for n in 0..40 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
    }
    pass(Duration::from_secs(60)).await;
    assert_eq!(running.handle.list().await[0].open, 3);
    running.stop().await;
    plan.paused = false;
    let running = bench.run(vec![plan]);
    until("all are processed", async || {
        all_processed(&bench, &streams).await
    })
    .await;
    each_went_once(&bench, &target, &streams).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replays_and_failures_beyond_the_window_are_found_again() {
    let mut bench = Bench::new();
    bench.options.window_max = 2;
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|dispatch| if dispatch.number < 3 { fails() } else { ok() });
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let mut streams = Vec::new();
    for n in 0..12 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
    }
    // Asked for again while the first round is still waiting for its place.
    for stream in streams.iter().skip(6) {
        bench.replay(stream, &["ci"]).await;
    }
    until("all are processed", async || {
        all_processed(&bench, &streams).await
    })
    .await;
    let mut by_key: HashMap<String, Vec<u32>> = HashMap::new();
    for got in target.got() {
        by_key.entry(got.key).or_default().push(got.number);
    }
    assert!(by_key.values().all(|numbers| *numbers == [1, 2, 3]), "{by_key:?}");
    assert_eq!(by_key.len(), 12, "the replaced rounds were never begun");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_again_waits_for_its_time_even_before_that_was_read() {
    let mut bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(1));
    target.says([Sent::Failed {
        target: "test://target".into(),
        response: None,
        failure: Failure::new(ErrorCode::RateLimitError, "slower"),
        retry_after: Some(Duration::from_secs(3000)),
        gone: false,
    }]);
    // In the log: first, urgent, last are received; then the urgent one fails. Nothing else ends.
    bench.deliver("first", &["ci"]).await;
    let urgent = bench.deliver("p9 urgent", &["ci"]).await;
    let last = bench.deliver("last", &["ci"]).await;
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    let running = bench.run(vec![plan.clone()]);
    pass(Duration::from_millis(1500)).await;
    running.kill().await;
    assert_eq!(bench.state(&urgent).await.attempts, 1);

    // With room for one, the failure is read only after there is room for the last, which is after the urgent one is done.
    bench.options.window_max = 1;
    bench.checkpoints.0.lock().unwrap().clear();
    let running = bench.run(vec![plan]);
    until("all went", async || {
        all_processed(&bench, &[urgent.clone(), last.clone()]).await
    })
    .await;
    let again = target.got().into_iter().find(|got| got.number == 2).unwrap();
    let waited = again.at.millis_since(BEGIN);
    assert!((3_001_000..3_002_000).contains(&waited), "{waited} ms");
    running.stop().await;
}
