//! Every event ever written stays readable: for each type and schema a file with its metadata as it was first written.
//!
//! A file is written once, by `cargo test -p domain --test event_golden -- --ignored`, and never again: a change of shape
//! gets a schema number and a file of its own, and the reader of the old one stays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::{
    ActionAudited, Attempt, ContentHash, DeliveryDeadLettered, DeliveryFailed, DeliveryKey, DeliveryOutcome,
    DeliveryProcessed, DeliveryReceived, DeliveryReplayRequested, DeliveryStatus, DestinationCommand,
    DestinationEvent, DestinationName, DestinationPaused, DestinationResumed, DestinationState, Entity,
    ErrorCode, EventData, EventId, Failure, HeaderFact, KeyEvent, NewEvent, Outcome, Position, Proof,
    Receipt, RecordedEvent, ReplayCancelled, ReplayCompleted, ReplayCounts, ReplayEvent, ReplayFailed,
    ReplayFilter, ReplayId, ReplayProgressed, ReplayRequested, ReplayTo, Response, Revision, SentHeaders,
    SourceEvent, Standing, StandingFailure, TenantId, Timestamp,
};
use uuid::Uuid;

#[path = "event_golden/access.rs"]
mod access;
#[path = "event_golden/source.rs"]
mod source;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/events")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> DestinationName {
    text.parse().unwrap()
}

fn event_id(n: u128) -> EventId {
    EventId::new(Uuid::from_u128(n))
}

fn replay_id() -> ReplayId {
    ReplayId::new(Uuid::from_u128(77))
}

/// A receipt with every fact there can be.
fn received() -> DeliveryReceived {
    let source = "github".parse().unwrap();
    let delivery_id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    DeliveryReceived {
        tenant: TenantId::default(),
        key: DeliveryKey::of_sender(&source, Some("41"), delivery_id),
        source,
        scheme: "github".into(),
        hook_id: Some("41".into()),
        delivery_id: Some(delivery_id.into()),
        event: "pull_request".into(),
        action: Some("opened".into()),
        repository: Some("Octo-Org/octo.repo".into()),
        sender: Some("octocat".into()),
        entity: Some(Entity {
            kind: "pull_request".into(),
            id: "279147437".into(),
        }),
        headers: vec![
            HeaderFact("content-type".into(), "application/json".into()),
            HeaderFact("x-note".into(), "café \"世界\"".into()),
        ],
        proof: Proof::Verified {
            secret_id: "first".into(),
        },
        received_at: at("2026-07-01T12:00:00.123456Z"),
        remote: Some("192.30.252.44".parse().unwrap()),
        sha256: ContentHash::of(b"{}"),
        body_bytes: 2,
        reactors_due: vec!["destination:orders".into(), "destination:chat".into()],
        synthetic: true,
        correlation: Some("01980000-0000-7000-8000-000000000001".into()),
        causation: Some("01980000-0000-7000-8000-000000000002".into()),
    }
}

/// A receipt with as few facts as there can be.
fn bare(proof: Proof) -> DeliveryReceived {
    let source = "github".parse().unwrap();
    DeliveryReceived {
        key: DeliveryKey::of_event(&source, None, event_id(1)),
        source,
        hook_id: None,
        delivery_id: None,
        event: "unknown".into(),
        action: None,
        repository: None,
        sender: None,
        entity: None,
        headers: Vec::new(),
        proof,
        remote: None,
        reactors_due: Vec::new(),
        synthetic: false,
        correlation: None,
        causation: None,
        ..received()
    }
}

fn attempt(number: u32, failure: Option<(ErrorCode, Option<u16>)>) -> Attempt {
    let answered = failure.map_or(Some(200), |(_, status)| status);
    Attempt {
        number,
        started_at: at("2026-07-01T12:00:01Z"),
        duration_us: 12_345,
        target: "https://orders.example.com/hooks".into(),
        idempotency_key: "00000000-0000-0000-0000-000000000001.orders".into(),
        headers: (number > 1).then(|| SentHeaders {
            added: vec![
                HeaderFact("hooklog-attempt".into(), number.to_string()),
                HeaderFact("authorization".into(), "***".into()),
            ],
            left_out: vec!["host".into()],
        }),
        response: answered.map(|status| Response::new(status, if status == 200 { "" } else { "down" })),
        failure: failure.map(|(code, _)| Failure::new(code, "the destination did not take it")),
    }
}

fn outcome(before: DeliveryStatus, after: DeliveryStatus, outcome: Outcome) -> DeliveryOutcome {
    DeliveryOutcome {
        delivery: DeliveryReceived {
            headers: Vec::new(),
            ..received()
        },
        receipt: Receipt {
            event_id: event_id(1),
            position: Position::new(41),
            recorded_at: at("2026-07-01T12:00:00.2Z"),
            duplicate_of: None,
        },
        before,
        after,
        attempts: 3,
        replayed: false,
        standing: Standing {
            last_attempt_at: Some(at("2026-07-01T12:00:01Z")),
            next_attempt_at: Some(at("2026-07-01T12:00:02.5Z")),
            failure: Some(StandingFailure {
                destination: name("chat"),
                failure: Failure::new(ErrorCode::NetworkError, "no connection"),
                at: at("2026-07-01T12:00:01.5Z"),
            }),
        },
        outcome,
    }
}

/// The same about a bare delivery that was marked and asked for again.
fn replayed(outcome_of: DeliveryOutcome) -> DeliveryOutcome {
    DeliveryOutcome {
        delivery: bare(Proof::Unverified),
        receipt: Receipt {
            duplicate_of: Some("delivery-default.github.41.original".parse().unwrap()),
            ..outcome_of.receipt.clone()
        },
        replayed: true,
        standing: Standing::default(),
        ..outcome_of
    }
}

fn failed(code: ErrorCode, status: Option<u16>) -> DeliveryOutcome {
    let failed = DeliveryFailed {
        destination: name("orders"),
        round: event_id(1),
        attempt: attempt(1, Some((code, status))),
        next_attempt_at: at("2026-07-01T12:00:02.5Z"),
    };
    outcome(
        DeliveryStatus::Received,
        DeliveryStatus::Retrying,
        Outcome::Failed(failed),
    )
}

fn processed(attempt: Option<Attempt>, skipped: Option<&str>) -> DeliveryOutcome {
    let processed = DeliveryProcessed {
        destination: name("orders"),
        round: event_id(1),
        attempt,
        skipped: skipped.map(str::to_owned),
    };
    outcome(
        DeliveryStatus::Retrying,
        DeliveryStatus::Processing,
        Outcome::Processed(processed),
    )
}

fn dead() -> DeliveryOutcome {
    let history = vec![
        attempt(1, Some((ErrorCode::NetworkError, None))),
        attempt(2, Some((ErrorCode::RateLimitError, Some(429)))),
        attempt(3, Some((ErrorCode::ServiceUnavailable, Some(503)))),
    ];
    let dead = DeliveryDeadLettered {
        destination: name("orders"),
        round: event_id(1),
        failure: history.last().and_then(|last| last.failure.clone()).unwrap(),
        history,
    };
    outcome(
        DeliveryStatus::Retrying,
        DeliveryStatus::Dead,
        Outcome::DeadLettered(dead),
    )
}

fn request(to: ReplayTo, destinations: &[&str], replay: Option<ReplayId>) -> DeliveryOutcome {
    let request = DeliveryReplayRequested {
        to,
        destinations: destinations.iter().map(|text| name(text)).collect(),
        replay,
        requested_by: if replay.is_some() { "alice" } else { "sender" }.into(),
        reason: replay.is_none().then(|| "the sender delivered it again".into()),
    };
    outcome(
        DeliveryStatus::Dead,
        DeliveryStatus::Received,
        Outcome::ReplayRequested(request),
    )
}

fn order() -> ReplayRequested {
    ReplayRequested {
        tenant: TenantId::default(),
        replay: replay_id(),
        filter: ReplayFilter {
            delivery: Some(received().key),
            repository: Some("octo-org/*".into()),
            source: Some("github".parse().unwrap()),
            event: Some("pull_request".into()),
            action: Some("opened".into()),
            status: Some(DeliveryStatus::Dead),
            error_code: None,
            error: None,
            from: Some(at("2026-07-01T00:00:00Z")),
            to: Some(at("2026-07-02T00:00:00Z")),
        },
        to: ReplayTo::Processing,
        destinations: vec![name("orders")],
        dead_only: true,
        rate_per_second: 200,
        to_position: Position::new(900),
        expected: Some(12),
        requested_by: "alice".into(),
        reason: Some("orders was down".into()),
    }
}

const COUNTS: ReplayCounts = ReplayCounts {
    matched: 12,
    requested: 11,
    skipped: 1,
};

/// A fact of any type, as its writer takes it and its reader gives it.
#[derive(Debug, PartialEq)]
enum Fact {
    Received(Box<DeliveryReceived>),
    Outcome(Box<DeliveryOutcome>),
    Replay(Box<ReplayEvent>),
    Destination(DestinationEvent),
    Key(KeyEvent),
    Source(Box<SourceEvent>),
    Audit(Box<ActionAudited>),
}

impl Fact {
    fn write(&self) -> NewEvent {
        let id = event_id(9);
        match self {
            Self::Received(received) => NewEvent {
                id,
                event_type: DeliveryReceived::event_type(),
                schema: DeliveryReceived::SCHEMA,
                metadata: received.to_metadata(),
                data: EventData::Inline(Bytes::new()),
            },
            Self::Outcome(outcome) => outcome.to_event(id),
            Self::Replay(event) => event.to_event(id),
            Self::Destination(event) => {
                let state = DestinationState::new(TenantId::default(), name("orders"));
                state.append(event, id).events.remove(0)
            }
            Self::Key(event) => event.to_event(id),
            Self::Source(event) => event.to_event(id),
            Self::Audit(action) => action.to_event(id),
        }
    }

    fn read(event: &RecordedEvent) -> Option<serde_json::Result<Self>> {
        let received =
            DeliveryReceived::of(event).map(|read| read.map(|fact| Self::Received(Box::new(fact))));
        let outcome =
            || DeliveryOutcome::of(event).map(|read| read.map(|fact| Self::Outcome(Box::new(fact))));
        let replay = || ReplayEvent::of(event).map(|read| read.map(|fact| Self::Replay(Box::new(fact))));
        let destination = || DestinationEvent::of(event).map(|read| read.map(Self::Destination));
        let key = || KeyEvent::of(event).map(|read| read.map(Self::Key));
        let source = || SourceEvent::of(event).map(|read| read.map(|fact| Self::Source(Box::new(fact))));
        let audit = || ActionAudited::of(event).map(|read| read.map(|fact| Self::Audit(Box::new(fact))));
        received
            .or_else(outcome)
            .or_else(replay)
            .or_else(destination)
            .or_else(key)
            .or_else(source)
            .or_else(audit)
    }
}

/// What can happen to a replay.
fn replays() -> Vec<ReplayEvent> {
    let narrow = ReplayRequested {
        filter: ReplayFilter::default(),
        to: ReplayTo::Subjects,
        destinations: Vec::new(),
        dead_only: false,
        expected: None,
        reason: None,
        ..order()
    };
    let by_cause = ReplayRequested {
        filter: ReplayFilter {
            status: Some(DeliveryStatus::Dead),
            error_code: Some(ErrorCode::TimeoutError),
            error: Some("no answer within … ms".into()),
            ..ReplayFilter::default()
        },
        ..order()
    };
    vec![
        ReplayEvent::Requested(order()),
        ReplayEvent::Requested(narrow),
        ReplayEvent::Requested(by_cause),
        ReplayEvent::Progressed(ReplayProgressed {
            upto: Position::new(500),
            counts: COUNTS,
        }),
        ReplayEvent::Completed(ReplayCompleted { counts: COUNTS }),
        ReplayEvent::Cancelled(ReplayCancelled {
            cancelled_by: "bob".into(),
        }),
        ReplayEvent::Failed(ReplayFailed {
            error: "the log is damaged: segment 3".into(),
            counts: COUNTS,
        }),
    ]
}

/// Every type in its newest schema, with all that it can say and with as little as it can.
fn facts() -> Vec<Fact> {
    let received = [received(), bare(Proof::Unverified), bare(Proof::Imported)];
    let outcomes = [
        failed(ErrorCode::ServiceUnavailable, Some(500)),
        replayed(failed(ErrorCode::TimeoutError, None)),
        processed(Some(attempt(3, None)), None),
        replayed(processed(None, Some("the condition is false"))),
        dead(),
        replayed(dead()),
        request(ReplayTo::Processing, &["orders"], None),
        replayed(request(ReplayTo::Subjects, &[], Some(replay_id()))),
    ];
    let replays = replays();
    let pause = |reason: Option<&str>| {
        DestinationCommand::Pause(DestinationPaused {
            paused_by: "hooklog".into(),
            reason: reason.map(str::to_owned),
        })
    };
    let running = DestinationState::new(TenantId::default(), name("orders"));
    let destinations = [
        running.decide(pause(Some("it answered 410 Gone"))).unwrap(),
        running.decide(pause(None)).unwrap(),
        DestinationEvent::Resumed(DestinationResumed {
            resumed_by: "alice".into(),
        }),
    ];
    let received = received.into_iter().map(|fact| Fact::Received(Box::new(fact)));
    let outcomes = outcomes.into_iter().map(|fact| Fact::Outcome(Box::new(fact)));
    let replays = replays.into_iter().map(|fact| Fact::Replay(Box::new(fact)));
    let destinations = destinations.into_iter().map(Fact::Destination);
    received
        .chain(outcomes)
        .chain(replays)
        .chain(destinations)
        .chain(access::keys().into_iter().map(Fact::Key))
        .chain(
            source::sources()
                .into_iter()
                .map(|event| Fact::Source(Box::new(event))),
        )
        .chain(
            access::actions()
                .into_iter()
                .map(|action| Fact::Audit(Box::new(action))),
        )
        .collect()
}

/// The file of a type and schema: `<type>-<schema>`.
fn file_of(event: &NewEvent) -> String {
    format!("{}-{}", event.event_type, event.schema)
}

/// The lines of each file of the newest schemas, as they are written today.
fn written() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for fact in facts() {
        let event = fact.write();
        let lines = files.entry(file_of(&event)).or_default();
        lines.push_str(std::str::from_utf8(&event.metadata).unwrap());
        lines.push('\n');
    }
    files
}

fn kept() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    files.collect()
}

fn recorded(type_name: &str, schema: u16, metadata: &str) -> RecordedEvent {
    RecordedEvent {
        position: Position::new(1),
        stream: "delivery-default.github.41.x".parse().unwrap(),
        revision: Revision::new(0),
        id: event_id(9),
        event_type: type_name.parse().unwrap(),
        schema,
        recorded_at: Timestamp::default(),
        duplicate_of: None,
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
        data: EventData::Inline(Bytes::new()),
    }
}

#[test]
fn every_event_ever_written_is_read_and_written_as_it_was() {
    let facts = facts();
    let mut read = 0;
    for (file, lines) in kept() {
        let (type_name, schema) = file.split_once('-').unwrap();
        for line in lines.lines() {
            let fact = Fact::read(&recorded(type_name, schema.parse().unwrap(), line));
            let fact = fact
                .unwrap_or_else(|| panic!("{file}: nobody reads the type"))
                .unwrap();
            let again = fact.write();
            if file_of(&again) == file {
                assert_eq!(again.metadata, line, "{file}");
                assert!(facts.contains(&fact), "{file} says something else now: {fact:?}");
                read += 1;
            }
        }
    }
    assert_eq!(read, facts.len(), "a fact has no golden line");
}

#[test]
fn every_type_and_schema_has_its_golden_file() {
    let kept = kept();
    for (file, lines) in written() {
        assert_eq!(
            kept.get(&file),
            Some(&lines),
            "{file} differs: give a changed shape a new schema number, or write a new file with --ignored"
        );
    }
}

#[test]
#[ignore = "writes the golden files that are missing; those that are there are never changed"]
fn write_missing_golden_files() {
    for (file, lines) in written() {
        let path = folder().join(format!("{file}.ndjson"));
        if !path.exists() {
            fs::write(path, lines).unwrap();
        }
    }
}
