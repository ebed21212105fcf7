//! Leases in a key-value bucket of JetStream. It may be wiped at any time: then each lease is written anew by whoever holds
//! it, or taken by whoever comes first.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use async_nats::jetstream::context::{KeyValueError, KeyValueErrorKind};
use async_nats::jetstream::kv::{Config, Operation, Store, UpdateError, UpdateErrorKind};
use async_nats::jetstream::stream::StorageType;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::JetStream;
use crate::lease::store::{Kept, LeaseStore, StoreError};

/// Leases on work that nobody does any more are forgotten after this.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The bucket of leases, in a NATS that may come later.
pub struct NatsLeases {
    jetstream: OnceLock<JetStream>,
    bucket: String,
    /// As it was found last.
    store: Mutex<Option<Store>>,
}

impl NatsLeases {
    /// A bucket; nothing is reached before [`NatsLeases::set`].
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            jetstream: OnceLock::new(),
            bucket: bucket.into(),
            store: Mutex::default(),
        }
    }

    /// NATS is there.
    pub fn set(&self, jetstream: JetStream) {
        // A second set would be a second start of the engines, which compose never does.
        let _ = self.jetstream.set(jetstream);
    }

    #[cfg(test)]
    pub(crate) fn is_connected(&self) -> bool {
        self.jetstream.get().is_some_and(JetStream::is_connected)
    }

    fn jetstream(&self) -> Result<&JetStream, StoreError> {
        self.jetstream
            .get()
            .ok_or_else(|| StoreError::Unavailable("it is being started".to_owned()))
    }

    /// The bucket, made where it is missing.
    async fn store(&self) -> Result<Store, StoreError> {
        let mut known = self.store.lock().await;
        if let Some(store) = known.as_ref() {
            return Ok(store.clone());
        }
        let jetstream = self.jetstream()?;
        let store = match jetstream.context.get_key_value(&self.bucket).await {
            Ok(store) => store,
            Err(error) if is_missing(&error) => self.create(jetstream).await?,
            Err(error) => return Err(unavailable("open the bucket", &error)),
        };
        *known = Some(store.clone());
        Ok(store)
    }

    async fn create(&self, jetstream: &JetStream) -> Result<Store, StoreError> {
        let config = Config {
            bucket: self.bucket.clone(),
            description: "who does which part of the work; may be deleted at any time".to_owned(),
            history: 1,
            max_age: FORGOTTEN_AFTER,
            storage: StorageType::File,
            num_replicas: jetstream.options.replicas.max(1),
            ..Config::default()
        };
        let created = jetstream.context.create_key_value(config).await;
        created.map_err(|error| unavailable("make the bucket", &error))
    }

    /// Does something with the bucket, but not beyond the connection. After a failure the bucket is looked for anew.
    async fn within<T>(
        &self,
        act: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let jetstream = self.jetstream()?;
        let mut losses = jetstream.losses.clone();
        losses.mark_unchanged();
        jetstream
            .connected()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let patience = Duration::from_millis(jetstream.options.request_timeout_ms);
        let done = tokio::select! {
            biased;
            done = tokio::time::timeout(patience, act) => {
                done.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
            }
            _ = losses.changed() => Err(StoreError::Unavailable("connection lost".to_owned())),
        };
        if matches!(done, Err(StoreError::Unavailable(_))) {
            *self.store.lock().await = None;
        }
        done
    }
}

#[async_trait]
impl LeaseStore for NatsLeases {
    async fn read(&self, key: &str) -> Result<Kept, StoreError> {
        let read = async {
            let entry = self.store().await?.entry(key).await;
            entry.map_err(|error| unavailable("read a lease", &error))
        };
        let entry = self.within(read).await?;
        Ok(entry.map_or_else(Kept::default, |entry| Kept {
            revision: entry.revision,
            value: (entry.operation == Operation::Put).then_some(entry.value),
        }))
    }

    async fn write(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, StoreError> {
        let write = async {
            let written = self.store().await?.update(key, value, expected).await;
            written.map_err(|error| not_written("write a lease", &error))
        };
        self.within(write).await
    }

    async fn clear(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        let clear = async {
            let store = self.store().await?;
            let cleared = store.delete_expect_revision(key, Some(expected)).await;
            cleared.map_err(|error| not_written("clear a lease", &error))
        };
        self.within(clear).await
    }
}

fn not_written(operation: &str, error: &UpdateError) -> StoreError {
    match error.kind() {
        UpdateErrorKind::WrongLastRevision => StoreError::Moved,
        UpdateErrorKind::InvalidKey | UpdateErrorKind::TimedOut | UpdateErrorKind::Other => {
            unavailable(operation, error)
        }
    }
}

fn is_missing(error: &KeyValueError) -> bool {
    // A bucket that can't be opened for another reason can't be made either.
    error.kind() == KeyValueErrorKind::GetBucket
}

fn unavailable(operation: &str, error: &dyn std::error::Error) -> StoreError {
    let cause = error
        .source()
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default();
    StoreError::Unavailable(format!("{operation}: {error}{cause}"))
}
