//! The way of one process to the log, which can be cut or go wrong.

use super::*;

/// What one process does to the log, and how that goes wrong.
pub(super) struct Wire {
    pub(super) log: Arc<MemoryLog>,
    pub(super) state: Mutex<Faults>,
    pub(super) appends: AtomicU64,
    /// Pages of the log that were read.
    pub(super) pages: AtomicU64,
    /// Set when the process was killed.
    pub(super) killed: CancellationToken,
}

#[derive(Default)]
pub(super) struct Faults {
    /// The process is killed at the append after so many; with `true`, after it was written.
    pub(super) kill_after: Option<(u32, bool)>,
    /// The answers of the next appends.
    pub(super) refusals: VecDeque<AppendError>,
    /// Errors of the next reads.
    pub(super) unreadable: VecDeque<ReadError>,
    /// Appends waiting, of 100.
    pub(super) queue_len: usize,
    /// Appends come to the log in the order in which they were made, as they do in the embedded one.
    pub(super) in_order: bool,
    /// How long each append takes beside that, in milliseconds.
    pub(super) delay_ms: u64,
    /// Appends to deliveries are refused.
    pub(super) deliveries_refused: bool,
}

impl Wire {
    pub(super) fn new(log: &Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self {
            log: Arc::clone(log),
            state: Mutex::default(),
            appends: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            killed: CancellationToken::new(),
        })
    }

    pub(super) fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.state.lock().unwrap()
    }

    fn read_fault(&self) -> Result<(), ReadError> {
        self.faults().unreadable.pop_front().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl EventLog for Wire {
    fn id(&self) -> LogId {
        self.log.id()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        // They take some time, and not all the same.
        let count = self.appends.fetch_add(1, Ordering::SeqCst);
        let delay_ms = {
            let faults = self.faults();
            faults.delay_ms + if faults.in_order { 0 } else { count * 7 % 5 }
        };
        sleep(Duration::from_millis(1 + delay_ms)).await;
        if self.faults().deliveries_refused && append.stream.category() == "delivery" {
            return Err(AppendError::Unavailable("set so by the test".to_owned()));
        }
        let kill = {
            let mut faults = self.faults();
            if let Some(refusal) = faults.refusals.pop_front() {
                return Err(refusal);
            }
            match &mut faults.kill_after {
                Some((0, written)) => Some(*written),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        let Some(written) = kill else {
            return self.log.append(append).await;
        };
        if written && !self.killed.is_cancelled() {
            let _ = self.log.append(append).await;
        }
        self.killed.cancel();
        std::future::pending().await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.read_fault()?;
        self.log.read_stream(stream, from, limit).await
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        self.read_fault()?;
        self.pages.fetch_add(1, Ordering::SeqCst);
        // Pages are small, so that each test turns some.
        let events = limit.events.min(7);
        self.log.read_all(after, PageLimit { events, ..limit }).await
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.read_fault()?;
        self.log.read_category(category, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.log.head().await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.log.wait_past(position).await
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.log.tail_start(bytes).await
    }

    fn spacing(&self) -> Spacing {
        self.log.spacing()
    }

    fn health(&self) -> LogHealth {
        LogHealth {
            queue_len: self.faults().queue_len,
            queue_max: 100,
            ..self.log.health()
        }
    }
}
