//! Killed at any moment, nothing is lost, and what is done twice has the same key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryOutcome, Outcome, StreamName, Work};
use proptest::prelude::*;

use super::doubles::*;
use crate::DestinationPlan;

const NAMES: [&str; 3] = ["ci", "cd", "chat"];

fn plans(bench: &Bench, targets: &[Arc<ScriptedTarget>]) -> Vec<DestinationPlan> {
    let plan = |(name, target): (&&str, &Arc<ScriptedTarget>)| {
        let mut plan = bench.plan(name, target);
        plan.retry.delay_ms = 40;
        plan.concurrency = 2;
        if *name == "chat" {
            plan.ordering = crate::Ordering::Repository;
        }
        plan
    };
    NAMES.iter().zip(targets).map(plan).collect()
}

async fn open(bench: &Bench, streams: &[StreamName]) -> usize {
    let mut open = 0;
    for stream in streams {
        let state = bench.state(stream).await;
        open += state
            .destinations
            .values()
            .filter(|part| part.work == Work::Open)
            .count();
    }
    open
}

/// Each destination ends each delivery once, after attempts 1, 2, 3, … under one key.
async fn check(bench: &Bench, streams: &[StreamName], targets: &[Arc<ScriptedTarget>], kills: usize) {
    for stream in streams {
        let history = bench.history(stream).await;
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        let mut failures: BTreeMap<String, u32> = BTreeMap::new();
        let receipt = history[0].id;
        for event in &history[1..] {
            let outcome = DeliveryOutcome::of(event).unwrap().unwrap().outcome;
            let name = outcome.destination().unwrap().to_string();
            assert_eq!(ends.get(&name), None, "{stream} went on after its end at {name}");
            match outcome {
                Outcome::Failed(failed) => {
                    let count = failures.entry(name.clone()).or_default();
                    *count += 1;
                    assert_eq!(failed.attempt.number, *count);
                    assert_eq!(failed.attempt.idempotency_key, format!("{receipt}.{name}"));
                }
                Outcome::Processed(_) | Outcome::DeadLettered(_) => {
                    ends.insert(name, 1);
                }
                Outcome::ReplayRequested(_) => panic!("nobody asked"),
            }
        }
        assert_eq!(ends.len(), NAMES.len(), "{stream}: {ends:?}");
    }
    let mut sent: HashMap<(String, u32), usize> = HashMap::new();
    for target in targets {
        for got in target.got() {
            *sent.entry((got.key, got.number)).or_default() += 1;
        }
    }
    for (attempt, times) in sent {
        assert!(times <= 1 + kills, "{attempt:?} was sent {times} times");
    }
}

async fn survive(lives: Vec<(u64, bool)>, seed: u64, window_max: usize) {
    let mut bench = Bench::new();
    bench.options.window_max = window_max;
    bench.options.checkpoint_interval_ms = 10;
    bench.log.takes(Duration::from_millis(1));
    let targets: Vec<Arc<ScriptedTarget>> = NAMES.iter().map(|_| Arc::default()).collect();
    for (n, target) in (0..).zip(&targets) {
        target.takes(Duration::from_millis(3));
        target.answers(move |dispatch| {
            let id = dispatch.event_id.as_uuid().as_u128() % 89;
            let draw = id + u128::from(seed) + n * 31 + u128::from(dispatch.number);
            if draw.is_multiple_of(3) { fails() } else { ok() }
        });
    }
    let mut streams = Vec::new();
    let kills = lives.len();
    for (lived_ms, keeps_note) in lives {
        for n in 0..3 {
            streams.push(bench.deliver(&n.to_string(), &NAMES).await);
        }
        let running = bench.run(plans(&bench, &targets));
        pass(Duration::from_millis(lived_ms)).await;
        running.kill().await;
        if !keeps_note {
            bench.checkpoints.0.lock().unwrap().clear();
        }
    }
    let running = bench.run(plans(&bench, &targets));
    until("all have ended", async || open(&bench, &streams).await == 0).await;
    pass(Duration::from_secs(10)).await;
    running.stop().await;
    check(&bench, &streams, &targets, kills).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 8))]
    #[test]
    fn whenever_it_is_killed_every_delivery_reaches_one_outcome_under_one_key(
        lives in prop::collection::vec((0_u64..60, any::<bool>()), 1..8),
        seed in any::<u32>(),
        window_max in 1_usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(survive(lives, u64::from(seed), window_max));
    }
}
