//! Finds the deliveries that were given up, without looking at all the others.

use std::collections::BTreeSet;

use domain::{
    Category, EventLog, PageLimit, Position, ReadError, RecordedEvent, ReplayRequested, Revision, StreamName,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::Shared;

/// The most receipts that are listed; beyond it every delivery is looked at.
const LISTED_MAX: usize = 1_000_000;
/// Streams looked up at once.
const LOOKUPS_MAX: usize = 16;

/// The receipts, after a position, of all deliveries that were dead at the replay's last position, and of some that were
/// not: each has to be looked at. In the order of the log; `None` when they are too many to list.
///
/// A delivery becomes dead by `DeliveryDeadLettered` and stops being so by `DeliveryReplayRequested` only. So whatever was
/// dead at a position is remembered now, or one of these events of it stands between the two.
pub(super) async fn receipts(
    shared: &Shared,
    order: &ReplayRequested,
    after: Position,
) -> Result<Option<Vec<Position>>, ReadError> {
    let log = shared.log();
    let mut found = BTreeSet::new();
    let (from, upto, types): (_, _, &[&str]) = match shared.ports.dead_letters.remembered(&order.tenant) {
        Some(remembered) => {
            let streams = remembered.streams.into_iter();
            let mine = streams.filter(|stream| stream.tenant() == order.tenant.as_str());
            let mut positions = stream::iter(mine)
                .map(|stream| async move { receipt_of(log, &stream).await })
                .buffered(LOOKUPS_MAX);
            while let Some(position) = positions.try_next().await? {
                found.extend(position);
            }
            let from = remembered.upto.min(order.to_position);
            let types = &["DeliveryDeadLettered", "DeliveryReplayRequested"];
            (from.max(after), log.head().await?, types)
        }
        // What is dead was received before it was given up.
        None => (after, order.to_position, &["DeliveryDeadLettered"]),
    };
    if !search(log, order, (from, upto), types, &mut found).await? {
        return Ok(None);
    }
    let fits = |position: &Position| *position > after && *position <= order.to_position;
    Ok(Some(found.into_iter().filter(fits).collect()))
}

/// Adds the receipts of all events of these types; false when they are too many.
async fn search(
    log: &dyn EventLog,
    order: &ReplayRequested,
    (mut after, upto): (Position, Position),
    types: &[&str],
    found: &mut BTreeSet<Position>,
) -> Result<bool, ReadError> {
    while after < upto {
        let page = log.read_all(after, PageLimit::default()).await?;
        let Some(last) = page.events.last() else { break };
        after = last.position;
        for event in page.events.iter().filter(|event| event.position <= upto) {
            let outcome = event.stream.category() == Category::Delivery.as_str()
                && event.stream.tenant() == order.tenant.as_str()
                && types.contains(&event.event_type.as_str());
            if outcome {
                found.extend(receipt_named(log, event).await?);
            }
        }
        if found.len() > LISTED_MAX {
            return Ok(false);
        }
    }
    Ok(true)
}

#[derive(Deserialize)]
struct OutcomeOf {
    receipt: ReceiptAt,
}

#[derive(Deserialize)]
struct ReceiptAt {
    position: Position,
}

async fn receipt_named(log: &dyn EventLog, event: &RecordedEvent) -> Result<Option<Position>, ReadError> {
    match serde_json::from_slice::<OutcomeOf>(&event.metadata) {
        Ok(outcome) => Ok(Some(outcome.receipt.position)),
        Err(_) => receipt_of(log, &event.stream).await,
    }
}

async fn receipt_of(log: &dyn EventLog, stream: &StreamName) -> Result<Option<Position>, ReadError> {
    let one = PageLimit { events: 1, bytes: 1 };
    let first = log.read_stream(stream, Revision::new(0), one).await?;
    Ok(first.first().map(|event| event.position))
}
