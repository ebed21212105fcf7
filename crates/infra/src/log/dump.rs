//! Listing the events of a log without owning it. Takes no lock; beside a running writer it may show its newest batch
//! before it is durable.

use std::path::Path;
use std::sync::Arc;
use std::vec::IntoIter;

use domain::{Position, ReadError, RecordedEvent};

use super::error::{OpenError, SegmentError};
use super::file::{Files, RealFiles};
use super::format::{BLOCK_BYTES, SegmentHeader};
use super::recover::{read_format, read_headers};
use super::segment::{Batch, Found, SegmentReader, segment_name};

/// Events of a log, in its order, read as they are asked for.
pub struct Dump {
    files: Arc<dyn Files>,
    segments: IntoIter<SegmentHeader>,
    reader: Option<SegmentReader>,
    /// Where the next batch is, and which position it must begin with.
    offset: u64,
    next_position: u64,
    events: IntoIter<RecordedEvent>,
    after: u64,
    left: usize,
}

/// Lists the events of a log after a position, at most `limit`, up to the last batch that is whole.
///
/// # Errors
/// When there is no log, it is of a newer format, its headers are damaged, or the disk fails.
pub fn dump(dir: &Path, after: Position, limit: usize) -> Result<Dump, OpenError> {
    let files = RealFiles::read_only(dir);
    let names = files.list().map_err(OpenError::io("listing the folder"))?;
    read_format(&files, &names)?;
    let headers = read_headers(&files, &names)?;
    let start = headers.partition_point(|h| h.first_position <= after.get().saturating_add(1));
    let segments: Vec<SegmentHeader> = headers.into_iter().skip(start.saturating_sub(1)).collect();
    let Some(first) = segments.first() else {
        return Err(OpenError::Incomplete("there is no segment".into()));
    };
    Ok(Dump {
        files: Arc::new(files),
        next_position: first.first_position,
        segments: segments.into_iter(),
        reader: None,
        offset: BLOCK_BYTES,
        events: Vec::new().into_iter(),
        after: after.get(),
        left: limit,
    })
}

/// Opens a segment for reading.
pub(crate) fn open_reader(files: &dyn Files, header: &SegmentHeader) -> Result<SegmentReader, SegmentError> {
    let segment = header.number;
    let file = files.open(&segment_name(segment));
    let file = file.map_err(|source| SegmentError::Io { segment, source })?;
    let header = header.clone();
    Ok(SegmentReader { header, file })
}

impl Dump {
    /// Reads batches until one holds events after the position; whether there was one.
    fn refill(&mut self) -> Result<bool, SegmentError> {
        loop {
            let reader = match self.reader.take() {
                Some(reader) => reader,
                None => match self.segments.next() {
                    Some(header) => open_reader(&*self.files, &header)?,
                    None => return Ok(false),
                },
            };
            match reader.find(self.offset)? {
                Found::Batch(batch) => {
                    let events = self.take(&reader, &batch)?;
                    self.reader = Some(reader);
                    if !events.is_empty() {
                        self.events = events.into_iter();
                        return Ok(true);
                    }
                }
                Found::NoHeader | Found::BadPayload(_) => self.leave(&reader)?,
            }
        }
    }

    fn take(&mut self, reader: &SegmentReader, batch: &Batch) -> Result<Vec<RecordedEvent>, SegmentError> {
        let damaged = |what| SegmentError::damaged(reader.header.number, self.offset, what);
        if batch.header.first_position != self.next_position {
            return Err(damaged("the batch does not continue the one before it"));
        }
        let records = batch.records().filter(|record| record.position > self.after);
        let events: Option<Vec<_>> = records
            .map(|record| record.to_event(&batch.bytes, false))
            .collect();
        let events = events.ok_or_else(|| damaged("an event can't be read"))?;
        self.next_position = batch.header.last_position() + 1;
        self.offset = batch.header.end(self.offset);
        Ok(events)
    }

    /// Leaves a segment where no whole batch follows: in the last one that is the end, in another one the next segment
    /// must go on from here.
    fn leave(&mut self, reader: &SegmentReader) -> Result<(), SegmentError> {
        let next = self.segments.as_slice().first();
        if next.is_some_and(|next| next.first_position != self.next_position) {
            let what = "a batch is damaged although a later segment was written";
            return Err(SegmentError::damaged(reader.header.number, self.offset, what));
        }
        self.offset = BLOCK_BYTES;
        Ok(())
    }
}

impl Iterator for Dump {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if self.events.len() == 0 {
            match self.refill() {
                Ok(true) => {}
                Ok(false) => self.left = 0,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error.into()));
                }
            }
        }
        self.left = self.left.saturating_sub(1);
        self.events.next().map(Ok)
    }
}
