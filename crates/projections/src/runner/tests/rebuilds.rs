//! New builds beside old ones: asked for, for a new schema, for another log.

use super::*;

fn slow_drop() -> ProjectorOptions {
    ProjectorOptions {
        drop_after_ms: 20_000,
        ..options()
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_is_swapped_in_when_it_has_caught_up_and_the_old_tables_go_later() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    running.caught_up(&world).await;
    assert_eq!(running.handle.rebuild("one").await.unwrap(), 2);
    let shown = running.status("one").rebuild.map(|rebuild| rebuild.build);
    assert_eq!(shown, Some(2), "nobody may think that it is over already");
    assert_eq!(world.active("one"), Some((1, 1)));
    let again = running.handle.rebuild("one").await;
    assert!(matches!(again, Err(RebuildError::UnderWay(2))), "{again:?}");
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    // By then the lane of the old build has ended, and the projection was opened again.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(
        world.tables.names().contains("facts_s1_b1"),
        "queries may be under way"
    );
    assert!(world.tables.state().views["all_counts"].contains("counts_s1_b2"));
    append(world.log.as_ref(), 20).await;
    until("the old tables are dropped", async || {
        !world.tables.names().contains("facts_s1_b1")
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    assert_eq!(running.status("one").error, None);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tables_of_a_replaced_build_go_after_a_restart_too() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    running.caught_up(&world).await;
    running.handle.rebuild("one").await.unwrap();
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.stop().await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    running.caught_up(&world).await;
    assert!(
        world.tables.names().contains("facts_s1_b1"),
        "another process may be asking it"
    );
    until("the old tables are dropped", async || {
        !world.tables.names().contains("facts_s1_b1")
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_of_what_does_not_exist_is_refused() {
    let world = World::new(1);
    let running = world.start();
    running.caught_up(&world).await;
    assert!(matches!(
        running.handle.rebuild("two").await,
        Err(RebuildError::Unknown(_))
    ));
    let handle = running.handle.clone();
    running.stop().await;
    assert!(matches!(
        handle.rebuild("one").await,
        Err(RebuildError::NotRunning)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_new_schema_is_built_beside_and_an_older_version_leaves_it_alone() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let old = world.start();
    old.caught_up(&world).await;
    let new = world.start_with(slow_drop(), vec![counting("one", 2)]);
    until("the new schema is active", async || {
        world.active("one") == Some((2, 2))
    })
    .await;
    new.caught_up(&world).await;
    world.equals_a_fold("one").await;
    old.stop().await;

    let old = world.start();
    until("the older version says so", async || {
        old.status("one")
            .error
            .is_some_and(|e| e.contains("newer version"))
    })
    .await;
    append(world.log.as_ref(), 20).await;
    new.caught_up(&world).await;
    assert_eq!(world.active("one"), Some((2, 2)));
    world.equals_a_fold("one").await;
    new.stop().await;
    old.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tables_of_another_log_answer_until_those_of_this_one_have_caught_up() {
    let mut world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let running = world.start();
    running.caught_up(&world).await;
    running.stop().await;
    world.log = Arc::new(MemoryLog::with_gaps(log_id(2), clock(), 3));
    world.stream = FakeStream::new(2);
    append(world.log.as_ref(), 30).await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    until("it is swapped in", async || world.active("one") == Some((1, 2))).await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    let history = world.tables.history(BUILDS);
    let states: Vec<(u64, &str)> = history
        .iter()
        .map(|row| (row["build"].as_u64().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [(1, "active"), (2, "building"), (2, "active"), (1, "retired")]
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_restored_from_an_older_backup_is_noticed_even_when_it_went_on() {
    for restored in [10, 25] {
        let mut world = World::new(1);
        append(world.log.as_ref(), 20).await;
        let running = world.start();
        running.caught_up(&world).await;
        running.stop().await;
        // The same log id and the same positions, but other events.
        world.log = gapful_log();
        append(world.log.as_ref(), restored).await;
        let running = world.start();
        until("it stops and says why", async || {
            running
                .status("one")
                .error
                .is_some_and(|e| e.contains("older backup"))
        })
        .await;
        append(world.log.as_ref(), 20).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(running.status("one").state, ProjectionState::Waiting);
        running.handle.rebuild("one").await.unwrap();
        running.caught_up(&world).await;
        world.equals_a_fold("one").await;
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_cut_short_goes_on_after_a_restart() {
    let world = World::new(1);
    append(world.log.as_ref(), 60).await;
    let running = world.start();
    running.caught_up(&world).await;
    running.handle.rebuild("one").await.unwrap();
    running.stop().await;
    assert_eq!(world.active("one"), Some((1, 1)));
    let running = world.start();
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_are_rebuilt_in_one_pass_over_the_log() {
    let world = World::new(1);
    append(world.log.as_ref(), 100).await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1), counting("two", 1)]);
    running.caught_up(&world).await;
    world.tables.state().inserts.clear();
    let begun = running.handle.rebuild_all().await;
    let begun: Vec<(&str, u32)> = begun
        .iter()
        .map(|(name, b)| (name.as_str(), *b.as_ref().unwrap()))
        .collect();
    assert_eq!(begun, [("one", 2), ("two", 2)]);
    let again = running.handle.rebuild_all().await;
    assert!(
        again
            .iter()
            .all(|(_, b)| matches!(b, Err(RebuildError::UnderWay(2)))),
        "{again:?}"
    );
    until("both are active", async || {
        world.active("one") == Some((1, 2)) && world.active("two") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    world.equals_a_fold("two").await;
    let inserts = world.tables.state().inserts.clone();
    let written = |table: &str| inserts.iter().filter(|name| *name == table).count();
    let pages = written("facts_s1_b2");
    assert_eq!(
        (written("other_facts_s1_b2"), written(PROGRESS)),
        (pages, pages.div_ceil(4)),
        "one progress row for both: they went together"
    );
    let handle = running.handle.clone();
    running.stop().await;
    let stopped = handle.rebuild_all().await;
    assert!(
        stopped.len() == 2
            && stopped
                .iter()
                .all(|(_, b)| matches!(b, Err(RebuildError::NotRunning))),
        "{stopped:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_given_up_leaves_the_old_build_and_never_comes_back() {
    let world = World::new(1);
    append(world.log.as_ref(), 300).await;
    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    running.caught_up(&world).await;
    let none = running.handle.abort("one").await;
    assert!(matches!(none, Err(AbortError::NotUnderWay)), "{none:?}");
    let unknown = running.handle.abort("two").await;
    assert!(matches!(unknown, Err(AbortError::Unknown(_))), "{unknown:?}");
    world.tables.state().insert_ms = 20;
    running.handle.rebuild("one").await.unwrap();
    until("it is under way", async || {
        let rebuild = running.status("one").rebuild;
        rebuild.is_some_and(|r| r.position > Position::START)
    })
    .await;
    assert_eq!(running.handle.abort("one").await.unwrap(), 2);
    assert_eq!(running.status("one").rebuild, None);
    until("its tables are dropped", async || {
        !world.tables.names().contains("facts_s1_b2") && !world.tables.names().contains("counts_s1_b2")
    })
    .await;
    append(world.log.as_ref(), 20).await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    assert_eq!(
        (running.status("one").build, running.status("one").error),
        (1, None)
    );
    running.stop().await;

    let running = world.start_with(slow_drop(), vec![counting("one", 1)]);
    running.caught_up(&world).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        (world.active("one"), running.status("one").rebuild),
        (Some((1, 1)), None)
    );
    assert!(!world.tables.names().contains("facts_s1_b2"));
    // And the next one is another one.
    assert_eq!(running.handle.rebuild("one").await.unwrap(), 3);
    until("the new build is active", async || {
        world.active("one") == Some((1, 3))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn giving_up_at_any_moment_leaves_one_build_that_equals_a_fold() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let world = World::new(seed);
        append(world.log.as_ref(), 100).await;
        let running = world.start();
        running.caught_up(&world).await;
        running.handle.rebuild("one").await.unwrap();
        world.tables.state().faults = dice.roll(20);
        for _ in 0..dice.roll(120) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(3))).await;
        let aborted = running.handle.abort("one").await;
        world.tables.state().faults = 0;
        let running = if dice.chance(50) {
            running.stop().await;
            world.start()
        } else {
            running
        };
        append(world.log.as_ref(), 5).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        running.caught_up(&world).await;
        world.equals_a_fold("one").await;
        match aborted {
            Ok(build) => assert_eq!((build, world.active("one")), (2, Some((1, 1)))),
            // Swapped in already, at this moment, or the store did not take it down.
            Err(AbortError::NotUnderWay | AbortError::TooLate(_)) => {
                assert_eq!(world.active("one"), Some((1, 2)));
            }
            Err(AbortError::Tables(_)) => {}
            Err(other) => panic!("{other}"),
        }
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_that_can_not_be_done_without_is_not_given_up() {
    let world = World::new(1);
    append(world.log.as_ref(), 60).await;
    let old = world.start();
    old.caught_up(&world).await;
    old.stop().await;
    world.tables.state().refused = Some("facts_s2_b2".to_owned());
    let new = world.start_with(slow_drop(), vec![counting("one", 2)]);
    until("the new schema is being built", async || {
        new.status("one").rebuild.is_some()
    })
    .await;
    let needed = new.handle.abort("one").await;
    assert!(matches!(needed, Err(AbortError::Needed(2))), "{needed:?}");
    world.tables.state().refused = None;
    until("it is swapped in", async || world.active("one") == Some((2, 2))).await;
    new.caught_up(&world).await;
    new.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_says_how_fast_it_is_and_how_long_it_takes() {
    let world = World::new(1);
    append(world.log.as_ref(), 600).await;
    let running = world.start();
    running.caught_up(&world).await;
    // Each batch, four pages of six, waits for the store five times, so that time passes.
    world.tables.state().insert_ms = 200;
    running.handle.rebuild("one").await.unwrap();
    until("it has been measured", async || {
        let rebuild = running.status("one").rebuild;
        rebuild.is_some_and(|r| r.position >= Position::new(1000) && r.eta_seconds.is_some())
    })
    .await;
    let began = tokio::time::Instant::now();
    let rebuild = running.status("one").rebuild.unwrap();
    let (pace, eta) = (rebuild.events_per_second.unwrap(), rebuild.eta_seconds.unwrap());
    // Rows and progress of a batch: 24 events a second.
    assert!((pace - 24.0).abs() < 4.0, "{pace} events a second");
    assert!(
        rebuild.verifying.is_none() && (0.2..0.5).contains(&rebuild.done),
        "{rebuild:?}"
    );
    until_longer("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    let took = began.elapsed().as_secs_f64();
    assert!(
        (took - eta).abs() < 0.1 * took + 1.0,
        "it took {took} s, not {eta}"
    );
    running.caught_up(&world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_build_that_is_not_what_the_log_says_is_never_asked() {
    let world = World::new(1);
    append(world.log.as_ref(), 100).await;
    let running = world.start();
    running.caught_up(&world).await;
    // The store says that it has these rows, and has not.
    world.tables.state().swallowed = Some(("facts_s1_b2".to_owned(), 10));
    running.handle.rebuild("one").await.unwrap();
    until("it is thrown away and says why", async || {
        let failed = running.status("one").rebuild_failed;
        failed.is_some_and(|why| why.contains("build 2") && why.contains("is missing"))
    })
    .await;
    append(world.log.as_ref(), 10).await;
    running.caught_up(&world).await;
    assert_eq!(world.active("one"), Some((1, 1)));
    world.equals_a_fold("one").await;
    until("its tables are dropped", async || {
        !world.tables.names().contains("facts_s1_b2")
    })
    .await;
    // The next one is sound.
    assert_eq!(running.handle.rebuild("one").await.unwrap(), 3);
    assert_eq!(running.status("one").rebuild_failed, None);
    until("the new build is active", async || {
        world.active("one") == Some((1, 3))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_is_needed_is_built_again_until_it_is_what_the_log_says() {
    let world = World::new(1);
    append(world.log.as_ref(), 60).await;
    let old = world.start();
    old.caught_up(&world).await;
    old.stop().await;
    world.tables.state().swallowed = Some(("facts_s2_b2".to_owned(), 1));
    let new = world.start_with(slow_drop(), vec![counting("one", 2)]);
    until("a later build is active", async || {
        world.active("one") == Some((2, 3))
    })
    .await;
    new.caught_up(&world).await;
    world.equals_a_fold("one").await;
    new.stop().await;
}

#[tokio::test(start_paused = true)]
async fn unless_told_otherwise() {
    let world = World::new(1);
    append(world.log.as_ref(), 100).await;
    let options = ProjectorOptions {
        verify_rebuilds: false,
        ..options()
    };
    let running = world.start_with(options, vec![counting("one", 1)]);
    running.caught_up(&world).await;
    world.tables.state().swallowed = Some(("facts_s1_b2".to_owned(), 10));
    running.handle.rebuild("one").await.unwrap();
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_writes_nothing_but_tables_and_repeats_no_side_effect() {
    let world = World::new(1);
    let relay = world.start_relay();
    append(world.log.as_ref(), 100).await;
    let running = world.start();
    running.caught_up(&world).await;
    let head = world.log.head().await.unwrap();
    until("all is published", async || {
        world.stream.state().messages.len() == 100
    })
    .await;
    let published = world.stream.state().published.len();
    let before = world.tables.finals("facts_s1_b1", "upto");
    running.handle.rebuild("one").await.unwrap();
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    assert!(running.handle.verify("one").await.unwrap().is_equal());
    assert_eq!(world.tables.finals("facts_s1_b2", "upto"), before);
    // The workers hold a log to read, a stream to follow, tables to write, and no other port to act by.
    assert_eq!(world.log.head().await.unwrap(), head, "nothing was appended");
    assert_eq!(
        world.stream.state().published.len(),
        published,
        "nothing was published"
    );
    running.stop().await;
    relay.cancel();
}
