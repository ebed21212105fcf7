//! Publishing to the server: what the adapter does, by the adapter's own functions wherever they need no connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{FanOutError, Message, Publishing};
use infra::jetstream::simulated::{OnTheWire, Put, acknowledged};
use tokio::sync::oneshot;

use super::{Ack, Arriving, unavailable};
use crate::world::World;

/// How long a publisher waits for an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// The most messages that it leaves under way when it goes on to the next page.
const UNDER_WAY_MAX: usize = 24;
/// The window by which it asks about every fourth message, so that pages of a few have some that are not asked about.
const WINDOW_MESSAGES: usize = 64;

/// Messages of one process that the server has not answered yet, as the adapter keeps them.
pub(super) struct PublishingPort {
    world: Arc<World>,
    wire: OnTheWire,
    stored: u64,
    under_way: VecDeque<(u64, oneshot::Receiver<Ack>)>,
    broken: Option<FanOutError>,
}

impl PublishingPort {
    pub(super) fn after(sequence: u64, world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            wire: OnTheWire::after(sequence, WINDOW_MESSAGES),
            stored: sequence,
            under_way: VecDeque::new(),
            broken: None,
        }
    }

    fn put(&mut self, message: Message, is_last: bool) -> Result<(), FanOutError> {
        let world = &self.world;
        let Put {
            message,
            meant,
            is_asked,
        } = self.wire.put(message, is_last)?;
        let (ack, answer) = oneshot::channel();
        let headers = message.headers.unwrap_or_default();
        let one = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
            (name.to_string(), values[0].as_str().to_owned())
        };
        // The order of headers means nothing, and theirs is that of a hash map.
        let mut headers: Vec<(String, String)> = headers.iter().map(one).collect();
        headers.sort();
        let arriving = Arriving {
            life: world.life(),
            not_before: Duration::ZERO,
            headers,
            payload: message.payload,
            ack: is_asked.then_some(ack),
        };
        world.stream.state().arriving.push_back(arriving);
        world.stream.arrived.notify_one();
        if is_asked {
            self.under_way.push_back((meant, answer));
        } else {
            world.count("publishes not asked about");
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<(), FanOutError> {
        let Some((meant, answer)) = self.under_way.front_mut() else {
            return Ok(());
        };
        let (meant, answered) = (*meant, tokio::time::timeout(ACK_TIMEOUT, answer).await);
        self.under_way.pop_front();
        match answered {
            Ok(Ok(Ack::Stored { sequence, duplicate })) => acknowledged(sequence, duplicate, meant)?,
            Ok(Ok(Ack::WrongLast)) => return Err(FanOutError::Moved),
            Ok(Err(_)) | Err(_) => return Err(unavailable()),
        }
        self.stored = meant;
        Ok(())
    }

    async fn settle_all_but(&mut self, waiting: usize) -> Result<(), FanOutError> {
        while self.under_way.len() > waiting {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// As the adapter does: after an error it lets the rest come to an end, for a while, and sends nothing more.
    async fn known(&mut self, done: Result<(), FanOutError>) -> Result<u64, FanOutError> {
        if let (None, Err(error)) = (&self.broken, done) {
            self.world.count("windows broken");
            self.broken = Some(error);
        }
        let Some(error) = self.broken.clone() else {
            return Ok(self.stored);
        };
        while let Some((_, answer)) = self.under_way.front_mut() {
            let _ = tokio::time::timeout(ACK_TIMEOUT, answer).await;
            self.under_way.pop_front();
        }
        self.world.step(format!("nats: publishing ends: {error}")).await;
        Err(error)
    }

    async fn send_now(&mut self, messages: Vec<Message>) -> Result<(), FanOutError> {
        let world = Arc::clone(&self.world);
        let (first, count) = (messages.first().map(|m| m.position), messages.len());
        let before = self.under_way.len();
        world
            .step(format!(
                "nats: send {count} from {first:?} behind {before} after {}",
                self.stored
            ))
            .await;
        world.stream.fails(&world)?;
        if before > 0 {
            world.count("pages sent behind others");
        }
        for (number, message) in messages.into_iter().enumerate() {
            self.put(message, number + 1 == count)?;
        }
        self.settle_all_but(UNDER_WAY_MAX).await
    }
}

#[async_trait]
impl Publishing for PublishingPort {
    async fn send(&mut self, messages: Vec<Message>) -> Result<u64, FanOutError> {
        let done = match self.broken {
            None => self.send_now(messages).await,
            Some(_) => Ok(()),
        };
        self.known(done).await
    }

    async fn settle(&mut self) -> Result<u64, FanOutError> {
        let mut done = Ok(());
        if self.broken.is_none() {
            if self.under_way.is_empty() {
                std::future::pending::<()>().await;
            }
            done = self.settle_oldest().await;
        }
        self.known(done).await
    }
}
