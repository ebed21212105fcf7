//! Two versions of the program over the same tables, as in an upgrade that is under way, or was taken back.

use domain::testing::TestLeases;
use domain::{LeaseName, SharedWork};

use super::*;

const FIRST: LeaseName = LeaseName::new(SharedWork::Project, 0);

impl World {
    /// The version says which schema a model has that another version has otherwise.
    fn start_version(&self, model: &str, schema: u16, leases: &TestLeases) -> Running {
        let models = ["one", "two"].map(|name| counting(name, if name == model { schema } else { 1 }));
        let ports = self.ports(Arc::new(leases.clone()));
        Running::of(Projector::build(options(), models.to_vec(), ports))
    }

    fn holds(&self, table: &str, positions: usize) -> bool {
        self.tables.finals(table, "upto").len() == positions
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_program_leaves_its_partitions_to_a_newer_one_that_goes_on() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let (old, new) = (TestLeases::new(), TestLeases::new());
    new.give(FIRST);
    let newer = world.start_version("one", 2, &new);
    newer.caught_up(&world).await;
    // It loses the lease to an older one, which can't go on with all of it.
    new.take(FIRST);
    old.give(FIRST);
    let older = world.start_version("one", 1, &old);
    until("the older one stands for nothing", async || {
        old.standing_for(FIRST) == 0
    })
    .await;
    new.give(FIRST);
    for _ in 0..20 {
        append(world.log.as_ref(), 5).await;
        newer.caught_up(&world).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(old.standing_for(FIRST), 0, "the newer one goes on");
    }
    world.equals_a_fold("one").await;
    world.equals_a_fold("two").await;
    for running in [older, newer] {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_program_that_is_alone_fills_what_it_can() {
    for (model, known, other) in [
        ("one", "facts_s2_b1", "other_facts_s1_b1"),
        ("two", "other_facts_s2_b1", "facts_s1_b1"),
    ] {
        let world = World::new(1);
        append(world.log.as_ref(), 20).await;
        let (old, new) = (TestLeases::new(), TestLeases::new());
        new.give(FIRST);
        let newer = world.start_version(model, 2, &new);
        newer.caught_up(&world).await;
        newer.stop().await;
        append(world.log.as_ref(), 20).await;
        old.give(FIRST);
        let older = world.start_version(model, 1, &old);
        until("it looks whether others go on", async || {
            old.standing_for(FIRST) == 0
        })
        .await;
        until("what it can fill is filled", async || world.holds(other, 40)).await;
        append(world.log.as_ref(), 20).await;
        until("and goes on to be", async || world.holds(other, 60)).await;
        assert!(world.holds(known, 20), "the newer one's tables are left alone");
        let error = older.status(model).error.unwrap();
        assert!(error.contains("newer version"), "{error}");
        older.stop().await;
    }
}
