//! The reconciler: every delivery, one by one, from its sender to the log, the stream and the tables.
//!
//! It knows what senders were told and what stands in the log, and works out the rest by itself.

mod delivered;
mod forwarded;
mod published;
mod replayed;
mod tables;

use std::sync::Arc;

use domain::{EventLog, PageLimit, Position, RecordedEvent};
use infra::log::simulated::SimulatedLog;

use crate::world::World;

/// Compares everything; what does not fit goes to the world's violations.
pub async fn reconcile(world: &Arc<World>, log: &Arc<SimulatedLog>) {
    let events = all_events(log).await;
    in_order(world, &events);
    delivered::check(world, &events);
    forwarded::check(world, &events);
    replayed::check(world, &events);
    published::check(world, log.id(), &events);
    tables::check(world, log.id(), &events).await;
}

async fn all_events(log: &SimulatedLog) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |event| event.position);
        let page = log.read_all(after, PageLimit::default()).await.unwrap();
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

/// Positions are dense, revisions too, and times never go back.
fn in_order(world: &World, events: &[RecordedEvent]) {
    let mut revisions = std::collections::BTreeMap::new();
    let mut before = None;
    for (position, event) in (1..).zip(events) {
        let revision = revisions.entry(&event.stream).or_insert(0_u64);
        if event.position.get() != position || event.revision.get() != *revision {
            world.violation(format!(
                "position {} revision {} where {position} and {revision} belong",
                event.position, event.revision
            ));
        }
        *revision += 1;
        if before > Some(event.recorded_at) {
            world.violation(format!(
                "position {position} was recorded before the one ahead of it"
            ));
        }
        before = Some(event.recorded_at);
    }
}
