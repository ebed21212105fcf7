//! The metadata of events, as the log holds it.
#![expect(clippy::expect_used, reason = "a finding is a panic")]

use bytes::Bytes;
use uuid::Uuid;

use crate::testing::recorded_as;
use crate::{
    ActionAudited, CategoryFold as _, DeliveryOutcome, DeliveryReceived, DeliveryState, DestinationEvent,
    DestinationName, DestinationState, EventData, EventId, EventType, KeyDirectory, KeyEvent, NewEvent,
    RecordedEvent, ReplayEvent, ReplayState, SourceDirectory, SourceEvent, StreamName, TenantId, Timestamp,
    subject_of,
};

/// A stream: a line for each event, its type and its metadata. Facts that can be read are the same when written and read
/// again, and folding them never panics.
///
/// # Panics
/// On a finding.
pub fn facts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines = (0..).zip(text.lines().take(32));
    let events: Vec<RecordedEvent> = lines.filter_map(|(n, line)| event(n, line)).collect();
    for event in &events {
        received_again(event);
        outcome_again(event);
        replay_again(event);
        destination_again(event);
        access_again(event);
    }
    fold_deliveries(&events);
    let _ = ReplayState::of(&events);
    let (mut keys, mut sources) = (KeyDirectory::default(), SourceDirectory::default());
    for event in &events {
        let mut event = event.clone();
        event.stream = StreamName::of_key(&TenantId::default(), &"k1".parse().expect("a valid id"));
        let _ = keys.evolve(&event);
        event.stream = "source-default.shop".parse().expect("a valid name");
        sources.evolve(&event);
    }
    let mut destination = DestinationState::new(TenantId::default(), name("orders"));
    for event in &events {
        let _ = destination.evolve(event);
    }
}

fn name(text: &str) -> DestinationName {
    text.parse().expect("a valid name")
}

fn stream() -> StreamName {
    "delivery-default.github.41.72d3162e"
        .parse()
        .expect("a valid name")
}

fn event(n: u64, line: &str) -> Option<RecordedEvent> {
    let (event_type, metadata) = line.split_once(' ')?;
    let new = NewEvent {
        id: EventId::new(Uuid::from_u128(u128::from(n) + 1)),
        event_type: event_type.parse::<EventType>().ok()?,
        schema: 1,
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        data: EventData::Inline(Bytes::new()),
    };
    Some(recorded_as(new, stream(), n, n + 1, Timestamp::default()))
}

/// The event as it would be written again.
fn with(event: &RecordedEvent, metadata: Bytes) -> RecordedEvent {
    let mut event = event.clone();
    event.metadata = metadata;
    event
}

fn received_again(event: &RecordedEvent) {
    let Some(Ok(received)) = DeliveryReceived::of(event) else {
        return;
    };
    let again = DeliveryReceived::of(&with(event, received.to_metadata()));
    assert_eq!(
        again.map(|r| r.expect("it was read before")).as_ref(),
        Some(&received)
    );
    assert!(
        received.stream().as_str().parse::<StreamName>().is_ok(),
        "{}",
        received.stream()
    );
    let parts = subject_of(event, Some(&received)).split('.').count();
    assert_eq!(parts, 8, "hooklog, v1 and six parts");
}

fn outcome_again(event: &RecordedEvent) {
    let Some(Ok(outcome)) = DeliveryOutcome::of(event) else {
        return;
    };
    // Near the limit of the log, an outcome does without what stands elsewhere in its stream.
    if event.metadata.len() > NewEvent::METADATA_BYTES_MAX / 2 {
        return;
    }
    let new = outcome.to_event(event.id);
    let again = DeliveryOutcome::of(&with(event, new.metadata)).and_then(Result::ok);
    let mut kept = outcome;
    kept.delivery.headers.clear();
    assert_eq!(again, Some(kept));
}

fn replay_again(event: &RecordedEvent) {
    let Some(Ok(fact)) = ReplayEvent::of(event) else {
        return;
    };
    let again = ReplayEvent::of(&with(event, fact.to_event(event.id).metadata));
    assert_eq!(again.and_then(Result::ok), Some(fact));
}

fn destination_again(event: &RecordedEvent) {
    let Some(Ok(fact)) = DestinationEvent::of(event) else {
        return;
    };
    let state = DestinationState::new(TenantId::default(), name("orders"));
    let append = state.append(&fact, event.id);
    let metadata = append.events.into_iter().next().expect("one event").metadata;
    let again = DestinationEvent::of(&with(event, metadata));
    assert_eq!(again.and_then(Result::ok), Some(fact));
}

fn access_again(event: &RecordedEvent) {
    if let Some(Ok(fact)) = KeyEvent::of(event) {
        let again = KeyEvent::of(&with(event, fact.to_event(event.id).metadata));
        assert_eq!(again.and_then(Result::ok), Some(fact));
    }
    if let Some(Ok(fact)) = SourceEvent::of(event) {
        let again = SourceEvent::of(&with(event, fact.to_event(event.id).metadata));
        assert_eq!(again.and_then(Result::ok), Some(fact));
    }
    if let Some(Ok(fact)) = ActionAudited::of(event) {
        let again = ActionAudited::of(&with(event, fact.to_event(event.id).metadata));
        assert_eq!(again.and_then(Result::ok), Some(fact));
    }
}

fn fold_deliveries(events: &[RecordedEvent]) {
    let mut state: Option<DeliveryState> = None;
    for event in events {
        match &mut state {
            Some(state) => {
                let _ = state.evolve(event);
                let _ = (state.status(), state.standing());
            }
            None => state = DeliveryState::new(event).ok().flatten(),
        }
    }
}
