//! Logs in which deliveries have outcomes, made by the rules themselves, for the models to be compared with.

use domain::testing::{Step, TestStream, any_steps};
use domain::{DeliveryOutcome, StreamName};
use proptest::prelude::*;

use super::*;

const DESTINATIONS: &[&str] = &["a", "b", "c"];

/// A log, and what is true of the deliveries in it.
#[derive(Debug)]
pub(super) struct Told {
    /// Its events, as the runner hands them to a model.
    pub(super) events: Vec<Projected>,
    /// The deliveries as their streams fold.
    pub(super) streams: Vec<TestStream>,
}

impl Told {
    /// The outcomes, in log order.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&Projected, &DeliveryOutcome)> {
        self.events
            .iter()
            .filter_map(|event| Some((event, event.outcome.as_ref()?)))
    }
}

/// What is to happen to a delivery.
#[derive(Debug, Clone)]
struct Life {
    due: Vec<&'static str>,
    repository: Option<&'static str>,
    after_ms: i64,
    taken_ms: i64,
    synthetic: bool,
    marked: bool,
    steps: Vec<Step>,
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let life = (
        prop::sample::subsequence(DESTINATIONS.to_vec(), 0..=DESTINATIONS.len()),
        prop::sample::select(vec![None, Some("Octo-Org/one"), Some("octo-org/two")]),
        0..9_000_000_i64,
        0..4000_i64,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        any_steps(DESTINATIONS, 12),
    );
    let life = life.prop_map(
        |(due, repository, after_ms, taken_ms, synthetic, marked, steps)| Life {
            due,
            repository,
            after_ms,
            taken_ms,
            synthetic,
            marked,
            steps,
        },
    );
    prop::collection::vec(life, 1..8)
}

/// Any lives, their events told in any order that keeps each stream's own.
pub(super) fn logs() -> impl Strategy<Value = Told> {
    let turns = prop::collection::vec((any::<prop::sample::Index>(), 1..4_u64), 0..60);
    (lives(), turns).prop_map(|(lives, turns)| told(&lives, &turns))
}

fn told(lives: &[Life], turns: &[(prop::sample::Index, u64)]) -> Told {
    let mut position = 0;
    let (mut events, mut streams) = (Vec::new(), Vec::new());
    for life in lives {
        position += 1;
        let stream = received(life, position);
        events.push(read(stream.events[0].clone()));
        streams.push(stream);
    }
    let mut steps: Vec<_> = lives.iter().map(|life| life.steps.iter()).collect();
    for (index, gap) in turns {
        let at = index.index(streams.len());
        let Some(step) = steps[at].next() else { continue };
        streams[at].next_position = position + gap;
        if streams[at].step(step).is_some() {
            position += gap;
            events.push(read(streams[at].events.last().unwrap().clone()));
        }
    }
    Told { events, streams }
}

fn received(life: &Life, position: u64) -> TestStream {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.due.clone_from(&life.due);
    delivery.repository = life.repository.map(str::to_owned);
    delivery.received_at = delivery.received_at.plus_millis(life.after_ms);
    delivery.synthetic = life.synthetic;
    let mut receipt = recorded(position, &delivery);
    receipt.recorded_at = delivery.received_at.plus_millis(life.taken_ms);
    receipt.duplicate_of = life.marked.then(|| {
        let original: StreamName = "delivery-default.github.41.original".parse().unwrap();
        original
    });
    TestStream::of(receipt)
}
