//! Looking into a log without owning it: checking every byte that was acknowledged, and listing events.
//!
//! Both only read, and take no lock. Beside a running writer they may see its newest batch before it is durable.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;
use std::vec::IntoIter;

use domain::{LogId, Position, ReadError, RecordedEvent};

use super::error::{Damage, OpenError, SegmentError};
use super::file::{Files, RealFiles};
use super::format::{RecordView, SegmentHeader};
use super::recover::{read_format, read_headers};
use super::scan::{Tail, judge_tail, scan};
use super::segment::{Batch, Found, SegmentReader, segment_name};

/// What a check of a whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The log.
    pub log_id: LogId,
    /// Segments read to their end.
    pub segments: u64,
    /// Batches that are whole.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Streams they belong to.
    pub streams: u64,
    /// Position of the last of them.
    pub head: Position,
    /// Bytes of the batches, padding included.
    pub bytes: u64,
    /// Segment and offset of a batch that was never finished: not damage, the next start cuts it.
    pub unfinished: Option<(u64, u64)>,
    /// The first problem; nothing after it was read.
    pub problem: Option<Damage>,
}

/// Reads a whole log: every checksum, position and revision.
///
/// # Errors
/// When there is no log, it is of a newer format, or the disk fails. Damage is no error, it is in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
    let files = RealFiles::read_only(dir);
    let names = files.list().map_err(OpenError::io("listing the folder"))?;
    read_format(&files, &names)?;
    let headers = match read_headers(&files, &names) {
        Ok(headers) => headers,
        Err(OpenError::Corrupt(damage)) => return Ok(unreadable(damage)),
        Err(error) => return Err(error),
    };
    let first = headers.first().ok_or_else(no_segment)?;
    let mut check = Check::new(first.log_id);
    match check.all(&files, &headers) {
        Ok(()) => {}
        Err(SegmentError::Damaged(damage)) => check.report.problem = Some(damage),
        Err(error) => return Err(error.into()),
    }
    Ok(check.report)
}

fn no_segment() -> OpenError {
    OpenError::Incomplete("there is no segment".into())
}

fn unreadable(damage: Damage) -> VerifyReport {
    let mut report = Check::new(LogId::new(uuid::Uuid::nil())).report;
    report.problem = Some(damage);
    report
}

struct Check {
    report: VerifyReport,
    /// Next revision by hash of the stream name: half the memory of the names.
    revisions: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Check {
    fn new(log_id: LogId) -> Self {
        Self {
            report: VerifyReport {
                log_id,
                segments: 0,
                batches: 0,
                events: 0,
                streams: 0,
                head: Position::START,
                bytes: 0,
                unfinished: None,
                problem: None,
            },
            revisions: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    fn all(&mut self, files: &dyn Files, headers: &[SegmentHeader]) -> Result<(), SegmentError> {
        for (i, header) in headers.iter().enumerate() {
            let reader = open_reader(files, header)?;
            let mut wrong = None;
            let scanned = scan(&reader, |record| {
                if wrong.is_none() && !self.continues(record) {
                    wrong = Some(format!(
                        "revision {} of {} at position {} does not continue its stream",
                        record.revision, record.stream, record.position
                    ));
                }
            })?;
            if let Some(wrong) = wrong {
                return Err(SegmentError::damaged(header.number, 0, wrong));
            }
            self.report.batches += scanned.table.len() as u64;
            self.report.bytes += scanned.end;
            self.report.events += scanned.next_position - header.first_position;
            self.report.streams = self.revisions.len() as u64;
            self.report.head = Position::new(scanned.next_position - 1);
            match headers.get(i + 1) {
                Some(next) => {
                    let whole = next.first_position == scanned.next_position
                        && next.first_sequence == scanned.next_sequence;
                    if !whole {
                        let what = "a batch is damaged although a later segment was written";
                        return Err(SegmentError::damaged(header.number, scanned.end, what));
                    }
                }
                None => {
                    if let Tail::Torn { .. } = judge_tail(&reader, &scanned)? {
                        self.report.unfinished = Some((header.number, scanned.end));
                    }
                }
            }
            self.report.segments += 1;
        }
        Ok(())
    }

    fn continues(&mut self, record: &RecordView<'_>) -> bool {
        let next = self
            .revisions
            .entry(self.hasher.hash_one(record.stream))
            .or_default();
        let expected = *next;
        *next = record.revision + 1;
        record.revision == expected
    }
}

fn open_reader(files: &dyn Files, header: &SegmentHeader) -> Result<SegmentReader, SegmentError> {
    let segment = header.number;
    let file = files.open(&segment_name(segment));
    let file = file.map_err(|source| SegmentError::Io { segment, source })?;
    let header = header.clone();
    Ok(SegmentReader { header, file })
}

/// Events of a log, in its order, read as they are asked for.
pub struct Dump {
    files: Arc<dyn Files>,
    segments: IntoIter<SegmentHeader>,
    reader: Option<(SegmentReader, u64)>,
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
    if headers.is_empty() {
        return Err(no_segment());
    }
    let start = headers.partition_point(|h| h.first_position <= after.get() + 1);
    let segments: Vec<SegmentHeader> = headers.into_iter().skip(start.saturating_sub(1)).collect();
    Ok(Dump {
        files: Arc::new(files),
        segments: segments.into_iter(),
        reader: None,
        events: Vec::new().into_iter(),
        after: after.get(),
        left: limit,
    })
}

impl Dump {
    /// Reads the next batch that holds events after the position; whether there was one.
    fn refill(&mut self) -> Result<bool, ReadError> {
        loop {
            if self.reader.is_none() {
                let Some(header) = self.segments.next() else {
                    return Ok(false);
                };
                let reader = open_reader(&*self.files, &header)?;
                self.reader = Some((reader, super::format::BLOCK_BYTES));
            }
            let Some((reader, offset)) = &mut self.reader else {
                return Ok(false);
            };
            let batch = match reader.find(*offset)? {
                Found::Batch(batch) => batch,
                Found::NoHeader => {
                    self.reader = None;
                    continue;
                }
                Found::BadPayload(_) => {
                    let damage = Damage::at(
                        reader.header.number,
                        *offset,
                        "the checksum of the batch is wrong",
                    );
                    return Err(ReadError::Corrupt(damage.to_string()));
                }
            };
            let events = events_after(&batch, self.after)
                .ok_or_else(|| Damage::at(reader.header.number, *offset, "an event can't be read"))
                .map_err(|damage| ReadError::Corrupt(damage.to_string()))?;
            *offset = batch.header.end(*offset);
            if !events.is_empty() {
                self.events = events.into_iter();
                return Ok(true);
            }
        }
    }
}

fn events_after(batch: &Batch, after: u64) -> Option<Vec<RecordedEvent>> {
    let records = batch.records().filter(|record| record.position > after);
    records
        .map(|record| record.to_event(&batch.bytes, false))
        .collect()
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
                Ok(false) => {
                    self.left = 0;
                    return None;
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        self.left -= 1;
        self.events.next().map(Ok)
    }
}
