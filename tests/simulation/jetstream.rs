//! A JetStream server as the real one was measured to be, and the ports over it.
//!
//! Messages arrive in the order they were sent, some get lost on the way, and those that follow are stored all the same,
//! unless they say after which sequence they belong. What a dead process sent may still arrive in the next life. Message ids
//! are remembered for a short while; an acknowledgement may get lost. A stream may be wiped, purged, or full, and forgets
//! its oldest messages then. Subscriptions die, lose messages and deliver some twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    EventId, FanOut, FanOutError, FanOutTail, LiveEvent, LiveEvents, LiveSubscription, LogId, Position,
    Publishing, event_of,
};
use publishing::PublishingPort;
use tokio::sync::{Notify, oneshot};

use crate::dice::Dice;
use crate::world::World;

mod publishing;

/// How long the server remembers message ids.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// A message on the server.
#[derive(Debug, Clone)]
pub struct Stored {
    pub sequence: u64,
    pub headers: Vec<(String, String)>,
    pub payload: Bytes,
}

impl Stored {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|h| h.0 == name);
        found.map(|h| h.1.as_str())
    }

    /// The event that it carries.
    pub fn event(&self) -> LiveEvent {
        event_of(|name| self.header(name), self.payload.clone()).unwrap()
    }

    fn position(&self) -> Position {
        self.header("Hooklog-Position").unwrap().parse().unwrap()
    }

    fn bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|h| h.0.len() + h.1.len()).sum();
        (headers + self.payload.len()) as u64
    }
}

/// What the server answers a publisher.
#[derive(Debug)]
enum Ack {
    Stored { sequence: u64, duplicate: bool },
    WrongLast,
}

/// A message under way.
struct Arriving {
    life: u32,
    /// What a dead process sent may have stood still somewhere.
    not_before: Duration,
    headers: Vec<(String, String)>,
    payload: Bytes,
    ack: Option<oneshot::Sender<Ack>>,
}

/// The server.
pub struct JetStream {
    state: Mutex<State>,
    arrived: Notify,
    stored: tokio::sync::watch::Sender<u64>,
}

struct State {
    log_id: Option<LogId>,
    messages: VecDeque<Stored>,
    last_sequence: u64,
    known_ids: Vec<(String, u64, Duration)>,
    arriving: VecDeque<Arriving>,
    bytes_max: u64,
    down_until: Duration,
    /// Grows when the stream is made anew or the server restarts: subscriptions end.
    epoch: u64,
}

impl JetStream {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            state: Mutex::new(State {
                log_id: None,
                messages: VecDeque::new(),
                last_sequence: 0,
                known_ids: Vec::new(),
                arriving: VecDeque::new(),
                bytes_max,
                down_until: Duration::ZERO,
                epoch: 0,
            }),
            arrived: Notify::new(),
            stored: tokio::sync::watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The messages that it holds.
    pub fn messages(&self) -> Vec<Stored> {
        self.state().messages.iter().cloned().collect()
    }

    /// Subscriptions end with the process; what it sent is still under way, and may stand still for a while.
    pub fn after_crash(&self, now: Duration, dice: &mut Dice) {
        let mut state = self.state();
        state.epoch += 1;
        let still = Duration::from_millis(if dice.percent(60) { dice.below(3000) } else { 0 });
        for message in &mut state.arriving {
            message.ack = None;
            message.not_before = message.not_before.max(now + still);
        }
    }

    /// Somebody deletes the stream.
    pub fn wipe(&self) {
        let mut state = self.state();
        (state.log_id, state.last_sequence) = (None, 0);
        state.messages.clear();
        state.known_ids.clear();
        state.epoch += 1;
    }

    /// Somebody purges a part of it; the sequence stays.
    pub fn purge(&self, keep: usize) {
        let mut state = self.state();
        let cut = state.messages.len().saturating_sub(keep);
        state.messages.drain(..cut);
    }

    /// The server restarts and is away for a while.
    pub fn down_for(&self, world: &World, time: Duration) {
        let mut state = self.state();
        state.down_until = world.elapsed() + time;
        state.epoch += 1;
    }

    /// The server at work: takes in what arrives.
    pub async fn serve(world: Arc<World>) {
        let server = &world.stream;
        loop {
            if let Some(wait) = server.wait(&world) {
                tokio::select! {
                    biased;
                    () = server.arrived.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
            let pause = match world.between(0, 9) {
                0..6 => 0,
                6..9 => world.between(10, 3000),
                _ => world.between(1000, 60_000),
            };
            if pause > 0 {
                tokio::time::sleep(Duration::from_micros(pause)).await;
            }
            if let Some(arriving) = server.next(&world) {
                server.take(&world, arriving);
            }
        }
    }

    /// How long nothing arrives, if nothing does now.
    fn wait(&self, world: &World) -> Option<Duration> {
        let (now, state) = (world.elapsed(), self.state());
        let first = state.arriving.iter().map(|message| message.not_before).min();
        let wait = first.map_or(Duration::from_secs(60), |first| first.saturating_sub(now));
        (!wait.is_zero()).then_some(wait)
    }

    /// What arrives next. Of one connection that is always the oldest; connections don't wait for each other.
    fn next(&self, world: &World) -> Option<Arriving> {
        let now = world.elapsed();
        let mut state = self.state();
        let first = state
            .arriving
            .iter()
            .position(|message| message.not_before <= now)?;
        state.arriving.remove(first)
    }

    fn take(&self, world: &World, arriving: Arriving) {
        let late = arriving.life != world.life();
        let lost = world.fails(world.odds.publish_lost);
        if lost || self.is_down(world) {
            world.say("nats: a message is lost on its way");
            world.count("publishes lost");
            return;
        }
        let ack = self.state().store(&arriving, world.elapsed());
        world.say(format!("nats: {ack:?}{}", if late { ", late" } else { "" }));
        if late {
            world.count("publishes of a dead process");
        }
        if matches!(ack, Ack::WrongLast) {
            world.count("publishes fenced");
        }
        self.stored.send_modify(|n| *n += 1);
        if world.fails(world.odds.ack_lost) {
            world.count("acks lost");
            return;
        }
        if let Some(asker) = arriving.ack {
            let _ = asker.send(ack);
        }
    }

    fn is_down(&self, world: &World) -> bool {
        !world.is_calm() && world.elapsed() < self.state().down_until
    }

    fn fails(&self, world: &World) -> Result<(), FanOutError> {
        if self.is_down(world) || world.fails(world.odds.stream_fails) {
            return Err(unavailable());
        }
        Ok(())
    }
}

fn unavailable() -> FanOutError {
    FanOutError::Unavailable("the connection is lost".into())
}

impl State {
    fn store(&mut self, arriving: &Arriving, now: Duration) -> Ack {
        let header = |name: &str| {
            let found = arriving.headers.iter().find(|h| h.0 == name);
            found.map(|h| h.1.as_str())
        };
        self.known_ids.retain(|(_, _, at)| *at + DUPLICATE_WINDOW > now);
        let id = header("Nats-Msg-Id");
        let known = self.known_ids.iter().find(|known| Some(known.0.as_str()) == id);
        if let Some((_, sequence, _)) = known {
            return Ack::Stored {
                sequence: *sequence,
                duplicate: true,
            };
        }
        if header("Nats-Expected-Last-Sequence").is_some_and(|text| text != self.last_sequence.to_string()) {
            return Ack::WrongLast;
        }
        let last = self.messages.back();
        let last_id = last.and_then(|m| m.header("Nats-Msg-Id")).unwrap_or_default();
        if header("Nats-Expected-Last-Msg-Id").is_some_and(|text| text != last_id) {
            return Ack::WrongLast;
        }
        self.last_sequence += 1;
        if let Some(id) = id {
            self.known_ids.push((id.to_owned(), self.last_sequence, now));
        }
        self.messages.push_back(Stored {
            sequence: self.last_sequence,
            headers: arriving.headers.clone(),
            payload: arriving.payload.clone(),
        });
        let mut bytes: u64 = self.messages.iter().map(Stored::bytes).sum();
        while bytes > self.bytes_max
            && let Some(oldest) = self.messages.pop_front()
        {
            bytes -= oldest.bytes();
        }
        Ack::Stored {
            sequence: self.last_sequence,
            duplicate: false,
        }
    }

    fn tail(&self) -> FanOutTail {
        let last = self.messages.back();
        let position = last.and_then(|m| m.header("Hooklog-Position"));
        let event = last.and_then(|m| m.header("ce-id"));
        FanOutTail {
            log_id: self.log_id,
            last_sequence: self.last_sequence,
            last_position: position.map(|text| text.parse::<Position>().unwrap()),
            last_event: event.map(|text| text.parse::<EventId>().unwrap()),
        }
    }
}

/// The stream as a process holds it.
pub struct StreamPort(pub Arc<World>);

#[async_trait]
impl FanOut for StreamPort {
    async fn tail(&self) -> Result<FanOutTail, FanOutError> {
        let world = &self.0;
        world.step("nats: tail").await;
        world.stream.fails(world)?;
        let tail = world.stream.state().tail();
        world.say(format!(
            "nats: ends with {} at {:?}",
            tail.last_sequence, tail.last_position
        ));
        Ok(tail)
    }

    async fn rebind(&self, log: LogId) -> Result<FanOutTail, FanOutError> {
        let world = &self.0;
        world.step("nats: purge").await;
        world.stream.fails(world)?;
        let emptied = {
            let mut state = world.stream.state();
            let any = !state.messages.is_empty();
            state.messages.clear();
            state.epoch += u64::from(any);
            any
        };
        if emptied {
            // As the adapter does: an emptied stream still knows the ids of its messages for a while.
            tokio::time::sleep(2 * DUPLICATE_WINDOW).await;
        }
        world.step("nats: bind").await;
        world.stream.fails(world)?;
        world.count("streams filled anew");
        let tail = {
            let mut state = world.stream.state();
            state.log_id = Some(log);
            state.tail()
        };
        // Done, but nobody hears of it.
        world.stream.fails(world)?;
        Ok(tail)
    }

    fn publish_after(&self, sequence: u64) -> Box<dyn Publishing> {
        Box::new(PublishingPort::after(sequence, &self.0))
    }

    fn bytes_max(&self) -> u64 {
        self.0.stream.state().bytes_max
    }
}

#[async_trait]
impl LiveEvents for StreamPort {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        let world = &self.0;
        world.step(format!("nats: follow after {after}")).await;
        world.stream.fails(world)?;
        let epoch = world.stream.state().epoch;
        Ok(Box::new(Subscription {
            world: Arc::clone(world),
            changed: world.stream.stored.subscribe(),
            epoch,
            after,
            sequence: 0,
            again: None,
        }))
    }
}

struct Subscription {
    world: Arc<World>,
    changed: tokio::sync::watch::Receiver<u64>,
    epoch: u64,
    after: Position,
    sequence: u64,
    /// Delivered once more.
    again: Option<Stored>,
}

impl Subscription {
    fn ready(&mut self) -> Result<Option<Stored>, FanOutError> {
        let world = &self.world;
        let state = world.stream.state();
        if state.epoch != self.epoch {
            return Err(unavailable());
        }
        if let Some(again) = self.again.take() {
            return Ok(Some(again));
        }
        let from = state
            .messages
            .partition_point(|message| message.sequence <= self.sequence);
        let next = state
            .messages
            .range(from..)
            .find(|message| message.position() > self.after);
        Ok(next.cloned())
    }
}

#[async_trait]
impl LiveSubscription for Subscription {
    async fn next(&mut self) -> Result<LiveEvent, FanOutError> {
        loop {
            if self.world.is_dead() {
                std::future::pending::<()>().await;
            }
            let Some(message) = self.ready()? else {
                self.changed.changed().await.map_err(|_| unavailable())?;
                continue;
            };
            let world = &self.world;
            // Nothing is awaited between taking a message and handing it on: who drops the future loses none.
            world.stream.fails(world)?;
            self.sequence = self.sequence.max(message.sequence);
            if world.fails(world.odds.message_lost) {
                world.count("messages lost");
                continue;
            }
            if world.fails(world.odds.message_twice) {
                world.count("messages delivered twice");
                self.again = Some(message.clone());
            }
            return Ok(message.event());
        }
    }
}
