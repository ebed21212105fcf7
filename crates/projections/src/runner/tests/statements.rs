//! How often the store is asked for a rebuild of everything: each statement is a round trip, however little it does.

use std::collections::BTreeMap;

use super::*;
use crate::models::factories;

/// What kind of statement it is; of those about the tables of all builds, also which one.
fn kind(statement: &str) -> &'static str {
    let kinds = [
        ("CREATE TABLE", "made"),
        ("DROP TABLE", "dropped"),
        ("CREATE OR REPLACE VIEW", "views"),
        ("INSERT INTO projection_builds", "builds written"),
        ("INSERT INTO projection_progress", "progress written"),
        ("INSERT INTO", "rows written"),
        ("SELECT", "asked"),
    ];
    let found = kinds.iter().find(|(begin, _)| statement.starts_with(begin));
    found.map_or("other", |(_, kind)| kind)
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_of_everything_asks_once_for_all_and_not_for_each() {
    let world = World::new(1);
    append(world.log.as_ref(), 20).await;
    let options = ProjectorOptions {
        batch_events_max: 1000,
        check_ms: 600_000,
        drop_after_ms: 1,
        verify_rebuilds: false,
        ..options()
    };
    let running = world.start_with(options, factories());
    running.caught_up(&world).await;
    let models: Vec<Facts> = factories()
        .iter()
        .map(|factory| Facts::of(factory(BuildShape::default()).as_ref()))
        .collect();
    let tables: usize = models.iter().map(|model| model.tables.len()).sum();
    let views: usize = models.iter().map(|model| model.views.len()).sum();
    let said = |what: &str| {
        let said = world.tables.state().said.clone();
        said.iter().filter(|text| kind(text) == what).count()
    };
    until("the first builds are shown", async || said("views") >= views).await;
    world.tables.state().said.clear();
    let begun = running.handle.rebuild_all().await;
    assert!(begun.iter().all(|(_, begun)| begun.is_ok()), "{begun:?}");
    until("those before them are gone", async || said("dropped") >= tables).await;
    for model in &models {
        let status = running.status(model.name);
        assert_eq!((status.build, status.rebuild), (2, None), "{}", model.name);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let said = world.tables.state().said.clone();
    said.iter()
        .for_each(|text| *counts.entry(kind(text)).or_default() += 1);
    let count = |kind: &str| counts.get(kind).copied().unwrap_or(0);
    assert_eq!(
        (count("made"), count("dropped"), count("views"), count("other")),
        (tables, tables, views, 0),
        "{said:#?}"
    );
    // The builds are written when they begin, when they are asked, and those before them when they are not.
    assert_eq!(
        (count("builds written"), count("progress written")),
        (3, 1),
        "{said:#?}"
    );
    // To begin and to open them takes five questions, to see that they are whole one, to swap them two, to sweep two.
    assert!(count("asked") <= 15, "{} questions: {said:#?}", count("asked"));
    running.stop().await;
}
