//! The log and the tables: what the store answers is what a fold of the log says, row for row.

use std::sync::Arc;

use domain::{LogId, Position, Query, RecordedEvent, Tables as _, json_payload};
use projections::models::{self, FoldedTables};
use projections::{BuildRow, BuildShape, Projected, ReadModel, RowBatch, active_build};

use crate::bodies::BodiesPort;
use crate::clickhouse::TablesPort;
use crate::world::World;

pub async fn check(world: &Arc<World>, log: LogId, events: &[RecordedEvent]) {
    let port = TablesPort(Arc::clone(world));
    for factory in models::factories() {
        let name = factory(BuildShape::default()).name();
        let Some(build) = active_build(&port, name).await.unwrap() else {
            world.violation(format!("{name} has no build that is asked"));
            continue;
        };
        if build.log_id != log {
            world.violation(format!("{name} was filled from another log"));
        }
        let mut model = factory(build.shape());
        let expected = folded(world, model.as_mut(), events).await;
        match found(world, model.as_ref(), &build) {
            Ok(found) => {
                let differences = expected.differences(&found);
                if !differences.is_empty() {
                    world.violation(format!(
                        "{name} differs from the fold of the log: {differences:#?}"
                    ));
                }
            }
            Err(why) => world.violation(format!("{name}: {why}")),
        }
        check_progress(world, &port, &build, events.last()).await;
        world.count("tables compared");
    }
}

/// What a model makes of the whole log.
async fn folded(world: &Arc<World>, model: &mut dyn ReadModel, events: &[RecordedEvent]) -> FoldedTables {
    let bodies = BodiesPort(Arc::clone(world));
    let mut tables = FoldedTables::new(model.tables());
    let mut all = Vec::new();
    for event in events {
        all.push(projected(model, event, &bodies).await);
    }
    let mut batch = RowBatch::readable();
    model.project(&all, &mut batch).unwrap();
    tables.apply(batch).unwrap();
    tables
}

async fn projected(model: &dyn ReadModel, event: &RecordedEvent, bodies: &BodiesPort) -> Projected {
    let (mut projected, unreadable) = Projected::of(event.clone());
    assert!(unreadable.is_none(), "{unreadable:?}");
    let received = projected.received.as_ref();
    if received.is_some_and(|facts| model.wants_payload(facts)) {
        projected.payload = json_payload(event, bodies).await.unwrap();
    }
    projected
}

/// What the store holds.
fn found(world: &World, model: &dyn ReadModel, build: &BuildRow) -> Result<FoldedTables, String> {
    let mut tables = FoldedTables::new(model.tables());
    for table in model.tables() {
        let real = build.table(table.name);
        let lines = world.tables.lines(&real);
        for line in lines.ok_or_else(|| format!("the table {real} is missing"))? {
            tables.insert(table.name, line.as_bytes()).unwrap();
        }
    }
    Ok(tables)
}

async fn check_progress(world: &World, port: &TablesPort, build: &BuildRow, last: Option<&RecordedEvent>) {
    let query = Query::new(
        "SELECT upto FROM hooklog.projection_progress FINAL WHERE projection = {projection:String} \
         AND build = {build:UInt32} AND incarnation = {incarnation:UUID}",
    );
    let query = query
        .bind("projection", &build.projection)
        .bind("build", build.build)
        .bind("incarnation", build.incarnation);
    let rows = port.query_json(&query).await.unwrap();
    let upto = serde_json::Deserializer::from_slice(&rows)
        .into_iter::<serde_json::Value>()
        .filter_map(|row| row.unwrap()["upto"].as_u64())
        .max();
    if upto != last.map(|event| event.position.get()) {
        world.violation(format!(
            "{} says it holds {upto:?}, the log ends at {:?}",
            build.projection,
            last.map_or(Position::START, |event| event.position)
        ));
    }
}
