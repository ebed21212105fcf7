//! Rebuilds while deliveries never stop coming, into a store that takes its time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::testing::TestLeases;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, LeaseName, LogHealth, LogId, LogPage, PageLimit,
    ReadError, Revision, SharedWork, Spacing, StreamName,
};
use tokio::time::Instant;

use super::shares::{in_parts, real};
use super::*;

const PARTITIONS: u32 = 4;
/// A delivery comes in this often, which is more often than a batch can be written.
const EVERY: Duration = Duration::from_millis(10);
const INSERT_MS: u64 = 40;
const QUERY_MS: u64 = 15;

fn options_of_load() -> ProjectorOptions {
    ProjectorOptions {
        batch_events_max: 1000,
        ..in_parts(PARTITIONS)
    }
}

/// Deliveries that keep coming; never a moment of silence.
struct Load {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Load {
    fn on(world: &World) -> Self {
        let stop = CancellationToken::new();
        let (log, stopped) = (Arc::clone(&world.log), stop.clone());
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                append(log.as_ref(), 1).await;
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// How many batches a partition of a build was written.
fn batches(world: &World, build: u64, partition: u32) -> usize {
    let rows = world.tables.history(PROGRESS);
    let of_it = rows.iter().filter(|row| {
        row["projection"] == json!("deliveries")
            && row["build"] == json!(build)
            && row["partition"] == json!(partition)
    });
    of_it.count()
}

#[tokio::test(start_paused = true)]
async fn a_rebuild_of_several_partitions_is_swapped_in_without_a_moment_of_silence() {
    // Positions of a cluster are offsets: far apart.
    for (processes, stride) in [(1, 7), (2, 7), (1, 5000)] {
        let mut world = World::new(11);
        world.log = Arc::new(MemoryLog::with_gaps(log_id(1), clock(), stride));
        append(world.log.as_ref(), 500).await;
        let relay = world.start_relay();
        let leases: Vec<TestLeases> = (0..processes).map(|_| TestLeases::new()).collect();
        for part in 0..PARTITIONS {
            leases[part as usize % processes].give(LeaseName::new(SharedWork::Project, part));
        }
        let start = |leases: &TestLeases| world.start_sharing(options_of_load(), Arc::new(leases.clone()));
        let running: Vec<Running> = leases.iter().map(start).collect();
        running[0].sees_the_head(&world).await;
        world.tables.state().insert_ms = INSERT_MS;
        world.tables.state().query_ms = QUERY_MS;
        let load = Load::on(&world);
        let asked = Instant::now();
        running[0].handle.rebuild("deliveries").await.unwrap();
        until("it is swapped in under load", async || {
            world.active("deliveries") == Some((2, 2))
        })
        .await;
        let seconds = usize::try_from(asked.elapsed().as_secs()).unwrap() + 1;
        let written: Vec<usize> = (0..PARTITIONS).map(|part| batches(&world, 2, part)).collect();
        println!(
            "{processes} processes, stride {stride}: {seconds} s, batches of each partition {written:?}"
        );
        // To be whole, to be compared and to be swapped takes a look of a second each, and so does hearing of the order.
        assert!(seconds <= 8, "{seconds} s");
        // Nobody asks the tables yet: what comes while it is waited is written once a look.
        assert!(
            written.iter().all(|batches| *batches <= 2 * seconds + 4),
            "{written:?} batches in {seconds} s"
        );
        load.end().await;
        (world.tables.state().insert_ms, world.tables.state().query_ms) = (0, 0);
        for one in &running {
            one.sees_the_head(&world).await;
            one.equals_the_log().await;
        }
        let parts: BTreeSet<u64> = (0..u64::from(PARTITIONS)).collect();
        assert_eq!(world.progress("deliveries", 2), parts);
        for one in running {
            one.stop().await;
        }
        relay.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_without_its_stream_comes_back_to_it_though_deliveries_never_stop() {
    let world = World::new(12);
    let relay = world.start_relay();
    world.stream.state().down = true;
    let running = world.start_sharing(options_of_load(), Arc::new(Unshared));
    world.tables.state().insert_ms = INSERT_MS;
    let load = Load::on(&world);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.stream.state().down = false;
    let before = world.stream.state().followed;
    until("the stream is followed again", async || {
        world.stream.state().followed > before
    })
    .await;
    load.end().await;
    running.sees_the_head(&world).await;
    running.equals_the_log().await;
    running.stop().await;
    relay.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_comparison_ends_though_every_look_finds_the_build_further_on() {
    let mut world = World::new(13);
    world.log = Arc::new(MemoryLog::with_gaps(log_id(1), clock(), 5000));
    append(world.log.as_ref(), 100).await;
    let relay = world.start_relay();
    let running = world.start_sharing(options_of_load(), Arc::new(Unshared));
    running.sees_the_head(&world).await;
    // Two batches are written while a query is answered.
    world.tables.state().query_ms = 200;
    let load = Load::on(&world);
    let report = tokio::time::timeout(Duration::from_secs(60), running.handle.verify("deliveries")).await;
    assert!(report.expect("it ends").unwrap().is_equal());
    load.end().await;
    running.stop().await;
    relay.cancel();
}

/// A log that has grown again whenever a page of it was read: its head is never in the page.
struct Growing(Arc<MemoryLog>, AtomicUsize);

impl Growing {
    /// So often, so that whoever waits for its end is found out and not waited for.
    const PAGES: usize = 1000;
}

#[async_trait]
impl EventLog for Growing {
    fn id(&self) -> LogId {
        self.0.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.0.append(append).await
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.0.read_stream(stream, from, limit).await
    }
    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        let page = self.0.read_all(after, limit).await?;
        if self.1.fetch_add(1, Ordering::SeqCst) < Self::PAGES {
            append(self.0.as_ref(), 1).await;
        }
        let head = self.0.head().await?;
        Ok(LogPage { head, ..page })
    }
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.0.read_category(category, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.0.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.0.wait_past(position).await
    }
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.0.tail_start(bytes).await
    }
    fn spacing(&self) -> Spacing {
        self.0.spacing()
    }
    fn health(&self) -> LogHealth {
        self.0.health()
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_elsewhere_at_each_page_is_caught_up_with() {
    let world = World::new(14);
    append(world.log.as_ref(), 100).await;
    let relay = world.start_relay();
    let log = Arc::new(Growing(Arc::clone(&world.log), AtomicUsize::new(0)));
    let ports = ProjectorPorts {
        log: Arc::<Growing>::clone(&log),
        ..world.ports(Arc::new(Unshared))
    };
    let running = Running::of(Projector::build(in_parts(2), real(), ports));
    until("the stream is followed", async || {
        world.stream.state().followed > 0
    })
    .await;
    let pages = log.1.load(Ordering::SeqCst);
    assert!(pages < Growing::PAGES, "only once it stood still");
    running.stop().await;
    relay.cancel();
}
