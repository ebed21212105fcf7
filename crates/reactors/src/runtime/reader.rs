//! The shared reader: follows the log once, for all destinations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{
    DeliveryReceived, EventData, EventId, LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision,
    StreamName,
};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::fact::{Fact, Material, News};
use super::{Cell, Shared};

/// Follows the log until told to stop.
pub(super) async fn run(shared: &Shared, stop: CancellationToken) {
    let mut position = shared.board().position;
    while let Some(page) = read(shared, position, &stop).await {
        let Some(last) = last_of(&page) else {
            if !wait_past(shared, position, &stop).await {
                return;
            }
            continue;
        };
        let keeps_up: Vec<bool> = shared
            .board()
            .lanes
            .iter()
            .map(super::lane::Lane::keeps_up)
            .collect();
        let mut news = news_of(&page.events);
        let wanted = |index| keeps_up.get(index) == Some(&true);
        if !prioritise(shared, &mut news, wanted, &stop).await {
            return;
        }
        let concerned = shared.board().hear(&news, last);
        position = last.0;
        for cell in concerned.into_iter().filter_map(|index| shared.cells.get(index)) {
            cell.work.notify_one();
            cell.room.notify_one();
        }
    }
}

/// Reads a page, however long that takes; `None` when it is to stop.
pub(super) async fn read(shared: &Shared, after: Position, stop: &CancellationToken) -> Option<LogPage> {
    let mut backoff = Backoff::new();
    loop {
        let read = shared.ports.log.read_all(after, PageLimit::default());
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            read = read => read,
        };
        match read {
            Ok(page) => return Some(page),
            Err(error) => complain(&error),
        }
        if !backoff.wait(stop).await {
            return None;
        }
    }
}

async fn wait_past(shared: &Shared, position: Position, stop: &CancellationToken) -> bool {
    let waited = tokio::select! {
        biased;
        () = stop.cancelled() => return false,
        waited = shared.ports.log.wait_past(position) => waited,
    };
    match waited {
        Ok(_) => true,
        Err(error) => {
            complain(&error);
            Backoff::new().wait(stop).await
        }
    }
}

fn complain(error: &ReadError) {
    let source = error as &dyn std::error::Error;
    match error {
        ReadError::Unavailable(_) => {
            tracing::warn!(error = source, "the reactors can't read the log: they try again");
        }
        ReadError::Corrupt(_) => {
            tracing::error!(
                error = source,
                "the reactors can't read the log, and get no further"
            );
        }
    }
}

/// The last event of a page.
pub(super) fn last_of(page: &LogPage) -> Option<(Position, EventId)> {
    page.events.last().map(|event| (event.position, event.id))
}

/// What the events say to the reactors. One that can't be read is said aloud and left, and no mark goes beyond it: a person
/// must act, and what he starts then reads it again.
pub(super) fn news_of(events: &[RecordedEvent]) -> Vec<News> {
    let read = |event: &RecordedEvent| match News::of(event) {
        Ok(news) => news,
        Err(error) => {
            tracing::error!(
                position = event.position.get(),
                error = &error as &dyn std::error::Error,
                "the reactors can't understand an event: what it opens waits for a version that does"
            );
            Some(News::not_understood(event))
        }
    };
    events.iter().filter_map(read).collect()
}

/// Asks the destinations how urgent the rounds are that begin, where `wanted` says so. `false` when it is to stop.
pub(super) async fn prioritise(
    shared: &Shared,
    news: &mut [News],
    wanted: impl Fn(usize) -> bool,
    stop: &CancellationToken,
) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = prioritise_all(shared, news, wanted) => true,
    }
}

async fn prioritise_all(shared: &Shared, news: &mut [News], wanted: impl Fn(usize) -> bool) {
    for news in news {
        let Fact::Opened(opened) = &mut news.fact else {
            continue;
        };
        let Some(mut material) = opened.material.take() else {
            continue;
        };
        for due in &mut opened.due {
            let index = shared
                .places
                .get(&due.place)
                .copied()
                .filter(|index| wanted(*index));
            let Some(cell) = index.and_then(|index| shared.cells.get(index)) else {
                continue;
            };
            if material.partial {
                see_receipt(shared, &news.stream, &mut material).await;
            }
            due.priority = Some(priority(cell, &material));
        }
    }
}

fn priority(cell: &Cell, material: &Material) -> i64 {
    let asked = || cell.plan.target.priority(&material.received, &material.data);
    catch_unwind(AssertUnwindSafe(asked)).unwrap_or_else(|_| {
        tracing::error!(destination = %cell.plan.name, "a priority panicked and counts as 0");
        0
    })
}

/// A request to replay has neither headers nor body, so that the receipt is read; where it can't be, the facts have to do.
async fn see_receipt(shared: &Shared, stream: &StreamName, material: &mut Material) {
    material.partial = false;
    let limit = PageLimit { events: 1, bytes: 1 };
    let read = shared
        .ports
        .log
        .read_stream(stream, Revision::new(0), limit)
        .await;
    let receipt: Option<(DeliveryReceived, EventData)> = read.ok().and_then(|events| {
        let event = events.into_iter().next()?;
        let received = DeliveryReceived::of(&event)?.ok()?;
        Some((received, event.data))
    });
    if let Some((received, data)) = receipt {
        (material.received, material.data) = (received, data);
    }
}
