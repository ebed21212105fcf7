//! Asks for one delivery again: once per replay, however often it is told to.

use domain::{
    Append, AppendError, Appended, DeliveryCommand, DeliveryOutcome, DeliveryState, DeliveryStatus,
    DestinationName, EventLog, LoadError, Outcome, PageLimit, Position, RecordedEvent, ReplayId,
    ReplayRequested, ReplayTo, Revision,
};
use tokio_util::sync::CancellationToken;

use super::pace::Backoff;
use super::{Shared, Wanting, load};

/// The request that a replay made of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Where it stands.
    pub(super) position: Position,
    /// The destinations that opened again.
    pub(super) destinations: Vec<DestinationName>,
    /// The delivery's status from then on.
    pub(super) status: DeliveryStatus,
}

/// A delivery as a replay sees it.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// The fold of its stream, as far as it was read.
    pub(super) state: DeliveryState,
    /// What the replay asked of it already.
    pub(super) asked: Option<Request>,
}

impl Delivery {
    /// A delivery right after its receipt; `None` when the event is none.
    pub(super) fn new(receipt: &RecordedEvent) -> serde_json::Result<Option<Self>> {
        let state = DeliveryState::new(receipt)?;
        Ok(state.map(|state| Self { state, asked: None }))
    }

    /// The delivery after the next event of its stream.
    pub(super) fn evolve(&mut self, event: &RecordedEvent, replay: ReplayId) -> serde_json::Result<()> {
        let had = self.state.replays.contains(&replay);
        self.state.evolve(event)?;
        if had || !self.state.replays.contains(&replay) {
            return Ok(());
        }
        if let Some(DeliveryOutcome {
            outcome: Outcome::ReplayRequested(request),
            after,
            ..
        }) = DeliveryOutcome::of(event).transpose()?
        {
            self.asked = Some(Request {
                position: event.position,
                destinations: request.destinations,
                status: after,
            });
        }
        Ok(())
    }

    /// Reads what happened to it since.
    async fn catch_up(&mut self, log: &dyn EventLog, replay: ReplayId) -> Result<(), LoadError> {
        loop {
            let from = Revision::new(self.state.revision.get() + 1);
            let stream = self.state.received.stream();
            let page = log.read_stream(&stream, from, PageLimit::default()).await?;
            if page.is_empty() {
                return Ok(());
            }
            for event in &page {
                self.evolve(event, replay).map_err(|source| LoadError::Event {
                    position: event.position,
                    source,
                })?;
            }
        }
    }
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// The request stands in the log.
    Requested(Request),
    /// Nothing was left to do: every destination that had been given up was asked for meanwhile.
    NothingLeft,
    /// It can't be asked for, for this reason; others can.
    Impossible(String),
    /// The log is damaged.
    Corrupt(String),
    /// It was told to stop first.
    Interrupted,
}

/// Asks for a delivery again. While the log can't be used it waits.
pub(super) async fn ask(
    shared: &Shared,
    order: &ReplayRequested,
    delivery: &mut Delivery,
    stop: &CancellationToken,
) -> Asked {
    loop {
        if let Some(request) = &delivery.asked {
            return Asked::Requested(request.clone());
        }
        let command = command(order, &delivery.state, &*shared.ports.router);
        let outcome = match delivery.state.decide(command) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Asked::NothingLeft,
            Err(rejection) => return Asked::Impossible(rejection.to_string()),
        };
        let append = delivery.state.append(&outcome, shared.new_event_id());
        match append_surely(shared.log(), &append, stop).await {
            Ok(appended) => return requested(&appended, outcome),
            Err(NotAppended::Conflict) => {}
            Err(NotAppended::Invalid(why)) => return Asked::Impossible(why),
            Err(NotAppended::Interrupted) => return Asked::Interrupted,
        }
        // Something else happened to it: decide on what it is now.
        if let Some(asked) = catch_up_surely(shared, order, delivery, stop).await {
            return asked;
        }
    }
}

fn requested(appended: &Appended, outcome: DeliveryOutcome) -> Asked {
    let destinations = match outcome.outcome {
        Outcome::ReplayRequested(request) => request.destinations,
        Outcome::Failed(_) | Outcome::Processed(_) | Outcome::DeadLettered(_) => Vec::new(),
    };
    Asked::Requested(Request {
        position: appended.last,
        destinations,
        status: outcome.after,
    })
}

/// Reads what happened to a delivery since; what came of asking, if it can't go on.
async fn catch_up_surely(
    shared: &Shared,
    order: &ReplayRequested,
    delivery: &mut Delivery,
    stop: &CancellationToken,
) -> Option<Asked> {
    let mut backoff = Backoff::new();
    loop {
        match delivery.catch_up(shared.log(), order.replay).await {
            Ok(()) => return None,
            Err(error) if load::may_pass(&error) => {
                if !backoff.wait(stop).await {
                    return Some(Asked::Interrupted);
                }
            }
            Err(LoadError::Log(error)) => return Some(Asked::Corrupt(error.to_string())),
            Err(error @ LoadError::Event { .. }) => return Some(Asked::Impossible(error.to_string())),
        }
    }
}

fn command(order: &ReplayRequested, state: &DeliveryState, router: &dyn Wanting) -> DeliveryCommand {
    let requested_by = order.requested_by.clone();
    let reason = order.reason.clone();
    if order.dead_only {
        return DeliveryCommand::RetryDead {
            destinations: order.destinations.clone(),
            cause: order.filter.cause(),
            replay: Some(order.replay),
            requested_by,
            reason,
        };
    }
    let mut destinations = Vec::new();
    if order.to == ReplayTo::Processing {
        destinations = router.wanting(&state.received);
        destinations.retain(|name| order.destinations.is_empty() || order.destinations.contains(name));
    }
    DeliveryCommand::Replay {
        to: order.to,
        destinations,
        replay: order.replay,
        requested_by,
        reason,
    }
}

/// Why an append was not made.
#[derive(Debug)]
pub(super) enum NotAppended {
    /// The stream went on.
    Conflict,
    /// The log will never take it.
    Invalid(String),
    /// It was told to stop first. It may or may not be written.
    Interrupted,
}

/// Appends; while the log can't be written it tries again, under the same event ids.
pub(super) async fn append_surely(
    log: &dyn EventLog,
    append: &Append,
    stop: &CancellationToken,
) -> Result<Appended, NotAppended> {
    let mut backoff = Backoff::new();
    loop {
        match log.append(append.clone()).await {
            Ok(appended) => return Ok(appended),
            Err(AppendError::Conflict { .. }) => return Err(NotAppended::Conflict),
            Err(AppendError::Invalid(why)) => return Err(NotAppended::Invalid(why)),
            Err(error @ (AppendError::Unavailable(_) | AppendError::Unknown(_))) => {
                tracing::debug!(%error, "a replay waits for the log");
                if !backoff.wait(stop).await {
                    return Err(NotAppended::Interrupted);
                }
            }
        }
    }
}
