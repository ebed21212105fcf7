//! The stream in memory, with faults.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use domain::{
    FanOut, FanOutError, FanOutTail, LiveEvent, LiveEvents, LiveSubscription, LogId, Message, Position,
    RecordedEvent, event_of,
};
use tokio::sync::watch;

use super::Dice;

/// The stream in memory.
pub(crate) struct FakeStream {
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
    pub(crate) dice: Dice,
    /// Bytes of each call to publish.
    pub(crate) published: Vec<usize>,
    /// How often somebody began to follow it.
    pub(crate) followed: u64,
    epoch: u64,
}

impl FakeStream {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(StreamState {
                log_id: None,
                messages: Vec::new(),
                last_sequence: 0,
                bytes_max: u64::MAX,
                faults: 0,
                drops: 0,
                down: false,
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

    async fn publish(&self, expected_last_sequence: u64, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let mut expected = expected_last_sequence;
        let bytes = messages.iter().map(|m| m.payload.len()).sum();
        self.state().published.push(bytes);
        for message in messages {
            tokio::task::yield_now().await;
            let mut state = self.state();
            if state.fails() {
                return Err(unavailable());
            }
            if state.last_sequence != expected {
                return Err(FanOutError::Moved);
            }
            state.store(message);
            expected += 1;
            let lost = state.fails();
            drop(state);
            self.changed.send_modify(|n| *n += 1);
            if lost {
                return Err(unavailable());
            }
        }
        Ok(expected)
    }

    fn bytes_max(&self) -> u64 {
        self.state().bytes_max
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
