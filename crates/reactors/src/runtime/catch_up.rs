//! Reads the log again for a destination that fell behind, as far as there is room, until it meets the shared reader.

use std::collections::VecDeque;

use domain::Position;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::fact::{Fact, News};
use super::lane::CatchUp;
use super::reader::{last_of, news_of, prioritise, read};
use super::{Cell, Shared};

/// Catches up whenever the destination is behind, until told to stop.
pub(super) async fn run(shared: &Shared, index: usize, stop: CancellationToken) {
    let Some(cell) = shared.cells.get(index) else {
        return;
    };
    loop {
        let behind = shared.with_lane(index, |lane, _| lane.behind()).flatten();
        let goes_on = match behind {
            Some(after) => page(shared, index, cell, after, &stop).await,
            None => changed(cell, &stop).await,
        };
        if !goes_on {
            return;
        }
    }
}

async fn changed(cell: &Cell, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = cell.room.notified() => true,
    }
}

/// Takes up one page; `false` when it is to stop.
async fn page(shared: &Shared, index: usize, cell: &Cell, after: Position, stop: &CancellationToken) -> bool {
    let Some(page) = read(shared, after, stop).await else {
        return false;
    };
    let last = last_of(&page).map_or(after, |(position, _)| position);
    let mut found: VecDeque<News> = news_of(&page.events)
        .into_iter()
        .filter(|news| concerns(cell, news))
        .collect();
    // It holds the bodies, and there may be no room for long.
    drop(page);
    if !prioritise(shared, found.make_contiguous(), |of| of == index, stop).await {
        return false;
    }
    loop {
        let progress = shared.with_lane(index, |lane, reader| lane.catch_up(&mut found, last, reader));
        cell.work.notify_one();
        match progress {
            Some(CatchUp::Met) | None => return true,
            // The shared reader was further: this can only be a log that does not show yet what it showed.
            Some(CatchUp::More) if last == after => return Backoff::new().wait(stop).await,
            Some(CatchUp::More) => return true,
            Some(CatchUp::Full) => {
                if !changed(cell, stop).await {
                    return false;
                }
            }
        }
    }
}

fn concerns(cell: &Cell, news: &News) -> bool {
    let mine = |place: &super::fact::Place| place.name == cell.plan.name && place.tenant == cell.plan.tenant;
    match &news.fact {
        Fact::Opened(opened) => opened.due.iter().any(|due| mine(&due.place)),
        Fact::Failed { place, .. } | Fact::Closed { place, .. } => mine(place),
        Fact::Destination(_) => false,
        Fact::NotUnderstood => news.stream.tenant() == cell.plan.tenant.as_str(),
    }
}
