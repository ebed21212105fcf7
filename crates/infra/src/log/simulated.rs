//! The log as a simulation drives it: the same writer, rules, format and recovery, on a disk in memory that loses power.
//!
//! Only the threads and the index on disk are left out: the writer writes when it is told to, on the caller's thread, and
//! reads answer at once, so that one seed decides everything.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, Clock, EventLog, FindDeliveries, LogHealth, LogId,
    LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, TenantId,
};
use tokio::sync::Notify;

use super::category;
use super::error::OpenError;
use super::file::Files;
use super::options::LogOptions;
use super::power_cut::{Dice, Disk};
use super::queue::Request;
use super::read;
use super::segmented::open_parts;
use super::shared::Shared;
use super::writer::Writer;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk(Arc<Disk>);

impl SimulatedDisk {
    /// A disk without a file.
    #[must_use]
    pub fn empty() -> Self {
        Self(Disk::empty())
    }

    /// What is left after the power went and came back: of what was not synced, each sector survives or not, as the seed
    /// says.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        Self(self.0.after_power_cut(&mut Dice::seeded(seed)))
    }

    /// From now on the disk takes that many more operations; then it answers none, as if the power had gone.
    pub fn cut_after(&self, operations: u64) {
        self.0
            .faults()
            .operations_left
            .store(operations.max(1), Ordering::SeqCst);
    }

    /// Whether it answers no operation any more.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.faults().is_off()
    }

    /// It answers again, and holds all that was written: only the process was gone.
    pub fn heal(&self) {
        self.0.heal();
        self.0.faults().syncs_fail.store(false, Ordering::SeqCst);
        self.0.faults().next_sync_fails.store(false, Ordering::SeqCst);
    }

    /// The next sync fails. What it was to make durable is not, whatever later syncs say.
    pub fn fail_next_sync(&self) {
        self.0.faults().next_sync_fails.store(true, Ordering::SeqCst);
    }

    /// There is no room for more, or there is again.
    pub fn set_full(&self, full: bool) {
        self.0.faults().full.store(full, Ordering::SeqCst);
        self.0.faults().writes_fail.store(full, Ordering::SeqCst);
    }
}

/// The log, its writer in the hands of whoever calls [`SimulatedLog::write`].
pub struct SimulatedLog {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    queued: Notify,
}

impl SimulatedLog {
    /// Opens the log on a disk, or begins one there.
    ///
    /// # Errors
    /// When what is there can't be read, or the disk fails.
    pub fn open(
        disk: &SimulatedDisk,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let files = Arc::clone(&disk.0) as Arc<dyn Files>;
        let (shared, writer) = open_parts(files, None, options, clock)?;
        Ok(Arc::new(Self {
            shared,
            writer: Mutex::new(writer),
            queued: Notify::new(),
        }))
    }

    /// Waits until an append waits.
    pub async fn queued(&self) {
        while self.shared.queue.len() == 0 {
            self.queued.notified().await;
        }
    }

    /// The writer takes what waits, writes it, syncs, and answers; returns how many appends it took.
    pub fn write(&self) -> usize {
        if self.shared.queue.len() == 0 {
            return 0;
        }
        let requests = self.shared.queue.drain(self.shared.options.batch_bytes_max);
        let requests = requests.unwrap_or_default();
        let taken = requests.len();
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .commit(requests);
        taken
    }
}

#[async_trait]
impl EventLog for SimulatedLog {
    fn id(&self) -> LogId {
        self.shared.id
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (request, answered) = Request::new(append, &self.shared.options)?;
        if let Some(why) = self.shared.unwritable() {
            return Err(AppendError::Unavailable(why));
        }
        self.shared.queue.push(request)?;
        self.queued.notify_one();
        let gone = |_| Err(AppendError::Unknown("the writer of the log has stopped".into()));
        answered.await.unwrap_or_else(gone)
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        read::read_stream(&self.shared, stream, from, limit)
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        let head = self.shared.head_now();
        if after >= head {
            let events = Vec::new();
            return Ok(LogPage { events, head });
        }
        let newest = read::read_newest(&self.shared, after, limit);
        newest.map_or_else(|| read::read_all(&self.shared, after, limit), Ok)
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        category::read(&self.shared, category, after, limit)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.shared.head_now())
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        let mut head = self.shared.head.subscribe();
        let reached = head.wait_for(|head| *head > position).await;
        reached
            .map(|head| *head)
            .map_err(|_| ReadError::Unavailable("the log is closed".into()))
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        read::tail_start(&self.shared, bytes)
    }

    fn spacing(&self) -> Spacing {
        Spacing::One
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            unwritable: self.shared.unwritable(),
            queue_len: self.shared.queue.len(),
            queue_max: self.shared.queue.max(),
            head: self.shared.head_now(),
            stored_bytes: Some(self.shared.space.stored_bytes()),
        }
    }
}

#[async_trait]
impl FindDeliveries for SimulatedLog {
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        read::by_sender_id(&self.shared, tenant, sender_id, limit)
    }
}
