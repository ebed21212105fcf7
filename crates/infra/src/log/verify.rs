//! Checking every byte of a log that was acknowledged, without owning it. It only reads, and takes no lock.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::time::Duration;

use domain::{LogId, Position};

use super::dump::open_reader;
use super::error::{Damage, OpenError, SegmentError};
use super::file::{Files, RealFiles};
use super::format::{RecordView, SegmentHeader};
use super::recover::{read_format, read_headers};
use super::scan::{Scanned, Tail, judge_tail, scan};
use super::segment::SegmentReader;

/// How often, and after which pause, the end of the log is looked at again before it counts as damaged.
const LIVE_TRIES: u32 = 5;
const LIVE_PAUSE: Duration = Duration::from_millis(20);

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
            let mut scanned = scan(&reader, |record| self.check(record, &mut wrong))?;
            let unfinished = match headers.get(i + 1) {
                Some(next) => {
                    check_sealed(&reader, &scanned, next)?;
                    false
                }
                None => self.check_tail(&reader, &mut scanned, &mut wrong)?,
            };
            if let Some(wrong) = wrong {
                return Err(SegmentError::Damaged(wrong));
            }
            self.report.batches += scanned.table.len() as u64;
            self.report.bytes += scanned.end;
            self.report.events += scanned.next_position - header.first_position;
            self.report.streams = self.revisions.len() as u64;
            self.report.head = Position::new(scanned.next_position - 1);
            self.report.unfinished = unfinished.then_some((header.number, scanned.end));
            self.report.segments += 1;
        }
        Ok(())
    }

    /// Judges what follows the last batch; whether it is a batch that was never finished. A writer may be at work: then
    /// what looks wrong is a whole batch a moment later.
    fn check_tail(
        &mut self,
        reader: &SegmentReader,
        scanned: &mut Scanned,
        wrong: &mut Option<Damage>,
    ) -> Result<bool, SegmentError> {
        let mut tries = LIVE_TRIES;
        loop {
            match judge_tail(reader, scanned) {
                Ok(tail) => return Ok(matches!(tail, Tail::Torn { .. })),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => std::thread::sleep(LIVE_PAUSE),
            }
            let before = scanned.end;
            scanned.go_on(reader, |record| self.check(record, wrong))?;
            if scanned.end == before {
                tries -= 1;
            }
        }
    }

    fn check(&mut self, record: &RecordView<'_>, wrong: &mut Option<Damage>) {
        if !self.continues(record) && wrong.is_none() {
            let what = format!(
                "revision {} of {} at position {} does not continue its stream",
                record.revision, record.stream, record.position
            );
            *wrong = Some(Damage::at(self.report.segments + 1, 0, what));
        }
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

fn check_sealed(reader: &SegmentReader, scanned: &Scanned, next: &SegmentHeader) -> Result<(), SegmentError> {
    if next.first_position == scanned.next_position && next.first_sequence == scanned.next_sequence {
        return Ok(());
    }
    let what = "a batch is damaged although a later segment was written";
    Err(SegmentError::damaged(reader.header.number, scanned.end, what))
}
