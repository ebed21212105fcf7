//! Follows the end of the log, so that whoever waits for it is woken by what another process appends.

use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use eventstore::{Position as ServerPosition, StreamPosition, SubscribeToAllOptions, SubscriptionEvent};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::envelope::{Read, decode};
use super::error::Failure;
use super::{page, read};

/// Subscribes, and subscribes again whenever that ends, until told to stop.
pub(super) async fn follow(shared: Arc<Shared>, stop: CancellationToken) {
    let mut after = shared.head.get();
    let mut pause = Duration::from_millis(shared.options.retry_ms_min.max(1));
    loop {
        let began = after;
        let failure = tokio::select! {
            failure = subscribe(&shared, &mut after) => failure,
            () = stop.cancelled() => return,
        };
        if after > began {
            pause = Duration::from_millis(shared.options.retry_ms_min.max(1));
        }
        shared
            .head
            .set_following_trouble(Some(format!("the event store is away: {}", failure.why())));
        tracing::warn!(
            why = failure.why(),
            "the log is not followed now; it is tried again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(Duration::from_millis(shared.options.retry_ms_max.max(1)));
        if matches!(failure, Failure::Refused(_)) {
            // The server does not know where it was left. Only the end matters here, and that can be asked for.
            tokio::select! {
                head = read::refresh_head(&shared) => after = head.unwrap_or(after),
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Follows from a position, and moves it along. Comes back only when it fails.
async fn subscribe(shared: &Shared, after: &mut Position) -> Failure {
    let (generation, client) = match shared.connection.client() {
        Ok(client) => client,
        Err(failure) => return failure,
    };
    let position = match after.get() {
        0 => StreamPosition::Start,
        at => StreamPosition::Position(ServerPosition {
            commit: at,
            prepare: at,
        }),
    };
    let options = SubscribeToAllOptions::default()
        .position(position)
        .filter(page::filter(&shared.names.all()))
        .requires_leader(true);
    let mut subscription = client.subscribe_to_all(&options).await;
    loop {
        let event = match subscription.next_subscription_event().await {
            Ok(event) => event,
            Err(error) => {
                let failure = Failure::of(&error);
                shared.connection.failed(generation, &failure);
                return failure;
            }
        };
        match event {
            SubscriptionEvent::EventAppeared(event) => {
                let Some(event) = event.event else { continue };
                *after = Position::new(event.position.commit).max(*after);
                // What is not readable shows itself to whoever reads it.
                if let Ok(Read::Event(event)) = decode(event, &shared.names) {
                    shared.stones.pass(event.0.position);
                    shared.head.saw(&event.0);
                }
            }
            // Nothing of the log stands up to here: what the server passed over needs not be passed over again.
            SubscriptionEvent::Checkpoint(position) => *after = Position::new(position.commit).max(*after),
            SubscriptionEvent::Confirmed(_) => {
                shared.connection.heard();
                shared.head.set_following_trouble(None);
            }
            SubscriptionEvent::FirstStreamPosition(_)
            | SubscriptionEvent::LastStreamPosition(_)
            | SubscriptionEvent::LastAllPosition(_)
            | SubscriptionEvent::CaughtUp(_)
            | SubscriptionEvent::FellBehind(_) => {}
        }
    }
}
