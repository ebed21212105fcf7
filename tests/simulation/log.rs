//! The log as a process holds it: the real one on a disk that loses power, behind a port that refuses, is in doubt and
//! takes its time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, EventLog, FindDeliveries, LogHealth, LogId,
    LogPage, PageLimit, Position, ReadError, RecordedEvent, Revision, Spacing, StreamName, TenantId,
};
use infra::log::LogOptions;
use infra::log::simulated::SimulatedLog;

use crate::dice::Dice;
use crate::world::{Death, World};

/// Small segments, so that a run has several.
pub fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 256 * 1024,
        fill_ahead_bytes: 0,
        fill_step_bytes: 16 * 1024,
        ..LogOptions::default()
    }
}

/// The log as a process holds it.
pub struct LogPort {
    world: Arc<World>,
    log: Arc<SimulatedLog>,
}

impl LogPort {
    pub fn new(world: &Arc<World>, log: &Arc<SimulatedLog>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            log: Arc::clone(log),
        })
    }

    async fn answer(&self, append: Append, told: &str) -> Result<Appended, AppendError> {
        let world = &self.world;
        world.step(format!("append: {told}")).await;
        if world.is_log_down() || world.fails(world.odds.append_refused) {
            world.count("appends refused");
            return Err(AppendError::Unavailable("the log can't be reached".into()));
        }
        let in_doubt = world.fails(world.odds.append_in_doubt);
        if in_doubt && world.between(0, 1) == 0 {
            world.count("appends in doubt, not written");
            return Err(AppendError::Unknown("the connection broke".into()));
        }
        let answer = self.log.append(append).await;
        world.step(format!("appended: {told}: {}", short(&answer))).await;
        if in_doubt {
            world.count("appends in doubt, perhaps written");
            return Err(AppendError::Unknown("the connection broke".into()));
        }
        answer
    }

    async fn reading(&self, what: String) -> Result<(), ReadError> {
        self.world.step(what).await;
        if self.world.is_log_down() || self.world.fails(self.world.odds.read_fails) {
            return Err(ReadError::Unavailable("the log can't be reached".into()));
        }
        Ok(())
    }
}

fn told(append: &Append) -> String {
    let types: Vec<&str> = append.events.iter().map(|e| e.event_type.as_str()).collect();
    format!(
        "{} to {} at {:?}",
        types.join(", "),
        append.stream,
        append.expected
    )
}

#[async_trait]
impl EventLog for LogPort {
    fn id(&self) -> LogId {
        self.log.id()
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (world, told) = (&self.world, told(&append));
        for event in &append.events {
            world.handed.lock().unwrap().insert(event.id, world.life());
        }
        let ticket = world.late_appends.begin(&append);
        let answer = self.answer(append, &told).await;
        world.late_appends.end(ticket);
        answer
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.reading(format!("read {stream} from {from}")).await?;
        self.log.read_stream(stream, from, limit).await
    }

    async fn read_all(&self, after: Position, limit: PageLimit) -> Result<LogPage, ReadError> {
        self.reading(format!("read after {after}")).await?;
        self.log.read_all(after, limit).await
    }

    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.reading(format!("read {} after {after}", category.as_str()))
            .await?;
        self.log.read_category(category, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.reading("head".into()).await?;
        self.log.head().await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        let past = self.log.wait_past(position).await?;
        self.reading(format!("past {position}")).await?;
        Ok(past)
    }

    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.reading("tail start".into()).await?;
        self.log.tail_start(bytes).await
    }

    fn spacing(&self) -> Spacing {
        self.log.spacing()
    }

    fn health(&self) -> LogHealth {
        self.log.health()
    }
}

#[async_trait]
impl FindDeliveries for LogPort {
    async fn by_sender_id(
        &self,
        tenant: &TenantId,
        sender_id: &str,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.log.by_sender_id(tenant, sender_id, limit).await
    }
}

fn short(answer: &Result<Appended, AppendError>) -> String {
    match answer {
        Ok(appended) => format!("at {}", appended.first),
        Err(error) => error.to_string(),
    }
}

/// Appends of a process that died before it was answered. One that was on its way to a log elsewhere may still arrive: what
/// it expects of its stream decides whether it is taken.
#[derive(Default)]
pub struct LateAppends(Mutex<Under>);

#[derive(Default)]
struct Under {
    next: u64,
    way: BTreeMap<u64, Append>,
    late: Vec<(Duration, Append)>,
}

impl LateAppends {
    fn begin(&self, append: &Append) -> u64 {
        let mut under = self.0.lock().unwrap();
        under.next += 1;
        let ticket = under.next;
        under.way.insert(ticket, append.clone());
        ticket
    }

    fn end(&self, ticket: u64) {
        self.0.lock().unwrap().way.remove(&ticket);
    }

    pub fn after_crash(&self, now: Duration, dice: &mut Dice) {
        let mut under = self.0.lock().unwrap();
        for append in std::mem::take(&mut under.way).into_values() {
            if dice.percent(80) {
                let at = now + Duration::from_millis(dice.below(3000));
                under.late.push((at, append));
            }
        }
        under.late.sort_by_key(|(at, _)| *at);
    }

    fn next(&self) -> Option<(Duration, Append)> {
        let mut under = self.0.lock().unwrap();
        (!under.late.is_empty()).then(|| under.late.remove(0))
    }
}

/// What the processes before this one had sent arrives.
pub async fn stragglers(world: Arc<World>, log: Arc<SimulatedLog>) {
    while let Some((at, append)) = world.late_appends.next() {
        tokio::time::sleep(at.saturating_sub(world.elapsed())).await;
        let told = told(&append);
        let answer = log.append(append).await;
        world.say(format!("late: {told}: {}", short(&answer)));
        world.count(if answer.is_ok() {
            "appends of a dead process"
        } else {
            "appends of a dead process, fenced"
        });
    }
}

/// The log's writer: serves what waits, after a while, on a disk that fails now and then.
pub async fn writer(world: Arc<World>, log: Arc<SimulatedLog>) {
    loop {
        log.queued().await;
        world.step("the writer wakes").await;
        // While it was busy, others came to wait.
        if world.between(0, 2) == 0 {
            tokio::time::sleep(Duration::from_micros(world.between(500, 12_000))).await;
        }
        let disk = world.disk();
        if world.fails(world.odds.disk_fails) {
            match world.between(0, 2) {
                0 => disk.cut_after(world.between(1, 6)),
                1 => disk.fail_next_sync(),
                _ => disk.set_full(true),
            }
        }
        let taken = log.write();
        world.say(format!("the writer took {taken}"));
        if disk.is_off() {
            world.count("power cuts while writing");
            // Whoever was answered before hears of it; the rest of the process has a moment left.
            tokio::time::sleep(Duration::from_micros(world.between(0, 20_000))).await;
            let death = if world.between(0, 3) == 0 {
                Death::Kill
            } else {
                Death::PowerCut
            };
            world.die(death);
        }
        if let Some(why) = log.health().unwritable {
            world.say(format!("the log is poisoned: {why}"));
            world.count("syncs that failed");
            // An operator restarts it, sooner or later; power may go then, too.
            tokio::time::sleep(Duration::from_millis(world.between(1, 1500))).await;
            let death = if world.between(0, 1) == 0 {
                Death::Kill
            } else {
                Death::PowerCut
            };
            world.die(death);
        }
        if world.between(0, 3) == 0 {
            disk.set_full(false);
        }
    }
}
