//! The note of how far the log was followed: below it no replay is open. Losing it costs reading the log from its start.

use domain::{Checkpoints, EventId, EventLog, LogId, PageLimit, Position, ReadError};
use serde::{Deserialize, Serialize};

/// The note's name.
pub(super) const NAME: &str = "replays";

/// An event of the log, by place and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) event: EventId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    log_id: LogId,
    position: Position,
    event_id: EventId,
}

/// Where to begin: after which position. A note that is unreadable, of another log, or of a log with another history (one
/// that was restored) begins at the start.
pub(super) async fn begin(checkpoints: &dyn Checkpoints, log: &dyn EventLog) -> Result<Position, ReadError> {
    let start = |why: &str| {
        tracing::warn!(
            why,
            "the note on replays is of no use: the log is read from its start"
        );
        Ok(Position::START)
    };
    let note = match checkpoints.load(NAME).await {
        Ok(Some(note)) => note,
        Ok(None) => return Ok(Position::START),
        Err(error) => return start(&error.source.to_string()),
    };
    let Ok(note) = serde_json::from_slice::<Note>(&note) else {
        return start("it can't be understood");
    };
    if note.log_id != log.id() {
        return start("it is about another log");
    }
    // The marked event itself is read again: it may be what ordered a replay.
    let before = Position::new(note.position.get().saturating_sub(1));
    let one = PageLimit { events: 1, bytes: 1 };
    let page = log.read_all(before, one).await?;
    match page.events.first() {
        Some(event) if event.position == note.position && event.id == note.event_id => Ok(before),
        Some(_) | None => start("the log does not hold the event it names"),
    }
}

/// Takes down a mark; one that can't be written only costs time.
pub(super) async fn store(checkpoints: &dyn Checkpoints, log: LogId, mark: Mark) -> bool {
    let note = Note {
        log_id: log,
        position: mark.position,
        event_id: mark.event,
    };
    // Only strings and numbers: serialising into memory cannot fail.
    let bytes = serde_json::to_vec(&note).unwrap_or_default();
    match checkpoints.store(NAME, bytes.into()).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = %error.source, "the note on replays can't be written");
            false
        }
    }
}
