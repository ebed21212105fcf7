//! The log as its callers see it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, Clock, EventLog, FindDeliveries, LogHealth, LogId,
    LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, TenantId,
};

use super::catch_up::{Source, open_index};
use super::category;
use super::error::OpenError;
use super::file::{Files, RealFiles};
use super::index::CHUNK_EVENTS;
use super::indexer::Indexer;
use super::options::{LogOptions, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use super::pending::Pending;
use super::queue::Request;
use super::read;
use super::recover::{index_folder, recover};
use super::segment::Segments;
use super::shared::{Opened, Shared};
use super::space::Space;
use super::writer::Writer;

const LOCK_NAME: &str = "LOCK";

/// The segmented log. Dropped without [`SegmentedLog::close`], it finishes what was accepted in the background.
pub struct SegmentedLog {
    pub(super) shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    indexer: Option<JoinHandle<()>>,
    filler: JoinHandle<()>,
}

impl SegmentedLog {
    /// Opens the log in a folder of its own, or begins one there.
    ///
    /// # Errors
    /// When another process has it open, it is of a newer format, damaged, or the disk fails.
    pub async fn open(
        dir: &Path,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let dir = dir.to_owned();
        let opening = tokio::task::spawn_blocking(move || {
            let files = RealFiles::owned(&dir).map_err(OpenError::io("making the folder"))?;
            Self::open_on(Arc::new(files), Some(&dir), options, clock)
        });
        match opening.await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::io("opening")(std::io::Error::other(error))),
        }
    }

    /// Opens the log on any disk. Without a folder for the index, everything counts as not yet indexed.
    pub(crate) fn open_on(
        files: Arc<dyn Files>,
        folder: Option<&Path>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let (shared, writer) = open_parts(files, folder, options, clock)?;
        let index = folder.map(index_folder);
        let threads =
            Threads::start(&shared, writer, index).map_err(OpenError::io("starting the threads"))?;
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(Some(threads)),
        }))
    }

    /// Finishes what was accepted, refuses the rest, brings the index up to date, and gives up the lock.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        shared.queue.close();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else {
            return;
        };
        let ended = tokio::task::spawn_blocking(move || {
            threads.join(&shared);
            shared.release();
        });
        if ended.await.is_err() {
            tracing::error!("closing the log failed");
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || read(&shared));
        reading
            .await
            .unwrap_or_else(|error| Err(ReadError::Unavailable(error.to_string())))
    }
}

impl Drop for SegmentedLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        // The indexer ends on this; the writer still serves what was accepted, and the next open indexes it.
        self.shared.closing.cancel();
        self.shared.appended.raise();
        self.shared.space.close();
    }
}

/// Opens everything but the threads, so that tests can drive the writer step by step.
pub(crate) fn open_parts(
    files: Arc<dyn Files>,
    folder: Option<&Path>,
    mut options: LogOptions,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<Shared>, Writer), OpenError> {
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) {
        return Err(OpenError::Settings(format!(
            "segment_bytes is {}, it must be from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
            options.segment_bytes
        )));
    }
    let lock = files.lock(LOCK_NAME).map_err(OpenError::io("taking the lock"))?;
    let place = || folder.map_or_else(|| "memory".into(), |folder| folder.display().to_string());
    let lock = lock.ok_or_else(|| OpenError::InUse(place()))?;
    let recovered = recover(&files)?;
    let (id, tail) = (recovered.id, recovered.tail);
    let space = Space::new(
        Arc::clone(&files),
        &options,
        Arc::clone(&tail.file),
        tail.offset,
        recovered.stored_bytes,
    );
    let space = space.map_err(OpenError::io("preparing the disk"))?;
    options.segment_bytes = space.segment_bytes();
    let segments = Segments::new(recovered.segments);
    let head = Position::new(tail.next_position - 1);
    let source = Source {
        id,
        files: &*files,
        segments: &segments,
        head,
    };
    let mut recent = Pending::with_room(CHUNK_EVENTS);
    let index = match folder {
        Some(folder) => Some(open_index(&index_folder(folder), &options, &source)?),
        None => {
            super::catch_up::remember_all(&source, &mut recent)?;
            None
        }
    };
    let opened = Opened {
        id,
        files: Arc::clone(&files),
        segments,
        space,
        recent,
        head,
        index,
        lock,
    };
    let shared = Arc::new(Shared::new(opened, options));
    let writer = Writer::new(Arc::clone(&shared), clock, tail);
    Ok((shared, writer))
}

/// A writer that panicked answers nobody: whoever waits, or would, must hear of it.
struct WriterGuard(Arc<Shared>);

impl Drop for WriterGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the writer panicked".into());
            self.0.queue.abandon();
        }
    }
}

impl Threads {
    fn start(shared: &Arc<Shared>, mut writer: Writer, index: Option<PathBuf>) -> std::io::Result<Self> {
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let guard = WriterGuard(Arc::clone(shared));
        let filling = Arc::clone(shared);
        let indexing = index.map(|folder| Indexer::new(Arc::clone(shared), folder));
        Ok(Self {
            writer: thread("log-writer").spawn(move || {
                let _guard = guard;
                writer.run();
            })?,
            indexer: match indexing {
                Some(mut indexer) => Some(thread("log-indexer").spawn(move || indexer.run())?),
                None => None,
            },
            filler: thread("log-filler").spawn(move || filling.space.run())?,
        })
    }

    /// Waits for the ends of the threads, the writer first, so that the indexer sees all it wrote.
    fn join(self, shared: &Shared) {
        let join = |thread: JoinHandle<()>| {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        };
        join(self.writer);
        shared.closing.cancel();
        shared.appended.raise();
        shared.space.close();
        self.indexer.into_iter().for_each(join);
        join(self.filler);
    }
}

#[async_trait]
impl EventLog for SegmentedLog {
    fn id(&self) -> LogId {
        self.shared.id
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (request, answered) = Request::new(append, &self.shared.options)?;
        if let Some(why) = self.shared.unwritable() {
            return Err(AppendError::Unavailable(why));
        }
        let started = Instant::now();
        self.shared.queue.push(request)?;
        let answered = answered.await;
        metrics::histogram!("hooklog_log_append_duration_seconds").record(started.elapsed().as_secs_f64());
        // No answer means that the writer's thread is gone, perhaps in the middle of the write.
        answered.unwrap_or_else(|_| Err(AppendError::Unknown("the writer of the log has stopped".into())))
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let stream = stream.clone();
        self.read(move |shared| read::read_stream(shared, &stream, from, limit))
            .await
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        let head = self.shared.head_now();
        if after >= head {
            let events = Vec::new();
            return Ok(LogPage { events, head });
        }
        if let Some(page) = read::read_newest(&self.shared, after, limit) {
            return Ok(page);
        }
        self.read(move |shared| read::read_all(shared, after, limit))
            .await
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.read(move |shared| category::read(shared, category, after, limit))
            .await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.shared.head_now())
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        let mut head = self.shared.head.subscribe();
        let closed = || ReadError::Unavailable("the log is closed".into());
        tokio::select! {
            biased;
            reached = head.wait_for(|head| *head > position) => reached.map(|head| *head).map_err(|_| closed()),
            () = self.shared.closing.cancelled() => Err(closed()),
        }
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.read(move |shared| read::tail_start(shared, bytes)).await
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
impl FindDeliveries for SegmentedLog {
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        let (tenant, sender_id) = (tenant.clone(), sender_id.to_owned());
        self.read(move |shared| read::by_sender_id(shared, &tenant, &sender_id, limit))
            .await
    }
}
