//! A lane: models that stand at the same position and are fed together, from the log until they have caught up, then from
//! the stream.
//!
//! The stream is only a faster way to learn what the log holds. Whatever is odd about it (a gap, silence, another log) sends
//! the lane back to the log; events are fed in log order, each once.

use std::sync::Arc;
use std::time::Duration;

use domain::{LogPage, PageLimit, Position, RecordedEvent, TableError};
use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::Worker;
use super::board::Post;
use super::intake::{Intake, Left};
use super::open::Slot;
use super::write::{Batch, Refusal};
use crate::builds::{BuildRow, BuildState};
use crate::causes::with_causes;
use crate::progress;

/// The most pages of the log in a batch. Nobody waits for it as for one of the stream, and each batch has an insert for every
/// table, most of which give a few rows however many events there are: what bounds it is the bytes of its rows, or this where
/// there are hardly any. Tables that get many rows need not wait for it ([`block_rows`]).
const PAGES_MAX: usize = 4;

/// The log being read.
struct Reading {
    /// What was read last; its events are taken out of it.
    page: LogPage,
    /// Where the log ended when the page before was read.
    head: Position,
    /// How many events were fed since the last whole batch, and the last of them.
    count: usize,
    last: Option<RecordedEvent>,
    /// Nothing more is to be read.
    over: bool,
}

/// Models on their way together.
pub(crate) struct Lane {
    slots: Vec<Slot>,
    /// The last event fed.
    seen: Position,
}

impl Lane {
    /// A lane of models that want events after the same position.
    pub(crate) const fn new(slots: Vec<Slot>, seen: Position) -> Self {
        Self { slots, seen }
    }

    /// Runs until the store refuses, or no model is left. Dropping it at any await is as good as a crash: nothing is lost.
    pub(crate) async fn run(mut self, worker: &Arc<Worker>) -> Result<(), TableError> {
        let mut backoff = worker.backoff();
        while !self.slots.is_empty() {
            let before = self.seen;
            self.read_log(worker).await?;
            self.look_at_new(worker).await?;
            if self.compare_new(worker).await? {
                // It took its time: what came meanwhile is caught up with before the swap.
                self.read_log(worker).await?;
            }
            self.caught_up(worker).await?;
            if self.slots.iter().any(Slot::waits) {
                // For partitions that other lanes or processes fill, or for whoever has the first one.
                let time = Duration::from_millis(worker.options.look_ms.max(1));
                self.poll_log(worker, time).await?;
                continue;
            }
            match self.follow(worker).await? {
                Left::Behind(why) => {
                    tracing::info!(why, seen = %self.seen, "projection_reads_the_log");
                    if before == self.seen {
                        // Neither the log nor the stream gave anything: don't go round in circles.
                        backoff.wait().await;
                    } else {
                        backoff.reset();
                    }
                }
                Left::Broken(why) => {
                    tracing::warn!(why, seen = %self.seen, "projection_without_stream: reading the log");
                    self.poll_log(worker, backoff.step()).await?;
                }
            }
        }
        Ok(())
    }

    fn posts(&self) -> Vec<Post> {
        self.slots.iter().map(|slot| slot.seat.post()).collect()
    }

    /// Reads the log to its head: to where it ended when the page before was read, at the latest, as a busy log goes on ending
    /// somewhere else. The next batch is read and projected while the last one is written.
    async fn read_log(&mut self, worker: &Arc<Worker>) -> Result<(), TableError> {
        let page = read_page(worker, &self.posts(), self.seen).await;
        let mut reading = Reading {
            head: page.head,
            count: 0,
            last: None,
            over: page.events.is_empty(),
            page,
        };
        let mut batch = None;
        while !self.slots.is_empty() && (batch.is_some() || !reading.over) {
            let posts = self.posts();
            let write = write(worker, &posts, batch);
            let (refused, next) = tokio::join!(write, self.gather(worker, &mut reading));
            self.drop_out(worker, refused?);
            batch = next.map(|next| next.only(&self.slots));
        }
        Ok(())
    }

    /// Reads and projects as much as is worth a write: the bodies of the events are gone by then, so it is much more of them
    /// than are in memory at a time. The next page is read while one is projected. What comes of it is a piece of a batch where
    /// only one table has enough: the whole one follows with the progress.
    async fn gather(&mut self, worker: &Arc<Worker>, reading: &mut Reading) -> Option<Batch> {
        let posts = self.posts();
        while !reading.over && !self.is_full(worker, reading.count) && !self.has_block(worker) {
            let events = std::mem::take(&mut reading.page.events);
            let Some(newest) = events.last().cloned() else {
                reading.over = true;
                break;
            };
            let at_head = newest.position >= reading.head;
            if !at_head {
                posts.iter().for_each(Post::catching_up);
            }
            reading.head = reading.page.head;
            self.seen = newest.position;
            reading.count += events.len();
            let project = worker.project(&mut self.slots, events);
            if at_head {
                project.await;
                reading.over = true;
            } else {
                let next = read_page(worker, &posts, newest.position);
                ((), reading.page) = tokio::join!(project, next);
            }
            reading.last = Some(newest);
        }
        if !reading.over && !self.is_full(worker, reading.count) {
            return Some(Batch::ahead(&mut self.slots, block_rows(worker)));
        }
        let count = std::mem::take(&mut reading.count);
        Some(Batch::of(&mut self.slots, reading.last.take()?, count as u64))
    }

    /// Whether a table has enough rows for an insert by itself.
    fn has_block(&self, worker: &Worker) -> bool {
        let mut hands = self.slots.iter().filter_map(|slot| slot.hand.as_ref());
        hands.any(|hand| hand.rows.has_large(block_rows(worker)))
    }

    /// Whether what the models have given is worth a write.
    fn is_full(&self, worker: &Worker, events: usize) -> bool {
        let hands = self.slots.iter().filter_map(|slot| slot.hand.as_ref());
        let bytes: usize = hands.map(|hand| hand.rows.bytes()).sum();
        let events_max = worker.options.batch_events_max.max(1);
        events >= events_max.saturating_mul(PAGES_MAX) || bytes >= worker.options.batch_bytes_max.max(1)
    }

    /// Models that failed, those whose rows were refused, and those whose build was replaced, leave the lane.
    fn drop_out(&mut self, worker: &Worker, refused: Vec<Refusal>) {
        for Refusal { build, error } in refused {
            let of_build = self.slots.iter_mut().filter(|slot| slot.row.incarnation == build);
            of_build.for_each(|slot| slot.defect = Some(error.to_string()));
        }
        self.slots.retain(|slot| {
            // Whose build was replaced or given up may well fail: its tables go.
            if worker
                .board
                .is_replaced(slot.facts.name, slot.row.build, slot.row.incarnation)
            {
                return false;
            }
            if let Some(defect) = &slot.defect {
                tracing::error!(
                    projection = slot.facts.name,
                    defect,
                    "projection_stands_still: opening again"
                );
                slot.seat.failed(defect);
                worker.fell_out(slot.facts.name, defect);
                return false;
            }
            true
        });
    }

    /// Looks which new builds may be asked by now: those of which every partition, whoever fills it, has come to where the lane
    /// had caught up. Whoever has the first partition swaps a build in; others hear of it.
    async fn look_at_new(&mut self, worker: &Worker) -> Result<(), TableError> {
        let seen = self.seen;
        let waiting = self.slots.iter_mut().filter(|slot| slot.waits());
        look_at(worker, waiting.collect(), seen).await?;
        self.drop_out(worker, Vec::new());
        Ok(())
    }

    /// Compares new builds with the log before they are asked, and throws away what differs: the old one may be wrong, but
    /// the new one is. Returns whether there was any.
    async fn compare_new(&mut self, worker: &Arc<Worker>) -> Result<bool, TableError> {
        let mut any = false;
        for slot in &mut self.slots {
            if !slot.waits() || !slot.whole || slot.compared || !worker.options.verify_rebuilds {
                continue;
            }
            let report = if slot.row.partitions > 1 {
                let Some(report) = slot.compare_beside(worker) else {
                    continue;
                };
                report?
            } else {
                let projection = slot.projection();
                worker.compare_new(&projection, &slot.row).await?
            };
            any = true;
            slot.compared = true;
            if let Some(first) = report.first_difference {
                worker
                    .throw_away(&slot.row, slot.facts.name, &first.to_string())
                    .await?;
            }
        }
        self.drop_out(worker, Vec::new());
        Ok(any)
    }

    /// The tables hold everything up to the head: builds made beside are swapped in, unless somebody has given them up.
    async fn caught_up(&mut self, worker: &Worker) -> Result<(), TableError> {
        let ready = self.slots.iter_mut().filter(|slot| begins_swap(worker, slot));
        swap_in(worker, ready.collect()).await?;
        for slot in &mut self.slots {
            if slot.seat.is_asked() {
                slot.row.state = BuildState::Active;
            }
            slot.seat.live();
        }
        self.drop_out(worker, Vec::new());
        Ok(())
    }

    /// Follows the stream in batches until it can't be trusted any longer. The next batch is taken in while the last one is
    /// written.
    async fn follow(&mut self, worker: &Arc<Worker>) -> Result<Left, TableError> {
        let connect = Duration::from_millis(worker.options.follow_timeout_ms);
        let mut stream = match timeout(connect, worker.live.follow(self.seen)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ok(Left::Broken(error.to_string())),
            Err(_) => return Ok(Left::Broken("no answer when following the stream".to_owned())),
        };
        let mut batch: Option<Batch> = None;
        loop {
            let mut intake = Intake::new(worker, self.seen);
            let posts = self.posts();
            let refused = intake
                .take_during(stream.as_mut(), write(worker, &posts, batch))
                .await?;
            self.drop_out(worker, refused);
            if intake.left.is_none() && !self.slots.is_empty() {
                intake.fill(stream.as_mut(), &self.posts()).await;
            }
            // A build may have been replaced while nothing came.
            self.drop_out(worker, Vec::new());
            self.seen = intake.seen;
            batch = self.batch(worker, intake.events).await;
            let left = intake.left;
            let left = left.or_else(|| self.slots.is_empty().then_some(Left::Behind("no model is left")));
            if let Some(left) = left {
                let refused = write(worker, &self.posts(), batch).await?;
                self.drop_out(worker, refused);
                return Ok(left);
            }
        }
    }

    /// What the models make of events. `None` without any.
    async fn batch(&mut self, worker: &Arc<Worker>, events: Vec<RecordedEvent>) -> Option<Batch> {
        let (last, count) = (events.last().cloned()?, events.len() as u64);
        worker.project(&mut self.slots, events).await;
        Some(Batch::of(&mut self.slots, last, count))
    }

    /// Goes on without the stream for a while, and for no longer, however much comes.
    async fn poll_log(&mut self, worker: &Arc<Worker>, time: Duration) -> Result<(), TableError> {
        let until = Instant::now() + time;
        let wait = Duration::from_millis(worker.options.batch_wait_ms);
        // A time-out alone would not do: it gives what is ready even after its time, and a busy log always is.
        while Instant::now() < until {
            let Ok(moved) = timeout_at(until, worker.log.wait_past(self.seen)).await else {
                break;
            };
            let asked = self.slots.iter().any(|slot| !slot.waits());
            let pause = if asked && moved.is_ok() {
                Instant::now() + wait
            } else {
                until
            };
            // Nobody asks the tables of builds that wait: what comes meanwhile is written once. And where the log says nothing
            // either, reading it waits until it does.
            tokio::time::sleep_until(pause.min(until)).await;
            self.read_log(worker).await?;
            self.slots.iter().for_each(|slot| slot.seat.live());
        }
        Ok(())
    }
}

/// So many rows of a table are written before those of the others and the progress: the store takes them while more is projected,
/// and finds less to do at the end.
fn block_rows(worker: &Worker) -> usize {
    worker.options.batch_events_max.max(1)
}

/// Looks which of new builds may be asked by now, with one question for all of them.
async fn look_at(worker: &Worker, waiting: Vec<&mut Slot>, seen: Position) -> Result<(), TableError> {
    let mut looked_for = Vec::new();
    for slot in waiting {
        if slot.seat.is_asked() {
            slot.row.state = BuildState::Active;
            continue;
        }
        let target = *slot.caught_up_at.get_or_insert(seen);
        if slot.partition == 0 && target == Position::START {
            slot.whole = true;
        } else if slot.partition == 0 && !slot.whole {
            looked_for.push((slot, target));
        }
    }
    let rows: Vec<BuildRow> = looked_for.iter().map(|(slot, _)| slot.row.clone()).collect();
    let rows: Vec<&BuildRow> = rows.iter().collect();
    let reached = match progress::read_of(worker.tables.as_ref(), &rows).await {
        Ok(reached) => reached,
        // It is looked again.
        Err(TableError::Unavailable(_)) => return Ok(()),
        Err(other) => return Err(other),
    };
    for (slot, target) in looked_for {
        let everywhere = progress::whole(&slot.row, reached.get(&slot.row.incarnation));
        slot.whole = everywhere.is_some_and(|everywhere| everywhere.upto >= target);
    }
    Ok(())
}

/// Whether a new build is to become the one that is asked now. If so nobody can give it up from here on.
fn begins_swap(worker: &Worker, slot: &Slot) -> bool {
    let compared = slot.compared || !worker.options.verify_rebuilds;
    slot.waits() && slot.whole && compared && slot.seat.begin_swap()
}

/// Makes new builds the ones that are asked.
async fn swap_in(worker: &Worker, ready: Vec<&mut Slot>) -> Result<(), TableError> {
    if ready.is_empty() {
        return Ok(());
    }
    let rows: Vec<BuildRow> = ready.iter().map(|slot| slot.row.clone()).collect();
    let asked = worker.builds.activate(&rows).await?;
    let mut swapped = Vec::new();
    for (slot, active) in ready.into_iter().zip(asked) {
        let Some(active) = active else {
            // Somebody gave it up, or has another one asked.
            slot.seat.end_swap();
            worker.board.abandon(slot.facts.name, slot.row.incarnation);
            continue;
        };
        slot.row = active;
        slot.seat.activated();
        worker.sweep_later(slot.facts.name);
        swapped.push(slot);
    }
    let views = swapped
        .iter()
        .map(|slot| worker.builds.ensure_views(&slot.facts, &slot.row));
    try_join_all(views).await?;
    Ok(())
}

/// Reads a page, for as long as it takes the log to give one.
async fn read_page(worker: &Worker, posts: &[Post], after: Position) -> LogPage {
    let limit = PageLimit {
        events: worker.options.batch_events_max.max(1),
        bytes: worker.options.batch_bytes_max,
    };
    let mut backoff = worker.backoff();
    loop {
        match worker.log.read_all(after, limit).await {
            Ok(page) => return page,
            Err(error) => {
                let why = with_causes(&error);
                tracing::warn!(%after, error = why, "projection_read_failed: trying again");
                posts.iter().for_each(|post| post.failed(&why));
                backoff.wait().await;
            }
        }
    }
}

async fn write(worker: &Worker, posts: &[Post], batch: Option<Batch>) -> Result<Vec<Refusal>, TableError> {
    match batch {
        Some(batch) => worker.write(posts, batch).await,
        None => Ok(Vec::new()),
    }
}
