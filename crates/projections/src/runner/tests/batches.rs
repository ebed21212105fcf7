//! What is written at once: the rows of many pages, gathered while those before are written.

use super::*;

/// The bodies that a page of the log is bounded by are in no table.
#[tokio::test(start_paused = true)]
async fn what_many_pages_gave_is_written_at_once() {
    let world = World::new(1);
    for n in 0..20 {
        let body = format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(20_000));
        world
            .log
            .append(TestDelivery::new("push", body).append())
            .await
            .unwrap();
    }
    let options = ProjectorOptions {
        batch_bytes_max: 50_000,
        ..ProjectorOptions::default()
    };
    let running = world.start_with(options, crate::models::factories());
    running.caught_up(&world).await;
    let inserts = world.tables.state().inserts.clone();
    for table in ["deliveries_s2_b1", "statistics_s4_b1", "health_hours_s2_b1"] {
        let of_table = inserts.iter().filter(|name| *name == table).count();
        assert_eq!(of_table, 1, "{table}: {inserts:?}");
    }
    assert_eq!(world.tables.history("deliveries_s2_b1").len(), 20);
    assert_eq!(
        world.tables.history("health_hours_s2_b1").len(),
        1,
        "sums are given once"
    );
    running.stop().await;
}

/// The next batch is projected while one is written: if that one is refused, the next must not say that it is there.
#[tokio::test(start_paused = true)]
async fn a_build_whose_rows_were_refused_makes_no_progress_with_the_next_batch() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    {
        let mut state = world.tables.state();
        state.refused = Some("other_facts_s1_b1".into());
        state.refusals_left = 1;
    }
    let options = ProjectorOptions {
        block_size: 5,
        ..options()
    };
    let running = world.start_with(options, vec![counting("one", 1), counting("two", 1)]);
    running.caught_up(&world).await;
    for (name, facts) in [("one", "facts_s1_b1"), ("two", "other_facts_s1_b1")] {
        let rows = world.tables.finals(facts, "upto");
        assert_eq!(rows.len(), 20, "{name}");
    }
    assert_eq!(world.tables.state().refusals_left, 0);
    running.stop().await;
}

/// Enough rows of one table go ahead, before the sums of the whole batch and its progress. Whoever is killed after them says that it
/// has nothing, and writes them again.
#[tokio::test(start_paused = true)]
async fn rows_that_are_written_ahead_are_no_progress() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let go_on = Arc::new(tokio::sync::Notify::new());
    world.tables.state().held = Some((PROGRESS.to_owned(), go_on));
    let running = world.start();
    until("its progress is written", async || {
        world.tables.state().held.is_none()
    })
    .await;
    let inserts = world.tables.state().inserts.clone();
    let ahead = inserts.iter().filter(|name| *name == "facts_s1_b1").count();
    assert_eq!(ahead, 4, "three pages of six and the rest: {inserts:?}");
    assert_eq!(world.tables.history("facts_s1_b1").len(), 20);
    running.stop().await;
    assert!(
        world.tables.history(PROGRESS).is_empty(),
        "one progress row for all of it, after all of it"
    );

    let running = world.start();
    running.caught_up(&world).await;
    assert_eq!(
        world.tables.history("facts_s1_b1").len(),
        40,
        "it begins at the start"
    );
    world.equals_a_fold("one").await;
    running.stop().await;
}
