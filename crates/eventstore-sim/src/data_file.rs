//! The data file: records one behind the other, each with its length in front.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use uuid::Uuid;

use crate::protocol::event_store::client::streams::read_resp::read_event::RecordedEvent;
use crate::service::{wire_record, wire_uuid};
use crate::store::Record;

/// An open data file.
#[derive(Debug)]
pub(crate) struct DataFile {
    file: File,
    /// Where what was written whole ends.
    end: u64,
}

impl DataFile {
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut records = Vec::new();
        let mut end = 0;
        while let Some(batch) = next_batch(&bytes, end) {
            let (batch, after) = batch?;
            records.extend(batch);
            end = after;
        }
        let end = end as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok((Self { file, end }, records))
    }

    /// Writes the records of an append, all or, as soon as the file is opened again, none.
    pub(crate) fn write(&mut self, records: &[Arc<Record>]) -> io::Result<()> {
        let mut batch = Vec::new();
        for record in records {
            let encoded = wire_record(record).encode_length_delimited_to_vec();
            batch.extend_from_slice(&encoded);
        }
        let length = u32::try_from(batch.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.append(&mut batch);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// The records of the append at an offset, and where the next one begins; `None` where it is not whole.
fn next_batch(bytes: &[u8], offset: usize) -> Option<io::Result<(Vec<Record>, usize)>> {
    let rest = bytes.get(offset..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let mut batch = rest.get(..length)?;
    let mut records = Vec::new();
    while !batch.is_empty() {
        match RecordedEvent::decode_length_delimited(&mut batch) {
            Ok(event) => records.push(record(event)),
            Err(error) => return Some(Err(io::Error::other(error))),
        }
    }
    Some(Ok((records, offset + 4 + length)))
}

fn record(event: RecordedEvent) -> Record {
    let stream = event
        .stream_identifier
        .map(|name| name.stream_name)
        .unwrap_or_default();
    Record {
        position: event.commit_position,
        stream: String::from_utf8_lossy(&stream).into_owned(),
        revision: event.stream_revision,
        id: event.id.and_then(wire_uuid).unwrap_or(Uuid::nil()),
        metadata: event.metadata.into_iter().collect(),
        // Not slices of the whole file, which would be kept in memory for each of them.
        custom_metadata: Bytes::copy_from_slice(&event.custom_metadata),
        data: Bytes::copy_from_slice(&event.data),
    }
}
