//! Opening: which segments there are, where the log ends, and whether what is there is what was acknowledged.

use std::path::Path;
use std::sync::Arc;

use domain::{LogId, Timestamp};
use uuid::Uuid;

use super::error::{Damage, OpenError, SegmentError};
use super::file::{Files, write_file};
use super::format::{BLOCK_BYTES, BadHeader, FORMAT, Salt, SegmentHeader, format_text, parse_format_text};
use super::keys::{KeysSoFar, ensure_key_file};
use super::scan::{Scanned, Tail as TailEnd, judge_tail, scan};
use super::segment::{Segment, SegmentReader, segment_name, segment_number};
use super::space::begin_segment;
use super::writer::Tail;

const FORMAT_NAME: &str = "FORMAT";

/// A log on disk, checked and repaired.
pub(crate) struct Recovered {
    pub(crate) id: LogId,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) tail: Tail,
    /// Bytes of all files of segments.
    pub(crate) stored_bytes: u64,
}

/// Reads the file `FORMAT`; `None` where there is none.
pub(crate) fn read_format(files: &dyn Files, names: &[String]) -> Result<Option<u32>, OpenError> {
    if !names.iter().any(|name| name == FORMAT_NAME) {
        return Ok(None);
    }
    let text = files.open(FORMAT_NAME).and_then(|file| file.read_up_to(0, 100));
    let text = text.map_err(OpenError::io("reading FORMAT"))?;
    let Some(found) = parse_format_text(&text) else {
        return Err(OpenError::Incomplete("its FORMAT file can't be read".into()));
    };
    if found > FORMAT {
        return Err(OpenError::Newer { found });
    }
    Ok(Some(found))
}

/// Opens the log in a folder, or begins one.
pub(crate) fn recover(files: &Arc<dyn Files>) -> Result<Recovered, OpenError> {
    let names = files.list().map_err(OpenError::io("listing the folder"))?;
    let format = read_format(&**files, &names)?;
    let mut headers = read_headers(&**files, &names)?;
    if format.is_none() {
        begin_log(&**files, &mut headers)?;
    }
    let Some((last, sealed)) = headers.split_last() else {
        return Err(OpenError::Incomplete("FORMAT is there, but no segment".into()));
    };
    let mut segments = Vec::with_capacity(headers.len());
    let mut stored_bytes = 0;
    for (segment, next) in sealed.iter().zip(headers.iter().skip(1)) {
        let keys = ensure_key_file(&**files, segment, next)?;
        segments.push(Arc::new(Segment::with_key_file(segment.clone(), keys)));
        stored_bytes += open_segment(&**files, segment)?
            .file
            .len()
            .map_err(OpenError::io("measuring"))?;
    }
    let reader = open_segment(&**files, last)?;
    let scanned = settle(&reader)?;
    files.sync_folder().map_err(OpenError::io("syncing the folder"))?;
    stored_bytes += reader.file.len().map_err(OpenError::io("measuring"))?;
    let last_recorded = match scanned.last_recorded {
        Some(at) => at,
        None => last_recorded_before(&**files, &segments, last.first_position)?,
    };
    let segment = Arc::new(Segment::with_table(last.clone(), scanned.table));
    segments.push(Arc::clone(&segment));
    Ok(Recovered {
        id: last.log_id,
        segments,
        tail: Tail {
            segment,
            file: reader.file,
            offset: scanned.end,
            sequence: scanned.next_sequence,
            next_position: scanned.next_position,
            last_recorded,
            keys: if scanned.next_position == last.first_position {
                KeysSoFar::none_yet()
            } else {
                KeysSoFar::unknown()
            },
        },
        stored_bytes,
    })
}

/// Begins a log: the first segment, then `FORMAT`, whose absence means that the log was never used.
fn begin_log(files: &dyn Files, headers: &mut Vec<SegmentHeader>) -> Result<(), OpenError> {
    if headers.len() > 1 {
        return Err(OpenError::Incomplete("segments are there, but no FORMAT".into()));
    }
    if headers.is_empty() {
        let header = SegmentHeader {
            log_id: LogId::new(Uuid::new_v4()),
            number: 1,
            first_position: 1,
            first_sequence: 1,
            salt: Salt::new(rand::random()),
        };
        let name = "next.segment";
        let begun = files
            .create(name)
            .and_then(|file| begin_segment(files, &file, name, &header));
        begun.map_err(OpenError::io("beginning the first segment"))?;
        tracing::info!(log = %header.log_id, "began a log");
        headers.push(header);
    }
    write_file(files, FORMAT_NAME, format_text().as_bytes()).map_err(OpenError::io("writing FORMAT"))
}

/// The headers of all segments, which must continue one another.
pub(crate) fn read_headers(files: &dyn Files, names: &[String]) -> Result<Vec<SegmentHeader>, OpenError> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut headers: Vec<SegmentHeader> = Vec::with_capacity(numbers.len());
    for (expected, number) in (1..).zip(numbers) {
        if number != expected {
            return Err(OpenError::Incomplete(format!("segment {expected} is missing")));
        }
        let header = read_header(files, number)?;
        if let Some(before) = headers.last() {
            check_continues(before, &header)?;
        }
        headers.push(header);
    }
    Ok(headers)
}

fn read_header(files: &dyn Files, number: u64) -> Result<SegmentHeader, OpenError> {
    let block = files
        .open(&segment_name(number))
        .and_then(|file| file.read_up_to(0, usize::try_from(BLOCK_BYTES).unwrap_or(0)));
    let block = block.map_err(OpenError::io(format!("reading the header of segment {number}")))?;
    let corrupt = |what: &str| OpenError::Corrupt(Damage::at(number, 0, what));
    match SegmentHeader::decode(&block) {
        Ok(header) if header.number == number => Ok(header),
        Ok(_) => Err(corrupt("the segment header names another segment")),
        Err(BadHeader::Newer(found)) => Err(OpenError::Newer { found }),
        Err(BadHeader::Damaged(what)) => Err(corrupt(what)),
    }
}

fn check_continues(before: &SegmentHeader, header: &SegmentHeader) -> Result<(), OpenError> {
    let corrupt = |what: &str| Err(OpenError::Corrupt(Damage::at(header.number, 0, what)));
    if before.log_id != header.log_id {
        return corrupt("the segment belongs to another log");
    }
    if header.first_position < before.first_position || header.first_sequence < before.first_sequence {
        return corrupt("the segment does not continue the one before it");
    }
    Ok(())
}

fn open_segment(files: &dyn Files, header: &SegmentHeader) -> Result<SegmentReader, OpenError> {
    let file = files.open(&segment_name(header.number));
    let file = file.map_err(OpenError::io(format!("opening segment {}", header.number)))?;
    Ok(SegmentReader {
        header: header.clone(),
        file,
    })
}

/// Finds the end of the last segment, cuts a torn write, and makes the last batch durable once more.
fn settle(reader: &SegmentReader) -> Result<Scanned, OpenError> {
    let scanned = scan(reader, |_| {})?;
    let segment = reader.header.number;
    let io = |source| SegmentError::Io { segment, source };
    match judge_tail(reader, &scanned)? {
        TailEnd::Clean => {}
        TailEnd::Torn { until } => {
            tracing::warn!(
                segment,
                offset = scanned.end,
                until,
                "cutting a batch that was never finished"
            );
            reader.file.zero(scanned.end, until).map_err(io)?;
            reader.file.sync().map_err(io)?;
        }
    }
    if let Some(last) = scanned.table.last() {
        let batch = reader.batch(last.offset)?;
        reader.file.write_all_at(&batch.bytes, last.offset).map_err(io)?;
    }
    reader.file.sync().map_err(io)?;
    Ok(scanned)
}

/// When the last event before the last segment, which begins with a position, was recorded.
fn last_recorded_before(
    files: &dyn Files,
    sealed: &[Arc<Segment>],
    position: u64,
) -> Result<Timestamp, OpenError> {
    for segment in sealed.iter().rev() {
        if let Some(offset) = segment.last_offset(files)? {
            let batch = segment.reader(files)?.batch(offset)?;
            if batch.header.last_position() + 1 != position {
                let what = "another batch stands where the last one should";
                return Err(SegmentError::damaged(segment.header.number, offset, what).into());
            }
            let last = batch.records().last();
            return Ok(last.map_or(Timestamp::from_micros(i64::MIN), |record| record.recorded_at));
        }
    }
    Ok(Timestamp::from_micros(i64::MIN))
}

/// The folder of the index inside the folder of the log.
pub(crate) fn index_folder(folder: &Path) -> std::path::PathBuf {
    folder.join("index")
}
