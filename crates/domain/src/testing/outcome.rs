//! Streams of deliveries that grow by deciding, as the reactors make them: for tests of whatever folds or follows them.
#![expect(
    clippy::expect_used,
    reason = "a test with an invalid name fails by panicking"
)]

use proptest::prelude::*;
use uuid::Uuid;

use super::delivery::{TestDelivery, recorded};
use crate::{
    AppendError, Attempt, AttemptResult, Cause, DeliveryCommand, DeliveryOutcome, DeliveryState,
    DestinationName, ErrorCode, EventId, EventLog, Failure, NewEvent, Position, RecordedEvent, ReplayId,
    ReplayTo, Response, Revision, StreamName, Timestamp, load_delivery,
};

/// How an attempt ends in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It arrives.
    Delivered,
    /// Nothing has to be sent.
    Skipped,
    /// It fails with 500, and the next one is due a second later.
    Fails,
    /// It fails with 500, for good.
    GivenUp,
}

/// What happens next to a delivery in a test. Destinations are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// An attempt of the present round.
    Attempt(String, Ending),
    /// An attempt of a round that is over by now, reported late.
    Late(String, Ending),
    /// A replay to these destinations.
    Replay(Vec<String>),
    /// A replay to the subjects.
    Publish,
    /// A retry of whatever was given up.
    RetryDead,
}

impl Step {
    /// The command that it is, `at` a time. `None` for an attempt at a destination that was never due.
    #[must_use]
    pub fn command(&self, state: &DeliveryState, at: Timestamp) -> Option<DeliveryCommand> {
        match self {
            Self::Attempt(name, ending) => attempted(state, name, *ending, at),
            Self::Late(name, ending) => {
                let command = attempted(state, name, *ending, at)?;
                Some(of_another_round(command))
            }
            Self::Replay(names) => Some(replayed(ReplayTo::Processing, names)),
            Self::Publish => Some(replayed(ReplayTo::Subjects, &[])),
            Self::RetryDead => Some(DeliveryCommand::RetryDead {
                cause: Cause::default(),
                destinations: Vec::new(),
                replay: None,
                requested_by: "test".to_owned(),
                reason: None,
            }),
        }
    }
}

/// Any steps of deliveries to these destinations, some of which need not be due at first.
pub fn any_steps(
    destinations: &'static [&'static str],
    steps_max: usize,
) -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(destinations).prop_map(str::to_owned);
    let ending = || {
        prop::sample::select(vec![
            Ending::Delivered,
            Ending::Skipped,
            Ending::Fails,
            Ending::Fails,
            Ending::GivenUp,
        ])
    };
    let some = prop::sample::subsequence(destinations.to_vec(), 0..=destinations.len());
    let step = prop_oneof![
        8 => (name(), ending()).prop_map(|(name, ending)| Step::Attempt(name, ending)),
        1 => (name(), ending()).prop_map(|(name, ending)| Step::Late(name, ending)),
        1 => some.prop_map(|names| Step::Replay(names.into_iter().map(str::to_owned).collect())),
        1 => Just(Step::Publish),
        1 => Just(Step::RetryDead),
    ];
    prop::collection::vec(step, 0..=steps_max)
}

/// The command that takes down how the next attempt of a destination's present round ended; `None` where it was never due.
///
/// # Panics
/// When the name is none.
#[must_use]
pub fn attempted(
    state: &DeliveryState,
    destination: &str,
    ending: Ending,
    at: Timestamp,
) -> Option<DeliveryCommand> {
    let destination: DestinationName = destination.parse().expect("a valid destination");
    let part = state.destinations.get(&destination)?;
    let number = u32::try_from(part.attempts.len()).unwrap_or(u32::MAX) + 1;
    let fails = matches!(ending, Ending::Fails | Ending::GivenUp);
    let attempt = Attempt {
        number,
        started_at: at,
        duration_us: 12_000,
        target: format!("https://example.com/{destination}"),
        idempotency_key: format!("{}.{destination}", part.round.opened_by),
        headers: None,
        response: Some(if fails {
            Response::new(500, "no")
        } else {
            Response::new(200, "")
        }),
        failure: fails.then(|| Failure::new(ErrorCode::ServiceUnavailable, "the destination answered 500")),
    };
    let result = match ending {
        Ending::Delivered => AttemptResult::Delivered(attempt),
        Ending::Skipped => AttemptResult::Skipped("the condition is false".to_owned()),
        Ending::Fails => AttemptResult::RetryAt(attempt, at.plus_millis(1000)),
        Ending::GivenUp => AttemptResult::GivenUp(attempt),
    };
    Some(DeliveryCommand::RecordAttempt {
        destination,
        round: part.round.opened_by,
        result,
    })
}

/// A replay of its own.
///
/// # Panics
/// When a name is none.
#[must_use]
pub fn replayed(to: ReplayTo, destinations: &[String]) -> DeliveryCommand {
    DeliveryCommand::Replay {
        to,
        destinations: destinations
            .iter()
            .map(|name| name.parse().expect("a valid destination"))
            .collect(),
        replay: ReplayId::new(Uuid::now_v7()),
        requested_by: "test".to_owned(),
        reason: Some("a test".to_owned()),
    }
}

fn of_another_round(command: DeliveryCommand) -> DeliveryCommand {
    match command {
        DeliveryCommand::RecordAttempt {
            destination, result, ..
        } => DeliveryCommand::RecordAttempt {
            destination,
            round: EventId::new(Uuid::from_u128(u128::MAX)),
            result,
        },
        other @ (DeliveryCommand::Replay { .. } | DeliveryCommand::RetryDead { .. }) => other,
    }
}

/// An event as a log would hold it.
#[must_use]
pub fn recorded_as(
    event: NewEvent,
    stream: StreamName,
    revision: u64,
    position: u64,
    at: Timestamp,
) -> RecordedEvent {
    RecordedEvent {
        position: Position::new(position),
        stream,
        revision: Revision::new(revision),
        id: event.id,
        event_type: event.event_type,
        schema: event.schema,
        recorded_at: at,
        duplicate_of: None,
        metadata: event.metadata,
        data: event.data,
    }
}

/// A delivery's stream without a log. Each event comes one second and one position after the one before, unless the test
/// moves `next_position` or `now`.
#[derive(Debug, Clone)]
pub struct TestStream {
    /// Its events.
    pub events: Vec<RecordedEvent>,
    /// What they fold into.
    pub state: DeliveryState,
    /// Position of the next event.
    pub next_position: u64,
    /// The time of the next event.
    pub now: Timestamp,
}

impl TestStream {
    /// The stream of a delivery received at a position.
    ///
    /// # Panics
    /// When a name in it is not valid.
    #[must_use]
    pub fn new(position: u64, delivery: &TestDelivery) -> Self {
        Self::of(recorded(position, delivery))
    }

    /// The stream that a receipt begins.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn of(receipt: RecordedEvent) -> Self {
        let state = DeliveryState::new(&receipt)
            .expect("a readable receipt")
            .expect("a receipt");
        Self {
            next_position: receipt.position.get() + 1,
            now: receipt.recorded_at.plus_millis(1000),
            events: vec![receipt],
            state,
        }
    }

    /// Decides and takes down what follows; `None` when nothing does.
    ///
    /// # Panics
    /// When the delivery's rules refuse it.
    pub fn decide(&mut self, command: DeliveryCommand) -> Option<DeliveryOutcome> {
        let outcome = self.state.decide(command).expect("allowed by the rules")?;
        let event = recorded_as(
            outcome.to_event(EventId::new(Uuid::now_v7())),
            self.state.received.stream(),
            self.state.revision.get() + 1,
            self.next_position,
            self.now,
        );
        self.state.evolve(&event).expect("a readable outcome");
        self.events.push(event);
        self.next_position += 1;
        self.now = self.now.plus_millis(1000);
        Some(outcome)
    }

    /// Takes a step; `None` when nothing follows from it.
    ///
    /// # Panics
    /// When a name in it is not valid.
    pub fn step(&mut self, step: &Step) -> Option<DeliveryOutcome> {
        let command = step.command(&self.state, self.now)?;
        self.decide(command)
    }

    /// An attempt of a destination's present round.
    ///
    /// # Panics
    /// When the name is none.
    pub fn attempt(&mut self, destination: &str, ending: Ending) -> Option<DeliveryOutcome> {
        self.step(&Step::Attempt(destination.to_owned(), ending))
    }
}

/// Decides on a delivery as a log has it, and appends what follows; `None` when nothing does. A conflict decides again.
///
/// # Panics
/// When the delivery is not there, its rules refuse the command, or the log fails otherwise.
pub async fn decide_and_append(
    log: &dyn EventLog,
    stream: &StreamName,
    command: impl Fn(&DeliveryState) -> DeliveryCommand,
) -> Option<DeliveryOutcome> {
    loop {
        let state = load_delivery(log, stream, None).await.expect("a readable stream");
        let state = state.expect("a delivery");
        let outcome = state.decide(command(&state)).expect("allowed by the rules")?;
        match log
            .append(state.append(&outcome, EventId::new(Uuid::now_v7())))
            .await
        {
            Ok(_) => return Some(outcome),
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => panic!("the outcome can't be appended: {error}"),
        }
    }
}
