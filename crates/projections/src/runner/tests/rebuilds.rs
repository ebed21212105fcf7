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
    assert_eq!(world.active("one"), Some((1, 1)));
    let again = running.handle.rebuild("one").await;
    assert!(matches!(again, Err(RebuildError::UnderWay(2))), "{again:?}");
    until("the new build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
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
