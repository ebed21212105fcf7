//! Crashes, faults and vanished tables.

use std::sync::atomic::Ordering;

use super::*;
use crate::doubles::dense_log;

#[tokio::test(start_paused = true)]
async fn a_restart_redoes_its_block_and_changes_nothing() {
    let world = World::new(1);
    append(world.log.as_ref(), 19).await;
    let first = world.start();
    first.caught_up(&world).await;
    first.stop().await;
    let before = world.tables.finals("counts_s1_b1", "");
    let inserts = world.tables.state().inserts.len();
    let second = world.start();
    second.caught_up(&world).await;
    assert_eq!(world.tables.finals("counts_s1_b1", ""), before);
    // The head, 133, is in the block that begins at 98: six of nineteen events, one batch.
    assert_eq!(world.tables.state().inserts.len() - inserts, 3);
    world.equals_a_fold("one").await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_crash_or_fault_makes_the_tables_differ_from_a_fold() {
    for seed in 0..100 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let world = World::new(seed);
        let relay = world.start_relay();
        let mut running = vec![world.start()];
        {
            let (mut stream, mut tables) = (world.stream.state(), world.tables.state());
            (stream.faults, stream.drops) = (dice.roll(15), dice.roll(30));
            tables.faults = dice.roll(25);
        }
        for _ in 0..dice.roll(15) {
            append(world.log.as_ref(), dice.roll(20)).await;
            tokio::time::sleep(Duration::from_millis(dice.roll(700))).await;
            disturb(&world, &mut running, &mut dice).await;
        }
        append(world.log.as_ref(), 1).await;
        world.stream.state().faults = 0;
        world.tables.state().faults = 0;
        // Long enough for missing tables to be noticed, which the status does not know before.
        tokio::time::sleep(Duration::from_millis(options().check_ms * 2)).await;
        for one in &running {
            one.caught_up(&world).await;
        }
        world.equals_a_fold("one").await;
        for one in running {
            one.stop().await;
        }
        relay.cancel();
    }
}

async fn disturb(world: &World, running: &mut Vec<Running>, dice: &mut Dice) {
    match dice.roll(10) {
        0 | 1 => {
            // A process dies wherever it is, another begins.
            running.remove(0).stop().await;
            running.push(world.start());
        }
        2 => world.stream.wipe(),
        3 => world.tables.wipe(),
        4 => {
            let names: Vec<String> = world.tables.names().into_iter().collect();
            let victim = usize::try_from(dice.roll(names.len() as u64 + 1)).unwrap();
            if let Some(name) = names.get(victim) {
                world.tables.state().tables.remove(name);
            }
        }
        5 => drop(running[0].handle.rebuild("one").await),
        6 if running.len() < 2 => running.push(world.start()),
        7 => {
            world.tables.state().down = true;
            tokio::time::sleep(Duration::from_millis(dice.roll(900))).await;
            world.tables.state().down = false;
        }
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_wiped_store_is_filled_again_even_while_nothing_happens() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let running = world.start();
    running.caught_up(&world).await;
    for more in [0, 1] {
        world.tables.wipe();
        append(world.log.as_ref(), more).await;
        until("the tables are back", async || world.active("one").is_some()).await;
        running.caught_up(&world).await;
        world.equals_a_fold("one").await;
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_table_is_built_anew_under_another_number() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let running = world.start();
    running.caught_up(&world).await;
    world.tables.state().tables.remove("counts_s1_b1");
    until("another build is active", async || {
        world.active("one") == Some((1, 2))
    })
    .await;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    assert!(
        !world.tables.names().contains("facts_s1_b1"),
        "what was left of the old build is dropped"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_view_comes_back() {
    let world = World::new(1);
    let running = world.start();
    running.caught_up(&world).await;
    world.tables.state().views.clear();
    until("the view is back", async || {
        world.tables.state().views.contains_key("all_counts")
    })
    .await;
    assert_eq!(world.active("one"), Some((1, 1)), "its tables were never touched");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_is_waited_for_and_shown() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    world.tables.state().down = true;
    let running = world.start();
    until("it says why it waits", async || {
        running.status("one").error.is_some()
    })
    .await;
    assert_eq!(running.status("one").state, ProjectionState::Waiting);
    world.tables.state().down = false;
    running.caught_up(&world).await;
    world.tables.state().down = true;
    append(world.log.as_ref(), 20).await;
    until("it says why it waits", async || {
        running.status("one").error.is_some()
    })
    .await;
    assert_eq!(
        running.status("one").lag_events,
        None,
        "its positions count no events"
    );
    world.tables.state().down = false;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_store_that_fails_is_waited_for_and_no_payload_is_left_out() {
    let world = World::new(1);
    let body = bytes::Bytes::from_static(b"{\"large\":true}");
    let mut large = TestDelivery::new("push", "{}").append();
    large.events[0].data = EventData::Stored(BodyRef {
        sha256: ContentHash::of(&body),
        bytes: body.len() as u64,
    });
    world.log.append(large).await.unwrap();
    append(world.log.as_ref(), 1).await;
    *world.bodies.body.lock().unwrap() = Some(body);
    world.bodies.down.store(true, Ordering::SeqCst);
    let running = world.start();
    // Far longer than any number of tries would last.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let status = running.status("one");
    assert_eq!(
        (status.state, status.position),
        (ProjectionState::Waiting, Position::START)
    );
    let error = status.error.unwrap();
    assert!(
        error.contains("body store read failed: set so by the test"),
        "{error}"
    );
    world.bodies.down.store(false, Ordering::SeqCst);
    running.caught_up(&world).await;
    let facts = world.tables.finals("facts_s1_b1", "");
    let large = facts.iter().find(|fact| fact["position"] == json!(7)).unwrap();
    assert_eq!((facts.len(), &large["payload"]), (2, &json!("{\"large\":true}")));
    assert_eq!(running.status("one").error, None);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn rows_refused_by_one_table_stop_only_its_projection() {
    let world = World::new(1);
    append(world.log.as_ref(), 10).await;
    world.tables.state().refused = Some("facts_s1_b1".to_owned());
    let running = world.start_with(options(), vec![counting("one", 1), counting("two", 1)]);
    until("the good one has caught up", async || {
        running.status("two").position.get() == 70
    })
    .await;
    world.equals_a_fold("two").await;
    let status = running.status("one");
    assert_eq!(
        status.position,
        Position::START,
        "nothing is claimed that is not there"
    );
    until("the bad one says why", async || {
        running
            .status("one")
            .error
            .is_some_and(|e| e.contains("set so by the test"))
    })
    .await;
    world.tables.state().refused = None;
    running.caught_up(&world).await;
    world.equals_a_fold("one").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_gauges_tell_of_a_lag_while_nothing_can_be_written() {
    let gauges = Gauges::default();
    let _guard = metrics::set_default_local_recorder(&gauges);
    let mut world = World::new(1);
    world.log = dense_log();
    append(world.log.as_ref(), 2).await;
    let running = world.start();
    running.caught_up(&world).await;
    world.tables.state().down = true;
    append(world.log.as_ref(), 3).await;
    until("the lag is told", async || {
        gauges.get("hooklog_projection_lag_events one") == Some(3.0)
    })
    .await;
    assert_eq!(gauges.get("hooklog_projection_position one"), Some(2.0));
    assert_eq!(running.status("one").lag_events, Some(3));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn positions_that_count_no_events_are_not_taken_for_a_number_of_them() {
    let gauges = Gauges::default();
    let _guard = metrics::set_default_local_recorder(&gauges);
    let world = World::new(1);
    append(world.log.as_ref(), 2).await;
    let running = world.start();
    running.caught_up(&world).await;
    until("it is at the head", async || {
        gauges.get("hooklog_projection_lag_events one") == Some(0.0)
    })
    .await;
    world.tables.state().down = true;
    append(world.log.as_ref(), 3).await;
    until("how many it lacks is not known", async || {
        gauges
            .get("hooklog_projection_lag_events one")
            .is_some_and(f64::is_nan)
    })
    .await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_block_has_as_many_events_whatever_a_log_counts() {
    for (log, positions) in [(dense_log(), 7), (gapful_log(), 49)] {
        let mut world = World::new(1);
        world.log = log;
        append(world.log.as_ref(), 40).await;
        let running = world.start();
        running.caught_up(&world).await;
        let rows = world.tables.finals(BUILDS, "");
        assert_eq!(rows[0]["block_size"], serde_json::json!(positions));
        world.equals_a_fold("one").await;
        running.stop().await;
    }
}
