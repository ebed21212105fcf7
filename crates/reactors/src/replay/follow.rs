//! Follows the log for replays that are ordered and that end.

use std::time::Duration;

use domain::{Category, EventLog, LogPage, PageLimit, Position, ReadError, RecordedEvent};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::note::{self, Mark};
use super::pace::Backoff;

/// Follows the log until it is told to stop.
pub(super) async fn follow(shared: &Shared, shutdown: &CancellationToken) {
    let Some(mut after) = begin(shared, shutdown).await else {
        return;
    };
    let mut backoff = Backoff::new();
    let mut last = None;
    let mut noted = None;
    let mut tick = interval(Duration::from_millis(
        shared.options.checkpoint_interval_ms.max(1),
    ));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            page = next_page(shared.log(), after) => match page {
                Ok(page) => {
                    backoff = Backoff::new();
                    for event in &page.events {
                        take(shared, event);
                        last = Some(mark(event));
                        after = event.position;
                    }
                }
                Err(error) => {
                    report(&error);
                    backoff.wait(shutdown).await;
                }
            },
            _ = tick.tick() => noted = take_down(shared, last, noted).await,
        }
    }
    take_down(shared, last, noted).await;
}

async fn begin(shared: &Shared, shutdown: &CancellationToken) -> Option<Position> {
    let mut backoff = Backoff::new();
    loop {
        let begun = tokio::select! {
            () = shutdown.cancelled() => return None,
            begun = note::begin(&*shared.ports.checkpoints, shared.log()) => begun,
        };
        match begun {
            Ok(position) => return Some(position),
            Err(error) => report(&error),
        }
        if !backoff.wait(shutdown).await {
            return None;
        }
    }
}

async fn next_page(log: &dyn EventLog, after: Position) -> Result<LogPage, ReadError> {
    loop {
        let page = log.read_all(after, PageLimit::default()).await?;
        if !page.events.is_empty() {
            return Ok(page);
        }
        log.wait_past(after).await?;
    }
}

fn take(shared: &Shared, event: &RecordedEvent) {
    if event.stream.category() != Category::Replay.as_str() {
        return;
    }
    match event.event_type.as_str() {
        "ReplayRequested" => shared.registry.opened(&event.stream, mark(event)),
        "ReplayCompleted" | "ReplayCancelled" | "ReplayFailed" => shared.registry.ended(&event.stream),
        _ => {}
    }
}

const fn mark(event: &RecordedEvent) -> Mark {
    Mark {
        position: event.position,
        event: event.id,
    }
}

/// Notes the order of the oldest open replay, or else the last event that was followed; returns what stands in the note.
async fn take_down(shared: &Shared, last: Option<Mark>, noted: Option<Mark>) -> Option<Mark> {
    let Some(mark) = shared.registry.oldest().or(last) else {
        return noted;
    };
    if noted == Some(mark) || !note::store(&*shared.ports.checkpoints, shared.log().id(), mark).await {
        return noted;
    }
    Some(mark)
}

fn report(error: &ReadError) {
    match error {
        ReadError::Unavailable(_) => tracing::warn!(%error, "the log can't be followed for replays"),
        ReadError::Corrupt(_) => tracing::error!(%error, "the log can't be followed for replays"),
    }
}
