//! Appending: decided by the server, by the revision that it expects.

use std::sync::Arc;
use std::time::Duration;

use domain::{
    Append, AppendError, Appended, ContentKey, EventData, Expected, NewEvent, Position, Revision, StreamName,
    Timestamp,
};
use eventstore::StreamState;

use super::Shared;
use super::claim::{self, Decided, Firsts};
use super::connection::Wrote;
use super::envelope::{Content, Stamp, encode};
use super::error::Failure;
use super::fence::{Standing, Stopped, look};
use super::retry::Retry;
use super::server_event::NewServerEvent;

/// The longest id that a sender may give to a delivery, in bytes.
const SENDER_ID_BYTES_MAX: usize = 8 * 1024;
/// What an event has on the server beside metadata and data, in bytes: the envelope and what the server adds.
const EVENT_OVERHEAD_BYTES: usize = 1024;

/// Appends, in a task of its own: whoever asked may go away, and a delivery that was announced has to be finished all the
/// same.
pub(super) async fn append(shared: &Arc<Shared>, append: Append) -> Result<Appended, AppendError> {
    let bytes = check(&append, shared.options.append_bytes_max)?;
    let place = shared.room.take(bytes)?;
    let shared = Arc::clone(shared);
    let task = tokio::spawn(async move {
        let id = append.events.first().map(|event| event.id);
        let appended = Writing::new(
            &shared,
            &append,
            id.is_some_and(|id| shared.room.is_unsure_of(id)),
        )
        .run()
        .await;
        if let (Err(AppendError::Unknown(_)), Some(id)) = (&appended, id) {
            shared.room.unsure_of(id);
        }
        let trouble = match &appended {
            Err(error) if error.retry() => Some(error.to_string()),
            Ok(_) | Err(_) => None,
        };
        let lasts = Duration::from_millis(shared.options.append_timeout_ms);
        shared.head.set_writing_trouble(trouble, lasts);
        drop(place);
        appended
    });
    let lost = |_| Err(AppendError::Unknown("the append was lost".into()));
    task.await.unwrap_or_else(lost)
}

/// Checks what can be checked without the server, and returns about how many bytes it gets.
fn check(append: &Append, bytes_max: usize) -> Result<usize, AppendError> {
    if append.events.is_empty() {
        return Err(AppendError::Invalid("an append needs at least one event".into()));
    }
    let content = append.content.as_ref();
    let sender_id = content.and_then(|content| content.sender_id.as_deref());
    let sender_id_bytes = sender_id.map_or(0, str::len);
    if sender_id_bytes > SENDER_ID_BYTES_MAX {
        return Err(AppendError::Invalid("the sender's id is too long".into()));
    }
    let mut bytes = 0;
    for event in &append.events {
        let metadata = event.metadata.len();
        if metadata > NewEvent::METADATA_BYTES_MAX {
            return Err(AppendError::Invalid(format!(
                "metadata of {metadata} bytes, at most {} are taken",
                NewEvent::METADATA_BYTES_MAX
            )));
        }
        let data = match &event.data {
            EventData::Inline(data) => data.len(),
            EventData::Stored(_) => 0,
        };
        // The id may grow in JSON, by what has to be escaped in it.
        bytes += metadata + data + EVENT_OVERHEAD_BYTES + 6 * sender_id_bytes;
    }
    if bytes > bytes_max {
        return Err(AppendError::Invalid(format!(
            "{bytes} bytes, at most {bytes_max} are taken by the event store in one append"
        )));
    }
    Ok(bytes)
}

/// An append under way.
pub(super) struct Writing<'a> {
    shared: &'a Shared,
    append: &'a Append,
    retry: Retry,
    /// Where the log ended when it began: what was written before is not behind this.
    began: Position,
    recorded_at: Timestamp,
    /// Whether a write that nobody knows the end of may have been done.
    maybe_done: bool,
    /// Whether it is written beside others, or by a call of its own.
    in_session: bool,
    /// Whether the last write in a session was refused.
    refused: bool,
    /// What was decided of a delivery, and how its stream stood then.
    decided: Option<(StreamState, Decided)>,
    firsts: Firsts,
}

/// What an append comes to, unless it fails.
pub(super) type Answer = Result<Appended, AppendError>;

/// What a write came to.
enum Step {
    Done(Appended),
    /// How the stream stands has to be looked at.
    Look,
}

impl<'a> Writing<'a> {
    pub(super) fn new(shared: &'a Shared, append: &'a Append, maybe_done: bool) -> Self {
        Self {
            shared,
            append,
            retry: Retry::lasting(&shared.options, shared.options.append_timeout_ms),
            began: shared.head.get(),
            recorded_at: shared.head.stamp(&*shared.clock),
            maybe_done,
            in_session: append.content.is_some(),
            refused: false,
            decided: None,
            firsts: Firsts::default(),
        }
    }

    async fn run(&mut self) -> Result<Appended, AppendError> {
        let appended = match &self.append.content {
            Some(content) => self.delivery(content).await,
            None => self.plain(None).await,
        };
        appended.unwrap_or_else(|stopped| Err(self.error(stopped)))
    }

    /// Appends an event of another log, as it was there.
    pub(super) async fn as_it_was(
        &mut self,
        recorded_at: Timestamp,
        duplicate_of: Option<StreamName>,
    ) -> Answer {
        (self.recorded_at, self.in_session) = (recorded_at, true);
        let appended = self.plain(duplicate_of).await;
        appended.unwrap_or_else(|stopped| Err(self.error(stopped)))
    }

    /// Appends events about which nothing is to be decided but whether they fit. What they conflict with is common, so each has
    /// a call of its own.
    async fn plain(&mut self, duplicate_of: Option<StreamName>) -> Result<Answer, Stopped> {
        let mut state = match self.append.expected {
            Expected::NoStream => StreamState::NoStream,
            Expected::Revision(revision) => StreamState::StreamRevision(revision.get()),
        };
        loop {
            let wrote = self.write(state, duplicate_of.clone()).await?;
            if let Step::Done(appended) = self.step(wrote, duplicate_of.clone()).await? {
                return Ok(Ok(appended));
            }
            self.retry.in_time()?;
            match look(self.shared, &mut self.retry, self.append).await {
                Ok(Standing::Repeats(appended)) => return Ok(Ok(appended)),
                Ok(Standing::Conflict(conflict)) => return Ok(Err(conflict)),
                Ok(Standing::Fits(found)) => state = found,
                Err(stopped) => return Err(stopped),
            }
        }
    }

    /// Appends a delivery: what it repeats is decided first. It is written if the stream still stands as it did before.
    async fn delivery(&mut self, content: &ContentKey) -> Result<Answer, Stopped> {
        let answer = self.decide_and_write(content).await;
        if let Ok(Ok(appended)) = &answer {
            let (stream, duplicate_of) = (&self.append.stream, appended.duplicate_of.as_ref());
            claim::learn(self.shared, stream, duplicate_of, &Content::of(content));
        }
        self.decided = None;
        answer
    }

    async fn decide_and_write(&mut self, content: &ContentKey) -> Result<Answer, Stopped> {
        loop {
            self.retry.in_time()?;
            let state = match look(self.shared, &mut self.retry, self.append).await {
                Ok(Standing::Repeats(appended)) => return Ok(Ok(appended)),
                Ok(Standing::Conflict(conflict)) => return Ok(Err(conflict)),
                Ok(Standing::Fits(state)) => state,
                Err(stopped) => return Err(stopped),
            };
            let decided = match self.decided.take() {
                Some((decided_at, decided)) if decided_at == state => decided,
                Some(fenced_off) => {
                    // Whoever pauses fences nobody off, so one of those who do it to each other gets through.
                    drop(fenced_off);
                    self.retry.anew().await?;
                    continue;
                }
                None => {
                    self.refused = false;
                    let stream = &self.append.stream;
                    claim::original(self.shared, stream, content, &mut self.firsts, &mut self.retry).await?
                }
            };
            let duplicate_of = decided.original.clone();
            // Its turns are kept until it is written, and known.
            self.decided = Some((state, decided));
            let wrote = self.write(state, duplicate_of.clone()).await?;
            if let Step::Done(appended) = self.step(wrote, duplicate_of).await? {
                return Ok(Ok(appended));
            }
        }
    }

    async fn write(
        &self,
        state: StreamState,
        duplicate_of: Option<StreamName>,
    ) -> Result<Result<Wrote, Failure>, Stopped> {
        let events = self.encoded(duplicate_of)?;
        let name = self.shared.names.stream(&self.append.stream);
        let connection = &self.shared.connection;
        Ok(if self.in_session {
            let events = events.into_iter().map(Into::into).collect();
            connection.append_in_session(&name, state, events).await
        } else {
            connection.append(&name, state, events).await
        })
    }

    /// What becomes of a write.
    async fn step(
        &mut self,
        wrote: Result<Wrote, Failure>,
        duplicate_of: Option<StreamName>,
    ) -> Result<Step, Stopped> {
        match wrote {
            Ok(wrote) => Ok(self.fresh(wrote, duplicate_of).map_or(Step::Look, Step::Done)),
            Err(Failure::Conflict) => Ok(Step::Look),
            Err(Failure::Refused(why)) => self.refused(why),
            Err(failure) => {
                self.maybe_done |= failure.may_be_done();
                self.pause(failure).await?;
                Ok(Step::Look)
            }
        }
    }

    /// The answer to a write that was just done; `None` where it may have been done before, or says too little.
    fn fresh(&self, wrote: Wrote, duplicate_of: Option<StreamName>) -> Option<Appended> {
        let position = Position::new(wrote.position?);
        let fresh = !self.maybe_done && position > self.began && self.append.events.len() == 1;
        self.shared.head.advance(position);
        fresh.then(|| Appended {
            first: position,
            last: position,
            revision: self.revision(0),
            recorded_at: self.recorded_at,
            duplicate_of,
        })
    }

    /// A session does not say a conflict apart from other refusals: it is one if the stream is not what it was.
    fn refused(&mut self, why: String) -> Result<Step, Stopped> {
        if self.in_session && !std::mem::replace(&mut self.refused, true) {
            return Ok(Step::Look);
        }
        Err(Stopped::Failed(Failure::Refused(why)))
    }

    /// Waits for the next try.
    async fn pause(&mut self, failure: Failure) -> Result<(), Failure> {
        self.retry.after(failure).await
    }

    fn revision(&self, n: u64) -> Revision {
        Revision::new(match self.append.expected {
            Expected::NoStream => n,
            Expected::Revision(revision) => revision.get().saturating_add(1).saturating_add(n),
        })
    }

    fn encoded(&self, duplicate_of: Option<StreamName>) -> Result<Vec<NewServerEvent>, Failure> {
        let events = (0..).zip(&self.append.events).map(|(n, event)| {
            let stamp = Stamp {
                revision: self.revision(n),
                recorded_at: self.recorded_at,
                duplicate_of: duplicate_of.clone(),
                content: self.append.content.as_ref().map(Content::of),
            };
            encode(event, stamp).map_err(|error| Failure::Refused(error.to_string()))
        });
        events.collect()
    }

    /// What the caller is told.
    fn error(&self, stopped: Stopped) -> AppendError {
        match stopped {
            Stopped::Foreign(why) if self.maybe_done => AppendError::Unknown(why),
            Stopped::Foreign(why) => AppendError::Unavailable(why),
            Stopped::Failed(Failure::Refused(why)) if !self.maybe_done => AppendError::Invalid(why),
            Stopped::Failed(failure) if self.maybe_done => AppendError::Unknown(failure.why()),
            Stopped::Failed(failure) => AppendError::Unavailable(failure.why()),
        }
    }
}
