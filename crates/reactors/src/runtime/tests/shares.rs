//! Several processes that share the destinations.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::testing::TestLeases;
use domain::{
    Checkpoints, Clock, DeliveryStatus, EventId, EventLog, LeaseName, Leases, SharedWork, StreamName,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::doubles::*;
use crate::DestinationPlan;
use crate::runtime::fact::Place;
use crate::runtime::share::part_of;
use crate::runtime::{ReactorPorts, Reactors};

impl Bench {
    fn run_leased(&self, plans: Vec<DestinationPlan>, leases: &TestLeases) -> Running {
        let ports = ReactorPorts {
            log: Arc::clone(&self.log) as Arc<dyn EventLog>,
            checkpoints: Arc::clone(&self.checkpoints) as Arc<dyn Checkpoints>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            new_id: Arc::new(|| EventId::new(Uuid::now_v7())),
            leases: Arc::new(leases.clone()) as Arc<dyn Leases>,
        };
        let (reactors, handle) = Reactors::build(self.options.clone(), plans, ports).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(reactors.run(stop.clone()));
        Running { handle, stop, task }
    }

    async fn processed(&self, streams: &[StreamName]) {
        until("all are processed", async || {
            for stream in streams {
                if self.state(stream).await.status() != DeliveryStatus::Processed {
                    return false;
                }
            }
            true
        })
        .await;
    }

    async fn deliver_many(&self, count: usize, due: &[&str]) -> Vec<StreamName> {
        let mut streams = Vec::new();
        for n in 0..count {
            streams.push(self.deliver(&format!("body {n}"), due).await);
        }
        streams
    }
}

fn lease(bench: &Bench, name: &str) -> LeaseName {
    let plan = bench.plan(name, &Arc::default());
    LeaseName::new(SharedWork::React, part_of(&Place::of(&plan)))
}

#[tokio::test(start_paused = true)]
async fn each_destination_is_served_by_the_process_that_has_its_lease_and_every_attempt_is_made_once() {
    let bench = Bench::new();
    let (ci, chat) = (lease(&bench, "ci"), lease(&bench, "chat"));
    assert_ne!(ci, chat, "they go by different leases");
    // What each process's targets got, for both destinations.
    let targets: Vec<[Arc<ScriptedTarget>; 2]> = vec![Default::default(), Default::default()];
    let leases = [TestLeases::new(), TestLeases::new()];
    leases[0].give(ci);
    leases[1].give(chat);
    let plans = |n: usize| {
        vec![
            bench.plan("ci", &targets[n][0]),
            bench.plan("chat", &targets[n][1]),
        ]
    };
    let running = [
        bench.run_leased(plans(0), &leases[0]),
        bench.run_leased(plans(1), &leases[1]),
    ];
    let streams = bench.deliver_many(40, &["ci", "chat"]).await;
    bench.processed(&streams).await;
    let got = |n: usize, of: usize| targets[n][of].got().len();
    assert_eq!([got(0, 0), got(0, 1), got(1, 0), got(1, 1)], [40, 0, 0, 40]);
    let keys: HashSet<String> = targets[0][0].got().into_iter().map(|got| got.key).collect();
    assert_eq!(keys.len(), 40);
    for running in running {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_goes_on_in_another_process_when_its_own_dies() {
    let bench = Bench::new();
    let ci = lease(&bench, "ci");
    let (dying, heir) = (Arc::<ScriptedTarget>::default(), Arc::<ScriptedTarget>::default());
    dying.takes(Duration::from_secs(1));
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(ci);
    second.take(ci);
    let one = bench.run_leased(vec![bench.plan("ci", &dying)], &first);
    let other = bench.run_leased(vec![bench.plan("ci", &heir)], &second);
    let streams = bench.deliver_many(20, &["ci"]).await;
    until("some are done", async || dying.got().len() > 7).await;
    one.kill().await;
    pass(Duration::from_secs(60)).await;
    assert_eq!(heir.got().len(), 0, "it has no lease");
    second.give(ci);
    bench.processed(&streams).await;
    // What was on its way when the first one died goes out again, under the same key.
    let keys: HashSet<String> = dying
        .got()
        .into_iter()
        .chain(heir.got())
        .map(|got| got.key)
        .collect();
    assert_eq!(keys.len(), 20);
    let sent = dying.got().len() + heir.got().len();
    assert!(sent <= 20 + bench.options.concurrency, "{sent} for 20");
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_ends_before_a_destination_is_handed_over() {
    let bench = Bench::new();
    let ci = lease(&bench, "ci");
    let (giver, taker) = (Arc::<ScriptedTarget>::default(), Arc::<ScriptedTarget>::default());
    giver.takes(Duration::from_secs(5));
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(ci);
    let one = bench.run_leased(vec![bench.plan("ci", &giver)], &first);
    let other = bench.run_leased(vec![bench.plan("ci", &taker)], &second);
    let streams = bench.deliver_many(30, &["ci"]).await;
    until("some are on their way", async || {
        giver.got().len() == bench.options.concurrency
    })
    .await;
    first.take(ci);
    pass(Duration::from_secs(1)).await;
    assert!(!first.is_settled(ci), "attempts are under way");
    until("they have ended", async || first.is_settled(ci)).await;
    let begun = giver.got().len();
    assert_eq!(begun, bench.options.concurrency, "nothing new was begun");
    second.give(ci);
    bench.processed(&streams).await;
    assert_eq!(giver.got().len() + taker.got().len(), 30, "each once");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_that_both_serve_a_destination_get_one_outcome_each_into_the_log() {
    let bench = Bench::new();
    let ci = lease(&bench, "ci");
    let (stale, fresh) = (Arc::<ScriptedTarget>::default(), Arc::<ScriptedTarget>::default());
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(ci);
    second.give(ci);
    let one = bench.run_leased(vec![bench.plan("ci", &stale)], &first);
    let other = bench.run_leased(vec![bench.plan("ci", &fresh)], &second);
    let streams = bench.deliver_many(30, &["ci"]).await;
    bench.processed(&streams).await;
    one.stop().await;
    other.stop().await;
    for stream in &streams {
        assert_eq!(
            bench.types(stream).await,
            ["DeliveryReceived", "DeliveryProcessed"],
            "{stream}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_until_the_attempts_of_a_stopping_process_have_ended() {
    let bench = Bench::new();
    let ci = lease(&bench, "ci");
    let target = Arc::<ScriptedTarget>::default();
    target.takes(Duration::from_secs(5));
    let leases = TestLeases::new();
    leases.give(ci);
    let running = bench.run_leased(vec![bench.plan("ci", &target)], &leases);
    bench.deliver_many(1, &["ci"]).await;
    until("it is on its way", async || target.got().len() == 1).await;
    assert_eq!(leases.standing_for(ci), 1);
    running.stop.cancel();
    pass(Duration::from_secs(1)).await;
    assert_eq!(leases.standing_for(ci), 1, "another one must not begin");
    running.stop().await;
    assert_eq!(leases.standing_for(ci), 0);
}
