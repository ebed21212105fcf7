//! Large bodies in memory: what was committed is durable, what was not is gone with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{BodyError, BodyRef, BodyStore, BodyUpload, ContentHash};

use crate::world::World;

/// The bodies by their names.
#[derive(Default)]
pub struct Bodies(Mutex<BTreeMap<String, Bytes>>);

impl Bodies {
    /// Uploads live in their process alone; there is nothing to do.
    pub const fn after_crash(&self) {}

    fn keep(&self, body: BodyRef, bytes: Bytes) {
        self.0.lock().unwrap().insert(body.sha256.to_string(), bytes);
    }

    /// A body, if it is there.
    pub fn get(&self, body: &BodyRef) -> Option<Bytes> {
        self.0.lock().unwrap().get(&body.sha256.to_string()).cloned()
    }
}

/// The bodies as a process holds them.
pub struct BodiesPort(pub Arc<World>);

struct Upload {
    world: Arc<World>,
    bytes: Vec<u8>,
}

fn broken(operation: &'static str) -> BodyError {
    BodyError::Io {
        operation,
        source: std::io::Error::other("the disk does not answer"),
    }
}

fn part(bytes: &[u8], offset: u64, bytes_max: usize) -> Bytes {
    let start = usize::try_from(offset).unwrap().min(bytes.len());
    let end = bytes.len().min(start.saturating_add(bytes_max));
    Bytes::copy_from_slice(&bytes[start..end])
}

#[async_trait]
impl BodyStore for BodiesPort {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        self.0.step("a body is begun").await;
        if self.0.fails(self.0.odds.append_refused) {
            return Err(BodyError::NoRoom("the disk is full".into()));
        }
        let world = Arc::clone(&self.0);
        let bytes = Vec::new();
        Ok(Box::new(Upload { world, bytes }))
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        self.0.step("a body is read").await;
        if self.0.fails(self.0.odds.read_fails) {
            return Err(broken("read"));
        }
        let kept = self.0.bodies.get(body).ok_or(BodyError::Missing(body.sha256))?;
        Ok(part(&kept, offset, bytes_max))
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

#[async_trait]
impl BodyUpload for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        Ok(part(&self.bytes, offset, bytes_max))
    }

    async fn commit(mut self: Box<Self>) -> Result<BodyRef, BodyError> {
        self.world.step("a body is committed").await;
        if self.world.fails(self.world.odds.append_refused) {
            return Err(broken("commit"));
        }
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let body = BodyRef {
            sha256: ContentHash::of(&bytes),
            bytes: bytes.len() as u64,
        };
        self.world.bodies.keep(body, bytes);
        self.world.count("bodies");
        self.world.step("a body is durable").await;
        Ok(body)
    }
}
