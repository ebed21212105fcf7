//! Given, when, then; and what holds for every stream.

mod status;
mod wire;

use super::*;
use crate::testing::{Ending, Step, TestDelivery, TestStream, attempted, replayed};
use crate::{DeliveryStatus, DestinationName, EventId, ReplayId};

use DeliveryStatus::{Dead, Processed, Processing, Received, Retrying};

/// What comes of a command.
#[derive(Debug)]
enum Then {
    /// An event, which leads to a status with so many attempts made.
    Does(&'static str, DeliveryStatus, u32),
    /// Nothing: it was done before, or there is nothing to do.
    StaysQuiet,
    /// The rule that says no.
    Refuses(DeliveryRejection),
}

/// A delivery due at `a` and `b`, received at position 10.
fn received() -> TestStream {
    due(&["a", "b"])
}

fn due(names: &[&'static str]) -> TestStream {
    let delivery = TestDelivery {
        due: names.to_vec(),
        ..TestDelivery::new("push", "{}")
    };
    TestStream::new(10, &delivery)
}

fn after(steps: &[Step]) -> TestStream {
    let mut stream = received();
    for step in steps {
        assert!(
            stream.step(step).is_some(),
            "{step:?} changes nothing in {steps:?}"
        );
    }
    stream
}

#[track_caller]
fn check(given: &[Step], when: impl FnOnce(&DeliveryState) -> DeliveryCommand, then: Then) {
    let stream = after(given);
    let before = stream.state.status();
    match (stream.state.decide(when(&stream.state)), then) {
        (Ok(Some(outcome)), Then::Does(type_name, status, attempts)) => {
            assert_eq!(outcome.outcome.type_name(), type_name);
            assert_eq!(
                (outcome.before, outcome.after, outcome.attempts),
                (before, status, attempts)
            );
        }
        (Ok(None), Then::StaysQuiet) => {}
        (Err(rejection), Then::Refuses(rule)) => assert_eq!(rejection, rule),
        (decided, then) => panic!("{decided:?} instead of {then:?}"),
    }
}

fn ends(name: &str, ending: Ending) -> Step {
    Step::Attempt(name.to_owned(), ending)
}

fn replay(names: &[&str]) -> Step {
    Step::Replay(names.iter().map(|name| (*name).to_owned()).collect())
}

/// The next attempt of `a` ends.
fn a(ending: Ending) -> impl FnOnce(&DeliveryState) -> DeliveryCommand {
    move |state| attempted(state, "a", ending, state.receipt.recorded_at).unwrap()
}

fn name(text: &str) -> DestinationName {
    text.parse().unwrap()
}

fn replay_id(n: u128) -> ReplayId {
    ReplayId::new(uuid::Uuid::from_u128(n))
}

fn replay_as(
    id: u128,
    to: ReplayTo,
    names: &'static [&str],
) -> impl FnOnce(&DeliveryState) -> DeliveryCommand {
    move |_| DeliveryCommand::Replay {
        to,
        destinations: names.iter().map(|text| name(text)).collect(),
        replay: replay_id(id),
        requested_by: "alice".into(),
        reason: None,
    }
}

fn retry_dead(
    replay: Option<u128>,
    names: &'static [&str],
) -> impl FnOnce(&DeliveryState) -> DeliveryCommand {
    move |_| DeliveryCommand::RetryDead {
        destinations: names.iter().map(|text| name(text)).collect(),
        cause: Cause::default(),
        replay: replay.map(replay_id),
        requested_by: "sender".into(),
        reason: None,
    }
}

#[test]
fn an_attempt_of_an_open_round_is_taken_down() {
    use Ending::{Delivered, Fails, GivenUp, Skipped};
    use Then::Does;
    check(&[], a(Delivered), Does("DeliveryProcessed", Processing, 1));
    check(&[], a(Skipped), Does("DeliveryProcessed", Processing, 0));
    check(&[], a(Fails), Does("DeliveryFailed", Retrying, 1));
    check(&[], a(GivenUp), Does("DeliveryDeadLettered", Dead, 1));
    let failed = [ends("a", Fails), ends("a", Fails)];
    check(&failed, a(Delivered), Does("DeliveryProcessed", Processing, 3));
    check(&failed, a(Skipped), Does("DeliveryProcessed", Processing, 2));
    check(&failed, a(Fails), Does("DeliveryFailed", Retrying, 3));
    check(&failed, a(GivenUp), Does("DeliveryDeadLettered", Dead, 3));
    let other_done = [ends("b", Delivered)];
    check(&other_done, a(Delivered), Does("DeliveryProcessed", Processed, 2));
}

#[test]
fn an_attempt_of_a_round_that_is_over_changes_nothing() {
    use Ending::{Delivered, Fails, GivenUp, Skipped};
    for over in [Delivered, Skipped, GivenUp] {
        for late in [Delivered, Skipped, Fails, GivenUp] {
            check(&[ends("a", over)], a(late), Then::StaysQuiet);
        }
    }
    // A replay opened another round meanwhile; what was under way belongs to the old one.
    let late = a(Delivered)(&received().state);
    check(&[ends("a", Fails), replay(&["a"])], |_| late, Then::StaysQuiet);
    let unheard_of = DeliveryCommand::RecordAttempt {
        destination: name("a"),
        round: EventId::new(uuid::Uuid::from_u128(4)),
        result: AttemptResult::Skipped("no".into()),
    };
    check(&[], |_| unheard_of, Then::StaysQuiet);
}

#[test]
fn of_two_replicas_that_made_one_attempt_the_first_failure_counts_and_any_success() {
    use Ending::{Delivered, Fails, GivenUp, Skipped};
    for (rival, then) in [
        (Fails, Then::StaysQuiet),
        (GivenUp, Then::StaysQuiet),
        (Skipped, Then::Does("DeliveryProcessed", Processing, 1)),
        (Delivered, Then::Does("DeliveryProcessed", Processing, 2)),
    ] {
        let mut stream = received();
        let command = attempted(&stream.state, "a", rival, stream.now).unwrap();
        stream.attempt("a", Fails).unwrap();
        match (stream.state.decide(command).unwrap(), then) {
            (Some(outcome), Then::Does(type_name, status, attempts)) => {
                let decided = (outcome.outcome.type_name(), outcome.after, outcome.attempts);
                assert_eq!(decided, (type_name, status, attempts));
            }
            (None, Then::StaysQuiet) => {}
            (decided, then) => panic!("{decided:?} instead of {then:?}"),
        }
    }
}

#[test]
fn a_success_after_a_rival_failure_of_the_same_number_takes_the_next_one() {
    let mut stream = received();
    let command = attempted(&stream.state, "a", Ending::Delivered, stream.now).unwrap();
    stream.attempt("a", Ending::Fails).unwrap();
    let decided = stream.state.decide(command).unwrap().unwrap();
    assert_eq!(decided.outcome.attempt().map(|attempt| attempt.number), Some(2));
    assert_eq!(decided.attempts, 2);
}

#[test]
fn an_attempt_at_a_destination_that_was_never_due_is_refused() {
    let to_c = |round| DeliveryCommand::RecordAttempt {
        destination: name("c"),
        round,
        result: AttemptResult::Skipped("no".into()),
    };
    check(
        &[],
        |state| to_c(state.receipt.event_id),
        Then::Refuses(DeliveryRejection::NotDue(name("c"))),
    );
    // A replay makes it due.
    check(
        &[replay(&["c"])],
        |state| to_c(state.destinations[&name("c")].round.opened_by),
        Then::Does("DeliveryProcessed", Processing, 0),
    );
}

#[test]
fn a_replay_asks_once_however_often_it_is_told_to() {
    use ReplayTo::{Processing as ToProcessing, Subjects};
    use Then::Does;
    let requested = "DeliveryReplayRequested";
    let done = [ends("a", Ending::Delivered), ends("b", Ending::Delivered)];
    check(
        &done,
        replay_as(1, ToProcessing, &["a"]),
        Does(requested, Processing, 2),
    );
    check(
        &done,
        replay_as(1, ToProcessing, &["a", "b"]),
        Does(requested, Received, 2),
    );
    check(
        &done,
        replay_as(1, ToProcessing, &[]),
        Does(requested, Processed, 2),
    );
    check(&done, replay_as(1, Subjects, &[]), Does(requested, Processed, 2));
    // A replay of its own is another one, whatever was asked before.
    check(
        &[replay(&["a"])],
        replay_as(1, ToProcessing, &["a"]),
        Does(requested, Received, 0),
    );
    for to in [ToProcessing, Subjects] {
        let mut stream = received();
        let first = stream.decide(replay_as(1, to, &["a"])(&stream.state));
        assert!(first.is_some());
        for again in [ToProcessing, Subjects] {
            assert_eq!(stream.decide(replay_as(1, again, &["a"])(&stream.state)), None);
        }
        assert!(stream.decide(replay_as(2, to, &["a"])(&stream.state)).is_some());
    }
}

#[test]
fn a_replay_to_the_subjects_leaves_status_and_rounds_alone() {
    let mut stream = after(&[ends("a", Ending::Fails)]);
    let before = stream.state.clone();
    let outcome = stream
        .decide(replay_as(1, ReplayTo::Subjects, &["a", "b"])(&stream.state))
        .unwrap();
    assert_eq!((outcome.before, outcome.after), (Retrying, Retrying));
    assert!(!outcome.replayed, "its times still say something about us");
    let Outcome::ReplayRequested(request) = outcome.outcome else {
        panic!("{outcome:?}");
    };
    assert!(request.destinations.is_empty());
    assert_eq!(stream.state.destinations, before.destinations);
    assert_eq!(stream.state.replays, [replay_id(1)]);
}

#[test]
fn a_replay_opens_a_round_of_its_own() {
    let mut stream = after(&[ends("a", Ending::Fails), ends("a", Ending::GivenUp)]);
    let old = stream.state.destinations[&name("a")].clone();
    assert_eq!((old.work, old.attempts.len()), (Work::Dead, 2));
    let command = replayed(ReplayTo::Processing, &["a".to_owned()]);
    let outcome = stream.decide(command).unwrap();
    assert!(outcome.replayed);
    let request = stream.events.last().unwrap();
    let new = &stream.state.destinations[&name("a")];
    assert_eq!((new.work, new.attempts.len()), (Work::Open, 0));
    assert_eq!(
        (
            new.round.opened_by,
            new.round.opened_at,
            new.round.since,
            new.due_at
        ),
        (
            request.id,
            request.position,
            request.recorded_at,
            request.recorded_at
        )
    );
    assert_ne!(new.round.opened_by, old.round.opened_by);
    // The other one stays in the round of the receipt.
    assert_eq!(
        stream.state.destinations[&name("b")].round.opened_by,
        stream.events[0].id
    );
    assert_eq!(stream.state.attempts, 2, "attempts of all rounds are counted");
    assert_eq!(stream.state.failure, None);
}

#[test]
fn only_what_was_given_up_is_retried() {
    use Ending::{Delivered, Fails, GivenUp};
    use Then::{Does, StaysQuiet};
    let requested = "DeliveryReplayRequested";
    for alive in [
        vec![],
        vec![ends("a", Fails)],
        vec![ends("a", Delivered), ends("b", Delivered)],
        vec![ends("a", GivenUp), replay(&["a"])],
    ] {
        check(&alive, retry_dead(None, &[]), StaysQuiet);
    }
    let one = [ends("a", GivenUp), ends("b", Delivered)];
    check(&one, retry_dead(None, &[]), Does(requested, Processing, 2));
    check(
        &one,
        retry_dead(None, &["a", "b"]),
        Does(requested, Processing, 2),
    );
    check(&one, retry_dead(None, &["b"]), StaysQuiet);
    let both = [ends("a", GivenUp), ends("b", GivenUp)];
    check(&both, retry_dead(None, &["b"]), Does(requested, Dead, 2));
    check(&both, retry_dead(Some(1), &[]), Does(requested, Received, 2));
}

#[test]
fn a_retry_names_those_that_were_given_up_and_asks_once_a_replay() {
    let mut stream = after(&[ends("b", Ending::GivenUp)]);
    let outcome = stream.decide(retry_dead(Some(1), &[])(&stream.state)).unwrap();
    let Outcome::ReplayRequested(request) = outcome.outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(request.destinations, [name("b")]);
    assert_eq!(
        (request.to, request.replay),
        (ReplayTo::Processing, Some(replay_id(1)))
    );
    stream.attempt("b", Ending::GivenUp).unwrap();
    assert_eq!(stream.decide(retry_dead(Some(1), &[])(&stream.state)), None);
    assert!(stream.decide(retry_dead(Some(2), &[])(&stream.state)).is_some());
    // A sender has no replay: each of its repeats counts.
    stream.attempt("b", Ending::GivenUp).unwrap();
    assert!(stream.decide(retry_dead(None, &[])(&stream.state)).is_some());
    stream.attempt("b", Ending::GivenUp).unwrap();
    assert!(stream.decide(retry_dead(None, &[])(&stream.state)).is_some());
}

#[test]
fn a_failure_says_when_the_next_attempt_is_due_and_is_kept_until_made_good() {
    let mut stream = received();
    let now = stream.now;
    assert_eq!(
        stream.state.destinations[&name("a")].due_at,
        stream.events[0].recorded_at
    );
    stream.attempt("a", Ending::Fails).unwrap();
    assert_eq!(
        stream.state.destinations[&name("a")].due_at,
        now.plus_millis(1000)
    );
    assert!(stream.state.failure.is_some());
    stream.attempt("b", Ending::Delivered).unwrap();
    assert!(
        stream.state.failure.is_some(),
        "another's success makes nothing good"
    );
    stream.attempt("a", Ending::Delivered).unwrap();
    assert_eq!(stream.state.failure, None);
    assert_eq!(
        stream.state.processed_at,
        stream.events.last().map(|event| event.recorded_at)
    );
}

#[test]
fn a_dead_letter_holds_all_attempts_of_its_round() {
    let mut stream = after(&[
        ends("a", Ending::Fails),
        replay(&["a"]),
        ends("a", Ending::Fails),
        ends("a", Ending::Fails),
    ]);
    let outcome = stream.attempt("a", Ending::GivenUp).unwrap();
    let Outcome::DeadLettered(dead) = &outcome.outcome else {
        panic!("{outcome:?}");
    };
    let numbers: Vec<u32> = dead.history.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3], "those of the round before are not its");
    assert_eq!(outcome.attempts, 4);
    assert_eq!(dead.failure, dead.history[2].failure.clone().unwrap());
    assert_eq!(stream.state.failure, Some(dead.failure.clone()));
}

#[test]
fn a_failure_at_one_destination_stands_whatever_happens_at_another() {
    use Ending::{Delivered, Fails, GivenUp};
    let both_failed = [ends("a", Fails), ends("b", Fails)];
    let both_dead = [ends("a", GivenUp), ends("b", GivenUp)];
    let with = |given: &[Step], step: Step| after(&[given, &[step]].concat()).state;
    for state in [
        with(&both_failed, ends("b", Delivered)),
        with(&both_dead, replay(&["b"])),
        with(&both_dead, replay(&[])),
    ] {
        let standing = state.standing().failure.expect("a is not well");
        assert_eq!(state.failure, Some(standing.failure));
    }
}

#[test]
fn a_reactor_that_nobody_knows_keeps_no_delivery_open() {
    for unknown in ["mailer:weekly", "destination:No Name", "orders"] {
        let mut receipt = received().events[0].clone();
        let mut facts = crate::DeliveryReceived::of(&receipt).unwrap().unwrap();
        facts.reactors_due = vec![unknown.to_owned()];
        receipt.metadata = facts.to_metadata();
        let state = TestStream::of(receipt).state;
        assert_eq!(facts.initial_status(false), state.status(), "{unknown}");
        facts.reactors_due.push("destination:orders".to_owned());
        assert_eq!(facts.initial_status(false), Received);
    }
}

#[test]
fn a_delivery_that_nobody_waits_for_is_processed_when_recorded() {
    let stream = due(&[]);
    assert_eq!(stream.state.status(), Processed);
    assert_eq!(stream.state.processed_at, Some(stream.events[0].recorded_at));
    // A marked duplicate has nothing due, whatever its receipt names.
    let mut marked = received().events[0].clone();
    marked.duplicate_of = Some("delivery-default.github.41.original".parse().unwrap());
    let stream = TestStream::of(marked);
    assert_eq!(stream.state.status(), Processed);
    assert!(stream.state.destinations.is_empty());
    assert_eq!(
        stream.state.received.initial_status(true),
        stream.state.status(),
        "both say the same"
    );
}
