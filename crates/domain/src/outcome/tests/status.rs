//! The status over several destinations, and that every fold of a stream agrees with what its events say.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testing::{ManualClock, MemoryLog, any_steps};
use crate::{Append, EventLog, Expected, LogId, NewEvent, Position, RecordedEvent, Timestamp};

#[test]
fn the_status_over_two_destinations_is_the_worst_of_them() {
    use Ending::{Delivered, Fails, GivenUp, Skipped};
    let parts = [None, Some(Fails), Some(Delivered), Some(Skipped), Some(GivenUp)];
    #[rustfmt::skip]
    let expected = [
        // b:    open        failed    delivered   skipped     given up
        [Received,   Retrying, Processing, Processing, Dead], // a: open
        [Retrying,   Retrying, Retrying,   Retrying,   Dead], //    failed
        [Processing, Retrying, Processed,  Processed,  Dead], //    delivered
        [Processing, Retrying, Processed,  Processed,  Dead], //    skipped
        [Dead,       Dead,     Dead,       Dead,       Dead], //    given up
    ];
    for (a, row) in parts.iter().zip(expected) {
        for (b, status) in parts.iter().zip(row) {
            let steps = [("a", a), ("b", b)].map(|(name, ending)| ending.map(|ending| ends(name, ending)));
            let steps: Vec<Step> = steps.into_iter().flatten().collect();
            assert_eq!(after(&steps).state.status(), status, "a: {a:?}, b: {b:?}");
            let reversed: Vec<Step> = steps.into_iter().rev().collect();
            assert_eq!(after(&reversed).state.status(), status, "b: {b:?}, a: {a:?}");
        }
    }
}

#[test]
fn a_replay_begins_anew_and_a_life_goes_through_every_status() {
    use Ending::{Delivered, Fails, GivenUp};
    let steps = [
        (ends("a", Fails), Retrying),
        (ends("a", Delivered), Processing),
        (ends("b", GivenUp), Dead),
        (Step::RetryDead, Processing),
        (ends("b", Fails), Retrying),
        (ends("b", Delivered), Processed),
        (Step::Publish, Processed),
        (replay(&["a", "b"]), Received),
        (ends("a", Delivered), Processing),
        (ends("b", Delivered), Processed),
        (replay(&[]), Processed),
    ];
    let mut stream = received();
    for (step, status) in steps {
        let outcome = stream.step(&step).unwrap();
        assert_eq!(
            (outcome.after, stream.state.status()),
            (status, status),
            "{step:?}"
        );
    }
}

#[test]
fn what_is_wrong_at_one_destination_is_not_hidden_by_another() {
    let mut stream = received();
    let now = stream.now;
    let failing = stream.attempt("a", Ending::Fails).unwrap().standing;
    assert_eq!(failing.last_attempt_at, Some(now));
    assert_eq!(failing.next_attempt_at, Some(now.plus_millis(1000)));
    assert_eq!(failing.failure.clone().unwrap().destination, name("a"));
    let done = stream.attempt("b", Ending::Delivered).unwrap().standing;
    assert_eq!(
        (done.failure, done.next_attempt_at),
        (failing.failure, failing.next_attempt_at)
    );
    // What was given up goes before what is retried later.
    let mut stream = after(&[ends("b", Ending::GivenUp)]);
    let standing = stream.attempt("a", Ending::Fails).unwrap().standing;
    assert_eq!(standing.failure.unwrap().destination, name("b"));
    assert!(standing.next_attempt_at.is_some(), "of the other one");
    let made_good = stream.attempt("a", Ending::Delivered).unwrap().standing;
    assert_eq!(made_good.next_attempt_at, None);
    let asked_again = stream.step(&Step::RetryDead).unwrap().standing;
    assert_eq!(asked_again.failure, None);
}

/// Counted by the events alone, without the fold.
fn attempts_of(events: &[RecordedEvent]) -> u32 {
    let attempts = events.iter().filter_map(|event| {
        let outcome = DeliveryOutcome::of(event)?.unwrap().outcome;
        Some(match outcome {
            Outcome::Failed(_) | Outcome::DeadLettered(_) => 1,
            Outcome::Processed(processed) => u32::from(processed.attempt.is_some()),
            Outcome::ReplayRequested(_) => 0,
        })
    });
    attempts.sum()
}

fn fold(events: &[RecordedEvent]) -> DeliveryState {
    let mut state = DeliveryState::new(&events[0]).unwrap().unwrap();
    for event in &events[1..] {
        state.evolve(event).unwrap();
    }
    state
}

/// Any stream of a delivery that is due at `a` and `b`; `c` comes in by replays.
fn any_stream() -> impl Strategy<Value = TestStream> {
    any_steps(&["a", "b", "c"], 24).prop_map(|steps| {
        let mut stream = received();
        for step in &steps {
            stream.step(step);
        }
        stream
    })
}

proptest! {
    #[test]
    fn each_event_says_the_status_that_the_fold_has(stream in any_stream()) {
        let mut before = fold(&stream.events[..1]);
        prop_assert_eq!(before.status(), before.received.initial_status(false));
        for upto in 2..=stream.events.len() {
            let events = &stream.events[..upto];
            let outcome = DeliveryOutcome::of(&events[upto - 1]).unwrap().unwrap();
            let foreseen = before.foresee(&outcome.outcome);
            let after = fold(events);
            prop_assert_eq!(outcome.before, before.status(), "event {}", upto);
            prop_assert_eq!(outcome.after, after.status(), "event {}", upto);
            prop_assert_eq!(foreseen.status(), after.status(), "event {}", upto);
            prop_assert_eq!(foreseen.attempts, after.attempts);
            prop_assert_eq!(outcome.attempts, attempts_of(events));
            prop_assert_eq!(outcome.replayed, after.replayed);
            prop_assert_eq!(&foreseen.failure, &after.failure);
            prop_assert_eq!(&outcome.standing, &after.standing());
            let wrong = matches!(outcome.after, Dead | Retrying);
            prop_assert_eq!(outcome.standing.failure.is_some(), wrong, "{:?}", outcome.standing);
            prop_assert_eq!(after.processed_at.is_some(), after.status() == Processed);
            let facts = crate::DeliveryReceived { headers: Vec::new(), ..before.received.clone() };
            prop_assert_eq!(&outcome.delivery, &facts, "the facts of the receipt but its headers");
            prop_assert_eq!(&outcome.receipt, &before.receipt);
            before = after;
        }
        prop_assert_eq!(before, stream.state);
    }

    #[test]
    fn an_outcome_is_decided_once(steps in any_steps(&["a", "b", "c"], 24), last in 0..4_usize) {
        let mut stream = received();
        for step in &steps {
            stream.step(step);
        }
        let ending = [Ending::Delivered, Ending::Skipped, Ending::Fails, Ending::GivenUp][last];
        if let Some(command) = attempted(&stream.state, "a", ending, stream.now) {
            let first = stream.decide(command.clone());
            prop_assert!(first.is_some() || stream.state.destinations[&name("a")].work != Work::Open);
            // Told again, as after a crash or by a replica that made the same attempt.
            prop_assert_eq!(stream.decide(command), None);
        }
    }

    #[test]
    fn a_log_gives_the_same_state_at_every_position(stream in any_stream()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
            let log = MemoryLog::with_gaps(LogId::new(uuid::Uuid::from_u128(1)), clock, 7);
            let name = stream.state.received.stream();
            assert!(load_delivery(&log, &name, None).await.unwrap().is_none());
            let mut at = Vec::new();
            for (n, event) in (0_u64..).zip(&stream.events) {
                let append = Append {
                    stream: name.clone(),
                    expected: n.checked_sub(1).map_or(Expected::NoStream, |n| Expected::Revision(crate::Revision::new(n))),
                    events: vec![NewEvent {
                        id: event.id,
                        event_type: event.event_type.clone(),
                        schema: event.schema,
                        metadata: event.metadata.clone(),
                        data: event.data.clone(),
                    }],
                    content: None,
                };
                at.push(log.append(append).await.unwrap().last);
            }
            for (n, position) in at.iter().enumerate() {
                let state = load_delivery(&log, &name, Some(*position)).await.unwrap().unwrap();
                let folded = fold(&stream.events[..=n]);
                assert_eq!(state.status(), folded.status());
                assert_eq!((state.revision, state.attempts), (folded.revision, folded.attempts));
            }
            assert!(load_delivery(&log, &name, Some(Position::START)).await.unwrap().is_none());
        });
    }
}
