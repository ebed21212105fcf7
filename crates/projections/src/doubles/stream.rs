//! The stream in memory, with faults.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use async_trait::async_trait;
use domain::{
    FanOut, FanOutError, FanOutTail, LiveEvent, LiveEvents, LiveSubscription, LogId, Message, Position,
    Publishing, RecordedEvent, event_of,
};
use tokio::sync::watch;

use super::Dice;

/// The stream in memory.
pub(crate) struct FakeStream {
    me: Weak<Self>,
    state: Mutex<StreamState>,
    changed: watch::Sender<u64>,
}

pub(crate) struct StreamState {
    pub(crate) log_id: Option<LogId>,
    pub(crate) messages: Vec<(u64, Message)>,
    pub(crate) last_sequence: u64,
    pub(crate) bytes_max: u64,
    /// Percentage of calls that fail, in every way they can.
    pub(crate) faults: u64,
    /// Messages that subscriptions lose, in percent.
    pub(crate) drops: u64,
    pub(crate) down: bool,
    /// Whether messages stay under way, neither stored nor acknowledged.
    held: bool,
    /// Whether the next message is lost on its way.
    pub(crate) lose_next: bool,
    pub(crate) dice: Dice,
    /// Bytes of each call to send.
    pub(crate) published: Vec<usize>,
    /// How often somebody began to follow it.
    pub(crate) followed: u64,
    epoch: u64,
}

impl FakeStream {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            state: Mutex::new(StreamState {
                log_id: None,
                messages: Vec::new(),
                last_sequence: 0,
                bytes_max: u64::MAX,
                faults: 0,
                drops: 0,
                down: false,
                held: false,
                lose_next: false,
                dice: Dice::new(seed),
                published: Vec::new(),
                followed: 0,
                epoch: 0,
            }),
            changed: watch::Sender::new(0),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap()
    }

    /// Somebody deleted the stream.
    pub(crate) fn wipe(&self) {
        let mut state = self.state();
        (state.log_id, state.last_sequence) = (None, 0);
        state.messages.clear();
        state.epoch += 1;
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Messages stay under way from now on, or arrive again.
    pub(crate) fn hold(&self, held: bool) {
        self.state().held = held;
        self.changed.send_modify(|n| *n += 1);
    }

    /// The oldest messages are discarded; the sequence stays.
    pub(crate) fn purge(&self, keep: usize) {
        let mut state = self.state();
        let cut = state.messages.len().saturating_sub(keep);
        state.messages.drain(..cut);
    }

    /// Fills in an event without a relay.
    pub(crate) fn put(&self, log: LogId, event: &RecordedEvent, previous: Position) {
        let message = domain::message_of(event, log, previous, "http://h").unwrap();
        let mut state = self.state();
        state.log_id = Some(log);
        state.store(message);
        drop(state);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn live(&self) -> Vec<LiveEvent> {
        self.state().messages.iter().map(|(_, m)| read(m)).collect()
    }
}

pub(crate) fn read(message: &Message) -> LiveEvent {
    let find = |name: &str| message.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
    event_of(find, message.payload.clone()).unwrap()
}

impl StreamState {
    fn store(&mut self, message: Message) {
        self.last_sequence += 1;
        self.messages.push((self.last_sequence, message));
    }

    fn fails(&mut self) -> bool {
        self.down || self.faults > 0 && self.dice.chance(self.faults)
    }

    fn tail(&self) -> FanOutTail {
        FanOutTail {
            log_id: self.log_id,
            last_sequence: self.last_sequence,
            last_position: self.messages.last().map(|(_, m)| m.position),
            last_event: self.messages.last().map(|(_, m)| read(m).event.id),
        }
    }
}

fn unavailable() -> FanOutError {
    FanOutError::Unavailable("set so by the test".into())
}

#[async_trait]
impl FanOut for FakeStream {
    async fn tail(&self) -> Result<FanOutTail, FanOutError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.fails() {
            Err(unavailable())
        } else {
            Ok(state.tail())
        }
    }

    async fn rebind(&self, log: LogId) -> Result<FanOutTail, FanOutError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        if state.fails() {
            return Err(unavailable());
        }
        state.log_id = Some(log);
        state.messages.clear();
        state.epoch += 1;
        let tail = state.tail();
        // Done, but nobody hears of it.
        if state.fails() {
            Err(unavailable())
        } else {
            Ok(tail)
        }
    }

    fn publish_after(&self, sequence: u64) -> Box<dyn Publishing> {
        Box::new(FakePublishing {
            stream: self.me.upgrade().unwrap(),
            stored: sequence,
            under_way: VecDeque::new(),
            broken: None,
        })
    }

    fn bytes_max(&self) -> u64 {
        self.state().bytes_max
    }
}

/// Messages sent; some of them are stored at once, the others when somebody waits for it.
struct FakePublishing {
    stream: Arc<FakeStream>,
    stored: u64,
    under_way: VecDeque<Message>,
    broken: Option<FanOutError>,
}

impl FakePublishing {
    /// The oldest message arrives; when it is not stored, none behind it is.
    fn arrive(&mut self) -> Result<(), FanOutError> {
        let mut state = self.stream.state();
        let message = self.under_way.pop_front().unwrap();
        if std::mem::take(&mut state.lose_next) || state.fails() {
            return Err(unavailable());
        }
        if state.last_sequence != self.stored {
            return Err(FanOutError::Moved);
        }
        state.store(message);
        let lost = state.fails();
        drop(state);
        self.stored += 1;
        self.stream.changed.send_modify(|n| *n += 1);
        if lost { Err(unavailable()) } else { Ok(()) }
    }

    async fn arrive_all_but(&mut self, waiting: usize) -> Result<u64, FanOutError> {
        while self.broken.is_none() && self.under_way.len() > waiting {
            tokio::task::yield_now().await;
            if let Err(error) = self.arrive() {
                self.under_way.clear();
                self.broken = Some(error);
            }
        }
        self.broken.clone().map_or(Ok(self.stored), Err)
    }
}

#[async_trait]
impl Publishing for FakePublishing {
    async fn send(&mut self, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let waiting = {
            let mut state = self.stream.state();
            state
                .published
                .push(messages.iter().map(|m| m.payload.len()).sum());
            self.under_way.extend(messages);
            let len = self.under_way.len();
            if state.held {
                len
            } else {
                usize::try_from(state.dice.roll(len as u64)).unwrap()
            }
        };
        self.arrive_all_but(waiting).await
    }

    async fn settle(&mut self) -> Result<u64, FanOutError> {
        let mut changed = self.stream.changed.subscribe();
        while self.broken.is_none() && (self.under_way.is_empty() || self.stream.state().held) {
            changed.changed().await.map_err(|_| unavailable())?;
        }
        self.arrive_all_but(self.under_way.len().saturating_sub(1)).await
    }
}

struct FakeSubscription {
    stream: Arc<FakeStream>,
    changed: watch::Receiver<u64>,
    epoch: u64,
    after: Position,
    sequence: u64,
}

/// The stream as followers hold it.
pub(crate) struct Followed(pub(crate) Arc<FakeStream>);

#[async_trait]
impl LiveEvents for Followed {
    async fn follow(&self, after: Position) -> Result<Box<dyn LiveSubscription>, FanOutError> {
        let mut state = self.0.state();
        if state.fails() {
            return Err(unavailable());
        }
        state.followed += 1;
        Ok(Box::new(FakeSubscription {
            stream: Arc::clone(&self.0),
            changed: self.0.changed.subscribe(),
            epoch: state.epoch,
            after,
            sequence: 0,
        }))
    }
}

#[async_trait]
impl LiveSubscription for FakeSubscription {
    async fn next(&mut self) -> Result<LiveEvent, FanOutError> {
        loop {
            {
                let mut state = self.stream.state();
                if state.epoch != self.epoch || state.fails() {
                    return Err(unavailable());
                }
                let next = state
                    .messages
                    .iter()
                    .find(|(s, m)| *s > self.sequence && m.position > self.after);
                if let Some((sequence, message)) = next.cloned() {
                    self.sequence = sequence;
                    let drops = state.drops;
                    if drops > 0 && state.dice.chance(drops) {
                        continue;
                    }
                    return Ok(read(&message));
                }
            }
            self.changed.changed().await.map_err(|_| unavailable())?;
        }
    }
}
