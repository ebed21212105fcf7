//! What happened to a delivery: its stream, read once, folded into its state and kept as its history.

use std::collections::BTreeMap;

use domain::{
    Attempt, DeliveryOutcome, DeliveryReceived, DeliveryState, DestinationName, EventId, EventLog,
    HeaderFact, Outcome, PageLimit, RecordedEvent, Revision, Standing, StandingFailure, StreamName,
    Timestamp, Work,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::Json;
use crate::failure::{Failure, unreadable};
use crate::shape::delivery::{
    AttemptShape, DeliveryRow, DestinationPart, HeaderShape, HistoryEvent, ResponseShape, processing_ms,
};
use crate::shape::replay::shown;

/// A delivery and what became of it.
pub(crate) struct Story {
    state: DeliveryState,
    standing: Standing,
    /// What each destination did in each round.
    rounds: BTreeMap<(DestinationName, EventId), Told>,
    pub(crate) history: Vec<HistoryEvent>,
}

/// What a destination did in a round, as its events tell.
#[derive(Debug, Default)]
struct Told {
    attempts: Vec<Attempt>,
    skipped: Option<String>,
    ended_at: Option<Timestamp>,
}

impl Story {
    /// Reads a delivery's stream; of its history, the first events up to a bound.
    pub(crate) async fn read(
        log: &dyn EventLog,
        stream: &StreamName,
        history_events_max: usize,
    ) -> Result<Option<Self>, Failure> {
        let mut story: Option<Self> = None;
        let mut from = Revision::new(0);
        loop {
            let page = log.read_stream(stream, from, PageLimit::default()).await?;
            let Some(last) = page.last() else {
                return Ok(story.map(Self::stands));
            };
            from = Revision::new(last.revision.get() + 1);
            for event in &page {
                match &mut story {
                    Some(story) => story.go_on(event, history_events_max)?,
                    None => story = Self::begin(event)?,
                }
            }
        }
    }

    fn begin(event: &RecordedEvent) -> Result<Option<Self>, Failure> {
        let state = DeliveryState::new(event).map_err(unreadable)?;
        Ok(state.map(|state| Self {
            state,
            standing: Standing::default(),
            rounds: BTreeMap::new(),
            history: vec![happened(event)],
        }))
    }

    fn stands(mut self) -> Self {
        self.standing = self.state.standing();
        self
    }

    fn go_on(&mut self, event: &RecordedEvent, history_events_max: usize) -> Result<(), Failure> {
        self.state.evolve(event).map_err(unreadable)?;
        if let Some(outcome) = DeliveryOutcome::of(event).transpose().map_err(unreadable)? {
            self.note(outcome.outcome, event.recorded_at);
        }
        if self.history.len() < history_events_max {
            self.history.push(happened(event));
        }
        Ok(())
    }

    fn note(&mut self, outcome: Outcome, at: Timestamp) {
        match outcome {
            Outcome::Failed(failed) => {
                let told = self.rounds.entry((failed.destination, failed.round)).or_default();
                told.attempts.push(failed.attempt);
            }
            Outcome::Processed(processed) => {
                let round = (processed.destination, processed.round);
                let told = self.rounds.entry(round).or_default();
                told.attempts.extend(processed.attempt);
                told.skipped = processed.skipped;
                told.ended_at = Some(at);
            }
            Outcome::DeadLettered(dead) => {
                let told = self.rounds.entry((dead.destination, dead.round)).or_default();
                // The last attempt has no event of its own; the ones before may have been left out for lack of room.
                let known = told.attempts.last().map_or(0, |attempt| attempt.number);
                let more = dead.history.into_iter().filter(|attempt| attempt.number > known);
                told.attempts.extend(more);
                told.ended_at = Some(at);
            }
            Outcome::ReplayRequested(_) => {}
        }
    }

    /// The failure that stands, if one does.
    pub(crate) const fn failing(&self) -> Option<&StandingFailure> {
        self.standing.failure.as_ref()
    }

    /// The row of the delivery, as lists show it.
    pub(crate) fn row(&self) -> DeliveryRow {
        let (state, received) = (&self.state, &self.state.received);
        let failure = self.failing().map(|failing| &failing.failure);
        DeliveryRow {
            attempts: state.attempts,
            processing_time_ms: processing_ms(received, state.processed_at),
            error: failure.map(|f| f.message.clone()),
            error_code: failure.map(|f| f.code.to_string()),
            retryable: failure.map(|f| f.retryable),
            ..DeliveryRow::of(received, state.status(), state.receipt.duplicate_of.as_ref())
        }
    }

    /// Each destination's part, by name.
    pub(crate) fn destinations(&self) -> Vec<DestinationPart> {
        let parts = self.state.destinations.iter();
        parts
            .map(|(name, part)| {
                let round = &part.round;
                let told = self.rounds.get(&(name.clone(), round.opened_by));
                let attempts = told.map(|t| t.attempts.as_slice()).unwrap_or_default();
                DestinationPart {
                    name: name.to_string(),
                    state: match part.work {
                        Work::Open => "open",
                        Work::Done => "done",
                        Work::Dead => "dead",
                    }
                    .to_owned(),
                    round: round.opened_by.to_string(),
                    since: round.since.to_string(),
                    replay_id: round.replay.map(|replay| replay.to_string()),
                    attempts: attempts
                        .iter()
                        .map(|attempt| shape(attempt, &self.state.received.headers))
                        .collect(),
                    next_attempt_at: (part.work == Work::Open).then(|| part.due_at.to_string()),
                    ended_at: shown(told.and_then(|t| t.ended_at)),
                    skipped: told.and_then(|t| t.skipped.clone()),
                }
            })
            .collect()
    }
}

/// An attempt to hand on a delivery that came with these headers.
fn shape(attempt: &Attempt, received: &[HeaderFact]) -> AttemptShape {
    // Below 2^53 microseconds it is exact.
    #[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
    let duration_ms = attempt.duration_us as f64 / 1000.0;
    let sent = attempt.headers.as_ref().map(|sent| sent.over(received));
    let header = |HeaderFact(name, value)| HeaderShape { name, value };
    AttemptShape {
        number: attempt.number,
        started_at: attempt.started_at.to_string(),
        duration_ms,
        target: attempt.target.clone(),
        idempotency_key: attempt.idempotency_key.clone(),
        headers: sent.map(|sent| sent.into_iter().map(header).collect()),
        response: attempt.response.as_ref().map(|response| ResponseShape {
            status: response.status,
            excerpt: response.excerpt.clone(),
        }),
        error: attempt.failure.as_ref().map(|f| f.message.clone()),
        error_code: attempt.failure.as_ref().map(|f| f.code.to_string()),
        retryable: attempt.failure.as_ref().map(|f| f.retryable),
    }
}

/// What an outcome says beyond the facts of the receipt that it repeats.
#[derive(Serialize, Deserialize)]
struct OutcomeFacts {
    before: Box<RawValue>,
    after: Box<RawValue>,
    attempts: u32,
    outcome: Box<RawValue>,
}

fn happened(event: &RecordedEvent) -> HistoryEvent {
    let type_name = event.event_type.as_str();
    // The delivery's own facts stand in the row and the headers already.
    let facts: Option<Box<RawValue>> = if type_name == DeliveryReceived::TYPE {
        None
    } else if Outcome::TYPES.contains(&type_name) {
        let facts = serde_json::from_slice::<OutcomeFacts>(&event.metadata).ok();
        facts.and_then(|facts| serde_json::value::to_raw_value(&facts).ok())
    } else {
        serde_json::from_slice(&event.metadata).ok()
    };
    HistoryEvent {
        r#type: event.event_type.to_string(),
        id: event.id.to_string(),
        position: event.position.get(),
        revision: event.revision.get(),
        recorded_at: event.recorded_at.to_string(),
        facts: facts.map(Json),
    }
}
