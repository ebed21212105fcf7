//! Comparing tables with a fold of the log: by itself, and before a new build is asked.

use super::*;
use crate::verify::{DifferenceKind, VerifyError, VerifyReport};

impl World {
    async fn filled(&self, events: u64) -> Running {
        append(self.log.as_ref(), events).await;
        let running = self.start();
        running.caught_up(self).await;
        running
    }
}

/// What is told of the first difference.
fn first(report: &VerifyReport) -> String {
    let first = report.first_difference.as_ref();
    first.expect("a difference").to_string()
}

#[tokio::test(start_paused = true)]
async fn tables_that_are_what_the_log_says_are_equal_with_all_their_rows() {
    let world = World::new(1);
    let running = world.filled(100).await;
    let report = running.handle.verify("one").await.unwrap();
    assert!(report.is_equal(), "{report:?}");
    // 100 facts, and the blocks of 49 positions up to 700.
    let tables: Vec<(&str, u64)> = report.tables.iter().map(|t| (t.table.as_str(), t.rows)).collect();
    assert_eq!(tables, [("facts", 100), ("counts", 15)]);
    assert_eq!((report.rows, report.build, report.passes), (115, 1, 1));
    assert_eq!(report.position, world.log.head().await.unwrap());
    assert_eq!(running.status("one").verified, Some(report));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_row_that_somebody_changed_took_away_or_put_in_is_found_and_named() {
    let world = World::new(1);
    let running = world.filled(100).await;
    type Doctor = fn(&mut Vec<Value>);
    let cases: [(&str, Doctor, &str, u64); 5] = [
        (
            "facts_s1_b1",
            |rows| {
                rows.iter_mut()
                    .filter(|r| r["position"] == 350)
                    .for_each(|r| r["payload"] = json!("other"))
            },
            r#"facts (position = 350) has payload = "other", expected "{\"n\":49}""#,
            1,
        ),
        (
            "facts_s1_b1",
            |rows| rows.retain(|r| r["position"] != 7 && r["position"] != 14),
            "facts (position = 7) is missing",
            2,
        ),
        (
            "facts_s1_b1",
            |rows| {
                let mut row = rows[0].clone();
                row["position"] = json!(8);
                rows.push(row);
            },
            "facts (position = 8) should not be there",
            1,
        ),
        (
            "counts_s1_b1",
            |rows| {
                rows.iter_mut()
                    .filter(|r| r["block"] == 3)
                    .for_each(|r| r["total"] = json!(1000))
            },
            r#"counts (block = 3) has total = "1000", expected "7""#,
            1,
        ),
        // Everything gone: as when a table was emptied.
        (
            "facts_s1_b1",
            |rows| rows.clear(),
            "facts (position = 7) is missing",
            100,
        ),
    ];
    for (table, doctor, expected, differences) in cases {
        let before = world.tables.history(table);
        world.tables.doctor(table, doctor);
        let report = running.handle.verify("one").await.unwrap();
        assert_eq!(
            (first(&report).as_str(), report.differences),
            (expected, differences)
        );
        world.tables.doctor(table, |rows| *rows = before);
        assert!(running.handle.verify("one").await.unwrap().is_equal());
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_difference_is_that_of_the_first_table_and_key_whatever_its_kind() {
    let world = World::new(1);
    let running = world.filled(50).await;
    world.tables.doctor("facts_s1_b1", |rows| {
        rows.retain(|r| r["position"] != 21);
        rows.iter_mut()
            .filter(|r| r["position"] == 14)
            .for_each(|r| r["id"] = json!("other"));
    });
    world.tables.doctor("counts_s1_b1", Vec::clear);
    let report = running.handle.verify("one").await.unwrap();
    let found = report.first_difference.unwrap();
    assert_eq!(
        (found.table.as_str(), found.kind),
        ("facts", DifferenceKind::Value)
    );
    assert_eq!(
        (found.column.as_deref(), found.found.as_deref()),
        (Some("id"), Some("other"))
    );
    assert_eq!(found.key, [("position".to_owned(), "14".to_owned())]);
    assert_eq!(report.differences, 2 + 8);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_written_meanwhile_is_no_difference_and_hides_none() {
    for doctored in [false, true] {
        let world = World::new(3);
        let relay = world.start_relay();
        let options = ProjectorOptions {
            verify_page_rows: 20,
            ..options()
        };
        append(world.log.as_ref(), 200).await;
        let running = world.start_with(options, vec![counting("one", 1)]);
        running.caught_up(&world).await;
        if doctored {
            world
                .tables
                .doctor("facts_s1_b1", |rows| rows.retain(|r| r["position"] != 700));
        }
        world.tables.state().query_ms = 100;
        let handle = running.handle.clone();
        let verifying = tokio::spawn(async move { handle.verify("one").await });
        let mut rounds = 0;
        while !verifying.is_finished() && rounds < 20 {
            append(world.log.as_ref(), 3).await;
            running.caught_up(&world).await;
            rounds += 1;
        }
        let report = verifying.await.unwrap().unwrap();
        assert!(rounds > 5, "nothing was written meanwhile");
        assert_eq!(report.differences, u64::from(doctored), "{report:?}");
        assert!(report.position < world.log.head().await.unwrap());
        running.stop().await;
        relay.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_fill_the_same_build_make_no_difference() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let world = World::new(seed);
        append(world.log.as_ref(), 100).await;
        let (one, two) = (world.start(), world.start());
        one.caught_up(&world).await;
        world.tables.state().faults = dice.roll(20);
        let handle = one.handle.clone();
        let verifying = tokio::spawn(async move {
            loop {
                match handle.verify("one").await {
                    Err(later) if later.retry() => tokio::time::sleep(Duration::from_millis(1)).await,
                    other => return other,
                }
            }
        });
        while !verifying.is_finished() {
            append(world.log.as_ref(), dice.roll(9)).await;
            tokio::time::sleep(Duration::from_millis(dice.roll(50))).await;
        }
        let report = verifying.await.unwrap().unwrap();
        assert!(report.is_equal(), "{report:?}");
        world.tables.state().faults = 0;
        one.stop().await;
        two.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_memory_is_compared_part_by_part_to_the_same_result() {
    let world = World::new(1);
    append(world.log.as_ref(), 60).await;
    for rows in [1000, 30, 10] {
        let options = ProjectorOptions {
            verify_memory_bytes_max: rows * 112,
            verify_page_rows: 7,
            ..options()
        };
        let running = world.start_with(options, vec![counting("one", 1)]);
        running.caught_up(&world).await;
        let report = running.handle.verify("one").await.unwrap();
        assert!(report.is_equal(), "{report:?}");
        assert_eq!(report.rows, 60 + 9);
        assert!(
            u64::from(report.passes) >= 69 / rows,
            "{} passes for {rows}",
            report.passes
        );
        let before = world.tables.history("facts_s1_b1");
        world.tables.doctor("facts_s1_b1", Vec::clear);
        let report = running.handle.verify("one").await.unwrap();
        assert_eq!(first(&report), "facts (position = 7) is missing");
        world.tables.doctor("facts_s1_b1", |rows| *rows = before);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_comparison_shows_how_far_it_is_and_ends_when_nobody_waits_for_it() {
    let world = World::new(1);
    let running = world.filled(100).await;
    let options = ProjectorOptions {
        verify_page_rows: 1,
        ..options()
    };
    let slow = world.start_with(options, vec![counting("one", 1)]);
    slow.caught_up(&world).await;
    let handle = slow.handle.clone();
    let verifying = tokio::spawn(async move { handle.verify("one").await });
    let mut shares = Vec::new();
    while !verifying.is_finished() {
        if let Some(verifying) = slow.status("one").verifying {
            assert_eq!(verifying.build, 1);
            shares.push(verifying.done);
        }
        tokio::task::yield_now().await;
    }
    assert!(verifying.await.unwrap().unwrap().is_equal());
    assert!(shares.len() > 50, "{shares:?}");
    let back: Vec<&[f64]> = shares.windows(2).filter(|two| two[1] < two[0]).collect();
    assert!(back.is_empty(), "it went back: {back:?}");
    assert!(
        shares.first() < Some(&0.6) && shares.last() > Some(&0.7),
        "{shares:?}"
    );
    assert_eq!(slow.status("one").verifying, None);

    let handle = slow.handle.clone();
    let mut given_up = Box::pin(async move { handle.verify("one").await });
    assert!(futures_util::poll!(&mut given_up).is_pending());
    assert!(
        slow.status("one").verifying.is_none(),
        "it has asked for the builds so far"
    );
    let second = running.handle.verify("one").await;
    assert!(second.is_ok(), "another process: {second:?}");
    let second = slow.handle.verify("one").await;
    assert!(matches!(second, Err(VerifyError::UnderWay)), "{second:?}");
    drop(given_up);
    assert!(slow.handle.verify("one").await.unwrap().is_equal());
    running.stop().await;
    slow.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_compared_is_refused_with_the_reason() {
    let mut world = World::new(1);
    append(world.log.as_ref(), 60).await;
    let running = world.filled(0).await;
    let unknown = running.handle.verify("two").await;
    assert!(matches!(unknown, Err(VerifyError::Unknown(_))), "{unknown:?}");
    world.tables.state().down = true;
    let down = running.handle.verify("one").await;
    assert!(
        matches!(&down, Err(error @ VerifyError::Tables(_)) if error.retry()),
        "{down:?}"
    );
    world.tables.state().down = false;
    running.caught_up(&world).await;
    world.tables.state().refused = Some("facts_s1_b2".to_owned());
    running.handle.rebuild("one").await.unwrap();
    let building = running.handle.verify("one").await;
    assert!(
        matches!(building, Err(VerifyError::Rebuilding(2))),
        "{building:?}"
    );
    running.handle.abort("one").await.unwrap();
    assert!(running.handle.verify("one").await.unwrap().is_equal());
    running.stop().await;
    world.log = gapful_log();
    append(world.log.as_ref(), 10).await;
    let running = world.start();
    until("it stops and says why", async || {
        running.status("one").error.is_some()
    })
    .await;
    let diverged = running.handle.verify("one").await;
    assert!(matches!(diverged, Err(VerifyError::Diverged(_))), "{diverged:?}");
    running.stop().await;
}
