//! The log and the receivers: every round of every delivery at every destination reached its end, was sent under one key,
//! and was sent again only where a crash explains it.

use std::collections::BTreeMap;

use domain::{
    Attempt, DeliveryOutcome, DeliveryState, DestinationName, EventId, Outcome, RecordedEvent, ReplayTo,
    StreamName, Work,
};

use crate::destinations::attempts_max;
use crate::receiver::Request;
use crate::world::World;

/// A round of a delivery at a destination, as the log tells it.
#[derive(Debug, Default)]
struct Round {
    delivery: String,
    /// Its outcomes with an attempt: in which life each was handed to the log, and the attempt's number.
    recorded: Vec<(u32, u32)>,
    attempts: usize,
    /// Attempts answered 410: the destination is paused then, and the delivery stays open whatever its budget.
    gone: usize,
    ended: Option<&'static str>,
    /// Another round began before this one had ended.
    superseded: bool,
    sent: Vec<Request>,
}

type Rounds = BTreeMap<(EventId, String), Round>;

pub fn check(world: &World, events: &[RecordedEvent]) {
    let mut streams: BTreeMap<&StreamName, Vec<&RecordedEvent>> = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.stream.category() == "delivery")
    {
        streams.entry(&event.stream).or_default().push(event);
    }
    let mut rounds = Rounds::new();
    for stream in streams.values() {
        follow(world, stream, &mut rounds);
    }
    for request in world.receivers.requests() {
        let round = request.key.split_once('.').and_then(|(round, destination)| {
            let round: EventId = round.parse().ok()?;
            (destination == request.destination).then(|| (round, destination.to_owned()))
        });
        match round.and_then(|round| rounds.get_mut(&round)) {
            Some(round) => round.sent.push(request),
            None => world.violation(format!("sent under a key of no round: {request:?}")),
        }
    }
    for ((id, destination), round) in &rounds {
        check_round(
            world,
            &format!("{} at {destination}, round {id}", round.delivery),
            destination,
            round,
        );
    }
}

/// Folds a stream, and holds each outcome against what was before it.
fn follow(world: &World, stream: &[&RecordedEvent], rounds: &mut Rounds) {
    let Some(mut state) = DeliveryState::new(stream[0]).unwrap() else {
        return world.violation(format!("{} begins without a receipt", stream[0].stream));
    };
    open(
        rounds,
        &state,
        stream[0].id,
        &state.destinations.keys().cloned().collect::<Vec<_>>(),
    );
    for event in &stream[1..] {
        let name = format!("{} at {}", event.event_type, event.position);
        let Some(outcome) = DeliveryOutcome::of(event) else {
            world.violation(format!("{name} stands in a delivery's stream"));
            continue;
        };
        let outcome = outcome.unwrap();
        if outcome.before != state.status() {
            world.violation(format!(
                "{name} says {} before, it was {}",
                outcome.before,
                state.status()
            ));
        }
        record(world, &name, event, &outcome, &state, rounds);
        state.evolve(event).unwrap();
        if outcome.after != state.status() || outcome.attempts != state.attempts {
            world.violation(format!(
                "{name} says {} after {} attempts, it is {} after {}",
                outcome.after,
                outcome.attempts,
                state.status(),
                state.attempts
            ));
        }
    }
    for (destination, part) in &state.destinations {
        if part.work == Work::Open {
            world.violation(format!("{} is still open at {destination}", stream[0].stream));
        }
    }
}

fn open(rounds: &mut Rounds, state: &DeliveryState, id: EventId, destinations: &[DestinationName]) {
    for destination in destinations {
        let round = Round {
            delivery: state.received.key.to_string(),
            ..Round::default()
        };
        rounds.insert((id, destination.to_string()), round);
    }
}

/// What an outcome says of an attempt.
struct Told<'a> {
    destination: &'a DestinationName,
    round: EventId,
    attempt: Option<&'a Attempt>,
    /// Attempts of the round, by its own account.
    attempts: usize,
    ended: Option<&'static str>,
}

impl<'a> Told<'a> {
    /// `None` for a request to do it again.
    fn by(outcome: &'a Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::ReplayRequested(_) => return None,
            Outcome::Failed(failed) => Self {
                destination: &failed.destination,
                round: failed.round,
                attempt: Some(&failed.attempt),
                attempts: failed.attempt.number as usize,
                ended: None,
            },
            Outcome::Processed(processed) => Self {
                destination: &processed.destination,
                round: processed.round,
                attempt: processed.attempt.as_ref(),
                attempts: processed.attempt.as_ref().map_or(0, |a| a.number as usize),
                ended: Some("processed"),
            },
            Outcome::DeadLettered(dead) => Self {
                destination: &dead.destination,
                round: dead.round,
                attempt: dead.history.last(),
                attempts: dead.history.len(),
                ended: Some("dead"),
            },
        })
    }
}

fn record(
    world: &World,
    name: &str,
    event: &RecordedEvent,
    outcome: &DeliveryOutcome,
    state: &DeliveryState,
    rounds: &mut Rounds,
) {
    if let Outcome::ReplayRequested(request) = &outcome.outcome {
        if request.to == ReplayTo::Processing {
            supersede(state, &request.destinations, rounds);
            open(rounds, state, event.id, &request.destinations);
        }
        return;
    }
    let Some(told) = Told::by(&outcome.outcome) else {
        return;
    };
    let part = state.destinations.get(told.destination);
    if !part.is_some_and(|part| part.work == Work::Open && part.round.opened_by == told.round) {
        world.violation(format!("{name} is of a round that is over"));
    }
    let key = format!("{}.{}", told.round, told.destination);
    let Some(round) = rounds.get_mut(&(told.round, told.destination.to_string())) else {
        return world.violation(format!("{name} is of a round that nobody opened"));
    };
    if let Some(attempt) = told.attempt {
        round.attempts += 1;
        round.gone += usize::from(attempt.response.as_ref().is_some_and(|r| r.status == 410));
        if told.attempts != round.attempts || attempt.number as usize != round.attempts {
            world.violation(format!(
                "{name} is attempt {}, {} belongs there",
                attempt.number, round.attempts
            ));
        }
        if attempt.idempotency_key != key {
            world.violation(format!("{name} was sent under {}", attempt.idempotency_key));
        }
        let life = world.handed.lock().unwrap().get(&event.id).copied();
        round.recorded.push((life.unwrap_or_default(), attempt.number));
    }
    if round.ended.is_some() {
        world.violation(format!("{name} ends a round twice"));
    }
    round.ended = told.ended;
    let failure = told.attempt.and_then(|attempt| attempt.failure.as_ref());
    let max = attempts_max(&told.destination.to_string());
    if told.ended == Some("dead") && failure.is_some_and(|f| f.retryable) && round.attempts < max {
        world.violation(format!(
            "{name} gave up after {} of {max} attempts",
            round.attempts
        ));
    }
}

fn supersede(state: &DeliveryState, destinations: &[DestinationName], rounds: &mut Rounds) {
    for name in destinations {
        let before = state.destinations.get(name).map(|part| part.round.opened_by);
        let before = before.and_then(|id| rounds.get_mut(&(id, name.to_string())));
        if let Some(round) = before {
            round.superseded |= round.ended.is_none();
        }
    }
}

fn check_round(world: &World, name: &str, destination: &str, round: &Round) {
    world.count("rounds compared");
    if round.ended.is_none() && !round.superseded {
        world.violation(format!("{name} has no end"));
    }
    if round.ended == Some("dead") {
        world.count("dead letters");
    }
    let accepted = round.sent.iter().filter(|request| request.accepted).count();
    if round.ended == Some("processed") && accepted == 0 && round.attempts > 0 {
        world.violation(format!("{name} is processed and never arrived"));
    }
    if round.attempts > attempts_max(destination) + round.gone {
        world.violation(format!("{name} took {} attempts", round.attempts));
    }
    let last = world.life();
    for request in &round.sent {
        let number = request.number;
        let same = |other: &&Request| other.life == request.life && other.number == number;
        if round.sent.iter().filter(same).count() > 1 {
            world.violation(format!(
                "{name} was sent as attempt {number} twice in life {}",
                request.life
            ));
        }
        if round.recorded.contains(&(request.life, number)) {
            continue;
        }
        world.count("attempts whose outcome was lost");
        // It was in flight when its life ended, or its outcome came too late: for this attempt, or for its round.
        let beaten = round.recorded.iter().any(|(_, recorded)| *recorded == number);
        if request.life == last && !round.superseded && !beaten {
            world.violation(format!(
                "{name} was sent as attempt {number}, and nothing is written down of it"
            ));
        }
    }
    // Whoever hears that it arrived sends it no more: each life may have found that out once at most.
    for life in 1..=last {
        let ended = round
            .sent
            .iter()
            .filter(|request| request.life == life && request.delivered);
        if ended.count() > 1 {
            world.violation(format!(
                "{name} arrived, was known to have arrived, and was sent again"
            ));
        }
    }
}
