//! Replays: orders, and the states that their streams fold to.

use domain::testing::recorded_as;
use domain::{
    EventId, Position, ReplayCancelled, ReplayCompleted, ReplayCounts, ReplayEvent, ReplayFailed,
    ReplayFilter, ReplayId, ReplayProgressed, ReplayRequested, ReplayTo, TenantId, Timestamp,
};
use uuid::Uuid;

use super::*;

const fn counts(matched: u64) -> ReplayCounts {
    ReplayCounts {
        matched,
        requested: matched - 1,
        skipped: 1,
    }
}

fn order() -> ReplayEvent {
    ReplayEvent::Requested(ReplayRequested {
        tenant: TenantId::default(),
        replay: ReplayId::new(Uuid::from_u128(7)),
        filter: ReplayFilter {
            event: Some("push".into()),
            ..ReplayFilter::default()
        },
        to: ReplayTo::Processing,
        destinations: vec!["a".parse().unwrap()],
        dead_only: true,
        rate_per_second: 200,
        to_position: Position::new(90),
        expected: Some(12),
        requested_by: "ops".into(),
        reason: Some("the shop was down".into()),
    })
}

fn progressed(upto: u64, matched: u64) -> ReplayEvent {
    ReplayEvent::Progressed(ReplayProgressed {
        upto: Position::new(upto),
        counts: counts(matched),
    })
}

fn story(position: u64, facts: &[ReplayEvent]) -> Vec<Projected> {
    let stream = StreamName::of_replay(&TenantId::default(), ReplayId::new(Uuid::from_u128(7)));
    let at = |n: u64| Timestamp::from_millis(1_763_766_000_000).plus_millis(i64::try_from(n).unwrap() * 1000);
    let event = |(n, fact): (u64, &ReplayEvent)| {
        let event = fact.to_event(EventId::new(Uuid::now_v7()));
        read(recorded_as(event, stream.clone(), n, position + n, at(n)))
    };
    (0..).zip(facts).map(event).collect()
}

/// A replay that is ordered and goes on.
pub(super) fn one_of_each(position: u64) -> Vec<Projected> {
    story(position, &[order(), progressed(40, 5)])
}

fn states(facts: &[ReplayEvent]) -> Vec<Vec<String>> {
    let tables = folded("replays", &story(100, facts));
    let columns = [
        "state",
        "position",
        "upto",
        "matched",
        "requested",
        "error",
        "cancelled_by",
    ];
    let row = |row: &FoldedRow| {
        columns
            .iter()
            .map(|column| text(row, column).to_owned())
            .collect()
    };
    tables.rows("replay_states").map(row).collect()
}

#[test]
fn an_order_is_kept_as_it_was_given() {
    let tables = folded("replays", &story(100, &[order()]));
    let row = tables.rows("replays").next().unwrap();
    for (column, value) in [
        ("tenant", "default"),
        ("replay", "00000000-0000-0000-0000-000000000007"),
        ("position", "100"),
        ("filter_json", r#"{"event":"push"}"#),
        ("delivery", ""),
        ("target", "processing"),
        ("destinations", r#"["a"]"#),
        ("dead_only", "true"),
        ("rate_per_second", "200"),
        ("to_position", "90"),
        ("expected", "12"),
        ("requested_by", "ops"),
        ("reason", "the shop was down"),
        ("requested_at", "2025-11-21 23:00:00.000000"),
    ] {
        assert_eq!(text(row, column), value, "{column}");
    }
    assert_eq!(tables.rows("replay_states").count(), 0);
}

#[test]
fn the_newest_progress_counts() {
    let found = states(&[order(), progressed(40, 5), progressed(70, 9)]);
    assert_eq!(found, [["running", "102", "70", "9", "8", "", ""]]);
}

#[test]
fn an_end_stands_beside_the_progress() {
    let running = ["running", "101", "40", "5", "4", "", ""]
        .map(str::to_owned)
        .to_vec();
    let ended = |fact| {
        let mut found = states(&[order(), progressed(40, 5), fact]);
        found.retain(|row| *row != running);
        found
    };
    let counts = counts(9);
    assert_eq!(
        ended(ReplayEvent::Completed(ReplayCompleted { counts })),
        [["completed", "102", "0", "9", "8", "", ""]]
    );
    let cancelled_by = "ops".to_owned();
    assert_eq!(
        ended(ReplayEvent::Cancelled(ReplayCancelled { cancelled_by })),
        [["cancelled", "102", "0", "0", "0", "", "ops"]]
    );
    let error = "the log can't be read".to_owned();
    assert_eq!(
        ended(ReplayEvent::Failed(ReplayFailed { error, counts })),
        [["failed", "102", "0", "9", "8", "the log can't be read", ""]]
    );
}

#[test]
fn the_order_in_which_its_events_are_written_does_not_matter() {
    let facts = [
        order(),
        progressed(40, 5),
        progressed(70, 9),
        ReplayEvent::Completed(ReplayCompleted { counts: counts(9) }),
    ];
    let mut events = story(100, &facts);
    let whole = folded("replays", &events);
    events.reverse();
    events.extend(story(100, &facts[1..2]).into_iter().map(|mut late| {
        late.event.position = Position::new(101);
        late
    }));
    assert_eq!(
        whole.differences(&folded("replays", &events)),
        Vec::<String>::new()
    );
}
