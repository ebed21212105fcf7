//! What the server keeps: every record in its order, and where those of a stream stand.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::data_file::DataFile;

/// The most bytes that one append may have, data and metadata together: the default of a real server.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// A record takes this much more than what is in it.
const RECORD_OVERHEAD_BYTES: u64 = 96;
/// So many appends share one `$` event behind them.
const SYSTEM_EVENT_EVERY: u64 = 3;

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: u64,
    pub(crate) stream: String,
    pub(crate) revision: u64,
    pub(crate) id: Uuid,
    /// `type`, `content-type` and `created`, as they go over the wire.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) custom_metadata: Bytes,
    pub(crate) data: Bytes,
}

/// An event to be appended.
#[derive(Debug, Clone)]
pub(crate) struct Proposed {
    pub(crate) id: Uuid,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) custom_metadata: Bytes,
    pub(crate) data: Bytes,
}

/// What a stream must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Revision(u64),
}

/// An append that is done, or was done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Revision of its last event, if that is said.
    pub(crate) revision: Option<u64>,
    /// Position of its last event.
    pub(crate) position: u64,
}

/// Why an append is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The stream's last revision is another one.
    WrongVersion(Option<u64>),
    /// It has too many bytes.
    TooLarge,
    /// The data file can't be written.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Arc<Record>>,
    streams: HashMap<String, Vec<usize>>,
    /// Where the next record begins.
    end: u64,
    appends: u64,
    file: Option<DataFile>,
}

/// All that was written. Nodes of one cluster share one.
#[derive(Debug)]
pub struct Store {
    state: Mutex<State>,
    /// How many records there are.
    count: watch::Sender<usize>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(State::default())
    }
}

impl Store {
    /// What a data file holds, which is made if there is none. What was written of an append that a kill cut short is dropped.
    ///
    /// # Errors
    /// When the file can't be read or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, records) = DataFile::open(path)?;
        let mut state = State::default();
        for record in records {
            state.keep(Arc::new(record));
        }
        state.file = Some(file);
        Ok(Self::new(state))
    }

    fn new(mut state: State) -> Self {
        if state.records.is_empty() {
            for stream in ["$users", "$settings", "$scavenges"] {
                state.system_event(stream);
            }
        }
        let count = watch::Sender::new(state.records.len());
        Self {
            state: Mutex::new(state),
            count,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends all or none.
    pub(crate) fn append(
        &self,
        stream: &str,
        expected: Expected,
        events: Vec<Proposed>,
    ) -> Result<Written, Refused> {
        let bytes: usize = events
            .iter()
            .map(|e| e.data.len() + e.custom_metadata.len())
            .sum();
        if bytes > APPEND_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let mut state = self.state();
        if let Some(written) = state.decide(stream, expected, &events)? {
            return Ok(written);
        }
        let written = state.write(stream, events)?;
        self.count.send_replace(state.records.len());
        Ok(written)
    }

    /// Another program puts an event into a stream.
    ///
    /// # Errors
    /// When the event is too large, or can't be kept.
    pub fn put(&self, stream: &str, event_type: &str, data: impl Into<Bytes>) -> Result<(), Refused> {
        let event = Proposed {
            id: Uuid::new_v4(),
            metadata: HashMap::from([("type".to_owned(), event_type.to_owned())]),
            custom_metadata: Bytes::new(),
            data: data.into(),
        };
        self.append(stream, Expected::Any, vec![event]).map(|_| ())
    }

    /// How many events all streams with a prefix have.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        let state = self.state();
        let streams = state.streams.iter().filter(|(name, _)| name.starts_with(prefix));
        streams.map(|(_, at)| at.len()).sum()
    }

    /// The types of the events of a stream, in their order.
    #[must_use]
    pub fn types(&self, stream: &str) -> Vec<String> {
        let kind = |record: &Arc<Record>| record.metadata.get("type").cloned().unwrap_or_default();
        self.stream(stream)
            .map(|records| records.iter().map(kind).collect())
            .unwrap_or_default()
    }

    /// The events of a stream; `None` where there is no such stream.
    pub(crate) fn stream(&self, name: &str) -> Option<Vec<Arc<Record>>> {
        let state = self.state();
        let at = state.streams.get(name)?;
        Some(at.iter().filter_map(|i| state.records.get(*i).cloned()).collect())
    }

    /// Every record there is, by its index.
    pub(crate) fn records(&self, from: usize) -> Vec<Arc<Record>> {
        let state = self.state();
        state.records.get(from..).unwrap_or_default().to_vec()
    }

    /// At most so many records that fit, from an index on.
    pub(crate) fn first_from(
        &self,
        from: usize,
        most: usize,
        fit: impl Fn(&Record) -> bool,
    ) -> Vec<Arc<Record>> {
        let state = self.state();
        let records = state.records.get(from..).unwrap_or_default().iter();
        let fitting = records.filter(|record| fit(record)).take(most);
        fitting.cloned().collect()
    }

    /// At most so many records that fit, from the one before an index towards the first; from the last without one.
    pub(crate) fn last_before(
        &self,
        before: Option<usize>,
        most: usize,
        fit: impl Fn(&Record) -> bool,
    ) -> Vec<Arc<Record>> {
        let state = self.state();
        let before = before.unwrap_or(state.records.len());
        let records = state.records.get(..before).unwrap_or_default().iter();
        let fitting = records.rev().filter(|record| fit(record)).take(most);
        fitting.cloned().collect()
    }

    /// The index of the record at a position; `Err` where none stands.
    pub(crate) fn index_of(&self, position: u64) -> Result<usize, usize> {
        let state = self.state();
        state.records.binary_search_by_key(&position, |r| r.position)
    }

    /// Tells of new records.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

impl State {
    /// Whether an append fits; `Some` when it repeats one.
    fn decide(
        &self,
        stream: &str,
        expected: Expected,
        events: &[Proposed],
    ) -> Result<Option<Written>, Refused> {
        let there = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let current = (there.len() as u64).checked_sub(1);
        let from = match expected {
            // A real server finds the repeat of any recent event; the clients under test never repeat one like this.
            Expected::Any => return Ok(None),
            Expected::StreamExists => return current.map(|_| None).ok_or(Refused::WrongVersion(None)),
            Expected::NoStream if current.is_none() => return Ok(None),
            Expected::Revision(revision) if current == Some(revision) => return Ok(None),
            Expected::NoStream => 0,
            Expected::Revision(revision) => revision.saturating_add(1),
        };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let place = there.get(from..from.saturating_add(events.len()));
        let place = place.filter(|place| !place.is_empty());
        let records = place.map(|place| place.iter().filter_map(|i| self.records.get(*i)));
        let repeated = records.filter(|records| records.clone().zip(events).all(|(r, e)| r.id == e.id));
        match repeated.and_then(Iterator::last) {
            Some(last) => Ok(Some(Written {
                revision: Some(last.revision),
                position: last.position,
            })),
            None => Err(Refused::WrongVersion(current)),
        }
    }

    fn write(&mut self, stream: &str, events: Vec<Proposed>) -> Result<Written, Refused> {
        let next = self.streams.get(stream).map_or(0, Vec::len) as u64;
        let mut end = self.end;
        let mut records = Vec::new();
        for (revision, event) in (next..).zip(events) {
            let record = Record {
                position: end,
                stream: stream.to_owned(),
                revision,
                id: event.id,
                metadata: created(event.metadata),
                custom_metadata: event.custom_metadata,
                data: event.data,
            };
            end = end_of(&record);
            records.push(Arc::new(record));
        }
        if let Some(file) = &mut self.file {
            file.write(&records).map_err(|_| Refused::Failed)?;
        }
        let last = records.last().map(|last| Written {
            revision: Some(last.revision),
            position: last.position,
        });
        records.into_iter().for_each(|record| self.keep(record));
        self.appends += 1;
        if self.appends.is_multiple_of(SYSTEM_EVENT_EVERY) {
            self.system_event("$stats-127.0.0.1:2113");
        }
        last.ok_or(Refused::Failed)
    }

    fn system_event(&mut self, stream: &str) {
        let revision = self.streams.get(stream).map_or(0, Vec::len) as u64;
        let kind = ("type".to_owned(), "$system".to_owned());
        let record = Arc::new(Record {
            position: self.end,
            stream: stream.to_owned(),
            revision,
            id: Uuid::new_v4(),
            metadata: created(HashMap::from([kind])),
            custom_metadata: Bytes::new(),
            data: Bytes::from_static(b"{}"),
        });
        // What is lost of these is no loss.
        if let Some(file) = &mut self.file {
            let _lost = file.write(&[Arc::clone(&record)]);
        }
        self.keep(record);
    }

    fn keep(&mut self, record: Arc<Record>) {
        self.end = end_of(&record);
        self.streams
            .entry(record.stream.clone())
            .or_default()
            .push(self.records.len());
        self.records.push(record);
    }
}

/// Positions are offsets of bytes, as on a real server.
fn end_of(record: &Record) -> u64 {
    let content = record.stream.len() + record.data.len() + record.custom_metadata.len();
    record.position + RECORD_OVERHEAD_BYTES + content as u64
}

fn created(metadata: HashMap<String, String>) -> BTreeMap<String, String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut metadata: BTreeMap<String, String> = metadata.into_iter().collect();
    metadata.insert("created".to_owned(), (since.as_nanos() / 100).to_string());
    metadata
}
