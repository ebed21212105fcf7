//! Several processes that share the partitions of the read models.

use std::collections::BTreeSet;

use domain::testing::TestLeases;
use domain::{LeaseName, Onlooker, SharedWork};

use super::*;
use crate::models;

const NAMES: [&str; 3] = ["deliveries", "statistics", "health"];

fn share(part: u32) -> LeaseName {
    LeaseName::new(SharedWork::Project, part)
}

/// Those of the real read models that these tables in memory can hold.
pub(super) fn real() -> Vec<ModelFactory> {
    let named = |factory: &ModelFactory| NAMES.contains(&factory(BuildShape::default()).name());
    models::factories().into_iter().filter(named).collect()
}

pub(super) fn in_parts(partitions: u32) -> ProjectorOptions {
    ProjectorOptions {
        partitions,
        ..options()
    }
}

impl World {
    pub(super) fn start_sharing(&self, options: ProjectorOptions, leases: Arc<dyn Leases>) -> Running {
        Running::of(Projector::build(options, real(), self.ports(leases)))
    }

    /// Deliveries, and one of ten of them twice more on its own stream.
    async fn fill(&self, count: u64) {
        for n in 0..count {
            append(self.log.as_ref(), 1).await;
            if n % 10 == 0 {
                let events = all_events(self.log.as_ref()).await;
                let stream = events.last().unwrap().stream.clone();
                for _ in 0..2 {
                    let again = |_: &domain::DeliveryState| replayed(ReplayTo::Subjects, &[]);
                    decide_and_append(self.log.as_ref(), &stream, again).await;
                }
            }
        }
    }

    /// What is in the tables that are asked, but for how it was cut into partitions and blocks.
    pub(super) fn answers(&self) -> (Vec<Value>, u64) {
        let of = |name: &str| {
            let (schema, build) = self.active(name).unwrap();
            self.tables.finals(&format!("{name}_s{schema}_b{build}"), "")
        };
        let total = of("statistics")
            .iter()
            .map(|row| row["total"].as_i64().unwrap())
            .sum::<i64>();
        (of("deliveries"), u64::try_from(total).unwrap())
    }

    /// The partitions that took down how far they are, of a build of a projection.
    pub(super) fn progress(&self, projection: &str, build: u64) -> BTreeSet<u64> {
        let rows = self.tables.finals(PROGRESS, "");
        let of_build = rows
            .iter()
            .filter(|row| row["projection"] == json!(projection) && row["build"] == json!(build));
        of_build.map(|row| row["partition"].as_u64().unwrap()).collect()
    }
}

impl Running {
    pub(super) async fn equals_the_log(&self) {
        for name in NAMES {
            let report = self.handle.verify(name).await.unwrap();
            assert!(report.is_equal(), "{report:?}");
        }
    }

    /// Ends it as a kill would: nothing is finished.
    #[expect(clippy::disallowed_methods, reason = "this is how a test kills")]
    pub(super) fn kill(self) {
        self.task.abort();
    }

    /// All projections are up to the head, as this process sees it.
    pub(super) async fn sees_the_head(&self, world: &World) {
        let head = world.log.head().await.unwrap();
        until("all partitions are at the head", async || {
            let statuses = self.handle.status();
            statuses
                .iter()
                .all(|status| status.position == head && status.rebuild.is_none())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_two_and_four_partitions_over_two_processes_come_to_the_same_answers() {
    let mut answers = Vec::new();
    for partitions in [1, 2, 4] {
        let world = World::new(7);
        world.fill(30).await;
        let relay = world.start_relay();
        let (even, odd) = (TestLeases::new(), TestLeases::new());
        for part in 0..partitions {
            [&even, &odd][part as usize % 2].give(share(part));
        }
        let first = world.start_sharing(in_parts(partitions), Arc::new(even));
        let second = world.start_sharing(in_parts(partitions), Arc::new(odd));
        first.sees_the_head(&world).await;
        world.fill(30).await;
        first.sees_the_head(&world).await;
        second.sees_the_head(&world).await;
        first.equals_the_log().await;
        second.equals_the_log().await;
        let parts: BTreeSet<u64> = (0..u64::from(partitions)).collect();
        assert_eq!(world.progress("deliveries", 1), parts);
        let status = first.status("deliveries");
        assert_eq!(
            (status.partitions, status.partitions_here),
            (partitions, partitions.div_ceil(2))
        );
        answers.push(world.answers());
        for running in [first, second] {
            running.stop().await;
        }
        relay.cancel();
    }
    let positions = |(rows, total): &(Vec<Value>, u64)| {
        let positions: BTreeSet<u64> = rows.iter().map(|row| row["position"].as_u64().unwrap()).collect();
        (positions, *total)
    };
    assert_eq!(answers[0].0.len(), 60);
    assert_eq!(answers[0].1, 60);
    for other in &answers[1..] {
        assert_eq!(positions(&answers[0]), positions(other));
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_goes_on_in_another_process_and_a_stale_one_changes_nothing() {
    let world = World::new(3);
    let relay = world.start_relay();
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(share(0));
    second.give(share(1));
    let one = world.start_sharing(in_parts(2), Arc::new(first.clone()));
    let other = world.start_sharing(in_parts(2), Arc::new(second.clone()));
    world.fill(20).await;
    one.sees_the_head(&world).await;
    // One that does not know that it has lost its lease goes on beside the new holder.
    first.give(share(1));
    world.fill(20).await;
    one.sees_the_head(&world).await;
    second.take(share(1));
    world.fill(20).await;
    one.sees_the_head(&world).await;
    assert_eq!(one.status("deliveries").partitions_here, 2);
    until("the other one has left it", async || {
        other.status("deliveries").partitions_here == 0
    })
    .await;
    // It comes back while the other one is gone in the middle of its work.
    second.give(share(0));
    second.give(share(1));
    world.fill(20).await;
    one.kill();
    world.fill(20).await;
    other.sees_the_head(&world).await;
    other.equals_the_log().await;
    other.stop().await;
    relay.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_that_an_onlooker_asks_for_is_swapped_in_once_every_partition_has_caught_up() {
    let world = World::new(5);
    world.fill(40).await;
    let relay = world.start_relay();
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(share(0));
    let one = world.start_sharing(in_parts(2), Arc::new(first.clone()));
    let other = world.start_sharing(in_parts(2), Arc::new(second.clone()));
    let onlooker = world.start_sharing(in_parts(2), Arc::new(Onlooker));
    first.give(share(1));
    onlooker.sees_the_head(&world).await;
    first.take(share(1));
    let build = onlooker.handle.rebuild("deliveries").await.unwrap();
    assert_eq!(build, 2);
    until("the first partition is filled", async || {
        world.progress("deliveries", 2) == BTreeSet::from([0])
    })
    .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        world.active("deliveries"),
        Some((2, 1)),
        "half of it must not be asked"
    );
    let seen = onlooker
        .status("deliveries")
        .rebuild
        .expect("the onlooker sees it");
    assert_eq!((seen.build, seen.position), (2, Position::START));
    second.give(share(1));
    until("it is swapped in", async || {
        world.active("deliveries") == Some((2, 2))
    })
    .await;
    world.fill(10).await;
    for running in [&one, &other, &onlooker] {
        running.sees_the_head(&world).await;
        assert_eq!(running.status("deliveries").build, 2);
    }
    onlooker.equals_the_log().await;
    for running in [one, other, onlooker] {
        running.stop().await;
    }
    relay.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_is_given_up_from_any_process() {
    let world = World::new(5);
    world.fill(40).await;
    let first = TestLeases::new();
    first.give(share(0));
    first.give(share(1));
    let one = world.start_sharing(in_parts(2), Arc::new(first.clone()));
    let onlooker = world.start_sharing(in_parts(2), Arc::new(Onlooker));
    onlooker.sees_the_head(&world).await;
    first.take(share(1));
    onlooker.handle.rebuild("deliveries").await.unwrap();
    until("it is under way", async || {
        world.progress("deliveries", 2).contains(&0)
    })
    .await;
    assert_eq!(onlooker.handle.abort("deliveries").await.unwrap(), 2);
    until_longer("nobody fills it any more", async || {
        one.status("deliveries").rebuild.is_none() && onlooker.status("deliveries").rebuild.is_none()
    })
    .await;
    until_longer("its tables are gone", async || {
        !world.tables.names().contains("deliveries_s2_b2")
    })
    .await;
    first.give(share(1));
    world.fill(10).await;
    onlooker.sees_the_head(&world).await;
    assert_eq!(world.active("deliveries"), Some((2, 1)));
    onlooker.equals_the_log().await;
    for running in [one, onlooker] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_with_more_partitions_is_shared_by_as_many() {
    let world = World::new(9);
    world.fill(40).await;
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(share(0));
    let one = world.start_sharing(in_parts(1), Arc::new(first.clone()));
    one.sees_the_head(&world).await;
    assert_eq!(one.status("health").partitions, 1);
    one.stop().await;
    for part in 0..4 {
        [&first, &second][part as usize % 2].give(share(part));
    }
    let one = world.start_sharing(in_parts(4), Arc::new(first));
    let other = world.start_sharing(in_parts(4), Arc::new(second));
    one.sees_the_head(&world).await;
    assert_eq!(one.status("health").partitions, 1, "until it is rebuilt");
    for name in NAMES {
        other.handle.rebuild(name).await.unwrap();
    }
    for name in NAMES {
        until_longer("it is swapped in", async || {
            world.active(name).is_some_and(|(_, build)| build == 2)
        })
        .await;
    }
    world.fill(10).await;
    one.sees_the_head(&world).await;
    other.sees_the_head(&world).await;
    let status = other.status("health");
    assert_eq!((status.partitions, status.partitions_here), (4, 2));
    other.equals_the_log().await;
    one.stop().await;
    other.stop().await;
}

const LASTS: &[Table] = &[Table {
    name: "lasts",
    definition: "(key String, position UInt64, rank UInt64) ENGINE = ReplacingMergeTree(rank) ORDER BY (key)",
}];

#[derive(serde::Serialize)]
struct Last {
    key: &'static str,
    position: u64,
    rank: u64,
}

/// One row, which every event writes, whatever its stream; the earlier event wins.
struct Lasts;

impl ReadModel for Lasts {
    fn name(&self) -> &'static str {
        "lasts"
    }
    fn schema(&self) -> u16 {
        1
    }
    fn tables(&self) -> &'static [Table] {
        LASTS
    }
    fn views(&self) -> &'static [View] {
        &[]
    }
    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        false
    }
    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for one in events {
            let position = one.event.position.get();
            let row = Last {
                key: "all",
                position,
                rank: 1_000_000 - position,
            };
            rows.push("lasts", &row)?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_two_partitions_write_is_not_taken_for_wrong_while_one_of_them_is_behind() {
    // The first event, which wins, is of the second partition, which comes late.
    let world = loop {
        let world = World::new(2);
        append(world.log.as_ref(), 20).await;
        if all_events(world.log.as_ref()).await[0].stream.partition(2) == 1 {
            break world;
        }
    };
    let (prompt, tardy) = (TestLeases::new(), TestLeases::new());
    prompt.give(share(0));
    let lasts = || -> Vec<ModelFactory> { vec![Arc::new(|_| Box::new(Lasts))] };
    let start = |leases: &TestLeases| {
        let ports = world.ports(Arc::new(leases.clone()));
        Running::of(Projector::build(in_parts(2), lasts(), ports))
    };
    let (one, other) = (start(&prompt), start(&tardy));
    until("the prompt one is at the head", async || {
        world.progress("lasts", 1).contains(&0)
    })
    .await;
    let handle = one.handle.clone();
    let verifying = tokio::spawn(async move { handle.verify("lasts").await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    tardy.give(share(1));
    let report = verifying.await.unwrap().unwrap();
    assert!(report.is_equal(), "{report:?}");
    for running in [one, other] {
        running.stop().await;
    }
}
