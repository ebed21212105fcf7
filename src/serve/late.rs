//! Ports that are there before their engines are: until then they answer that they are starting.
//!
//! Deliveries have to be taken a moment after the start, and while an engine is being fetched.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{FanOutError, LiveEvents, LiveSubscription, Position, Query, Rows, TableError, Tables};
use infra::budget::Shrink;
use infra::jetstream::JetStream;

/// Tables whose server is started in the background.
#[derive(Default)]
pub(crate) struct LateTables(OnceLock<Arc<dyn Tables>>);

impl LateTables {
    /// Puts the real ones behind.
    pub(crate) fn set(&self, tables: Arc<dyn Tables>) {
        // A second set would be a second start of the engines, which compose never does.
        let _ = self.0.set(tables);
    }

    fn get(&self) -> Result<&Arc<dyn Tables>, TableError> {
        self.0
            .get()
            .ok_or_else(|| TableError::Unavailable("it is being started".into()))
    }
}

#[async_trait]
impl Tables for LateTables {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        self.get()?.execute(statement).await
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        self.get()?.insert(table, rows).await
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        self.get()?.query_json(query).await
    }

    fn cluster(&self) -> Option<&str> {
        self.0.get()?.cluster()
    }
}

/// The stream, for the disk budget, which watches from the first moment, and for live clients, who read the log meanwhile.
#[derive(Default)]
pub(crate) struct LateStream(OnceLock<Arc<JetStream>>);

impl LateStream {
    /// Puts the real one behind.
    pub(crate) fn set(&self, stream: Arc<JetStream>) {
        let _ = self.0.set(stream);
    }
}

#[async_trait]
impl Shrink for LateStream {
    fn full_bytes(&self) -> u64 {
        self.0.get().map_or(0, |stream| stream.full_bytes())
    }

    async fn shrink_to(&self, bytes_max: u64) -> Result<(), FanOutError> {
        match self.0.get() {
            Some(stream) => stream.shrink_to(bytes_max).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl LiveEvents for LateStream {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        match self.0.get() {
            Some(stream) => stream.follow(after).await,
            None => Err(FanOutError::Unavailable("it is being started".into())),
        }
    }
}
