//! The shared reader: follows the log once, for all destinations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{
    DeliveryReceived, EventData, EventId, LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision,
    StreamName,
};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::backoff::Backoff;
use super::fact::{Fact, News, Opened};

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
        prioritise(shared, &mut news, |index| keeps_up.get(index) == Some(&true)).await;
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
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the reactors can't read the log: they try again");
}

/// The last event of a page.
pub(super) fn last_of(page: &LogPage) -> Option<(Position, EventId)> {
    page.events.last().map(|event| (event.position, event.id))
}

/// What the events say to the reactors. One that can't be read is said aloud and left: a person must act.
pub(super) fn news_of(events: &[RecordedEvent]) -> Vec<News> {
    let read = |event: &RecordedEvent| match News::of(event) {
        Ok(news) => news,
        Err(error) => {
            tracing::error!(
                position = event.position.get(),
                error = &error as &dyn std::error::Error,
                "the reactors can't understand an event and pass over it"
            );
            None
        }
    };
    events.iter().filter_map(read).collect()
}

/// Asks the destinations how urgent the rounds are that begin, where `wanted` says so.
pub(super) async fn prioritise(shared: &Shared, news: &mut [News], wanted: impl Fn(usize) -> bool) {
    for news in news {
        let Fact::Opened(opened) = &mut news.fact else {
            continue;
        };
        let indices = opened
            .due
            .iter()
            .map(|due| shared.places.get(&due.place).copied());
        let indices: Vec<Option<usize>> = indices.map(|index| index.filter(|i| wanted(*i))).collect();
        if indices.iter().all(Option::is_none) {
            continue;
        }
        if opened.replay {
            see_receipt(shared, &news.stream, opened).await;
        }
        for (due, index) in opened.due.iter_mut().zip(indices) {
            let cell = index.and_then(|index| shared.cells.get(index));
            due.priority = cell.map(|cell| {
                let target = &cell.plan.target;
                let asked = || target.priority(&opened.received, &opened.data);
                catch_unwind(AssertUnwindSafe(asked)).unwrap_or_else(|_| {
                    tracing::error!(destination = %cell.plan.name, "a priority panicked and counts as 0");
                    0
                })
            });
        }
    }
}

/// A request to replay has neither headers nor body, so that the receipt is read; where it can't be, the facts have to do.
async fn see_receipt(shared: &Shared, stream: &StreamName, opened: &mut Opened) {
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
        opened.received = Arc::new(received);
        opened.data = data;
    }
}
