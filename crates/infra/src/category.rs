//! Follows a category of the log, for those that keep a fold of it: keys and sources. What one of them appends itself holds
//! at once; what others append is read soon.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    Append, AppendError, Appended, Category, EventData, EventLog, PageLimit, Position, ReadError,
    RecordedEvent,
};
use tokio_util::sync::CancellationToken;

/// How often an append is tried of which nobody knows whether it was done.
const TRIES_MAX: u32 = 5;
/// How long the log may grow before it is looked at for what another replica did.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause after the log could not be read.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Keeps a fold of a category.
pub(crate) trait Fold: Sync {
    /// The category.
    const CATEGORY: Category;

    /// Takes the next event, perhaps one that it knows.
    fn learn(&self, event: &RecordedEvent);

    /// Nothing is missing up to where the log ended at the last look.
    fn complete(&self);
}

/// Reads the log, and goes on reading it until it is told to stop. While the log can't be read, what was known holds.
pub(crate) async fn follow<F: Fold>(fold: &F, log: &dyn EventLog, stop: CancellationToken) {
    let mut after = Position::START;
    loop {
        let looked = tokio::select! {
            looked = look(fold, log, after) => looked,
            () = stop.cancelled() => return,
        };
        let pause = match looked {
            Ok(position) => {
                after = position;
                LOOK_EVERY
            }
            Err(error) => {
                let category = F::CATEGORY.as_str();
                tracing::warn!(%error, category, "the log can't be read now; it is tried again");
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        if pause == LOOK_EVERY {
            tokio::select! {
                // An error shows itself again when the log is read.
                _grown = log.wait_past(after) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Reads on to the head of the log, and returns it. Only what is of the category is read, however long the log is.
async fn look<F: Fold>(fold: &F, log: &dyn EventLog, mut after: Position) -> Result<Position, ReadError> {
    loop {
        let page = log
            .read_category(F::CATEGORY, after, PageLimit::default())
            .await?;
        page.events.iter().for_each(|event| fold.learn(event));
        let is_full = page.events.last().is_some_and(|last| last.position == page.upto);
        after = page.upto.max(after);
        // Only a full page ends at its own last event with more behind it.
        if !is_full {
            fold.complete();
            return Ok(after);
        }
    }
}

/// Appends facts. Nobody knows at times whether it was done; the same events are then appended again, which changes nothing.
pub(crate) async fn append(log: &dyn EventLog, append: &Append) -> Result<Appended, AppendError> {
    let mut tries = TRIES_MAX;
    loop {
        tries -= 1;
        match log.append(append.clone()).await {
            Err(AppendError::Unknown(_)) if tries > 0 => {}
            done => return done,
        }
    }
}

/// The event as it stands in the log now; none when several were appended.
pub(crate) fn recorded(append: &Append, appended: &Appended) -> Option<RecordedEvent> {
    let [new] = append.events.as_slice() else {
        return None;
    };
    Some(RecordedEvent {
        position: appended.first,
        stream: append.stream.clone(),
        revision: appended.revision,
        id: new.id,
        event_type: new.event_type.clone(),
        schema: new.schema,
        recorded_at: appended.recorded_at,
        duplicate_of: None,
        metadata: new.metadata.clone(),
        data: EventData::Inline(Bytes::new()),
    })
}
