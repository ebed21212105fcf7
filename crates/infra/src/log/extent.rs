//! How far each segment is filled, seen from outside: what a backup copies. Reads only and takes no lock, so the log may
//! be open and growing meanwhile.

use std::path::Path;
use std::time::Duration;

use domain::{LogId, Position};

use super::error::{OpenError, SegmentError};
use super::file::{Files, RealFiles};
use super::recover::{read_format, read_headers};
use super::scan::{Scanned, judge_tail, scan};
use super::segment::{SegmentReader, segment_name};

/// How often the end of a log that is being written is looked at again before it counts as damaged.
const LOOKS_MAX: u32 = 20;

/// A segment's file and how much of it holds batches; what follows is zeroes, or a batch under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// A log as far as it was written when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) log_id: LogId,
    pub(crate) head: Position,
    pub(crate) segments: Vec<Extent>,
}

/// Walks every segment and checks every batch.
pub(crate) fn extents(folder: &Path) -> Result<Extents, OpenError> {
    let files = RealFiles::read_only(folder);
    let names = files.list().map_err(OpenError::io("listing the log"))?;
    read_format(&files, &names)?;
    let headers = read_headers(&files, &names)?;
    let first = headers
        .first()
        .ok_or_else(|| OpenError::Incomplete("there is no segment".into()))?;
    let mut found = Extents {
        log_id: first.log_id,
        head: Position::START,
        segments: Vec::with_capacity(headers.len()),
    };
    let nexts = headers.iter().skip(1).map(Some).chain([None]);
    for (header, next) in headers.iter().zip(nexts) {
        let name = segment_name(header.number);
        let file = files
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        let reader = SegmentReader {
            header: header.clone(),
            file,
        };
        let scanned = match next {
            Some(_) => scan(&reader, |_| {})?,
            None => scan_last(&reader)?,
        };
        let follows = |next: &super::format::SegmentHeader| {
            (next.first_position, next.first_sequence) == (scanned.next_position, scanned.next_sequence)
        };
        if next.is_some_and(|next| !follows(next)) {
            let what = "a batch is damaged although a later segment was written";
            return Err(SegmentError::damaged(header.number, scanned.end, what).into());
        }
        found.head = Position::new(scanned.next_position.saturating_sub(1));
        found.segments.push(Extent {
            name,
            bytes: scanned.end,
        });
    }
    Ok(found)
}

/// The last segment may be written meanwhile: a batch seen half-written is whole at the next look. Damage stays.
fn scan_last(reader: &SegmentReader) -> Result<Scanned, OpenError> {
    let mut looks = 0;
    loop {
        let scanned = scan(reader, |_| {})?;
        match judge_tail(reader, &scanned) {
            Ok(_) => return Ok(scanned),
            Err(error) if looks == LOOKS_MAX => return Err(error.into()),
            Err(_) => looks += 1,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
