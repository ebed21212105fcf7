//! The index: an LSM tree, derived from the log and never asked what it can't prove to know.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use domain::{EventId, LogId, Position, Revision, StreamName, Timestamp};
use fjall::config::{CompressionPolicy, PartitioningPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey, UserValue};
use uuid::Uuid;

use super::content_keys::ContentKeys;
use super::keys::EventKey;
use super::options::LogOptions;
use super::pending::StreamHead;

/// Number of the layout; another one on disk means: rebuild. 1 had a tree for each kind of entry.
const LAYOUT: u32 = 2;
const STATE_KEY: &str = "upto";

/// From how many events on they are written as sorted tables of their own: that takes a fraction of the time of as many insertions
/// into the ordered table in memory, and of reading that out again.
pub(crate) const TABLE_EVENTS: usize = 8192;

/// How many events go into the index at a time: enough for a table of their own.
pub(crate) const CHUNK_EVENTS: usize = 20_000;

/// Why the index failed; it can always be deleted and rebuilt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("the index failed: {0}")]
    Tree(#[from] fjall::Error),
    #[error("the index holds an entry that can't be read")]
    Entry,
    #[error("the index is closed")]
    Closed,
}

/// Up to where the index is built, and of which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexState {
    pub(crate) log_id: LogId,
    pub(crate) upto: Position,
    /// Id of the event at that position.
    pub(crate) event: EventId,
}

pub(crate) struct Index {
    database: Database,
    /// All in one tree: whenever a table is added to one, its list of tables is synced, and nothing can be looked up meanwhile.
    entries: Keyspace,
    state: Keyspace,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index")
    }
}

impl Index {
    pub(crate) fn open(folder: &Path, options: &LogOptions) -> Result<Self, IndexError> {
        let database = Database::builder(folder)
            .cache_size(options.index_cache_bytes)
            .max_journaling_size(64 * 1024 * 1024)
            .worker_threads(1)
            .open()?;
        let tree = || tree_options(options);
        Ok(Self {
            entries: database.keyspace("entries", tree)?,
            state: database.keyspace("state", tree)?,
            database,
        })
    }

    /// Up to where it is built; `None` when it is new or of another layout.
    pub(crate) fn state(&self) -> Result<Option<IndexState>, IndexError> {
        let Some(value) = self.state.get(STATE_KEY)? else {
            return Ok(None);
        };
        Ok(decode_state(&value))
    }

    pub(crate) fn head(&self, stream: &StreamName) -> Result<Option<StreamHead>, IndexError> {
        let Some(value) = self.entries.get(Kind::Stream.key(stream.as_str().as_bytes()))? else {
            return Ok(None);
        };
        let [first, last] = numbers(&value).ok_or(IndexError::Entry)?;
        Ok(Some(StreamHead {
            first: Position::new(first),
            last: Revision::new(last),
        }))
    }

    /// Revisions and positions of a stream from a revision on, at most `max`.
    pub(crate) fn positions(
        &self,
        stream: &StreamName,
        from: Revision,
        max: usize,
    ) -> Result<Vec<(Revision, Position)>, IndexError> {
        let Some(head) = self.head(stream)? else {
            return Ok(Vec::new());
        };
        if from > head.last {
            return Ok(Vec::new());
        }
        let mut positions = Vec::new();
        if from.get() == 0 && max > 0 {
            positions.push((Revision::new(0), head.first));
        }
        let range = revision_key(stream, from.get().max(1))..=revision_key(stream, head.last.get().max(1));
        for entry in self.entries.range(range).take(max - positions.len()) {
            let (key, value) = entry.into_inner()?;
            let revision = key.last_chunk::<8>().ok_or(IndexError::Entry)?;
            let [position] = numbers(&value).ok_or(IndexError::Entry)?;
            positions.push((
                Revision::new(u64::from_be_bytes(*revision)),
                Position::new(position),
            ));
        }
        Ok(positions)
    }

    /// Offers the events after a position of all streams whose names begin so, stream by stream and within each from its
    /// last to its first. One look per stream with nothing new, however long it is.
    pub(crate) fn visit_positions(
        &self,
        prefix: &str,
        after: Position,
        visit: &mut dyn FnMut(Position, &StreamName),
    ) -> Result<(), IndexError> {
        for entry in self.entries.prefix(Kind::Stream.key(prefix.as_bytes())) {
            let (key, value) = entry.into_inner()?;
            let [first, revisions, last] = numbers(&value).ok_or(IndexError::Entry)?;
            if last <= after.get() {
                continue;
            }
            let stream = stream_name(key.get(1..).unwrap_or_default())?;
            let range = revision_key(&stream, 1)..=revision_key(&stream, revisions.max(1));
            for entry in self.entries.range(range).rev() {
                let (_, value) = entry.into_inner()?;
                let [position] = numbers(&value).ok_or(IndexError::Entry)?;
                if position <= after.get() {
                    break;
                }
                visit(Position::new(position), &stream);
            }
            if first > after.get() {
                visit(Position::new(first), &stream);
            }
        }
        Ok(())
    }

    pub(crate) fn original(&self, key: &[u8]) -> Result<Option<StreamName>, IndexError> {
        let value = self.entries.get(Kind::Original.key(key))?;
        value.map(|value| stream_name(&value)).transpose()
    }

    pub(crate) fn body(&self, key: &[u8]) -> Result<Option<(StreamName, Timestamp)>, IndexError> {
        let Some(value) = self.entries.get(Kind::Body.key(key))? else {
            return Ok(None);
        };
        let (received_at, stream) = value.split_first_chunk::<8>().ok_or(IndexError::Entry)?;
        let received_at = Timestamp::from_micros(i64::from_le_bytes(*received_at));
        Ok(Some((stream_name(stream)?, received_at)))
    }

    /// The first deliveries with a sender's id, at most `max`.
    pub(crate) fn deliveries(
        &self,
        key: &[u8],
        max: usize,
    ) -> Result<Vec<(Position, StreamName)>, IndexError> {
        let entries = self.entries.prefix(Kind::Delivery.key(key)).take(max);
        let read = |entry: fjall::Guard| {
            let (key, value) = entry.into_inner()?;
            let position = key.last_chunk::<8>().ok_or(IndexError::Entry)?;
            Ok((Position::new(u64::from_be_bytes(*position)), stream_name(&value)?))
        };
        entries.map(read).collect()
    }

    /// Adds events, in the order of the log. Adding some again changes nothing, so after a failure they are added again.
    pub(crate) fn apply(&self, keys: &[Arc<EventKey>]) -> Result<(), IndexError> {
        let mut added = Added::default();
        let mut firsts: HashMap<&StreamName, Position> = HashMap::new();
        for key in keys {
            let known = firsts.get(&key.stream).copied();
            let first = match known {
                Some(first) => first,
                None if key.revision.get() == 0 => key.position,
                None => self.head(&key.stream)?.ok_or(IndexError::Entry)?.first,
            };
            firsts.insert(&key.stream, first);
            added.push(key, first);
        }
        if keys.len() < TABLE_EVENTS {
            return self.insert(added);
        }
        self.add_table(added)
    }

    /// By way of the tables in memory and their journal.
    fn insert(&self, added: Added) -> Result<(), IndexError> {
        let mut batch = self.database.batch();
        for (key, value) in added.in_order_of_kinds().into_iter().flatten() {
            batch.insert(&self.entries, key, value);
        }
        Ok(batch.commit()?)
    }

    /// As a sorted table. Of a key that stands there again the last value counts.
    fn add_table(&self, added: Added) -> Result<(), IndexError> {
        let mut table = self.entries.start_ingestion()?;
        for mut entries in added.in_order_of_kinds() {
            entries.reverse();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|(a, _), (b, _)| a == b);
            for (key, value) in entries {
                table.write(key, value)?;
            }
        }
        Ok(table.finish()?)
    }

    /// Syncs what was added, then notes that the index is complete up to an event.
    pub(crate) fn vouch(&self, state: &IndexState) -> Result<(), IndexError> {
        self.database.persist(PersistMode::SyncData)?;
        let mut value = LAYOUT.to_le_bytes().to_vec();
        value.extend_from_slice(state.log_id.as_uuid().as_bytes());
        value.extend_from_slice(&state.upto.get().to_le_bytes());
        value.extend_from_slice(state.event.as_uuid().as_bytes());
        self.state.insert(STATE_KEY, value)?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}

/// With filters of tables in blocks of 4 KiB: a look-up reads and checks one of them, however large the table is. Whole ones grow
/// with the tables until the cache has no room for them, and each look-up of a new key reads several.
fn tree_options(options: &LogOptions) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(options.index_memtable_bytes)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
}

/// What only tests ask for.
#[cfg(test)]
impl Index {
    /// Puts all tables together.
    pub(crate) fn compact(&self) {
        self.entries.rotate_memtable_and_wait().unwrap();
        self.entries.major_compact().unwrap();
    }
}

/// What an entry says: the first byte of its key.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Kind {
    Body = b'b',
    Delivery = b'd',
    Original = b'o',
    Revision = b'r',
    Stream = b's',
}

impl Kind {
    fn key(self, rest: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + rest.len());
        key.push(self as u8);
        key.extend_from_slice(rest);
        key
    }
}

/// A key and its value.
type Entry = (UserKey, UserValue);

/// New entries of each kind, in the order of the log.
#[derive(Default)]
struct Added {
    streams: Vec<Entry>,
    revisions: Vec<Entry>,
    originals: Vec<Entry>,
    deliveries: Vec<Entry>,
    bodies: Vec<Entry>,
}

impl Added {
    /// As their keys are ordered.
    fn in_order_of_kinds(self) -> [Vec<Entry>; 5] {
        [
            self.bodies,
            self.deliveries,
            self.originals,
            self.revisions,
            self.streams,
        ]
    }

    /// Adds what an event says; `first` is the position of the first event of its stream.
    fn push(&mut self, key: &EventKey, first: Position) {
        let (position, revision) = (key.position.get(), key.revision.get());
        let head = [first.get(), revision, position].map(u64::to_le_bytes).concat();
        let stream = Kind::Stream.key(key.stream.as_str().as_bytes());
        self.streams.push((stream.into(), head.into()));
        if revision > 0 {
            let value = position.to_le_bytes();
            self.revisions
                .push((revision_key(&key.stream, revision).into(), value.into()));
        }
        if let Some(content) = &key.content {
            self.push_content(key, content);
        }
    }

    fn push_content(&mut self, key: &EventKey, content: &ContentKeys) {
        if let Some(sender) = &content.sender {
            // A later delivery with the id is marked with the same original, so there is nothing to look up.
            let original = Kind::Original.key(&sender.original);
            self.originals
                .push((original.into(), key.original().as_str().into()));
            let mut delivery = Kind::Delivery.key(&sender.delivery);
            delivery.extend_from_slice(&key.position.get().to_be_bytes());
            self.deliveries
                .push((delivery.into(), key.stream.as_str().into()));
        }
        if key.duplicate_of.is_none() {
            let received_at = content.received_at.as_micros().to_le_bytes();
            let value = [&received_at, key.stream.as_str().as_bytes()].concat();
            let body = Kind::Body.key(&content.body);
            self.bodies.push((body.into(), value.into()));
        }
    }
}

fn revision_key(stream: &StreamName, revision: u64) -> Vec<u8> {
    let mut key = Kind::Revision.key(stream.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&revision.to_be_bytes());
    key
}

fn stream_name(bytes: &[u8]) -> Result<StreamName, IndexError> {
    let text = std::str::from_utf8(bytes).map_err(|_| IndexError::Entry)?;
    text.parse().map_err(|_| IndexError::Entry)
}

/// The first `N` numbers of a value.
fn numbers<const N: usize>(mut value: &[u8]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (bytes, rest) = value.split_first_chunk::<8>()?;
        (*number, value) = (u64::from_le_bytes(*bytes), rest);
    }
    Some(numbers)
}

fn decode_state(value: &[u8]) -> Option<IndexState> {
    let (layout, rest) = value.split_first_chunk::<4>()?;
    let (log_id, rest) = rest.split_first_chunk::<16>()?;
    let (upto, rest) = rest.split_first_chunk::<8>()?;
    let (event, _) = rest.split_first_chunk::<16>()?;
    (u32::from_le_bytes(*layout) == LAYOUT).then(|| IndexState {
        log_id: LogId::new(Uuid::from_bytes(*log_id)),
        upto: Position::new(u64::from_le_bytes(*upto)),
        event: EventId::new(Uuid::from_bytes(*event)),
    })
}
