//! Whatever happens to the log, a count before the run, the run, and a plain look at every delivery agree.

use std::collections::BTreeSet;

use domain::testing::any_steps;
use domain::{Category, ReplayMatch};
use proptest::prelude::*;

use super::*;

/// Something that happens to the log.
#[derive(Debug, Clone)]
enum Happens {
    Delivery {
        theirs: bool,
        source: &'static str,
        event: &'static str,
        repository: &'static str,
        due: Vec<&'static str>,
        body: u8,
        received_ago_ms: i64,
    },
    Steps(prop::sample::Index, Vec<Step>),
    Later(i64),
}

fn any_happening() -> impl Strategy<Value = Happens> {
    let delivery = (
        prop::bool::weighted(0.2),
        prop::sample::select(vec!["github", "gitlab"]),
        prop::sample::select(vec!["push", "issues"]),
        prop::sample::select(vec!["octo-org/web", "acme/web"]),
        prop::sample::subsequence(vec!["ci", "cd"], 0..=2),
        0..6_u8,
        prop_oneof![Just(0), 0..100_000_000_i64],
    );
    prop_oneof![
        4 => delivery.prop_map(|(theirs, source, event, repository, due, body, received_ago_ms)| {
            Happens::Delivery { theirs, source, event, repository, due, body, received_ago_ms }
        }),
        5 => (any::<prop::sample::Index>(), any_steps(&["ci", "cd"], 4)).prop_map(|(at, steps)| Happens::Steps(at, steps)),
        1 => (0..20_000_000_i64).prop_map(Happens::Later),
    ]
}

fn any_filter() -> impl Strategy<Value = ReplayFilter> {
    let time = || {
        prop::option::weighted(
            0.3,
            (-100_000_000..100_000_000_i64).prop_map(|ms| NOON.plus_millis(ms)),
        )
    };
    (
        prop::option::weighted(0.2, Just("octo-org/*".to_owned())),
        prop::option::weighted(0.2, Just("github".parse().unwrap())),
        prop::option::weighted(0.2, Just("push".to_owned())),
        prop::option::weighted(0.6, prop::sample::select(DeliveryStatus::ALL.to_vec())),
        time(),
        time(),
    )
        .prop_map(|(repository, source, event, status, from, to)| ReplayFilter {
            delivery: None,
            repository,
            source,
            event,
            action: None,
            status,
            error_code: None,
            error: None,
            from: from.min(to).or(from),
            to: from.max(to).filter(|_| to.is_some()),
        })
}

fn any_order() -> impl Strategy<Value = ReplayOrder> {
    (any_filter(), 0..4_u8, prop::bool::weighted(0.3)).prop_map(|(filter, kind, narrow)| {
        let mut order = order(filter);
        match kind {
            0 => order.to = ReplayTo::Subjects,
            1 => order.dead_only = true,
            _ => {}
        }
        if narrow && kind != 0 {
            order.destinations = vec![name("cd")];
        }
        order
    })
}

impl World {
    async fn happen(&self, streams: &mut Vec<StreamName>, happening: &Happens) {
        match happening {
            Happens::Later(ms) => self.clock.advance_millis(*ms),
            Happens::Steps(at, steps) if !streams.is_empty() => {
                let stream = at.get(streams);
                for step in steps {
                    let state = self.state(stream).await;
                    if step.command(&state, NOON).is_some() {
                        decide_and_append(&*self.log, stream, |state| step.command(state, NOON).unwrap())
                            .await;
                    }
                }
            }
            Happens::Steps(..) => {}
            Happens::Delivery {
                theirs,
                source,
                event,
                repository,
                due,
                body,
                received_ago_ms,
            } => {
                let delivery = TestDelivery {
                    source: (*source).to_owned(),
                    repository: Some((*repository).to_owned()),
                    due: due.clone(),
                    received_at: domain::Clock::now(&*self.clock).plus_millis(-received_ago_ms),
                    ..TestDelivery::new(event, vec![*body])
                };
                let tenant = if *theirs { "team-b" } else { "default" };
                streams.push(self.deliver_to(tenant, &delivery).await);
            }
        }
    }

    /// What an order is about, found the plain way: by looking at every delivery.
    async fn oracle(&self, order: &ReplayOrder, upto: Position) -> u64 {
        let matches = ReplayMatch::new(order.filter.clone()).unwrap();
        let all = self.all().await;
        let ours = all.iter().map(|event| &event.stream);
        let ours: BTreeSet<&StreamName> = ours
            .filter(|s| s.category() == Category::Delivery.as_str() && s.tenant() == "default")
            .collect();
        let mut count = 0;
        for stream in ours {
            let Some(state) = load_delivery(&*self.log, stream, Some(upto)).await.unwrap() else {
                continue;
            };
            let duplicate = state.receipt.duplicate_of.is_some();
            let fits = matches.fits(&state.received)
                && order.filter.status.is_none_or(|status| status == state.status())
                && (!order.dead_only || !state.dead(&order.destinations, &order.filter.cause()).is_empty())
                && (!duplicate || order.to == ReplayTo::Subjects || order.dead_only);
            count += u64::from(fits);
        }
        count
    }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_count_equals_what_the_later_run_matches(
        order in any_order(),
        before in prop::collection::vec(any_happening(), 0..40),
        between in prop::collection::vec(any_happening(), 0..15),
        remembered_at in prop::option::of(0..3_u8),
    ) {
        paused().block_on(async {
            let world = World::new();
            let mut streams = Vec::new();
            for (n, happening) in before.iter().enumerate() {
                if remembered_at == Some(0) && n == before.len() / 2 {
                    world.remember(&streams).await;
                }
                world.happen(&mut streams, happening).await;
            }
            if remembered_at == Some(1) {
                world.remember(&streams).await;
            }
            let process = world.started();
            let count = process.handle.count(&order).await.unwrap();
            prop_assert_eq!(count.count, world.oracle(&order, count.to_position).await);
            for happening in &between {
                world.happen(&mut streams, happening).await;
            }
            if remembered_at == Some(2) {
                world.remember(&streams).await;
            }
            let mut order = order;
            order.to_position = Some(count.to_position);
            prop_assert_eq!(process.handle.count(&order).await.unwrap(), count);
            let state = process.carry_out(order).await;
            prop_assert_eq!(state.status, ReplayStatus::Completed);
            prop_assert_eq!(state.counts.matched, count.count);
            prop_assert_eq!(state.counts.matched, state.counts.requested + state.counts.skipped);
            let asked = world.asked(state.requested.replay).await;
            prop_assert_eq!(asked.len() as u64, state.counts.requested);
            prop_assert!(asked.iter().all(|(stream, _)| stream.tenant() == "default"));
            Ok(())
        })?;
    }
}
