//! The metadata: bounded, and never a panic whatever stands in it.

use proptest::prelude::*;

use super::*;
use crate::testing::recorded_as;
use crate::{DestinationEvent, ErrorCode, NewEvent, RecordedEvent, ReplayEvent, ReplayState};

/// A dead letter after so many attempts, each with as much to tell as is kept.
fn dead_after(attempts: usize) -> TestStream {
    let mut stream = received();
    for n in 1..=attempts {
        let mut command = attempted(&stream.state, "a", Ending::Fails, stream.now).unwrap();
        if let DeliveryCommand::RecordAttempt { result, .. } = &mut command
            && let AttemptResult::RetryAt(attempt, _) = result
        {
            attempt.response = Some(Response::new(500, &"\u{1}".repeat(2000)));
            attempt.failure = Some(Failure::new(ErrorCode::ServiceUnavailable, "no ".repeat(2000)));
            if n == attempts {
                *result = AttemptResult::GivenUp(attempt.clone());
            }
        }
        stream.decide(command).unwrap();
    }
    stream
}

fn history(event: &RecordedEvent) -> Vec<u32> {
    let outcome = DeliveryOutcome::of(event).unwrap().unwrap().outcome;
    let Outcome::DeadLettered(dead) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(dead.history.last().unwrap().failure, Some(dead.failure));
    dead.history.iter().map(|attempt| attempt.number).collect()
}

#[test]
fn a_history_too_long_for_the_log_loses_its_oldest_attempts_only() {
    let few = dead_after(5);
    assert_eq!(history(few.events.last().unwrap()), [1, 2, 3, 4, 5]);
    let many = dead_after(60);
    let event = many.events.last().unwrap();
    assert!(event.metadata.len() <= NewEvent::METADATA_BYTES_MAX);
    let kept = history(event);
    let first = kept[0];
    assert!(first > 1 && kept.len() > 5, "{kept:?}");
    assert_eq!(kept, (first..=60).collect::<Vec<_>>());
    // As many as fit: one more would not.
    let attempt_bytes = few.events.last().unwrap().metadata.len() / 5;
    assert!(event.metadata.len() + attempt_bytes > NewEvent::METADATA_BYTES_MAX);
    assert_eq!((many.state.status(), many.state.attempts), (Dead, 60));
    assert!(
        many.events
            .iter()
            .all(|e| e.metadata.len() <= NewEvent::METADATA_BYTES_MAX)
    );
}

#[test]
fn so_many_destinations_that_naming_them_twice_is_too_much_are_named_once() {
    let names: Vec<String> = (0..700).map(|n| format!("{n:0>63}")).collect();
    let mut receipt = received().events[0].clone();
    let mut facts = crate::DeliveryReceived::of(&receipt).unwrap().unwrap();
    facts.reactors_due = names.iter().map(|name| format!("destination:{name}")).collect();
    receipt.metadata = facts.to_metadata();
    assert!(receipt.metadata.len() <= NewEvent::METADATA_BYTES_MAX);
    let mut stream = TestStream::of(receipt);
    for step in [Step::Replay(names.clone()), ends(&names[0], Ending::Fails)] {
        let outcome = stream.step(&step).unwrap();
        let event = stream.events.last().unwrap();
        assert!(event.metadata.len() <= NewEvent::METADATA_BYTES_MAX, "{step:?}");
        let read = DeliveryOutcome::of(event).unwrap().unwrap();
        assert_eq!(read.outcome, outcome.outcome, "what happened is told in full");
        assert_eq!(stream.state.destinations.len(), names.len());
    }
    // Where there is room, nothing is left out.
    let small = after(&[ends("a", Ending::Fails)]);
    let outcome = DeliveryOutcome::of(small.events.last().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(outcome.delivery.reactors_due.len(), 2);
}

#[test]
fn what_is_said_about_an_attempt_is_cut_between_characters() {
    let failure = Failure::new(ErrorCode::TimeoutError, "é".repeat(600));
    assert_eq!(failure.message, "é".repeat(500));
    assert!(failure.retryable);
    assert_eq!(Response::new(200, &"世".repeat(501)).excerpt, "世".repeat(500));
    assert_eq!(Response::new(200, "short").excerpt, "short");
}

#[test]
fn a_failure_without_a_reason_is_told_with_one() {
    for ending in [Ending::Fails, Ending::GivenUp] {
        let stream = received();
        let mut command = attempted(&stream.state, "a", ending, stream.now).unwrap();
        if let DeliveryCommand::RecordAttempt {
            result: AttemptResult::GivenUp(attempt) | AttemptResult::RetryAt(attempt, _),
            ..
        } = &mut command
        {
            attempt.failure = None;
        }
        let outcome = stream.state.decide(command).unwrap().unwrap();
        let standing = outcome.standing.failure.expect("it is not well").failure;
        assert!(!standing.message.is_empty() && !standing.retryable);
        assert_eq!(outcome.outcome.attempt().unwrap().failure, Some(standing.clone()));
        if let Outcome::DeadLettered(dead) = outcome.outcome {
            assert_eq!(dead.failure, standing);
        }
    }
}

#[test]
fn an_event_of_a_type_from_later_changes_the_revision_only() {
    let mut stream = received();
    let before = stream.state.clone();
    let mut event = stream.events[0].clone();
    event.event_type = "DeliveryPainted".parse().unwrap();
    event.revision = crate::Revision::new(1);
    stream.state.evolve(&event).unwrap();
    assert_eq!(stream.state.revision, event.revision);
    stream.state.revision = before.revision;
    assert_eq!(stream.state, before);
}

/// One event of each type, as the log holds it.
fn one_of_each() -> Vec<RecordedEvent> {
    let stream = after(&[
        ends("a", Ending::Fails),
        ends("a", Ending::GivenUp),
        ends("b", Ending::Delivered),
        Step::RetryDead,
    ]);
    stream.events
}

proptest! {
    #[test]
    fn hostile_metadata_is_an_error_and_never_a_panic(
        which in 0..5_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        shorter in any::<bool>(),
    ) {
        let mut event = one_of_each().swap_remove(which);
        let mut metadata = event.metadata.to_vec();
        for (at, byte) in edits {
            let at = at.index(metadata.len());
            metadata[at] = byte;
        }
        if shorter {
            metadata.truncate(cut.index(metadata.len()));
        }
        event.metadata = metadata.into();
        read_by_everybody(&event);
    }

    #[test]
    fn any_json_in_the_place_of_metadata_is_survived(
        type_name in prop::sample::select(vec![
            "DeliveryReceived", "DeliveryFailed", "DeliveryProcessed", "DeliveryDeadLettered",
            "DeliveryReplayRequested", "ReplayRequested", "ReplayProgressed", "ReplayCompleted",
            "ReplayCancelled", "ReplayFailed", "DestinationPaused", "DestinationResumed",
        ]),
        metadata in prop::sample::select(vec![
            "", "null", "{}", "[]", "1e999", "{\"outcome\":null}", "{\"outcome\":{}}",
            "{\"counts\":{\"matched\":-1}}", "{\"upto\":1e30}", "{\"attempts\":4294967296}", "\u{feff}{}",
        ]),
    ) {
        let mut event = one_of_each().swap_remove(0);
        event.event_type = type_name.parse().unwrap();
        event.metadata = metadata.into();
        read_by_everybody(&event);
    }
}

fn read_by_everybody(event: &RecordedEvent) {
    let mut state = received().state;
    // An error or a state, and that state says something.
    if state.evolve(event).is_ok() {
        let _ = state.status();
        let _ = state.dead(&[], &Cause::default());
    }
    if let Ok(Some(state)) = DeliveryState::new(event) {
        let _ = state.status();
    }
    let _ = ReplayEvent::of(event);
    let _ = ReplayState::of(std::slice::from_ref(event));
    let _ = DestinationEvent::of(event);
}

#[test]
fn numbers_at_their_ends_are_survived() {
    let mut stream = after(&[ends("a", Ending::Fails)]);
    let mut outcome = DeliveryOutcome::of(stream.events.last().unwrap())
        .unwrap()
        .unwrap();
    outcome.attempts = u32::MAX;
    let Outcome::Failed(failed) = &outcome.outcome else {
        panic!("{outcome:?}");
    };
    let mut attempt = failed.attempt.clone();
    attempt.number = u32::MAX;
    attempt.duration_us = u64::MAX;
    outcome.outcome = Outcome::DeadLettered(DeliveryDeadLettered {
        destination: name("a"),
        round: failed.round,
        history: vec![attempt],
        failure: Failure::new(ErrorCode::NetworkError, ""),
    });
    let stream_name = stream.state.received.stream();
    let new = outcome.to_event(EventId::new(uuid::Uuid::from_u128(1)));
    let event = recorded_as(new, stream_name, 2, 99, stream.now);
    stream.state.evolve(&event).unwrap();
    assert_eq!((stream.state.status(), stream.state.attempts), (Dead, 2));
}
