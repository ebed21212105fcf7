//! What comes through the stream, checked message by message and gathered into the next batch.

use std::future::Future;
use std::time::Duration;

use domain::{EventData, FanOutError, LiveEvent, LiveStep, LiveSubscription, Position, RecordedEvent};
use tokio::time::{Instant, timeout, timeout_at};

use super::Worker;
use super::board::Post;
use crate::causes::with_causes;

/// Why the stream is left for the log.
#[derive(Debug)]
pub(crate) enum Left {
    /// An event is missing, or came to the log but not here.
    Behind(&'static str),
    /// The stream can't be used now.
    Broken(String),
}

/// The next batch, as far as it has come.
pub(crate) struct Intake<'a> {
    worker: &'a Worker,
    /// The events, each right after the one before it.
    pub(crate) events: Vec<RecordedEvent>,
    /// The last event taken.
    pub(crate) seen: Position,
    /// Why nothing more will come.
    pub(crate) left: Option<Left>,
    bytes: usize,
    first_at: Option<Instant>,
}

impl<'a> Intake<'a> {
    pub(crate) const fn new(worker: &'a Worker, seen: Position) -> Self {
        Self {
            worker,
            events: Vec::new(),
            seen,
            left: None,
            bytes: 0,
            first_at: None,
        }
    }

    /// Takes what comes while something else is done, and returns when that is done.
    pub(crate) async fn take_during<F>(&mut self, stream: &mut dyn LiveSubscription, work: F) -> F::Output
    where
        F: Future + Send,
    {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                message = stream.next(), if !self.is_full() && self.left.is_none() => self.take(message),
            }
        }
    }

    /// Takes more until the batch is full or its first event has waited long enough. Waits for a first one, but leaves the
    /// stream when it is silent while the head of the log moves.
    pub(crate) async fn fill(&mut self, stream: &mut dyn LiveSubscription, posts: &[Post]) {
        let silent = Duration::from_millis(self.worker.options.silent_ms.max(1));
        while self.first_at.is_none() && self.left.is_none() {
            match timeout(silent, stream.next()).await {
                Ok(message) => self.take(message),
                Err(_) => self.look_at_the_head(posts).await,
            }
        }
        let wait = Duration::from_millis(self.worker.options.batch_wait_ms);
        let deadline = self.first_at.unwrap_or_else(Instant::now) + wait;
        while !self.is_full() && self.left.is_none() {
            match timeout_at(deadline, stream.next()).await {
                Ok(message) => self.take(message),
                Err(_) => return,
            }
        }
    }

    fn is_full(&self) -> bool {
        let options = &self.worker.options;
        self.events.len() >= options.batch_events_max.max(1) || self.bytes >= options.batch_bytes_max.max(1)
    }

    async fn look_at_the_head(&mut self, posts: &[Post]) {
        match self.worker.log.head().await {
            Ok(head) if head > self.seen => self.left = Some(Left::Behind("the stream is silent")),
            Ok(_) => posts.iter().for_each(Post::live),
            Err(error) => posts.iter().for_each(|post| post.failed(&with_causes(&error))),
        }
    }

    /// Takes a message if it carries the event right after the last one; one seen already is passed over.
    fn take(&mut self, message: Result<LiveEvent, FanOutError>) {
        let live = match message {
            Ok(live) => live,
            Err(error) => return self.left = Some(Left::Broken(error.to_string())),
        };
        match live.step(self.worker.log.id(), self.seen) {
            LiveStep::Next => {}
            LiveStep::Seen => return,
            LiveStep::Gap => return self.left = Some(Left::Behind("the stream has a gap")),
            LiveStep::Foreign => {
                let why = format!("the stream was filled from another log, {}", live.log_id);
                return self.left = Some(Left::Broken(why));
            }
        }
        self.seen = live.event.position;
        self.first_at.get_or_insert_with(Instant::now);
        self.bytes += event_bytes(&live.event);
        self.events.push(live.event);
    }
}

fn event_bytes(event: &RecordedEvent) -> usize {
    let data = match &event.data {
        EventData::Inline(bytes) => bytes.len(),
        EventData::Stored(_) => 0,
    };
    event.metadata.len() + data
}
