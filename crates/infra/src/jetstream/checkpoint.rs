//! Notes in a key-value bucket of JetStream, for processes that share work. Losing them costs reading the log once more.
//!
//! A note may be larger than a message: it is cut into pieces of a generation of its own, and is there once its head names that
//! generation. Two writers never mix their pieces; the later head counts.

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::jetstream::kv::{Config, Store};
use async_nats::jetstream::stream::StorageType;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{CheckpointError, Checkpoints, ContentHash, LogId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::JetStream;

/// A piece of a note: well below what a message may hold.
const PIECE_BYTES: usize = 512 * 1024;
/// The most pieces of a note.
const PIECES_MAX: usize = 64;

/// The bucket of notes, in a NATS that may come later.
pub struct NatsCheckpoints {
    jetstream: OnceLock<JetStream>,
    there: Notify,
    bucket: String,
    /// Of every key: notes are about one log.
    prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    generation: Uuid,
    pieces: usize,
    sha256: ContentHash,
}

impl NatsCheckpoints {
    /// A bucket; nothing is reached before [`NatsCheckpoints::set`].
    #[must_use]
    pub fn new(bucket: impl Into<String>, log: LogId) -> Self {
        Self {
            jetstream: OnceLock::new(),
            there: Notify::new(),
            bucket: bucket.into(),
            prefix: log.to_string(),
        }
    }

    /// NATS is there.
    pub fn set(&self, jetstream: JetStream) {
        // A second set would be a second start of the engines, which compose never does.
        let _ = self.jetstream.set(jetstream);
        self.there.notify_waiters();
    }

    /// Waits for NATS, within bounds: a start must not read the whole log because it was a moment quicker than the connection.
    async fn jetstream(&self) -> io::Result<&JetStream> {
        let connected = async {
            loop {
                let told = self.there.notified();
                match self.jetstream.get() {
                    Some(jetstream) if jetstream.is_connected() => return jetstream,
                    Some(_) => tokio::time::sleep(CONNECTION_LOOK).await,
                    None => told.await,
                }
            }
        };
        tokio::time::timeout(CONNECTION_WAIT, connected)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::NotConnected, "NATS can't be reached"))
    }

    async fn store(&self) -> io::Result<Store> {
        let jetstream = self.jetstream().await?;
        if let Ok(store) = jetstream.context.get_key_value(&self.bucket).await {
            return Ok(store);
        }
        let config = Config {
            bucket: self.bucket.clone(),
            description: "how far the log was read; may be deleted at any time".to_owned(),
            history: 1,
            storage: StorageType::File,
            num_replicas: jetstream.options.replicas.max(1),
            ..Config::default()
        };
        jetstream
            .context
            .create_key_value(config)
            .await
            .map_err(io::Error::other)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn piece_key(&self, name: &str, generation: Uuid, piece: usize) -> String {
        format!("{}.{name}.{generation}.{piece}", self.prefix)
    }

    async fn head(&self, store: &Store, name: &str) -> io::Result<Option<Head>> {
        let head = store.get(self.key(name)).await.map_err(io::Error::other)?;
        // What can't be read is no note.
        Ok(head.and_then(|head| serde_json::from_slice(&head).ok()))
    }

    async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let store = self.store().await?;
        let Some(mut head) = self.head(&store, name).await? else {
            return Ok(None);
        };
        loop {
            if let Some(note) = self.pieces(&store, name, &head).await? {
                return Ok(Some(note));
            }
            // Another writer may have replaced it, and taken its pieces away.
            match self.head(&store, name).await? {
                Some(next) if next != head => head = next,
                Some(_) | None => return Ok(None),
            }
        }
    }

    async fn pieces(&self, store: &Store, name: &str, head: &Head) -> io::Result<Option<Bytes>> {
        let mut note = BytesMut::new();
        for piece in 0..head.pieces.min(PIECES_MAX) {
            let key = self.piece_key(name, head.generation, piece);
            let Some(bytes) = store.get(key).await.map_err(io::Error::other)? else {
                return Ok(None);
            };
            note.extend_from_slice(&bytes);
        }
        let whole = ContentHash::of(&note) == head.sha256;
        Ok(whole.then(|| note.freeze()))
    }

    async fn write(&self, name: &str, note: Bytes) -> io::Result<()> {
        let store = self.store().await?;
        let before = self.head(&store, name).await?;
        let head = Head {
            generation: Uuid::now_v7(),
            pieces: note.len().div_ceil(PIECE_BYTES),
            sha256: ContentHash::of(&note),
        };
        if head.pieces > PIECES_MAX {
            let text = format!("{} bytes are too many for a shared note", note.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        for piece in 0..head.pieces {
            let from = piece * PIECE_BYTES;
            let bytes = note.slice(from..note.len().min(from + PIECE_BYTES));
            let key = self.piece_key(name, head.generation, piece);
            store.put(key, bytes).await.map_err(io::Error::other)?;
        }
        let text = serde_json::to_vec(&head)?;
        store
            .put(self.key(name), text.into())
            .await
            .map_err(io::Error::other)?;
        let before = before.filter(|before| before.generation != head.generation);
        for (generation, piece) in before
            .iter()
            .flat_map(|b| (0..b.pieces).map(move |piece| (b.generation, piece)))
        {
            // What is left behind costs room only.
            let _ = store.purge(self.piece_key(name, generation, piece)).await;
        }
        Ok(())
    }
}

/// How long a note waits for NATS.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
const CONNECTION_LOOK: Duration = Duration::from_millis(20);
/// How long reading or writing one may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<T>(done: impl Future<Output = io::Result<T>> + Send) -> io::Result<T> {
    let done = tokio::time::timeout(PATIENCE, done).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

fn failed(name: &str, operation: &'static str, source: io::Error) -> CheckpointError {
    CheckpointError {
        name: name.to_owned(),
        operation,
        source,
    }
}

#[async_trait]
impl Checkpoints for NatsCheckpoints {
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError> {
        let read = within(self.read(name)).await;
        read.map_err(|error| failed(name, "read", error))
    }

    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError> {
        let written = within(self.write(name, note)).await;
        written.map_err(|error| failed(name, "written", error))
    }
}
