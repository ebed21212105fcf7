//! Where leases are kept: a small map with revisions.

use async_trait::async_trait;
use bytes::Bytes;

/// A key as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Grows with every write; 0 where nothing was ever written.
    pub revision: u64,
    /// What it holds, unless it was never written or cleared since.
    pub value: Option<Bytes>,
}

/// Why the store did not do as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The key has another revision by now.
    #[error("the key has moved on")]
    Moved,
    /// It can't be reached; what was asked may have been done.
    #[error("the store of leases can't be reached: {0}")]
    Unavailable(String),
}

/// A small map, shared by processes, that writes only onto the revision that was seen.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Reads a key. It may be older than the last write.
    async fn read(&self, key: &str) -> Result<Kept, StoreError>;

    /// Writes a key if it still has that revision, and returns the new one.
    async fn write(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, StoreError>;

    /// Clears a key if it still has that revision.
    async fn clear(&self, key: &str, expected: u64) -> Result<(), StoreError>;
}

#[cfg(any(test, feature = "testing"))]
pub use memory::MemoryLeaseStore;

#[cfg(any(test, feature = "testing"))]
mod memory {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::{Kept, LeaseStore, StoreError};

    /// A store in memory that can be out of reach and wiped.
    #[derive(Debug, Default)]
    pub struct MemoryLeaseStore(Mutex<State>);

    #[derive(Debug, Default)]
    struct State {
        keys: BTreeMap<String, Kept>,
        revision: u64,
        down: bool,
    }

    impl MemoryLeaseStore {
        /// Whether it can't be reached from now on.
        pub fn set_down(&self, down: bool) {
            self.state().down = down;
        }

        /// It loses everything.
        pub fn wipe(&self) {
            let mut state = self.state();
            state.keys.clear();
            state.revision = 0;
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn put(&self, key: &str, value: Option<Bytes>, expected: u64) -> Result<u64, StoreError> {
            let mut state = self.state();
            state.reached()?;
            if state.keys.get(key).map_or(0, |kept| kept.revision) != expected {
                return Err(StoreError::Moved);
            }
            state.revision += 1;
            let revision = state.revision;
            state.keys.insert(key.to_owned(), Kept { revision, value });
            Ok(revision)
        }
    }

    impl State {
        fn reached(&self) -> Result<(), StoreError> {
            if self.down {
                return Err(StoreError::Unavailable("set so by the test".to_owned()));
            }
            Ok(())
        }
    }

    #[async_trait]
    impl LeaseStore for MemoryLeaseStore {
        async fn read(&self, key: &str) -> Result<Kept, StoreError> {
            let state = self.state();
            state.reached()?;
            Ok(state.keys.get(key).cloned().unwrap_or_default())
        }

        async fn write(&self, key: &str, value: Bytes, expected: u64) -> Result<u64, StoreError> {
            self.put(key, Some(value), expected)
        }

        async fn clear(&self, key: &str, expected: u64) -> Result<(), StoreError> {
            self.put(key, None, expected).map(drop)
        }
    }
}
