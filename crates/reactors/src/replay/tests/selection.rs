//! What a replay is about.

use domain::testing::any_steps;
use domain::{Category, DeliveryStatus, ReplayMatch};
use proptest::prelude::*;
use std::collections::BTreeSet;

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
    let retried = process
        .handle
        .retry_dead(TenantId::default(), "olga".to_owned(), None)
        .await;
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
                && (!order.dead_only || !state.dead(&order.destinations).is_empty())
                && (!duplicate || order.to == ReplayTo::Subjects || order.dead_only);
            count += u64::from(fits);
        }
        count
    }

    /// The dead letters of now, as the reactors would remember them.
    async fn remember(&self, streams: &[StreamName]) {
        let mut dead = Vec::new();
        for stream in streams {
            if self.state(stream).await.status() == DeliveryStatus::Dead {
                dead.push(stream.clone());
            }
        }
        let upto = self.head().await;
        *self.memory.0.lock().unwrap() = Some(RememberedDead { streams: dead, upto });
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
