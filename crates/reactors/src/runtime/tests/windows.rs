//! What does not fit is read again, and nothing is lost or done twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryStatus, Destinations, StreamName};

use super::doubles::*;

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
