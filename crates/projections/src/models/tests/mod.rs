//! What every read model keeps to.

mod activity;
mod ci_session;
mod definitions;
mod gitlab_session;
mod hostile;
mod outcomes;
mod replays;
mod rollups;
mod told;

use domain::testing::{TestDelivery, recorded};
use domain::{RecordedEvent, StreamName};

use super::*;
use crate::{RowBatch, Table};

const SHAPE: BuildShape = BuildShape {
    block_size: 10,
    partitions: 3,
};

/// A delivery as the runner hands it to a model.
fn projected(position: u64, delivery: &TestDelivery) -> Projected {
    let mut projected = read(recorded(position, delivery));
    projected.payload = Some(delivery.body.clone());
    projected
}

fn read(event: RecordedEvent) -> Projected {
    let (projected, unreadable) = Projected::of(event);
    assert!(unreadable.is_none(), "{unreadable:?}");
    projected
}

fn marked(mut projected: Projected) -> Projected {
    projected.event.duplicate_of = Some(
        "delivery-default.github.41.original"
            .parse::<StreamName>()
            .unwrap(),
    );
    projected
}

fn synthetic(mut projected: Projected) -> Projected {
    projected.received.as_mut().unwrap().synthetic = true;
    projected
}

fn model(name: &str, shape: BuildShape) -> Box<dyn ReadModel> {
    all(shape).into_iter().find(|model| model.name() == name).unwrap()
}

/// The tables that a model makes of events, in one batch.
fn folded(name: &str, events: &[Projected]) -> FoldedTables {
    let mut model = model(name, SHAPE);
    let mut tables = FoldedTables::new(model.tables());
    feed(model.as_mut(), events, &mut tables);
    tables
}

/// One batch.
fn feed(model: &mut dyn ReadModel, events: &[Projected], tables: &mut FoldedTables) {
    let mut rows = RowBatch::readable();
    model.project(events, &mut rows).unwrap();
    tables.apply(rows).unwrap();
}

/// The number in a column; 0 for none.
fn number(row: &FoldedRow, column: &str) -> i64 {
    row[column].as_deref().unwrap_or("0").parse().unwrap()
}

fn text<'a>(row: &'a FoldedRow, column: &str) -> &'a str {
    row[column].as_deref().unwrap_or("NULL")
}
