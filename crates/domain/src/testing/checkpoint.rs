//! Notes in memory, which fail and go back to older ones as told.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{CheckpointError, Checkpoints};

/// The most notes that are kept of one name, the newest included.
const KEPT_MAX: usize = 64;

/// Notes in memory. They outlive whoever reads them, so a test can start its subject again over the same ones.
#[derive(Debug, Default)]
pub struct MemoryCheckpoints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Every note of a name, the newest last.
    notes: HashMap<String, Vec<Bytes>>,
    failing_stores: usize,
    failing_loads: usize,
    stores: usize,
}

impl MemoryCheckpoints {
    /// No notes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `count` stores fail and leave the note as it is.
    pub fn fail_stores(&self, count: usize) {
        self.state().failing_stores = count;
    }

    /// The next `count` loads fail.
    pub fn fail_loads(&self, count: usize) {
        self.state().failing_loads = count;
    }

    /// Goes back by so many notes of a name, as a power cut may; beyond the first there is none.
    pub fn go_back(&self, name: &str, notes: usize) {
        if let Some(kept) = self.state().notes.get_mut(name) {
            kept.truncate(kept.len().saturating_sub(notes));
        }
    }

    /// Deletes a note, as an operator may.
    pub fn forget(&self, name: &str) {
        self.state().notes.remove(name);
    }

    /// Puts any bytes in the place of a note, as a damaged disk or another version may.
    pub fn put(&self, name: &str, note: impl Into<Bytes>) {
        self.state()
            .notes
            .entry(name.to_owned())
            .or_default()
            .push(note.into());
    }

    /// The present note.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<Bytes> {
        self.state().notes.get(name).and_then(|kept| kept.last().cloned())
    }

    /// How many stores succeeded, over all names.
    #[must_use]
    pub fn stores(&self) -> usize {
        self.state().stores
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(name: &str, operation: &'static str) -> CheckpointError {
    CheckpointError {
        name: name.to_owned(),
        operation,
        source: io::Error::other("set so by the test"),
    }
}

#[async_trait]
impl Checkpoints for MemoryCheckpoints {
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError> {
        let mut state = self.state();
        if let Some(left) = state.failing_loads.checked_sub(1) {
            state.failing_loads = left;
            return Err(failed(name, "read"));
        }
        Ok(state.notes.get(name).and_then(|kept| kept.last().cloned()))
    }

    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError> {
        let mut state = self.state();
        if let Some(left) = state.failing_stores.checked_sub(1) {
            state.failing_stores = left;
            return Err(failed(name, "written"));
        }
        let kept = state.notes.entry(name.to_owned()).or_default();
        kept.push(note);
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        state.stores += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_note_is_replaced_kept_on_failure_and_gone_back_to() {
        let notes = MemoryCheckpoints::new();
        assert_eq!(notes.load("a").await.unwrap(), None);
        notes.store("a", Bytes::from_static(b"1")).await.unwrap();
        notes.store("a", Bytes::from_static(b"2")).await.unwrap();
        notes.fail_stores(1);
        let error = notes.store("a", Bytes::from_static(b"3")).await.unwrap_err();
        assert_eq!(error.to_string(), "the checkpoint a can't be written");
        assert_eq!(notes.load("a").await.unwrap().unwrap(), "2");
        notes.fail_loads(1);
        assert!(notes.load("a").await.is_err());
        notes.go_back("a", 1);
        assert_eq!(notes.note("a").unwrap(), "1");
        notes.go_back("a", 9);
        assert_eq!(notes.note("a"), None);
        assert_eq!(notes.stores(), 2);
    }
}
