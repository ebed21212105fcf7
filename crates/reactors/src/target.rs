//! The seam between what is due and how it is done: the runtime dispatches, a target sends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    DeliveryReceived, DestinationName, EventData, EventId, Failure, ReplayId, Response, SentHeaders,
    Timestamp,
};

/// One attempt to be made.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Where it goes.
    pub destination: DestinationName,
    /// The event of the receipt.
    pub event_id: EventId,
    /// The same for every attempt of a round, another for every round: by it a receiver recognises a repeat.
    pub idempotency_key: String,
    /// Which attempt of its round, from 1.
    pub number: u32,
    /// The replay that opened the round, if one did.
    pub replay: Option<ReplayId>,
    /// When the attempt begins; the time that is signed.
    pub now: Timestamp,
    /// The facts of the delivery, headers included.
    pub received: Arc<DeliveryReceived>,
    /// Its body.
    pub data: EventData,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It arrived.
    Delivered {
        /// Where: as in [`domain::Attempt::target`].
        target: String,
        /// What was answered, if the target answers.
        response: Option<Response>,
    },
    /// Nothing had to be sent, for this reason: the condition of the destination does not hold, or its transformation gave
    /// nothing.
    Skipped(String),
    /// It failed.
    Failed {
        /// Where: as in [`domain::Attempt::target`].
        target: String,
        /// What was answered, if anything was.
        response: Option<Response>,
        /// Why.
        failure: Failure,
        /// How long the target asked us to wait.
        retry_after: Option<Duration>,
        /// The target said that it is gone for good (410): the destination is paused.
        gone: bool,
    },
}

/// Sends deliveries to one destination. Cheap to call often; safe to call concurrently; bounded in time.
#[async_trait]
pub trait Target: Send + Sync {
    /// Where it goes, without credentials and queries, for people.
    fn describe(&self) -> Vec<String>;

    /// Makes one attempt. Dropping the future may leave it half done.
    async fn send(&self, dispatch: &Dispatch) -> Sent;

    /// Which headers such an attempt carries, what is secret in them masked; none where there are no headers.
    fn headers(&self, dispatch: &Dispatch) -> Option<SentHeaders> {
        let _ = dispatch;
        None
    }

    /// How urgent a delivery is: higher goes first.
    fn priority(&self, received: &DeliveryReceived, data: &EventData) -> i64;
}
