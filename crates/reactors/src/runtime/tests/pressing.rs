//! What goes out when: order, priority, rate, concurrency, and the breaker.

use std::sync::Arc;
use std::time::Duration;

use domain::{BreakerState, DeliveryStatus, Destinations, TenantId};

use super::doubles::*;
use crate::{BreakerPolicy, Ordering};

#[tokio::test(start_paused = true)]
async fn a_repository_keeps_its_order_whatever_fails_and_holds_up_no_other() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|dispatch| {
        let body = body_of(dispatch);
        match (body.as_str(), dispatch.number) {
            ("a2", 1 | 2) | ("a3", _) => fails(),
            _ => ok(),
        }
    });
    let mut plan = bench.plan("ci", &target);
    plan.ordering = Ordering::Repository;
    let running = bench.run(vec![plan]);
    let mut last = None;
    for body in ["a1", "a2", "a3", "a4", "a5"] {
        last = Some(bench.deliver_to(body, Some("org/a"), &["ci"]).await);
    }
    for body in ["b1", "b2"] {
        bench.deliver_to(body, Some("org/b"), &["ci"]).await;
    }
    for body in ["x1", "x2"] {
        bench.deliver_to(body, None, &["ci"]).await;
    }
    pass(Duration::ZERO).await;
    until("all went out", async || {
        bench.state(last.as_ref().unwrap()).await.status() == DeliveryStatus::Processed
    })
    .await;
    let of = |prefix: char| -> Vec<String> {
        let bodies = target.bodies();
        bodies
            .into_iter()
            .filter(|body| body.starts_with(prefix))
            .collect()
    };
    assert_eq!(
        of('a'),
        ["a1", "a2", "a2", "a2", "a3", "a3", "a3", "a3", "a4", "a5"],
        "a delivery waits until the one before it is done or given up"
    );
    assert_eq!(of('b'), ["b1", "b2"]);
    let place = |body: &str| target.bodies().iter().position(|b| b == body).unwrap();
    assert!(place("b2") < place("a3") && place("x2") < place("a3"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_repository_has_one_attempt_under_way_even_when_it_is_asked_for_again() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(3));
    let mut plan = bench.plan("ci", &target);
    plan.ordering = Ordering::Repository;
    let running = bench.run(vec![plan]);
    let first = bench.deliver_to("a1", Some("org/a"), &["ci"]).await;
    bench.deliver_to("a2", Some("org/a"), &["ci"]).await;
    pass(Duration::from_secs(1)).await;
    bench.replay(&first, &["ci"]).await;
    until("the replay went out", async || target.got().len() == 3).await;
    assert_eq!(target.bodies(), ["a1", "a2", "a1"]);
    assert_eq!(target.at_once(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_goes_first_and_waiting_makes_urgent() {
    let mut bench = Bench::new();
    bench.options.ageing_per_second = 2.0;
    let target = Arc::new(ScriptedTarget::default());
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    plan.paused = true;
    // Two units a second: after 10 s of waiting, 0 has become 20.
    bench.deliver("p0 early", &["ci"]).await;
    bench.deliver("p5 early", &["ci"]).await;
    pass(Duration::from_secs(10)).await;
    for body in ["p0 late", "p19 late", "p21 late", "p0 later"] {
        bench.deliver(body, &["ci"]).await;
    }
    plan.paused = false;
    let running = bench.run(vec![plan]);
    until("all went out", async || target.got().len() == 6).await;
    assert_eq!(
        target.bodies(),
        [
            "p5 early", "p21 late", "p0 early", "p19 late", "p0 late", "p0 later"
        ]
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_as_urgent_as_its_delivery() {
    let mut bench = Bench::new();
    bench.options.ageing_per_second = 0.0;
    let target = Arc::new(ScriptedTarget::default());
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    let running = bench.run(vec![plan.clone()]);
    let stream = bench.deliver("p9", &["ci"]).await;
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    running.stop().await;
    bench.deliver("p1", &["ci"]).await;
    bench.replay(&stream, &["ci"]).await;
    let running = bench.run(vec![plan]);
    until("all went out", async || target.got().len() == 3).await;
    assert_eq!(target.bodies(), ["p9", "p9", "p1"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_and_no_more_a_second_than_allowed() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(1));
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 4;
    plan.rate_per_second = Some(2);
    let running = bench.run(vec![plan]);
    for n in 0..20 {
        bench.deliver(&n.to_string(), &["ci"]).await;
    }
    until("all went out", async || target.got().len() == 20).await;
    let got = target.got();
    for two in got.windows(2) {
        let apart = two[1].at.millis_since(two[0].at);
        assert!((499..=503).contains(&apart), "{apart} ms");
    }
    running.stop().await;

    let other = Arc::new(ScriptedTarget::default());
    other.takes(Duration::from_secs(1));
    let mut plan = bench.plan("cd", &other);
    plan.concurrency = 4;
    let running = bench.run(vec![plan]);
    for n in 0..20 {
        bench.deliver(&n.to_string(), &["cd"]).await;
    }
    until("all went out", async || other.got().len() == 20).await;
    assert_eq!(other.at_once(), 4);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_uses_up_no_attempt_and_probes_until_all_is_well() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.answers(|_| fails());
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    plan.retry.retries_max = 100;
    plan.breaker = Some(BreakerPolicy {
        failures: 3,
        pause_ms: 30_000,
        probes: 2,
    });
    let running = bench.run(vec![plan]);
    let mut streams = Vec::new();
    for n in 0..10 {
        streams.push(bench.deliver(&n.to_string(), &["ci"]).await);
    }
    until("it is open", async || {
        running.handle.list().await[0].breaker == BreakerState::Open
    })
    .await;
    let status = running.handle.list().await.remove(0);
    assert!(status.breaker_until.is_some() && status.last_error.is_some());
    assert_eq!(target.got().len(), 3);
    assert_eq!(
        running.handle.status().lag_ms,
        0,
        "what waits for a breaker is no lag"
    );
    pass(Duration::from_secs(29)).await;
    assert_eq!(target.got().len(), 3);
    pass(Duration::from_secs(300)).await;
    let probes = target.got().len() - 3;
    assert!((9..=11).contains(&probes), "one probe every 30 s, not {probes}");

    target.answers(|_| ok());
    until("all are processed", async || {
        for stream in &streams {
            if bench.state(stream).await.status() != DeliveryStatus::Processed {
                return false;
            }
        }
        true
    })
    .await;
    let status = running.handle.list().await.remove(0);
    assert_eq!((status.breaker, status.last_error), (BreakerState::Closed, None));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lag_is_the_longest_wait_of_what_could_go_out() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    target.takes(Duration::from_secs(10));
    let mut plan = bench.plan("ci", &target);
    plan.concurrency = 1;
    let running = bench.run(vec![plan]);
    bench.deliver("a", &["ci"]).await;
    bench.deliver("b", &["ci"]).await;
    pass(Duration::from_secs(4)).await;
    let lag = running.handle.status().lag_ms;
    assert!((3900..=4000).contains(&lag), "{lag} ms");
    assert_eq!(running.handle.list().await[0].in_flight, 1);
    running
        .handle
        .pause(&TenantId::default(), &name("ci"), "someone".into(), None)
        .await
        .unwrap();
    assert_eq!(running.handle.status().lag_ms, 0);
    running.stop().await;
}
