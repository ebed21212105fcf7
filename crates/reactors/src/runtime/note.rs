//! The note by which a restart reads less of the log: up to where everything is done, per destination, and the dead letters.
//!
//! It is only ever behind the truth: all it says is durable in the log. Losing it costs a pass over the log, nothing else. A
//! note of another log, or one that is ahead of the log, says nothing.

use std::collections::BTreeMap;

use domain::{DestinationName, EventId, EventLog, LogId, PageLimit, Position, ReadError, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::board::Board;
use super::dead::{DeadLetter, DeadLetters};
use super::fact::Place;
use super::strangers::{Stranger, Strangers};

/// Under which name it is kept.
pub(super) const NAME: &str = "reactors";
const VERSION: u32 = 1;

/// The note as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    version: u32,
    log_id: LogId,
    /// How far the log was read.
    upto: Position,
    /// The event that stands there.
    event: Option<EventId>,
    destinations: Vec<Mark>,
    /// Before the first round of destinations that are not named here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    others: Option<Position>,
    dead: Box<RawValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mark {
    tenant: TenantId,
    name: DestinationName,
    /// Up to where everything is done.
    mark: Position,
    /// Rounds open after it, as far as they are known.
    open: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dead {
    complete: bool,
    letters: Vec<DeadLetter>,
}

/// What a note says, once it is known to be about this log.
#[derive(Debug, Default)]
pub(super) struct Begin {
    position: Position,
    event: Option<EventId>,
    marks: BTreeMap<Place, Stranger>,
    others: Option<Position>,
    dead: Option<Dead>,
}

/// Why a note says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it can't be understood")]
    Unreadable(#[from] serde_json::Error),
    #[error("it has version {0}")]
    Version(u32),
    #[error("its marks contradict each other")]
    Contradiction,
    #[error("it is about another log")]
    Foreign,
    #[error("the log does not hold the event that it names, or ends before it")]
    Ahead,
}

/// What is known, as it is taken from the board: quickly, because everybody waits.
pub(super) struct Snapshot {
    note: Note,
    /// The dead letters, if they changed.
    dead: Option<(u64, Dead)>,
}

/// The dead letters as they were written last.
pub(super) type WrittenDead = Option<(u64, Box<RawValue>)>;

impl Snapshot {
    /// What is known now; `None` when the log was not read yet.
    pub(super) fn of(board: &Board, log: LogId, written: &WrittenDead) -> Option<Self> {
        board.head_at_start?;
        let lanes = board.lanes.iter().map(|lane| Mark {
            tenant: lane.place.tenant.clone(),
            name: lane.place.name.clone(),
            mark: lane.mark(board.position),
            open: lane.queue.len() as u64,
        });
        let strangers = board.strangers.known().iter().map(|(place, stranger)| Mark {
            tenant: place.tenant.clone(),
            name: place.name.clone(),
            mark: stranger.mark,
            open: stranger.open,
        });
        let note = Note {
            version: VERSION,
            log_id: log,
            upto: board.position,
            event: board.event,
            destinations: lanes.chain(strangers).collect(),
            others: board.strangers.others(),
            dead: RawValue::NULL.to_owned(),
        };
        let version = board.dead.version();
        let unchanged = written.as_ref().is_some_and(|(known, _)| *known == version);
        let dead = (!unchanged).then(|| {
            let (complete, letters) = (board.dead.complete(), board.dead.all());
            (version, Dead { complete, letters })
        });
        Some(Self { note, dead })
    }

    /// The note, and the dead letters for the next time.
    ///
    /// # Errors
    /// None is to be expected.
    pub(super) fn into_note(self, written: &mut WrittenDead) -> Result<Note, serde_json::Error> {
        if let Some((version, dead)) = self.dead {
            *written = Some((version, serde_json::value::to_raw_value(&dead)?));
        }
        let mut note = self.note;
        if let Some((_, dead)) = written {
            note.dead.clone_from(dead);
        }
        Ok(note)
    }
}

impl Note {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Only names, numbers and lists: serialising into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn read(bytes: &[u8], log: LogId) -> Result<Begin, Unusable> {
        let note: Self = serde_json::from_slice(bytes)?;
        if note.version != VERSION {
            return Err(Unusable::Version(note.version));
        }
        if note.log_id != log {
            return Err(Unusable::Foreign);
        }
        let marks = note.destinations.iter().map(|mark| mark.mark);
        if marks.chain(note.others).any(|mark| mark > note.upto) {
            return Err(Unusable::Contradiction);
        }
        let dead = serde_json::from_str(note.dead.get())?;
        let marks = note.destinations.into_iter().map(|mark| {
            let place = Place {
                tenant: mark.tenant,
                name: mark.name,
            };
            let (mark, open) = (mark.mark, mark.open);
            (place, Stranger { mark, open })
        });
        Ok(Begin {
            position: note.upto,
            event: note.event,
            marks: marks.collect(),
            others: note.others,
            dead: Some(dead),
        })
    }
}

impl Begin {
    /// What a note says about a log. One that says nothing about it is named in the logs, and all is read from the start.
    ///
    /// # Errors
    /// When the log can't be read.
    pub(super) async fn of(note: Option<&[u8]>, log: &dyn EventLog) -> Result<Self, ReadError> {
        let Some(bytes) = note else {
            return Ok(Self::default());
        };
        let begin = match Note::read(bytes, log.id()) {
            Ok(begin) if begin.stands_in(log).await? => return Ok(begin),
            Ok(_) => Unusable::Ahead,
            Err(unusable) => unusable,
        };
        tracing::warn!(
            problem = &begin as &dyn std::error::Error,
            "the note of the reactors is of no use: the log is read from its start"
        );
        Ok(Self::default())
    }

    async fn stands_in(&self, log: &dyn EventLog) -> Result<bool, ReadError> {
        let Some(event) = self.event else {
            return Ok(self.position == Position::START);
        };
        let limit = PageLimit { events: 1, bytes: 1 };
        let page = log.read_all(super::entry::before(self.position), limit).await?;
        let there = page.events.first();
        Ok(there.is_some_and(|there| there.position == self.position && there.id == event))
    }

    /// Sets the board to it. A destination that the note does not name is new: nothing was ever due there.
    pub(super) fn lay_out(mut self, board: &mut Board, dead_letters_max: usize) {
        board.position = self.position;
        board.event = self.event;
        let new = self
            .others
            .map_or(self.position, |others| others.min(self.position));
        for lane in &mut board.lanes {
            let mark = self.marks.remove(&lane.place).map_or(new, |known| known.mark);
            lane.begin(mark, self.position);
        }
        board.strangers = Strangers::new(self.marks, self.others);
        if let Some(dead) = self.dead {
            board.dead = DeadLetters::new(dead.letters, dead.complete, dead_letters_max);
        }
    }
}
