//! The power goes at any operation of the disk, while writing and while recovering: nothing acknowledged is lost, nothing
//! else is half there, and the log opens every time.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::testing::TestDelivery;
use domain::{
    Append, Appended, EventData, EventId, Expected, NewEvent, Position, RecordedEvent, Revision, StreamName,
};

use super::{Bench, small};
use crate::log::LogOptions;
use crate::log::power_cut::{Dice, Disk};

/// How many times the power goes, unless `HOOKLOG_POWER_CUTS` says otherwise.
const CUTS: u64 = 2000;
const CUTS_PER_LOG: u64 = 8;

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting")]
    let cuts = std::env::var("HOOKLOG_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting")]
    let seed: u64 =
        std::env::var("HOOKLOG_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("{cuts} power cuts, HOOKLOG_SEED={seed}");
    let mut outcomes = Outcomes::default();
    for n in 0..cuts.div_ceil(CUTS_PER_LOG) {
        World::new(seed.wrapping_add(n)).live(&mut outcomes);
    }
    println!("{outcomes:?}");
    // A model that never tears a batch, or always does, proves nothing.
    assert!(
        outcomes.kept > cuts / 20 && outcomes.cut > cuts / 20,
        "{outcomes:?}"
    );
    assert!(outcomes.acknowledged > cuts, "{outcomes:?}");
    assert!(outcomes.in_recovery > cuts / 200, "{outcomes:?}");
    assert!(outcomes.gone_over > cuts / 20, "{outcomes:?}");
}

#[derive(Debug, Default)]
struct Outcomes {
    /// Events that were answered with success.
    acknowledged: u64,
    /// Power cuts after which events that were never answered were there, or were not.
    kept: u64,
    cut: u64,
    /// Restarts after a failing disk, with the power cut thereafter.
    restarts: u64,
    /// Power cuts while the log was opening.
    in_recovery: u64,
    /// Segments begun on ground that was prepared.
    gone_over: u64,
}

/// One log, and what is known of it from outside.
struct World {
    seed: u64,
    dice: Dice,
    disk: Arc<Disk>,
    acknowledged: Vec<RecordedEvent>,
    /// Events by stream that may be appended to, for revisions.
    streams: Vec<StreamName>,
    next_id: u128,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice::seeded(seed),
            disk: Disk::empty(),
            acknowledged: Vec::new(),
            streams: Vec::new(),
            next_id: 1,
        }
    }

    fn live(&mut self, outcomes: &mut Outcomes) {
        for _ in 0..CUTS_PER_LOG {
            if self.dice.below(3) == 0 {
                self.cut_while_opening(outcomes);
            }
            let mut in_flight = self.write_until_the_power_goes(outcomes);
            if self.dice.below(3) == 0 {
                // The disk failed, but the power stayed: what is shown after this restart must survive the next cut.
                self.disk.heal();
                self.check(&in_flight, outcomes);
                in_flight.clear();
                outcomes.restarts += 1;
            }
            self.disk = self.disk.after_power_cut(&mut self.dice);
            self.check(&in_flight, outcomes);
        }
    }

    fn cut_while_opening(&mut self, outcomes: &mut Outcomes) {
        let left = 1 + self.dice.below(8);
        self.disk.faults().operations_left.store(left, Ordering::SeqCst);
        drop(Bench::open(&self.disk));
        if self.disk.faults().is_off() {
            outcomes.in_recovery += 1;
        }
        self.disk = self.disk.after_power_cut(&mut self.dice);
    }

    /// Appends until the power goes, and returns what was not acknowledged.
    fn write_until_the_power_goes(&mut self, outcomes: &mut Outcomes) -> Vec<Append> {
        // With nothing prepared, with a little, or with as much as lets the writer go over to a segment that is not whole.
        let fill_ahead_bytes = [0, 8 * 1024, 32 * 1024][usize::try_from(self.dice.below(3)).unwrap()];
        let options = LogOptions {
            fill_ahead_bytes,
            ..small()
        };
        let mut bench = Bench::open_with(&self.disk, options)
            .unwrap_or_else(|error| panic!("does not open: {error}; {}", self.story()));
        let segments = bench.shared.segments.all().len();
        let left = 1 + self.dice.below(90);
        self.disk.faults().operations_left.store(left, Ordering::SeqCst);
        self.disk
            .faults()
            .write_max
            .store(if self.dice.coin() { usize::MAX } else { 4096 }, Ordering::SeqCst);
        loop {
            let appends = self.appends(&bench);
            let answers = bench.commit(&appends);
            let mut in_flight = Vec::new();
            for (append, answer) in appends.into_iter().zip(answers) {
                match answer {
                    Some(Ok(appended)) => outcomes.acknowledged += self.acknowledge(&append, &appended),
                    Some(Err(error)) if !error.retry() => {}
                    Some(Err(_)) | None => in_flight.push(append),
                }
            }
            for _ in 0..self.dice.below(4) {
                bench.shared.space.fill_ahead();
            }
            if self.disk.faults().is_off() {
                let begun = bench.shared.segments.all().len() - segments;
                outcomes.gone_over += if fill_ahead_bytes > 0 { begun as u64 } else { 0 };
                return in_flight;
            }
            assert!(
                in_flight.is_empty(),
                "refused while the power was on; {}",
                self.story()
            );
        }
    }

    fn open(&self) -> Bench {
        Bench::open(&self.disk).unwrap_or_else(|error| panic!("does not open: {error}; {}", self.story()))
    }

    fn story(&self) -> String {
        format!(
            "HOOKLOG_SEED={} HOOKLOG_POWER_CUTS={CUTS_PER_LOG} shows it again",
            self.seed
        )
    }

    fn appends(&mut self, bench: &Bench) -> Vec<Append> {
        (0..=self.dice.below(6)).map(|_| self.append(bench)).collect()
    }

    fn append(&mut self, bench: &Bench) -> Append {
        let len = usize::try_from(self.dice.below(9000)).unwrap();
        let fill = u8::try_from(1 + self.dice.below(255)).unwrap();
        let known = self.dice.below(self.streams.len().max(1) as u64);
        let known = self.streams.get(usize::try_from(known).unwrap()).cloned();
        match (self.dice.below(10), known) {
            // Once more what is there.
            (0, Some(stream)) => self.next_of(stream, Expected::NoStream, 1, vec![fill; 10]),
            // The next events of a stream.
            (1..=3, Some(stream)) => {
                let head = bench.shared.recent().head(&stream);
                let expected = head.map_or(Expected::NoStream, |head| Expected::Revision(head.last));
                let events = 1 + self.dice.below(4);
                self.next_of(stream, expected, events, vec![fill; len / 4])
            }
            _ => {
                let delivery = TestDelivery {
                    event_id: self.id(),
                    delivery_id: self.next_id.to_string(),
                    ..TestDelivery::new("push", vec![fill; len])
                };
                self.streams.push(delivery.received().stream());
                delivery.append()
            }
        }
    }

    fn next_of(&mut self, stream: StreamName, expected: Expected, events: u64, body: Vec<u8>) -> Append {
        let event = |world: &mut Self| NewEvent {
            id: world.id(),
            event_type: "ThingHappened".parse().unwrap(),
            schema: 1,
            metadata: "{}".into(),
            data: EventData::Inline(body.clone().into()),
        };
        Append {
            stream,
            expected,
            events: (0..events).map(|_| event(self)).collect(),
            content: None,
        }
    }

    fn id(&mut self) -> EventId {
        self.next_id += 1;
        EventId::new(uuid::Uuid::from_u128(self.next_id))
    }

    fn acknowledge(&mut self, append: &Append, appended: &Appended) -> u64 {
        let count = append.events.len() as u64;
        for (n, event) in (0..).zip(&append.events) {
            self.acknowledged.push(RecordedEvent {
                position: Position::new(appended.first.get() + n),
                stream: append.stream.clone(),
                revision: Revision::new(appended.revision.get() + 1 + n - count),
                id: event.id,
                event_type: event.event_type.clone(),
                schema: event.schema,
                recorded_at: appended.recorded_at,
                duplicate_of: appended.duplicate_of.clone(),
                metadata: event.metadata.clone(),
                data: event.data.clone(),
            });
        }
        count
    }

    /// Opens the log and compares: all that was acknowledged, then whole appends of those in flight.
    fn check(&mut self, in_flight: &[Append], outcomes: &mut Outcomes) {
        let bench = self.open();
        let events = bench.events();
        let known = self.acknowledged.len();
        if events.get(..known) != Some(&self.acknowledged[..]) {
            panic!(
                "acknowledged events are lost or changed: {}; {}",
                self.difference(&events),
                self.story()
            );
        }
        let rest = &events[known..];
        let mut left = rest;
        for append in in_flight {
            let Some(first) = left.first() else { break };
            if append.events.first().map(|e| e.id) != Some(first.id) {
                continue;
            }
            let (part, others) = left.split_at(append.events.len().min(left.len()));
            let ids = part.iter().map(|e| e.id).eq(append.events.iter().map(|e| e.id));
            assert!(ids, "an append is half there; {}", self.story());
            left = others;
        }
        assert!(left.is_empty(), "events from nowhere; {}", self.story());
        self.check_order(&events);
        if !in_flight.is_empty() {
            *if rest.is_empty() {
                &mut outcomes.cut
            } else {
                &mut outcomes.kept
            } += 1;
        }
        // What was found once must be found for ever.
        self.acknowledged = events;
    }

    fn check_order(&self, events: &[RecordedEvent]) {
        let mut revisions: HashMap<&StreamName, u64> = HashMap::new();
        for (position, event) in (1..).zip(events) {
            assert_eq!(event.position.get(), position, "{}", self.story());
            let next = revisions.entry(&event.stream).or_default();
            assert_eq!(event.revision.get(), *next, "{}", self.story());
            *next += 1;
        }
    }

    fn difference(&self, events: &[RecordedEvent]) -> String {
        let mut text = format!("{} acknowledged, {} there", self.acknowledged.len(), events.len());
        let first = self.acknowledged.iter().zip(events).position(|(a, b)| a != b);
        if let Some(at) = first {
            let (known, found) = (&self.acknowledged[at], &events[at]);
            let _ = write!(
                text,
                ", first at {}: {} or {}",
                known.position, known.id, found.id
            );
        }
        text
    }
}
