//! A lane: models that stand at the same position and are fed together, from the log until they have caught up, then from
//! the stream.
//!
//! The stream is only a faster way to learn what the log holds. Whatever is odd about it (a gap, silence, another log) sends
//! the lane back to the log; events are fed in log order, each once.

use std::time::Duration;

use domain::{
    EventData, LiveEvent, LiveSubscription, LogPage, PageLimit, Position, RecordedEvent, TableError,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::Worker;
use super::board::Seat;
use super::open::Slot;
use crate::builds::BuildState;

/// Models on their way together.
pub(crate) struct Lane {
    slots: Vec<Slot>,
    /// The last event fed.
    seen: Position,
}

/// Why the stream is left for the log.
#[derive(Debug)]
enum Left {
    /// An event is missing, or came to the log but not here.
    Behind(&'static str),
    /// The stream can't be used now.
    Broken(String),
}

/// What came of waiting for the next message.
enum Next {
    Event(RecordedEvent),
    Left(Left),
}

impl Lane {
    /// A lane of models that want events after the same position.
    pub(crate) const fn new(slots: Vec<Slot>, seen: Position) -> Self {
        Self { slots, seen }
    }

    /// Runs until the store refuses, or no model is left. Dropping it at any await is as good as a crash: nothing is lost.
    pub(crate) async fn run(mut self, worker: &Worker) -> Result<(), TableError> {
        let mut backoff = worker.backoff();
        while !self.slots.is_empty() {
            let before = self.seen;
            self.read_log(worker).await?;
            self.caught_up(worker).await?;
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

    fn seats(&self) -> Vec<&Seat> {
        self.slots.iter().map(|slot| &slot.seat).collect()
    }

    /// Reads the log to its head. The next page is read while the rows of the last one are written.
    async fn read_log(&mut self, worker: &Worker) -> Result<(), TableError> {
        let mut page = read_page(worker, &self.seats(), self.seen).await;
        while let Some(last) = page.events.last().map(|event| event.position) {
            let at_head = last >= page.head;
            if !at_head {
                self.slots.iter().for_each(|slot| slot.seat.catching_up());
            }
            let batch = worker.project(&mut self.slots, page.events).await?;
            self.seen = last;
            let seats = self.seats();
            let write = async {
                match batch {
                    Some(batch) => worker.write(&seats, batch).await,
                    None => Ok(()),
                }
            };
            if at_head {
                write.await?;
                self.drop_out(worker);
                return Ok(());
            }
            let (written, next) = tokio::join!(write, read_page(worker, &seats, last));
            written?;
            page = next;
            self.drop_out(worker);
        }
        Ok(())
    }

    /// Models that failed, and those whose build was replaced, leave the lane.
    fn drop_out(&mut self, worker: &Worker) {
        self.slots.retain(|slot| {
            if let Some(defect) = &slot.defect {
                tracing::error!(
                    projection = slot.facts.name,
                    defect,
                    "projection_defect: it stands still"
                );
                slot.seat.failed(defect);
                worker.fell_out(slot.facts.name, defect);
                return false;
            }
            !worker
                .board
                .is_replaced(slot.facts.name, slot.row.build, slot.row.incarnation)
        });
    }

    /// The tables hold everything up to the head: builds made beside are swapped in.
    async fn caught_up(&mut self, worker: &Worker) -> Result<(), TableError> {
        for slot in &mut self.slots {
            if slot.row.state == BuildState::Building {
                slot.row = worker.builds.activate(&slot.row).await?;
                slot.seat.activated();
                worker.swapped(slot.facts.name);
                worker.builds.ensure_views(&slot.facts, &slot.row).await?;
            }
            slot.seat.live();
        }
        Ok(())
    }

    /// Follows the stream in batches until it can't be trusted any longer.
    async fn follow(&mut self, worker: &Worker) -> Result<Left, TableError> {
        let connect = Duration::from_millis(worker.options.follow_timeout_ms);
        let mut stream = match timeout(connect, worker.live.follow(self.seen)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ok(Left::Broken(error.to_string())),
            Err(_) => return Ok(Left::Broken("no answer when following the stream".to_owned())),
        };
        while !self.slots.is_empty() {
            let (events, left) = self.collect(worker, stream.as_mut()).await;
            let batch = worker.project(&mut self.slots, events).await?;
            if let Some(batch) = batch {
                worker.write(&self.seats(), batch).await?;
            }
            self.drop_out(worker);
            if let Some(left) = left {
                return Ok(left);
            }
        }
        Ok(Left::Behind("no model is left"))
    }

    /// The next batch: full, or its first event has waited long enough.
    async fn collect(
        &mut self,
        worker: &Worker,
        stream: &mut dyn LiveSubscription,
    ) -> (Vec<RecordedEvent>, Option<Left>) {
        let mut events = Vec::new();
        let first = match self.first(worker, stream).await {
            Next::Event(event) => event,
            Next::Left(left) => return (events, Some(left)),
        };
        let deadline = Instant::now() + Duration::from_millis(worker.options.batch_wait_ms);
        let mut bytes = event_bytes(&first);
        events.push(first);
        while events.len() < worker.options.batch_events_max && bytes < worker.options.batch_bytes_max {
            let Ok(message) = timeout_at(deadline, stream.next()).await else {
                break;
            };
            match self.check(worker, message) {
                Ok(Some(event)) => {
                    bytes += event_bytes(&event);
                    events.push(event);
                }
                Ok(None) => {}
                Err(left) => return (events, Some(left)),
            }
        }
        (events, None)
    }

    /// Waits for the next event; leaves the stream when it is silent while the head moves.
    async fn first(&mut self, worker: &Worker, stream: &mut dyn LiveSubscription) -> Next {
        let silent = Duration::from_millis(worker.options.silent_ms.max(1));
        loop {
            let Ok(message) = timeout(silent, stream.next()).await else {
                match worker.log.head().await {
                    Ok(head) if head > self.seen => return Next::Left(Left::Behind("the stream is silent")),
                    Ok(_) => self.slots.iter().for_each(|slot| slot.seat.live()),
                    Err(error) => self
                        .slots
                        .iter()
                        .for_each(|slot| slot.seat.failed(&error.to_string())),
                }
                continue;
            };
            match self.check(worker, message) {
                Ok(Some(event)) => return Next::Event(event),
                Ok(None) => {}
                Err(left) => return Next::Left(left),
            }
        }
    }

    /// Takes a message if it carries the event right after the last one; `None` for one seen already.
    fn check(
        &mut self,
        worker: &Worker,
        message: Result<LiveEvent, domain::FanOutError>,
    ) -> Result<Option<RecordedEvent>, Left> {
        let live = message.map_err(|error| Left::Broken(error.to_string()))?;
        if live.log_id != worker.log.id() {
            return Err(Left::Broken(format!(
                "the stream was filled from another log, {}",
                live.log_id
            )));
        }
        if live.event.position <= self.seen {
            return Ok(None);
        }
        if live.previous != self.seen {
            return Err(Left::Behind("the stream has a gap"));
        }
        self.seen = live.event.position;
        Ok(Some(live.event))
    }

    /// Goes on without the stream for a while.
    async fn poll_log(&mut self, worker: &Worker, time: Duration) -> Result<(), TableError> {
        let until = Instant::now() + time;
        let wait = Duration::from_millis(worker.options.batch_wait_ms);
        while let Ok(moved) = timeout_at(until, worker.log.wait_past(self.seen)).await {
            if moved.is_err() {
                // The log says nothing either; reading it waits until it does.
                tokio::time::sleep_until(until).await;
            }
            tokio::time::sleep(wait).await;
            self.read_log(worker).await?;
            self.slots.iter().for_each(|slot| slot.seat.live());
        }
        Ok(())
    }
}

/// Reads a page, for as long as it takes the log to give one.
async fn read_page(worker: &Worker, seats: &[&Seat], after: Position) -> LogPage {
    let limit = PageLimit {
        events: worker.options.batch_events_max.max(1),
        bytes: worker.options.batch_bytes_max,
    };
    let mut backoff = worker.backoff();
    loop {
        match worker.log.read_all(after, limit).await {
            Ok(page) => return page,
            Err(error) => {
                tracing::warn!(%after, %error, "projection_read_failed: trying again");
                seats.iter().for_each(|seat| seat.failed(&error.to_string()));
                backoff.wait().await;
            }
        }
    }
}

fn event_bytes(event: &RecordedEvent) -> usize {
    let data = match &event.data {
        EventData::Inline(bytes) => bytes.len(),
        EventData::Stored(_) => 0,
    };
    event.metadata.len() + data
}
