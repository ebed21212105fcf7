//! The log in memory: the smallest thing that keeps the contract.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    Append, AppendError, Appended, Category, CategoryPage, Clock, ContentHash, ContentKey, EventLog,
    Expected, FindDeliveries, LogHealth, LogId, LogPage, PageLimit, Position, ReadError, RecordedEvent,
    Revision, SourceName, Spacing, StreamName, TenantId, Timestamp,
};

/// An in-memory log. Its positions grow by `stride`, so that readers who count on dense ones are found out.
pub struct MemoryLog {
    id: LogId,
    clock: Arc<dyn Clock>,
    stride: u64,
    unwritable: AtomicBool,
    damaged: AtomicBool,
    state: Mutex<State>,
    head: watch::Sender<Position>,
}

#[derive(Default)]
struct State {
    events: Vec<RecordedEvent>,
    streams: HashMap<StreamName, Vec<usize>>,
    by_body: HashMap<(TenantId, SourceName, ContentHash), (StreamName, Timestamp)>,
    by_sender_id: HashMap<(TenantId, SourceName, String), Vec<StreamName>>,
}

impl MemoryLog {
    /// An empty log with positions 1, 2, 3, …
    #[must_use]
    pub fn new(id: LogId, clock: Arc<dyn Clock>) -> Self {
        Self::with_gaps(id, clock, 1)
    }

    /// An empty log whose positions grow by `stride`.
    #[must_use]
    pub fn with_gaps(id: LogId, clock: Arc<dyn Clock>, stride: u64) -> Self {
        let head = watch::Sender::new(Position::START);
        Self {
            id,
            clock,
            stride,
            unwritable: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            state: Mutex::default(),
            head,
        }
    }

    /// From now on appends are refused, or taken again.
    pub fn set_unwritable(&self, unwritable: bool) {
        self.unwritable.store(unwritable, Ordering::SeqCst);
    }

    /// From now on what is in it can't be read for good, or can again.
    pub fn set_damaged(&self, damaged: bool) {
        self.damaged.store(damaged, Ordering::SeqCst);
    }

    fn sound(&self) -> Result<MutexGuard<'_, State>, ReadError> {
        if self.damaged.load(Ordering::SeqCst) {
            return Err(ReadError::Corrupt("set so by the test".into()));
        }
        Ok(self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn repeats(&self, stream: &StreamName, append: &Append) -> Option<Appended> {
        let at = self.streams.get(stream)?;
        let start = match append.expected {
            Expected::NoStream => 0,
            Expected::Revision(revision) => usize::try_from(revision.get()).ok()?.checked_add(1)?,
        };
        let there: Vec<&RecordedEvent> = at
            .get(start..start.checked_add(append.events.len())?)?
            .iter()
            .filter_map(|i| self.events.get(*i))
            .collect();
        let same = there
            .iter()
            .zip(&append.events)
            .all(|(old, new)| old.id == new.id);
        let (first, last) = (there.first()?, there.last()?);
        same.then(|| Appended {
            first: first.position,
            last: last.position,
            revision: last.revision,
            recorded_at: last.recorded_at,
            duplicate_of: first.duplicate_of.clone(),
        })
    }

    fn conflict(&self, append: &Append) -> Option<AppendError> {
        let at = self
            .streams
            .get(&append.stream)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let fits = match append.expected {
            Expected::NoStream => at.is_empty(),
            Expected::Revision(revision) => at.len().checked_sub(1) == usize::try_from(revision.get()).ok(),
        };
        if fits {
            return None;
        }
        let first = at
            .first()
            .and_then(|i| self.events.get(*i))
            .map_or(Position::START, |e| e.position);
        Some(AppendError::Conflict {
            current: Revision::new((at.len() as u64).saturating_sub(1)),
            first,
        })
    }

    /// The unmarked original that this content repeats; remembers the content if there is none.
    fn mark(&mut self, stream: &StreamName, content: &ContentKey) -> Option<StreamName> {
        let scope = (content.tenant.clone(), content.source.clone());
        let by_id = content.sender_id.as_ref().and_then(|id| {
            let known = self
                .by_sender_id
                .entry((scope.0.clone(), scope.1.clone(), id.clone()))
                .or_default();
            let original = known.first().cloned();
            known.push(stream.clone());
            original
        });
        let body = (scope.0, scope.1, content.body_sha256);
        let by_body = self.by_body.get(&body);
        let by_body = by_body
            .filter(|(_, received_at)| content.is_within_window(*received_at))
            .map(|(original, _)| original.clone());
        let original = by_id.map(|first| self.unmarked(&first)).or(by_body);
        if original.is_none() {
            self.by_body.insert(body, (stream.clone(), content.received_at));
        }
        original
    }

    fn unmarked(&self, stream: &StreamName) -> StreamName {
        let first = self
            .streams
            .get(stream)
            .and_then(|at| at.first())
            .and_then(|i| self.events.get(*i));
        first
            .and_then(|e| e.duplicate_of.clone())
            .unwrap_or_else(|| stream.clone())
    }

    fn push(&mut self, append: Append, now: Timestamp, stride: u64) -> Option<Appended> {
        let duplicate_of = append
            .content
            .as_ref()
            .and_then(|content| self.mark(&append.stream, content));
        let last = self.events.last();
        let recorded_at = last.map_or(now, |e| e.recorded_at.max(now));
        let head = last.map_or(0, |e| e.position.get());
        let next = self.streams.get(&append.stream).map_or(0, Vec::len) as u64;
        let mut appended: Option<Appended> = None;
        for (n, event) in (1..).zip(append.events) {
            let revision = next + n - 1;
            let position = Position::new(head + n * stride);
            let first = appended.as_ref().map_or(position, |a| a.first);
            let marked = duplicate_of.clone();
            appended = Some(Appended {
                first,
                last: position,
                revision: Revision::new(revision),
                recorded_at,
                duplicate_of: marked.clone(),
            });
            self.streams
                .entry(append.stream.clone())
                .or_default()
                .push(self.events.len());
            self.events.push(RecordedEvent {
                position,
                stream: append.stream.clone(),
                revision: Revision::new(revision),
                id: event.id,
                event_type: event.event_type,
                schema: event.schema,
                recorded_at,
                duplicate_of: marked,
                metadata: event.metadata,
                data: event.data,
            });
        }
        appended
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn id(&self) -> LogId {
        self.id
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if self.unwritable.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable("set so by the test".into()));
        }
        if append.events.is_empty() {
            return Err(AppendError::Invalid("an append needs at least one event".into()));
        }
        let mut state = self.state();
        if let Some(repeated) = state.repeats(&append.stream, &append) {
            return Ok(repeated);
        }
        if let Some(conflict) = state.conflict(&append) {
            return Err(conflict);
        }
        let appended = state.push(append, self.clock.now(), self.stride);
        let appended =
            appended.ok_or_else(|| AppendError::Invalid("an append needs at least one event".into()))?;
        self.head.send_replace(appended.last);
        Ok(appended)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let state = self.sound()?;
        let at = state.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let skip = usize::try_from(from.get()).unwrap_or(usize::MAX);
        Ok(bounded(
            at.iter().skip(skip).filter_map(|i| state.events.get(*i)),
            limit,
        ))
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        let state = self.sound()?;
        let start = state.events.partition_point(|e| e.position <= after);
        let events = bounded(state.events.iter().skip(start), limit);
        Ok(LogPage {
            events,
            head: state.events.last().map_or(Position::START, |e| e.position),
        })
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        let state = self.sound()?;
        let start = state.events.partition_point(|e| e.position <= after);
        let of_category = || {
            let later = state.events.iter().skip(start);
            later.filter(|e| e.stream.is_of(category))
        };
        let events = bounded(of_category(), limit);
        let more = of_category().nth(events.len()).is_some();
        let last = if more { events.last() } else { state.events.last() };
        let upto = last.map_or(Position::START, |e| e.position);
        Ok(CategoryPage { events, upto })
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(*self.head.borrow())
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        let mut head = self.head.subscribe();
        let reached = head.wait_for(|head| *head > position).await;
        reached
            .map(|head| *head)
            .map_err(|_| ReadError::Unavailable("closed".into()))
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        let mut left = bytes;
        for event in self.state().events.iter().rev() {
            let size = event.metadata.len() as u64 + event.data.byte_len();
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Ok(event.position),
            }
        }
        Ok(Position::START)
    }

    fn spacing(&self) -> Spacing {
        match u32::try_from(self.stride) {
            Ok(0 | 1) => Spacing::One,
            apart => Spacing::About(apart.unwrap_or(u32::MAX)),
        }
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            unwritable: self
                .unwritable
                .load(Ordering::SeqCst)
                .then(|| "set so by the test".into()),
            queue_len: 0,
            queue_max: 1,
            head: *self.head.borrow(),
            stored_bytes: None,
        }
    }
}

#[async_trait]
impl FindDeliveries for MemoryLog {
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        let state = self.state();
        let first = |s: &StreamName| state.streams.get(s).and_then(|at| at.first().copied());
        let known = state
            .by_sender_id
            .iter()
            .filter(|(k, _)| k.0 == *tenant && k.2 == sender_id);
        let mut streams: Vec<StreamName> = known.flat_map(|(_, streams)| streams.clone()).collect();
        streams.sort_by_key(first);
        streams.truncate(limit);
        Ok(streams)
    }
}

fn bounded<'a>(events: impl Iterator<Item = &'a RecordedEvent>, limit: PageLimit) -> Vec<RecordedEvent> {
    let mut bytes = 0;
    let mut page = Vec::new();
    for event in events {
        let inline = match &event.data {
            crate::EventData::Inline(data) => data.len(),
            crate::EventData::Stored(_) => 0,
        };
        bytes += event.metadata.len() + inline;
        if page.len() >= limit.events || (!page.is_empty() && bytes > limit.bytes) {
            break;
        }
        page.push(event.clone());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contract;

    #[tokio::test]
    async fn the_log_in_memory_keeps_the_contract() {
        for stride in [1, 7] {
            contract::run_all(async |clock| {
                let id = LogId::new(uuid::Uuid::from_u128(1));
                Arc::new(MemoryLog::with_gaps(id, clock, stride)) as Arc<dyn contract::ContractLog>
            })
            .await;
        }
    }
}
