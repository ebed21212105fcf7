//! What becomes of an append. Only the writer decides, against the current batch, what is not yet indexed, and the index.

use std::sync::Arc;

use domain::{
    Append, AppendError, Appended, ContentKey, EventData, Expected, NewEvent, Position, Revision, StreamName,
    must_be_stored,
};

use super::content_keys::ContentKeys;
use super::format::{BATCH_HEADER_BYTES, BLOCK_BYTES, RECORD_FIXED_BYTES, content_bytes, data_bytes};
use super::index::{Index, IndexError};
use super::keys::EventKey;
use super::options::{LogOptions, SENDER_ID_BYTES_MAX};
use super::pending::{Pending, StreamHead};

/// A stream name in `duplicateOf`, and the fences around metadata and data.
const OVERHEAD_BYTES: usize = 300 + 3;

/// Checks what can be checked without knowing the log, and returns an upper bound of the encoded length.
pub(crate) fn check(append: &Append, options: &LogOptions) -> Result<usize, AppendError> {
    if append.events.is_empty() {
        return Err(AppendError::Invalid("an append needs at least one event".into()));
    }
    let mut bytes = BATCH_HEADER_BYTES;
    if let Some(content) = &append.content {
        let id = content.sender_id.as_deref().unwrap_or_default();
        if id.len() > SENDER_ID_BYTES_MAX || must_be_stored(id.as_bytes()) {
            return Err(AppendError::Invalid("the sender's id is too long".into()));
        }
        bytes += content_bytes(content);
    }
    for event in &append.events {
        check_event(event)?;
        bytes += RECORD_FIXED_BYTES
            + OVERHEAD_BYTES
            + append.stream.as_str().len()
            + event.event_type.as_str().len()
            + event.metadata.len()
            + data_bytes(&event.data);
    }
    let room = usize::try_from(options.segment_bytes - BLOCK_BYTES).unwrap_or(usize::MAX);
    if bytes > room {
        return Err(AppendError::Invalid(format!(
            "{bytes} bytes do not fit into a segment of {}",
            options.segment_bytes
        )));
    }
    Ok(bytes)
}

fn check_event(event: &NewEvent) -> Result<(), AppendError> {
    if event.metadata.len() > NewEvent::METADATA_BYTES_MAX {
        return Err(AppendError::Invalid(format!(
            "metadata of {} bytes, at most {} are taken",
            event.metadata.len(),
            NewEvent::METADATA_BYTES_MAX
        )));
    }
    let inline = match &event.data {
        EventData::Inline(bytes) => bytes,
        EventData::Stored(_) => return check_zeroes("metadata", &event.metadata),
    };
    check_zeroes("metadata", &event.metadata)?;
    check_zeroes("data", inline)
}

fn check_zeroes(what: &str, bytes: &[u8]) -> Result<(), AppendError> {
    if must_be_stored(bytes) {
        let why = format!("{what} with 512 zero bytes in a row belongs into the body store");
        return Err(AppendError::Invalid(why));
    }
    Ok(())
}

/// What becomes of an append.
#[derive(Debug)]
pub(crate) enum Decision {
    /// To be written from this revision on.
    Write {
        revision: Revision,
        /// Position of the first event of the stream, where it has one.
        first: Option<Position>,
        duplicate_of: Option<StreamName>,
    },
    /// Answered without a write. `dependent`: only after the sync of the current batch.
    Answer {
        answer: Result<Appended, AppendError>,
        dependent: bool,
    },
}

/// Gives the keys of an event that only the segments know.
pub(crate) type ReadKey<'a> = &'a dyn Fn(Position) -> Result<EventKey, String>;

/// All that an append is decided against.
pub(crate) struct Known<'a> {
    pub(crate) batch: &'a Pending,
    /// What is not in the index yet, from the newest on.
    pub(crate) recent: [&'a Pending; 2],
    pub(crate) index: Option<&'a Index>,
    pub(crate) read_key: ReadKey<'a>,
}

impl Known<'_> {
    /// Decides an append, whose content is looked up by `keys`.
    pub(crate) fn decide(&self, append: &Append, keys: Option<&ContentKeys>) -> Result<Decision, String> {
        let head = self.head(&append.stream)?;
        let dependent = self.batch.head(&append.stream).is_some();
        if let Some(head) = head {
            if let Some(appended) = self.repeated(append, head)? {
                let answer = Ok(appended);
                return Ok(Decision::Answer { answer, dependent });
            }
            if append.expected != Expected::Revision(head.last) {
                let answer = Err(AppendError::Conflict {
                    current: head.last,
                    first: head.first,
                });
                return Ok(Decision::Answer { answer, dependent });
            }
        } else if append.expected != Expected::NoStream {
            let answer = Err(AppendError::Conflict {
                current: Revision::new(0),
                first: Position::START,
            });
            return Ok(Decision::Answer { answer, dependent });
        }
        let content = append.content.as_ref().zip(keys);
        Ok(Decision::Write {
            revision: Revision::new(head.map_or(0, |head| head.last.get() + 1)),
            first: head.map(|head| head.first),
            duplicate_of: content
                .map(|(c, keys)| self.original(c, keys))
                .transpose()?
                .flatten(),
        })
    }

    /// What is found first among what is not in the index, from the newest on.
    fn pending<T>(&self, find: impl Fn(&Pending) -> Option<T>) -> Option<T> {
        find(self.batch).or_else(|| self.recent.into_iter().find_map(find))
    }

    fn head(&self, stream: &StreamName) -> Result<Option<StreamHead>, String> {
        let pending = self.pending(|part| part.head(stream));
        if pending.is_some() {
            return Ok(pending);
        }
        self.index
            .map_or(Ok(None), |index| index.head(stream))
            .map_err(|e| e.to_string())
    }

    /// The answer to an append whose events are in the stream already, at the place it expects.
    fn repeated(&self, append: &Append, head: StreamHead) -> Result<Option<Appended>, String> {
        let start = match append.expected {
            Expected::NoStream => 0,
            Expected::Revision(revision) => revision.get().saturating_add(1),
        };
        let mut ends: Option<(Arc<EventKey>, Arc<EventKey>)> = None;
        for (revision, event) in (start..=head.last.get()).zip(&append.events) {
            let key = self.event(&append.stream, Revision::new(revision))?;
            if key.id != event.id {
                return Ok(None);
            }
            let first = ends.map_or_else(|| Arc::clone(&key), |(first, _)| first);
            ends = Some((first, key));
        }
        let Some((first, last)) = ends else {
            return Ok(None);
        };
        let whole = last.revision.get() - first.revision.get() + 1 == append.events.len() as u64;
        Ok(whole.then(|| Appended {
            first: first.position,
            last: last.position,
            revision: last.revision,
            recorded_at: last.recorded_at,
            duplicate_of: first.duplicate_of.clone(),
        }))
    }

    fn event(&self, stream: &StreamName, revision: Revision) -> Result<Arc<EventKey>, String> {
        if let Some(key) = self.pending(|part| part.event(stream, revision)) {
            return Ok(key);
        }
        let missing = || format!("the index lacks revision {revision} of {stream}");
        let index = self.index.ok_or_else(missing)?;
        let found = index.positions(stream, revision, 1).map_err(|e| e.to_string())?;
        let position = found.first().filter(|(found, _)| *found == revision);
        let (_, position) = position.ok_or_else(missing)?;
        (self.read_key)(*position).map(Arc::new)
    }

    /// The unmarked delivery that this content repeats.
    fn original(&self, content: &ContentKey, keys: &ContentKeys) -> Result<Option<StreamName>, String> {
        if let Some(sender) = &keys.sender {
            let key = &sender.original;
            let known = self.look_up(|p| p.original(key), |index| index.original(key))?;
            if known.is_some() {
                return Ok(known);
            }
        }
        if content.window_ms == 0 {
            return Ok(None);
        }
        let key = &keys.body;
        let known = self.look_up(|p| p.body(key), |index| index.body(key))?;
        Ok(known
            .filter(|(_, received_at)| content.is_within_window(*received_at))
            .map(|(stream, _)| stream))
    }

    fn look_up<T>(
        &self,
        pending: impl Fn(&Pending) -> Option<T>,
        indexed: impl Fn(&Index) -> Result<Option<T>, IndexError>,
    ) -> Result<Option<T>, String> {
        match (self.pending(pending), self.index) {
            (None, Some(index)) => indexed(index).map_err(|e| e.to_string()),
            (found, _) => Ok(found),
        }
    }
}
