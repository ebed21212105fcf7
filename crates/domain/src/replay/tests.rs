//! Given, when, then; and which deliveries a filter is about.

use super::*;
use crate::testing::{TestDelivery, recorded_as};
use crate::{
    DeliveryReceived, DeliveryStatus, EventId, Expected, Position, RecordedEvent, ReplayId, ReplayTo,
    TenantId, Timestamp,
};

fn requested() -> ReplayRequested {
    ReplayRequested {
        tenant: TenantId::default(),
        replay: ReplayId::new(uuid::Uuid::from_u128(5)),
        filter: ReplayFilter::default(),
        to: ReplayTo::Processing,
        destinations: Vec::new(),
        dead_only: false,
        rate_per_second: 200,
        to_position: Position::new(900),
        expected: None,
        requested_by: "alice".into(),
        reason: Some("a bug is mended".into()),
    }
}

const fn counts(matched: u64) -> ReplayCounts {
    ReplayCounts {
        matched,
        requested: matched,
        skipped: 0,
    }
}

fn progress(upto: u64, matched: u64) -> ReplayCommand {
    ReplayCommand::Progress {
        upto: Position::new(upto),
        counts: counts(matched),
    }
}

fn complete() -> ReplayCommand {
    ReplayCommand::Complete { counts: counts(9) }
}

fn cancel() -> ReplayCommand {
    ReplayCommand::Cancel {
        cancelled_by: "bob".into(),
    }
}

fn fail() -> ReplayCommand {
    ReplayCommand::Fail {
        error: "a segment is damaged".into(),
        counts: counts(4),
    }
}

/// The stream of a replay, each event a second after the one before.
struct Stream(Vec<RecordedEvent>);

impl Stream {
    fn begun() -> Self {
        let mut stream = Self(Vec::new());
        stream.push(&ReplayEvent::Requested(requested()));
        stream
    }

    fn push(&mut self, fact: &ReplayEvent) {
        let n = self.0.len() as u64;
        let new = fact.to_event(EventId::new(uuid::Uuid::from_u128(100 + u128::from(n))));
        let name = crate::StreamName::of_replay(&TenantId::default(), requested().replay);
        let at = Timestamp::from_millis(1000 * i64::try_from(n).unwrap());
        self.0.push(recorded_as(new, name, n, 1000 + n, at));
    }

    fn state(&self) -> ReplayState {
        ReplayState::of(&self.0).unwrap().unwrap()
    }
}

enum Then {
    Does(&'static str, ReplayStatus),
    StaysQuiet,
    Refuses(ReplayRejection),
}

#[track_caller]
fn check(given: &[ReplayCommand], when: ReplayCommand, then: Then) {
    let mut stream = Stream::begun();
    for command in given {
        let fact = stream.state().decide(command.clone()).unwrap().unwrap();
        stream.push(&fact);
    }
    match (stream.state().decide(when), then) {
        (Ok(Some(fact)), Then::Does(type_name, status)) => {
            assert_eq!(fact.type_name(), type_name);
            stream.push(&fact);
            assert_eq!(stream.state().status, status);
        }
        (Ok(None), Then::StaysQuiet) => {}
        (Err(rejection), Then::Refuses(rule)) => assert_eq!(rejection, rule),
        (decided, _) => panic!("{decided:?}"),
    }
}

#[test]
fn a_running_replay_goes_on_ends_fails_and_is_stopped() {
    use ReplayStatus::{Cancelled, Completed, Failed, Running};
    use Then::{Does, StaysQuiet};
    for given in [
        vec![],
        vec![progress(10, 3)],
        vec![progress(10, 3), progress(20, 3)],
    ] {
        check(&given, progress(30, 3), Does("ReplayProgressed", Running));
        check(&given, progress(20, 4), Does("ReplayProgressed", Running));
        check(&given, complete(), Does("ReplayCompleted", Completed));
        check(&given, cancel(), Does("ReplayCancelled", Cancelled));
        check(&given, fail(), Does("ReplayFailed", Failed));
    }
    check(&[], progress(0, 0), StaysQuiet);
    check(&[progress(10, 3)], progress(10, 3), StaysQuiet);
    check(&[progress(10, 3)], progress(9, 3), StaysQuiet);
    // Somebody who is behind must not take it back, whatever was counted there.
    check(&[progress(10, 3)], progress(9, 2), StaysQuiet);
}

#[test]
fn nothing_can_be_done_to_a_replay_that_has_ended() {
    use Then::{Refuses, StaysQuiet};
    for end in [complete(), cancel(), fail()] {
        for late in [progress(30, 9), complete(), fail()] {
            check(
                std::slice::from_ref(&end),
                late,
                Refuses(ReplayRejection::HasEnded),
            );
        }
    }
    check(&[complete()], cancel(), Refuses(ReplayRejection::HasEnded));
    check(&[fail()], cancel(), Refuses(ReplayRejection::HasEnded));
    // Stopping twice is stopping once.
    check(&[cancel()], cancel(), StaysQuiet);
}

#[test]
fn the_state_is_what_the_last_events_say() {
    let mut stream = Stream::begun();
    let begun = stream.state();
    assert_eq!(
        (begun.status, begun.upto),
        (ReplayStatus::Running, Position::START)
    );
    assert_eq!(
        (begun.requested_at, begun.counts),
        (Timestamp::from_millis(0), counts(0))
    );
    stream.push(&begun.decide(progress(40, 7)).unwrap().unwrap());
    let going = stream.state();
    assert_eq!((going.upto, going.counts), (Position::new(40), counts(7)));
    assert_eq!(going.updated_at, Timestamp::from_millis(1000));
    let append = going.append(
        &going.decide(cancel()).unwrap().unwrap(),
        EventId::new(uuid::Uuid::from_u128(9)),
    );
    assert_eq!(append.expected, Expected::Revision(crate::Revision::new(1)));
    assert_eq!(append.stream, stream.0[0].stream);
    for (end, check) in [
        (
            complete(),
            (|s| s.upto == s.requested.to_position && s.counts == counts(9)) as fn(&ReplayState) -> bool,
        ),
        (cancel(), |s| {
            s.upto == Position::new(40) && s.cancelled_by.as_deref() == Some("bob")
        }),
        (fail(), |s| {
            s.counts == counts(4) && s.error.as_deref() == Some("a segment is damaged")
        }),
    ] {
        let mut ended = Stream(stream.0.clone());
        ended.push(&going.decide(end.clone()).unwrap().unwrap());
        assert!(check(&ended.state()), "{end:?}: {:?}", ended.state());
        assert_eq!(
            ended.state().requested,
            requested(),
            "the order stays as it was given"
        );
    }
}

#[test]
fn a_stream_that_no_order_begins_is_no_replay() {
    assert_eq!(ReplayState::of(&[]).unwrap(), None);
    let mut stream = Stream(Vec::new());
    stream.push(&ReplayEvent::Cancelled(ReplayCancelled {
        cancelled_by: "bob".into(),
    }));
    assert_eq!(ReplayState::of(&stream.0).unwrap(), None);
    // Types of later versions are passed over.
    let mut stream = Stream::begun();
    let mut later = stream.0[0].clone();
    later.event_type = "ReplayPainted".parse().unwrap();
    stream.0.insert(0, later);
    assert_eq!(stream.state().requested, requested());
    let mut last = stream.0[0].clone();
    last.revision = crate::Revision::new(2);
    stream.0.push(last);
    assert_eq!(
        stream.state().revision,
        crate::Revision::new(2),
        "the next append has to expect it"
    );
    stream.0[1].metadata = bytes::Bytes::from_static(b"{}");
    assert!(ReplayState::of(&stream.0).is_err());
}

#[test]
fn an_order_begins_the_stream_of_its_own_replay() {
    let append = requested().append(EventId::new(uuid::Uuid::from_u128(9)));
    assert_eq!(append.expected, Expected::NoStream);
    assert_eq!(
        append.stream.as_str(),
        "replay-default.00000000-0000-0000-0000-000000000005"
    );
}

fn received() -> DeliveryReceived {
    TestDelivery {
        delivery_id: "72d3162e".into(),
        action: Some("opened".into()),
        received_at: "2026-07-01T12:00:00Z".parse().unwrap(),
        ..TestDelivery::new("pull_request", "{}")
    }
    .received()
}

fn fits(change: impl FnOnce(&mut ReplayFilter)) -> bool {
    let mut filter = ReplayFilter::default();
    change(&mut filter);
    ReplayMatch::new(filter).unwrap().fits(&received())
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn a_filter_narrows_by_what_it_names_alone() {
    assert!(fits(|_| {}));
    assert!(fits(|f| f.delivery = Some(received().key)));
    assert!(!fits(
        |f| f.delivery = Some(TestDelivery::new("push", "").received().key)
    ));
    for (repository, wanted) in [
        ("octo-org/octo-repo", true),
        ("Octo-Org/*", true),
        ("*/octo-repo", true),
        ("octo-org/other", false),
        ("octo-org", false),
    ] {
        assert_eq!(
            fits(|f| f.repository = Some(repository.into())),
            wanted,
            "{repository}"
        );
    }
    assert!(fits(|f| f.source = Some("github".parse().unwrap())));
    assert!(!fits(|f| f.source = Some("gitlab".parse().unwrap())));
    for (event, wanted) in [
        ("pull_request", true),
        ("Pull_Request.Opened", true),
        ("pull_request.closed", false),
        ("push", false),
    ] {
        assert_eq!(fits(|f| f.event = Some(event.into())), wanted, "{event}");
    }
    assert!(fits(|f| f.action = Some("OPENED".into())));
    assert!(!fits(|f| f.action = Some("closed".into())));
    // The status is not one of the receipt's facts; whoever counts asks for it apart.
    assert!(fits(|f| f.status = Some(DeliveryStatus::Dead)));
}

#[test]
fn a_range_holds_its_start_and_not_its_end() {
    let received_at = "2026-07-01T12:00:00Z";
    assert!(fits(|f| f.from = at(received_at)));
    assert!(!fits(|f| f.from = at("2026-07-01T12:00:00.000001Z")));
    assert!(!fits(|f| f.to = at(received_at)));
    assert!(fits(|f| f.to = at("2026-07-01T12:00:00.000001Z")));
    assert!(!fits(|f| (f.from, f.to) = (at(received_at), at(received_at))));
    let backwards = ReplayFilter {
        from: at("2026-07-02T00:00:00Z"),
        to: at("2026-07-01T00:00:00Z"),
        ..ReplayFilter::default()
    };
    assert_eq!(
        ReplayMatch::new(backwards).unwrap_err(),
        InvalidReplayFilter::Range
    );
    let glob = ReplayFilter {
        repository: Some("[".into()),
        ..ReplayFilter::default()
    };
    assert!(matches!(
        ReplayMatch::new(glob),
        Err(InvalidReplayFilter::Repository(_))
    ));
}

#[test]
fn what_a_delivery_lacks_fits_no_filter_that_names_it() {
    let mut bare = received();
    (bare.action, bare.repository) = (None, None);
    let fits = |filter: ReplayFilter| ReplayMatch::new(filter).unwrap().fits(&bare);
    assert!(fits(ReplayFilter::default()));
    assert!(!fits(ReplayFilter {
        action: Some("opened".into()),
        ..ReplayFilter::default()
    }));
    assert!(!fits(ReplayFilter {
        repository: Some("**".into()),
        ..ReplayFilter::default()
    }));
}

#[test]
fn an_unknown_word_in_a_filter_is_an_error_rather_than_everything() {
    let read = serde_json::from_str::<ReplayFilter>;
    assert_eq!(read("{}").unwrap(), ReplayFilter::default());
    assert!(
        read(r#"{"repo":"a/b"}"#)
            .unwrap_err()
            .to_string()
            .contains("repo")
    );
    assert!(read(r#"{"status":"failed"}"#).is_err());
}
