//! Checkpoints that fail, and of which an older one is back after the power went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{CheckpointError, Checkpoints};

use crate::dice::Dice;
use crate::world::World;

/// Every note that was ever stored under a name, the newest last.
#[derive(Default)]
pub struct Notes(Mutex<BTreeMap<String, Vec<Bytes>>>);

impl Notes {
    /// Of each name an older note may be back, or none.
    pub fn after_power_cut(&self, dice: &mut Dice) {
        for notes in self.0.lock().unwrap().values_mut() {
            if dice.percent(50) {
                let keep = dice.below(notes.len() as u64 + 1);
                notes.truncate(usize::try_from(keep).unwrap());
            }
        }
    }
}

/// The notes as a process holds them.
pub struct NotesPort(pub Arc<World>);

impl NotesPort {
    fn fails(&self, name: &str, operation: &'static str) -> Result<(), CheckpointError> {
        if !self.0.fails(self.0.odds.note_fails) {
            return Ok(());
        }
        Err(CheckpointError {
            name: name.to_owned(),
            operation,
            source: std::io::Error::other("the disk does not answer"),
        })
    }
}

#[async_trait]
impl Checkpoints for NotesPort {
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError> {
        self.0.step(format!("note {name} is read")).await;
        self.fails(name, "read")?;
        let notes = self.0.notes.0.lock().unwrap();
        Ok(notes.get(name).and_then(|notes| notes.last()).cloned())
    }

    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError> {
        self.0.step(format!("note {name} is written")).await;
        self.fails(name, "written")?;
        self.0.count("notes");
        let mut notes = self.0.notes.0.lock().unwrap();
        notes.entry(name.to_owned()).or_default().push(note);
        Ok(())
    }
}
