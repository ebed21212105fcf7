//! The log on an EventStoreDB or KurrentDB cluster, the adapter of `domain::EventLog` for many replicas.
//!
//! Every process that has the same address and prefix has the same log; none of them owns it. What a delivery repeats is
//! decided by claims in the log itself, so nothing here is remembered anywhere else (ADR 0014).
//!
//! It must never say that something is durable that the cluster did not acknowledge, never take a write of which it does not
//! know whether it was done for one that was not, and never print its address: there may be a password in it.

mod append;
mod claim;
mod connection;
mod envelope;
mod error;
mod fence;
mod find;
mod follow;
mod head;
mod identity;
mod known;
mod names;
mod node;
mod options;
mod page;
mod read;
mod retry;
mod room;
mod search;
mod server_event;
mod stones;
mod take_over;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, Clock, EventLog, FindDeliveries, LogHealth, LogId,
    LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, TenantId,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use connection::Connection;
pub use error::OpenError;
use head::Head;
use known::Known;
use names::Names;
pub use options::EventStoreOptions;
use room::Room;
use stones::Stones;

/// Positions are bytes of the server's own log. A receipt with a body of 1 KB, its claim and its outcome, and what the server
/// writes in between, come to about twice this; longer bodies lie further apart.
const APART: u32 = 2048;

/// The log on a cluster. It goes on following the log until it is closed or dropped.
pub struct EventStoreLog {
    id: LogId,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// What every operation needs.
struct Shared {
    options: EventStoreOptions,
    clock: Arc<dyn Clock>,
    names: Names,
    connection: Connection,
    head: Head,
    room: Room,
    stones: Stones,
    known: Known,
}

impl EventStoreLog {
    /// Connects, and finds out which log it is; makes one where there is none. A server that is away is waited for, as long as
    /// the settings say.
    ///
    /// # Errors
    /// When the address is none, or the server can't be reached in time.
    pub async fn open(options: EventStoreOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        let names = Names::new(&options.stream_prefix)?;
        let connection = Connection::new(&options)?;
        let shared = Arc::new(Shared {
            names,
            connection,
            head: Head::default(),
            room: Room::new(&options),
            stones: Stones::default(),
            known: Known::default(),
            clock,
            options,
        });
        let id = identity::find_or_make(&shared).await?;
        let stop = CancellationToken::new();
        tokio::spawn(follow::follow(Arc::clone(&shared), stop.clone()));
        tracing::info!(log_id = %id, head = %shared.head.get(), "the log on the cluster is open");
        Ok(Arc::new(Self { id, shared, stop }))
    }

    /// Takes no more appends, and waits for those under way: at most as long as one may take, and its last call.
    pub async fn close(&self) {
        let options = &self.shared.options;
        let longest_ms = options.append_timeout_ms.saturating_add(options.write_timeout_ms);
        let closed = self.shared.room.close();
        if timeout(Duration::from_millis(longest_ms), closed).await.is_err() {
            tracing::warn!("an append takes longer than it may; it is not waited for");
        }
        self.stop.cancel();
    }
}

impl Drop for EventStoreLog {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl EventLog for EventStoreLog {
    fn id(&self) -> LogId {
        self.id
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append::append(&self.shared, append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::stream(&self.shared, stream, from, limit).await
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        read::all(&self.shared, after, limit).await
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        read::category(&self.shared, category, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        read::head(&self.shared).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.shared.head.wait_past(position, &self.stop).await
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        read::tail_start(&self.shared, bytes).await
    }

    fn spacing(&self) -> Spacing {
        Spacing::About(APART)
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            unwritable: self.shared.head.trouble(),
            queue_len: self.shared.room.taken(),
            queue_max: self.shared.options.queue_max,
            head: self.shared.head.get(),
            stored_bytes: None,
        }
    }
}

#[async_trait]
impl FindDeliveries for EventStoreLog {
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        find::by_sender_id(&self.shared, tenant, sender_id, limit).await
    }
}
