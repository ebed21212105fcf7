//! From events to messages. Never a hole: what can't be read is published without its facts, and a delivery that can't be
//! shown again is named by the request alone.

use domain::{
    DeliveryOutcome, DeliveryReplayRequested, Message, Outcome, PageLimit, Position, ReadError,
    RecordedEvent, ReplayTo, Revision, message_of, replayed_message_of, unreadable_message_of,
};

use super::{Ended, Relay};
use crate::causes::with_causes;

/// After how many messages made what else is under way has its turn.
const TURN_EVENTS: usize = 16;

impl Relay {
    /// The messages of the first events: of all, or of as many as fit into memory. At least one.
    pub(super) async fn messages(
        &self,
        after: Position,
        events: &[RecordedEvent],
    ) -> Result<Vec<Message>, Ended> {
        let mut previous = after;
        let mut bytes = 0;
        let mut messages = Vec::with_capacity(events.len());
        for (made, event) in events.iter().enumerate() {
            if bytes > self.options.page_bytes_max {
                break;
            }
            // Making a page takes milliseconds: the page before it is being published by the same task, and goes on here.
            if made % TURN_EVENTS == TURN_EVENTS - 1 {
                tokio::task::yield_now().await;
            }
            let message = self.message(event, previous).await?;
            bytes += message.payload.len();
            messages.push(message);
            previous = event.position;
        }
        Ok(messages)
    }

    async fn message(&self, event: &RecordedEvent, previous: Position) -> Result<Message, Ended> {
        if let Some(request) = asked_again(event)
            && let Some(message) = self.shown_again(event, &request, previous).await?
        {
            return Ok(message);
        }
        let id = self.log.id();
        let message = message_of(event, id, previous, &self.options.base_url).or_else(|error| {
            metrics::counter!("hooklog_relay_unreadable_total").increment(1);
            tracing::error!(position = %event.position, %error, "relay_unreadable: published without its facts");
            unreadable_message_of(event, id, previous)
        });
        Ok(message?)
    }

    /// The delivery that a request asks for, on its own subject; `None` when it can't be read, now or ever.
    ///
    /// # Errors
    /// When the log can't be read now: that is waited for, or the replay would be lost.
    async fn shown_again(
        &self,
        event: &RecordedEvent,
        request: &DeliveryReplayRequested,
        previous: Position,
    ) -> Result<Option<Message>, Ended> {
        let limit = PageLimit {
            events: 1,
            bytes: self.options.page_bytes_max,
        };
        let read = self.log.read_stream(&event.stream, Revision::new(0), limit).await;
        let message = match read {
            Ok(first) => first.first().map(|original| {
                let (id, base_url) = (self.log.id(), &self.options.base_url);
                replayed_message_of(event, request, original, id, previous, base_url)
            }),
            Err(later @ ReadError::Unavailable(_)) => return Err(later.into()),
            Err(damaged @ ReadError::Corrupt(_)) => return Ok(not_shown(event, &with_causes(&damaged))),
        };
        Ok(match message {
            Some(Ok(message)) => {
                metrics::counter!("hooklog_relay_replayed_total").increment(1);
                Some(message)
            }
            Some(Err(error)) => not_shown(event, &with_causes(&error)),
            None => not_shown(event, "the delivery is missing"),
        })
    }
}

/// The request that an event is, when it asks for a delivery to be published again.
fn asked_again(event: &RecordedEvent) -> Option<DeliveryReplayRequested> {
    let [.., replay_requested] = Outcome::TYPES;
    if event.event_type.as_str() != replay_requested {
        return None;
    }
    match DeliveryOutcome::of(event)?.ok()?.outcome {
        Outcome::ReplayRequested(request) if request.to == ReplayTo::Subjects => Some(request),
        Outcome::ReplayRequested(_)
        | Outcome::Failed(_)
        | Outcome::Processed(_)
        | Outcome::DeadLettered(_) => None,
    }
}

fn not_shown(event: &RecordedEvent, why: &str) -> Option<Message> {
    metrics::counter!("hooklog_relay_replays_unreadable_total").increment(1);
    tracing::warn!(
        position = %event.position,
        error = why,
        "relay_replay_unreadable: the request is published without the delivery"
    );
    None
}
