//! The moment in which a new build becomes the one that is asked: processes die in it, and sleep through it.

use domain::TableError;
use tokio::sync::Notify;

use super::shares::in_parts;
use super::*;
use crate::builds::{BuildRow, BuildState, Builds, Created, Facts, newest_active};

impl World {
    fn builds(&self) -> Builds {
        Builds {
            tables: Arc::<FakeTables>::clone(&self.tables),
            clock: Arc::<ManualClock>::clone(&self.clock),
            log_id: self.log.id(),
            retired: Arc::default(),
        }
    }
}

fn facts() -> Facts {
    Facts::of(counting("one", 1)(BuildShape::default()).as_ref())
}

async fn create(builds: &Builds, state: BuildState) -> BuildRow {
    match make(builds, BuildShape::default(), state).await.unwrap() {
        Created::Made(row) => row,
        Created::Taken(build) => panic!("build {build} is made by somebody else"),
    }
}

async fn make(builds: &Builds, shape: BuildShape, state: BuildState) -> Result<Created, TableError> {
    let known = builds.known().await?;
    let mut created = builds.create(&known, &[facts()], shape, state).await;
    created.pop().unwrap()
}

/// What came of making it the one that is asked.
async fn activate(builds: Builds, row: BuildRow) -> Option<BuildRow> {
    let mut asked = builds.activate(&[row]).await.unwrap();
    asked.pop().unwrap()
}

/// A build that is asked, and one that is to be asked next.
async fn two(world: &World) -> (BuildRow, BuildRow) {
    let builds = world.builds();
    builds.ensure_control().await.unwrap();
    let first = create(&builds, BuildState::Active).await;
    (first, create(&builds, BuildState::Building).await)
}

async fn asked(world: &World) -> Option<u32> {
    let rows = world.builds().rows("one").await.unwrap();
    newest_active(&rows).map(|row| row.build)
}

/// Where whoever changes a build is stopped: when it has read how they stand, and when it is about to write.
const STOPS: [&str; 2] = ["SELECT projection, schema", BUILDS];

/// Begins something, and stops it there; what has it go on.
async fn stopped<F>(world: &World, stop: &str, work: F) -> (JoinHandle<F::Output>, Arc<Notify>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let go_on = Arc::new(Notify::new());
    world.tables.state().held = Some((stop.to_owned(), Arc::clone(&go_on)));
    let task = tokio::spawn(work);
    until("it is stopped", async || world.tables.state().held.is_none()).await;
    world.clock.advance_millis(60_000);
    (task, go_on)
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_given_up_is_not_asked_by_one_who_wakes_while_swapping_it_in() {
    for stop in STOPS {
        let world = World::new(1);
        let (_, second) = two(&world).await;
        let (sleeper, row) = (world.builds(), second.clone());
        let (waking, wake) = stopped(&world, stop, activate(sleeper, row)).await;
        world.builds().retire(vec![second]).await.unwrap();
        world.clock.advance_millis(60_000);
        wake.notify_one();
        assert_eq!(waking.await.unwrap(), None);
        assert_eq!(asked(&world).await, Some(1), "and the build before it stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_replaced_is_not_asked_by_one_who_wakes_while_swapping_it_in() {
    for stop in STOPS {
        let world = World::new(1);
        let (_, second) = two(&world).await;
        let (sleeper, row) = (world.builds(), second.clone());
        let (waking, wake) = stopped(&world, stop, activate(sleeper, row)).await;
        let builds = world.builds();
        activate(world.builds(), second).await.expect("it is asked");
        let third = create(&builds, BuildState::Building).await;
        activate(world.builds(), third).await.expect("it is asked");
        world.clock.advance_millis(60_000);
        wake.notify_one();
        assert_eq!(waking.await.unwrap(), None);
        let rows = builds.rows("one").await.unwrap();
        let states: Vec<(u32, BuildState)> = rows.iter().map(|row| (row.build, row.state)).collect();
        let retired = BuildState::Retired;
        assert_eq!(states, [(1, retired), (2, retired), (3, BuildState::Active)]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_who_swap_in_the_same_build_come_to_the_same_end() {
    for stop in STOPS {
        let world = World::new(1);
        let (_, second) = two(&world).await;
        let (sleeper, row) = (world.builds(), second.clone());
        let (waking, wake) = stopped(&world, stop, activate(sleeper, row)).await;
        activate(world.builds(), second).await.expect("it is asked");
        wake.notify_one();
        let active = waking.await.unwrap().expect("it is asked");
        assert_eq!((active.build, asked(&world).await), (2, Some(2)));
    }
}

/// Of two who make a build at the same moment, with other settings, one has its tables.
#[tokio::test(start_paused = true)]
async fn two_builds_never_share_a_table() {
    let world = World::new(1);
    two(&world).await;
    let shape = |partitions| BuildShape {
        partitions,
        ..BuildShape::default()
    };
    let builds = world.builds();
    let (one, other) = tokio::join!(
        make(&builds, shape(2), BuildState::Building),
        make(&builds, shape(4), BuildState::Building)
    );
    let made = |created: &Result<Created, TableError>| matches!(created, Ok(Created::Made(_)));
    assert!(made(&one) != made(&other), "{one:?} and {other:?}");
    let taken = [one, other].into_iter().find(|created| !made(created));
    assert_eq!(taken.unwrap().unwrap(), Created::Taken(3));
    let rows = world.builds().rows("one").await.unwrap();
    assert_eq!(rows.len(), 3);
}

/// Dies in each call of the store from the order to the swap on, before or after it is done. Whatever the rows say is asked is
/// whole at that moment, and the next process brings it to an end.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_in_any_step_of_a_rebuild_leaves_the_old_tables_or_the_new_ones() {
    for (partitions, everything) in [(1, false), (2, false), (1, true)] {
        let (mut calls, mut ended) = (1, [false, false]);
        while ended != [true, true] {
            for late in [false, true] {
                let death = Death {
                    partitions,
                    everything,
                    calls,
                    late,
                };
                ended[usize::from(late)] |= dies(death).await == Swapped::AndDone;
            }
            calls += 1;
            assert!(calls < 500, "it is never swapped in");
        }
        println!("{partitions} partitions, everything {everything}: died in each of {calls} calls");
        assert!(calls > 10, "only {calls} calls");
    }
}

/// Where a process dies.
#[derive(Debug, Clone, Copy)]
struct Death {
    partitions: u32,
    /// In a rebuild of all projections, not of one.
    everything: bool,
    /// After so many calls of the store.
    calls: u64,
    /// The last of them is still done.
    late: bool,
}

#[derive(PartialEq, Eq)]
enum Swapped {
    NotYet,
    /// The process was still alive well after it.
    AndDone,
}

async fn dies(death: Death) -> Swapped {
    const DELIVERIES: u64 = 20;
    let world = World::new(1);
    append(world.log.as_ref(), DELIVERIES).await;
    let options = || ProjectorOptions {
        batch_events_max: 1000,
        check_ms: 500,
        ..in_parts(death.partitions)
    };
    let one = world.start_sharing(options(), Arc::new(Unshared));
    one.sees_the_head(&world).await;
    let rebuilt = if death.everything {
        let begun = one.handle.rebuild_all().await;
        begun
            .into_iter()
            .map(|(name, build)| build.map(|_| name))
            .collect()
    } else {
        let begun = one.handle.rebuild("deliveries").await;
        begun.map(|_| vec!["deliveries".to_owned()])
    };
    let rebuilt: Vec<String> = rebuilt.unwrap();
    (world.tables.state().dies_after, world.tables.state().dies_late) = (Some(death.calls), death.late);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let alive = world.tables.state().dies_after.is_some_and(|left| left > 0);
    let at_death = world.active("deliveries");
    one.kill();
    world.tables.state().dies_after = None;
    let whole = |when: &str| {
        let (rows, total) = world.answers();
        let found = (rows.len() as u64, total);
        assert_eq!(found, (DELIVERIES, DELIVERIES), "{when}, {death:?}, {at_death:?}");
    };
    whole("at its death");
    let next = world.start_sharing(options(), Arc::new(Unshared));
    until("all are swapped in", async || {
        let build = |name: &String| world.active(name).map(|(_, build)| build);
        rebuilt.iter().all(|name| build(name) == Some(2))
    })
    .await;
    next.sees_the_head(&world).await;
    whole("in the end");
    next.equals_the_log().await;
    for name in &rebuilt {
        let rows = world.builds().rows(name).await.unwrap();
        let asked = rows.iter().filter(|row| row.state != BuildState::Retired).count();
        assert_eq!(asked, 1, "{rows:?}");
    }
    next.stop().await;
    if alive { Swapped::AndDone } else { Swapped::NotYet }
}

/// A replica that was away tells of the build before last as the one that is asked. Its tables are gone, and so, for now, may be
/// those of its successor.
#[tokio::test(start_paused = true)]
async fn by_rows_of_yesterday_no_empty_build_is_asked() {
    for tables_too in [false, true] {
        let world = World::new(1);
        append(world.log.as_ref(), 20).await;
        let options = || ProjectorOptions {
            drop_after_ms: 100,
            ..options()
        };
        let running = world.start_with(options(), vec![counting("one", 1)]);
        running.caught_up(&world).await;
        running.handle.rebuild("one").await.unwrap();
        until("the old tables are gone", async || {
            world.active("one") == Some((1, 2)) && !world.tables.names().contains("facts_s1_b1")
        })
        .await;
        running.stop().await;
        world.tables.doctor(BUILDS, |rows| rows.truncate(1));
        if tables_too {
            let tables = &mut world.tables.state().tables;
            tables.retain(|name, _| !name.ends_with("_b2"));
        }
        let before = world.tables.history(BUILDS).len();
        let running = world.start_with(options(), vec![counting("one", 1)]);
        until("a build is made", async || {
            world.tables.history(BUILDS).len() > before
        })
        .await;
        let made = &world.tables.history(BUILDS)[before];
        assert_eq!((&made["build"], &made["state"]), (&json!(3), &json!("building")));
        until("it is asked when it is whole", async || {
            world.active("one") == Some((1, 3))
        })
        .await;
        running.caught_up(&world).await;
        world.equals_a_fold("one").await;
        running.stop().await;
    }
}
