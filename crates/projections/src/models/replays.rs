//! Orders to replay, and what became of them.
//!
//! Only the order says what it is about: a replay that goes on, ends or is cancelled does not repeat it. So the order is one
//! row and each state is another; the view puts them together.

use domain::{
    DeliveryKey, DeliveryReceived, DestinationName, RecordedEvent, ReplayCounts, ReplayEvent,
    ReplayRequested, ReplayStatus, ReplayTo, TableError, TenantId,
};
use serde::Serialize;

use super::column::Moment;
use crate::{Projected, ReadModel, RowBatch, Table, View};

const REPLAYS: &str = "replays";
const STATES: &str = "replay_states";

const TABLES: &[Table] = &[
    Table {
        name: REPLAYS,
        definition: include_str!("sql/replays.sql"),
    },
    Table {
        name: STATES,
        definition: include_str!("sql/replay_states.sql"),
    },
];

const VIEWS: &[View] = &[View {
    name: "replays",
    select: include_str!("sql/view_replays.sql"),
}];

/// The projection `replays`.
#[derive(Debug, Default)]
pub(crate) struct Replays;

impl ReadModel for Replays {
    fn name(&self) -> &'static str {
        "replays"
    }

    fn schema(&self) -> u16 {
        1
    }

    fn tables(&self) -> &'static [Table] {
        TABLES
    }

    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn wants_payload(&self, _: &DeliveryReceived) -> bool {
        false
    }

    fn take(&mut self, events: &[Projected], rows: &mut RowBatch) -> Result<(), TableError> {
        for Projected { event, .. } in events {
            let fact = match ReplayEvent::of(event) {
                Some(Ok(fact)) => fact,
                Some(Err(error)) => {
                    tracing::warn!(position = %event.position, %error, "projection_unreadable: a replay's event is left out");
                    continue;
                }
                None => continue,
            };
            match &fact {
                ReplayEvent::Requested(order) => rows.push(REPLAYS, &OrderRow::new(event, order)?)?,
                ReplayEvent::Progressed(_)
                | ReplayEvent::Completed(_)
                | ReplayEvent::Cancelled(_)
                | ReplayEvent::Failed(_) => rows.push(STATES, &StateRow::new(event, &fact))?,
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct OrderRow<'a> {
    tenant: &'a TenantId,
    replay: String,
    position: u64,
    filter_json: String,
    delivery: &'a str,
    target: ReplayTo,
    destinations: &'a [DestinationName],
    dead_only: bool,
    rate_per_second: u32,
    to_position: u64,
    expected: Option<u64>,
    requested_by: &'a str,
    reason: &'a str,
    requested_at: Moment,
}

impl<'a> OrderRow<'a> {
    fn new(event: &RecordedEvent, order: &'a ReplayRequested) -> Result<Self, TableError> {
        Ok(Self {
            tenant: &order.tenant,
            replay: order.replay.to_string(),
            position: event.position.get(),
            filter_json: serde_json::to_string(&order.filter)?,
            delivery: order.filter.delivery.as_ref().map_or("", DeliveryKey::as_str),
            target: order.to,
            destinations: &order.destinations,
            dead_only: order.dead_only,
            rate_per_second: order.rate_per_second,
            to_position: order.to_position.get(),
            expected: order.expected,
            requested_by: &order.requested_by,
            reason: order.reason.as_deref().unwrap_or_default(),
            requested_at: event.recorded_at.into(),
        })
    }
}

#[derive(Serialize)]
struct StateRow<'a> {
    tenant: &'a str,
    replay: &'a str,
    state: ReplayStatus,
    position: u64,
    upto: u64,
    matched: u64,
    requested: u64,
    skipped: u64,
    error: &'a str,
    cancelled_by: &'a str,
    stated_at: Moment,
}

impl<'a> StateRow<'a> {
    fn new(event: &'a RecordedEvent, fact: &'a ReplayEvent) -> Self {
        let mut row = Self {
            // The stream names whose replay it is; the events after the order do not.
            tenant: event.stream.tenant(),
            replay: event.stream.id(),
            state: ReplayStatus::Running,
            position: event.position.get(),
            upto: 0,
            matched: 0,
            requested: 0,
            skipped: 0,
            error: "",
            cancelled_by: "",
            stated_at: event.recorded_at.into(),
        };
        match fact {
            ReplayEvent::Requested(_) => {}
            ReplayEvent::Progressed(progressed) => {
                row.upto = progressed.upto.get();
                row.count(progressed.counts);
            }
            ReplayEvent::Completed(completed) => {
                row.state = ReplayStatus::Completed;
                row.count(completed.counts);
            }
            ReplayEvent::Cancelled(cancelled) => {
                row.state = ReplayStatus::Cancelled;
                row.cancelled_by = &cancelled.cancelled_by;
            }
            ReplayEvent::Failed(failed) => {
                row.state = ReplayStatus::Failed;
                row.error = &failed.error;
                row.count(failed.counts);
            }
        }
        row
    }

    const fn count(&mut self, counts: ReplayCounts) {
        self.matched = counts.matched;
        self.requested = counts.requested;
        self.skipped = counts.skipped;
    }
}
