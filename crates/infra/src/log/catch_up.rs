//! Bringing the index up to the log at open, from key files and the last segment; rebuilding it when it can't be trusted.

use std::path::Path;
use std::sync::Arc;

use domain::{LogId, Position};

use super::error::OpenError;
use super::file::Files;
use super::index::{CHUNK_EVENTS, Index, IndexError, IndexState};
use super::keys::{EventKey, ensure_key_file, read_entries};
use super::options::LogOptions;
use super::pending::Pending;
use super::segment::{Segment, Segments, keys_name};

/// The parts of an opened log that the index is compared with.
pub(crate) struct Source<'a> {
    pub(crate) id: LogId,
    pub(crate) files: &'a dyn Files,
    pub(crate) segments: &'a Segments,
    pub(crate) head: Position,
}

/// Opens the index and brings it up to the head. One that can't be trusted is deleted and built again.
pub(crate) fn open_index(
    folder: &Path,
    options: &LogOptions,
    source: &Source<'_>,
) -> Result<Index, OpenError> {
    match open_trusted(folder, options, source) {
        Ok(Some(index)) => return Ok(index),
        Ok(None) => tracing::info!("building the index of the log"),
        Err(Failure::Index(error)) => tracing::warn!(%error, "the index is unusable and is built again"),
        Err(Failure::Log(error)) => return Err(error),
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(OpenError::io("deleting the index"))?;
    }
    let built = build(folder, options, source);
    built.map_err(|failure| match failure {
        Failure::Index(error) => OpenError::Index(error.to_string()),
        Failure::Log(error) => error,
    })
}

enum Failure {
    Index(IndexError),
    Log(OpenError),
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

fn open_trusted(folder: &Path, options: &LogOptions, source: &Source<'_>) -> Result<Option<Index>, Failure> {
    if !folder.exists() {
        return Ok(None);
    }
    let index = Index::open(folder, options)?;
    let Some(state) = index.state()? else {
        return Ok(None);
    };
    if state.log_id != source.id {
        tracing::warn!(found = %state.log_id, "the index belongs to another log");
        return Ok(None);
    }
    if state.upto > source.head {
        tracing::warn!(upto = %state.upto, head = %source.head, "the index is ahead of the log");
        return Ok(None);
    }
    if state.upto > Position::START && event_id_at(source, state.upto)? != Some(state.event) {
        tracing::warn!(upto = %state.upto, "the index was built from other events");
        return Ok(None);
    }
    catch_up(&index, state.upto, source)?;
    Ok(Some(index))
}

fn build(folder: &Path, options: &LogOptions, source: &Source<'_>) -> Result<Index, Failure> {
    let index = Index::open(folder, options)?;
    catch_up(&index, Position::START, source)?;
    Ok(index)
}

fn catch_up(index: &Index, after: Position, source: &Source<'_>) -> Result<(), Failure> {
    let mut chunk: Vec<Arc<EventKey>> = Vec::new();
    let mut failed = None;
    let mut last = None;
    for_each_key(source, after, &mut |key| {
        last = Some((key.position, key.id));
        chunk.push(Arc::new(key));
        if chunk.len() >= CHUNK_EVENTS && failed.is_none() {
            failed = index.apply(&chunk).err();
            chunk.clear();
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    index.apply(&chunk)?;
    if let Some((upto, event)) = last {
        let log_id = source.id;
        index.vouch(&IndexState { log_id, upto, event })?;
    }
    Ok(())
}

fn event_id_at(source: &Source<'_>, position: Position) -> Result<Option<domain::EventId>, Failure> {
    let segments = source.segments.starting_at(position.get());
    let Some(segment) = segments.first() else {
        return Ok(None);
    };
    let batch = segment
        .locate(source.files, position.get())
        .and_then(|offset| offset.map(|o| segment.reader(source.files)?.batch(o)).transpose())
        .map_err(|error| Failure::Log(error.into()))?;
    let found = batch.and_then(|batch| {
        let mut records = batch.records();
        records.find(|r| r.position == position.get()).map(|r| r.id)
    });
    Ok(found)
}

/// Visits the keys of all events after a position.
fn for_each_key(
    source: &Source<'_>,
    after: Position,
    visit: &mut dyn FnMut(EventKey),
) -> Result<(), Failure> {
    let segments = source.segments.starting_at(after.get() + 1);
    for (i, segment) in segments.iter().enumerate() {
        let mut newer = |key: EventKey| {
            if key.position > after {
                visit(key);
            }
        };
        match segments.get(i + 1) {
            Some(next) => visit_sealed(source, segment, next, &mut newer)?,
            None => visit_batches(source, segment, after, &mut newer)?,
        }
    }
    Ok(())
}

fn visit_sealed(
    source: &Source<'_>,
    segment: &Segment,
    next: &Segment,
    visit: &mut dyn FnMut(EventKey),
) -> Result<(), Failure> {
    let log = |error| Failure::Log(OpenError::from(error));
    let mut keys = Vec::new();
    for _attempt in 0..2 {
        let header = ensure_key_file(source.files, &segment.header, &next.header).map_err(log)?;
        keys.clear();
        if read_entries(source.files, &header, |key| keys.push(key)).is_some() {
            keys.into_iter().for_each(visit);
            return Ok(());
        }
        let name = keys_name(segment.header.number);
        let deleted = source.files.delete(&name);
        deleted.map_err(|error| Failure::Log(OpenError::io("deleting a damaged key file")(error)))?;
    }
    let name = keys_name(segment.header.number);
    Err(Failure::Log(OpenError::Index(format!(
        "{name} can't be read after it was written"
    ))))
}

fn visit_batches(
    source: &Source<'_>,
    segment: &Segment,
    after: Position,
    visit: &mut dyn FnMut(EventKey),
) -> Result<(), Failure> {
    let log = |error| Failure::Log(OpenError::from(error));
    let reader = segment.reader(source.files).map_err(log)?;
    let mut next = segment.header.first_position.max(after.get() + 1);
    let Some(mut offset) = segment.locate(source.files, next).map_err(log)? else {
        return Ok(());
    };
    while next <= source.head.get() {
        let batch = reader.batch(offset).map_err(log)?;
        for record in batch.records() {
            let key = EventKey::of(&record);
            let damage = || super::error::Damage::at(segment.header.number, offset, "an event can't be read");
            visit(key.ok_or_else(|| Failure::Log(OpenError::Corrupt(damage())))?);
        }
        next = batch.header.last_position() + 1;
        offset = batch.header.end(offset);
    }
    Ok(())
}

/// Keeps all events in memory instead of an index.
pub(crate) fn remember_all(source: &Source<'_>, recent: &mut Pending) -> Result<(), OpenError> {
    let visited = for_each_key(source, Position::START, &mut |key| {
        let first = recent.head(&key.stream).map_or(key.position, |head| head.first);
        recent.push(Arc::new(key), first);
    });
    visited.map_err(|failure| match failure {
        Failure::Index(error) => OpenError::Index(error.to_string()),
        Failure::Log(error) => error,
    })
}
