//! Pauses and resumes a destination, in the log, so that it stays so over restarts.

use domain::{
    AppendError, Appended, CommandError, DestinationCommand, DestinationEvent, DestinationPaused,
    DestinationState, EventLog, PageLimit, ReadError, Revision,
};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::backoff::Backoff;

/// How often others may be quicker, or the log silent, before the caller is sent away.
const TRIES_MAX: u32 = 5;

/// Reads the state of a destination from the log.
///
/// # Errors
/// When it can't be read; an event that can't be understood is a log that is damaged.
pub(super) async fn load(
    log: &dyn EventLog,
    mut state: DestinationState,
) -> Result<DestinationState, ReadError> {
    state.paused = None;
    state.revision = None;
    let stream = state.stream();
    loop {
        let from = state
            .revision
            .map_or(Revision::new(0), |r| Revision::new(r.get() + 1));
        let page = log.read_stream(&stream, from, PageLimit::default()).await?;
        if page.is_empty() {
            return Ok(state);
        }
        for event in &page {
            state.evolve(event).map_err(|error| {
                ReadError::Corrupt(format!(
                    "the event at position {} can't be understood: {error}",
                    event.position
                ))
            })?;
        }
    }
}

/// Has a destination paused or resumed. It takes effect at once.
///
/// # Errors
/// Why it was not done.
pub(super) async fn command(
    shared: &Shared,
    index: usize,
    command: DestinationCommand,
) -> Result<(), CommandError> {
    let unavailable = |error: &dyn std::fmt::Display| CommandError::Unavailable(error.to_string());
    for _ in 0..TRIES_MAX {
        let known = shared.with_lane(index, |lane, _| lane.destination.clone());
        let known = known.ok_or_else(|| CommandError::NotFound("no such destination".into()))?;
        let mut state = load(shared.ports.log.as_ref(), known)
            .await
            .map_err(|error| unavailable(&error))?;
        if let Some(fact) = state.decide(command.clone()) {
            match append(shared, &state, &fact).await {
                Ok(appended) => state = after(state, fact, &appended),
                Err(AppendError::Conflict { .. }) => continue,
                Err(error) => return Err(unavailable(&error)),
            }
        }
        shared.with_lane(index, |lane, _| lane.know(state));
        shared.wake(index);
        return Ok(());
    }
    Err(CommandError::Unavailable(
        "others pause and resume it at the same time".into(),
    ))
}

async fn append(
    shared: &Shared,
    state: &DestinationState,
    fact: &DestinationEvent,
) -> Result<Appended, AppendError> {
    let append = state.append(fact, (shared.ports.new_id)());
    let mut tries = TRIES_MAX;
    loop {
        tries -= 1;
        match shared.ports.log.append(append.clone()).await {
            Err(AppendError::Unknown(_)) if tries > 0 => {}
            done => return done,
        }
    }
}

fn after(mut state: DestinationState, fact: DestinationEvent, appended: &Appended) -> DestinationState {
    state.paused = match fact {
        DestinationEvent::Paused(paused) => Some((paused, appended.recorded_at)),
        DestinationEvent::Resumed(_) => None,
    };
    state.revision = Some(appended.revision);
    state
}

/// A destination said that it is gone: it is paused, as long as it takes to write that down.
pub(super) async fn gone(shared: &Shared, index: usize, leave: &CancellationToken) {
    let mut backoff = Backoff::new();
    loop {
        let pause = DestinationCommand::Pause(DestinationPaused {
            paused_by: "hooklog".into(),
            reason: Some("it answered 410 Gone".into()),
        });
        match command(shared, index, pause).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "that a destination is gone can't be written now: it is held back and tried again"
            ),
        }
        if !backoff.wait(leave).await {
            return;
        }
    }
}
