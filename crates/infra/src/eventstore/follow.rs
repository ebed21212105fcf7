//! Follows the end of the log, so that whoever waits for it is woken by what another process appends.

use std::sync::Arc;
use std::time::Duration;

use domain::Position;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::claim;
use super::envelope::{Read, decode};
use super::error::Failure;
use super::node::Node;
use super::page::{self, Target};
use super::read;
use super::wire::{Empty, HowMany, ReadContent};

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
    let (generation, node) = match shared.connection.node() {
        Ok(node) => node,
        Err(failure) => return failure,
    };
    match subscribe_at(shared, &node, after).await {
        Err(failure) => {
            shared.connection.failed(generation, &failure);
            failure
        }
        // It is no failure of the connection.
        Ok(()) => Failure::NotSent("the server ended the subscription".to_owned()),
    }
}

async fn subscribe_at(shared: &Shared, node: &Node, after: &mut Position) -> Result<(), Failure> {
    let target = Target::All {
        prefix: shared.names.all(),
        from: Some(after.get()).filter(|at| *at > 0),
    };
    let mut subscription = node
        .read(page::options(&target, HowMany::Subscription(Empty {})))
        .await?;
    while let Some(answer) = subscription.next().await? {
        match answer.content {
            Some(ReadContent::Event(event)) => {
                let Some(event) = event.event else { continue };
                *after = Position::new(event.commit).max(*after);
                // What is not readable shows itself to whoever reads it.
                if let Ok(Read::Event(event)) = decode(event.into(), &shared.names) {
                    shared.stones.pass(event.0.position);
                    shared.head.saw(&event.0);
                    if let Some(content) = &event.1.content {
                        claim::learn(shared, &event.0.stream, event.0.duplicate_of.as_ref(), content);
                    }
                }
            }
            // Nothing of the log stands up to here: what the server passed over needs not be passed over again.
            Some(ReadContent::Checkpoint(position)) => {
                *after = Position::new(position.commit).max(*after);
            }
            Some(ReadContent::Confirmation(_)) => {
                shared.connection.heard();
                shared.head.set_following_trouble(None);
            }
            Some(ReadContent::StreamNotFound(_)) | None => {}
        }
    }
    Ok(())
}
