//! Rollups come to the same rows however they are fed, and to the sums that plain counting gives.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ROLLUPS: [&str; 4] = ["statistics", "health", "destinations", "repository_activity"];

/// What varies between the deliveries of a log.
#[derive(Debug, Clone)]
struct Plan {
    gap: u64,
    event: &'static str,
    repository: Option<&'static str>,
    sender: Option<&'static str>,
    after_ms: i64,
    taken_ms: i64,
    commits: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Marked,
    Synthetic,
    Due,
    OfNoDelivery,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let kind = prop_oneof![
        6 => Just(Kind::Plain), 1 => Just(Kind::Marked), 1 => Just(Kind::Synthetic), 1 => Just(Kind::Due),
        1 => Just(Kind::OfNoDelivery),
    ];
    let plan = (
        1..4_u64,
        prop::sample::select(vec!["push", "issues", "star"]),
        prop::sample::select(vec![
            None,
            Some("Octo-Org/one"),
            Some("octo-org/ONE"),
            Some("octo-org/two"),
        ]),
        prop::sample::select(vec![None, Some("octocat"), Some("hubot")]),
        0..9_000_000_i64,
        0..4000_i64,
        0..3_usize,
        kind,
    );
    let plan = plan.prop_map(
        |(gap, event, repository, sender, after_ms, taken_ms, commits, kind)| Plan {
            gap,
            event,
            repository,
            sender,
            after_ms,
            taken_ms,
            commits,
            kind,
        },
    );
    prop::collection::vec(plan, 1..60)
}

fn events(plans: &[Plan]) -> Vec<Projected> {
    let mut position = 0;
    let event = |plan: &Plan| {
        position += plan.gap;
        let commits = vec!["{}"; plan.commits].join(",");
        let mut delivery = TestDelivery::new(plan.event, format!(r#"{{"commits":[{commits}]}}"#));
        delivery.repository = plan.repository.map(str::to_owned);
        delivery.received_at = delivery.received_at.plus_millis(plan.after_ms);
        let mut projected = projected(position, &delivery);
        projected.event.recorded_at = delivery.received_at.plus_millis(plan.taken_ms);
        let received = projected.received.as_mut().unwrap();
        received.sender = plan.sender.map(str::to_owned);
        match plan.kind {
            Kind::Plain => {}
            Kind::Marked => return marked(projected),
            Kind::Synthetic => return synthetic(projected),
            Kind::Due => received.reactors_due = vec!["destination:forward".into()],
            Kind::OfNoDelivery => projected.received = None,
        }
        projected
    };
    plans.iter().map(event).collect()
}

/// Feeds events in batches, and again from the start of the block whenever a restart is due.
pub(super) fn fed(
    name: &str,
    shape: BuildShape,
    events: &[Projected],
    batches: &[(usize, bool)],
) -> FoldedTables {
    let mut model = model(name, shape);
    let mut tables = FoldedTables::new(model.tables());
    let block = |at: usize| events[at].event.position.get() / shape.block_size;
    let (mut next, mut turns) = (0, batches.iter().cycle());
    let mut restarts_left = batches.len();
    while next < events.len() {
        let (size, restart) = *turns.next().unwrap();
        let end = (next + size).min(events.len());
        feed(model.as_mut(), &events[next..end], &mut tables);
        next = end;
        if restart && restarts_left > 0 {
            restarts_left -= 1;
            model = super::model(name, shape);
            next = (0..end).find(|at| block(*at) == block(end - 1)).unwrap();
        }
    }
    tables
}

pub(super) fn summed(
    tables: &FoldedTables,
    table: &str,
    by: &[&str],
    columns: &[&str],
) -> BTreeMap<Vec<String>, Vec<i64>> {
    let mut sums: BTreeMap<Vec<String>, Vec<i64>> = BTreeMap::new();
    for row in tables.rows(table) {
        let key = by.iter().map(|column| text(row, column).to_owned()).collect();
        let sum = sums.entry(key).or_insert_with(|| vec![0; columns.len()]);
        for (sum, column) in sum.iter_mut().zip(columns) {
            *sum += number(row, column);
        }
    }
    sums
}

/// Counts plans one by one, with the rules written anew.
fn counted(
    plans: &[Plan],
    key: impl Fn(&Plan) -> Option<Vec<String>>,
    count: impl Fn(&Plan) -> Vec<i64>,
) -> BTreeMap<Vec<String>, Vec<i64>> {
    let mut sums: BTreeMap<Vec<String>, Vec<i64>> = BTreeMap::new();
    for plan in plans.iter().filter(|plan| plan.kind != Kind::OfNoDelivery) {
        let Some(key) = key(plan) else { continue };
        let counts = count(plan);
        let sum = sums.entry(key).or_insert_with(|| vec![0; counts.len()]);
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

fn key_of(plan: &Plan) -> String {
    plan.repository.unwrap_or_default().to_lowercase()
}

const fn once(plan: &Plan) -> bool {
    matches!(plan.kind, Kind::Plain | Kind::Due)
}

proptest! {
    #[test]
    fn batches_and_restarts_leave_no_trace(
        plans in plans(),
        batches in prop::collection::vec((1..7_usize, any::<bool>()), 1..6),
        block_size in 1..30_u64,
        partitions in 1..4_u32,
    ) {
        let (events, shape) = (events(&plans), BuildShape { block_size, partitions });
        for name in ROLLUPS {
            let whole = fed(name, shape, &events, &[(events.len(), false)]);
            let differences = whole.differences(&fed(name, shape, &events, &batches));
            prop_assert!(differences.is_empty(), "{name}: {differences:#?}");
        }
    }

    /// Sums are given once for a batch: its rows are the same ones, however many pieces its events came in.
    #[test]
    fn pieces_of_a_batch_leave_no_trace(
        log in super::told::logs(),
        pieces in prop::collection::vec(1..7_usize, 1..6),
        block_size in 1..30_u64,
        partitions in 1..4_u32,
    ) {
        let shape = BuildShape { block_size, partitions };
        for name in ROLLUPS {
            let (mut at_once, mut in_pieces) = (RowBatch::default(), RowBatch::default());
            model(name, shape).project(&log.events, &mut at_once).unwrap();
            let mut model = model(name, shape);
            let (mut rest, mut sizes) = (log.events.as_slice(), pieces.iter().cycle());
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                model.take(piece, &mut in_pieces).unwrap();
                rest = others;
            }
            model.finish(&mut in_pieces).unwrap();
            let of = |batch: RowBatch| batch.into_rows().into_iter().collect::<BTreeMap<_, _>>();
            let (at_once, in_pieces) = (of(at_once), of(in_pieces));
            prop_assert_eq!(at_once.keys().collect::<Vec<_>>(), in_pieces.keys().collect::<Vec<_>>());
            for (table, rows) in &at_once {
                // What stands for itself, as a repository does, is given in its order; sums are given once.
                prop_assert_eq!(rows, &in_pieces[table], "{} of {}", table, name);
            }
        }
    }

    #[test]
    fn batches_and_restarts_leave_no_trace_of_outcomes_either(
        log in super::told::logs(),
        batches in prop::collection::vec((1..7_usize, any::<bool>()), 1..6),
        block_size in 1..30_u64,
        partitions in 1..4_u32,
    ) {
        let shape = BuildShape { block_size, partitions };
        for name in ROLLUPS {
            let whole = fed(name, shape, &log.events, &[(log.events.len(), false)]);
            let differences = whole.differences(&fed(name, shape, &log.events, &batches));
            prop_assert!(differences.is_empty(), "{name}: {differences:#?}");
        }
    }

    #[test]
    fn an_event_that_is_fed_again_is_not_counted_again(log in super::told::logs()) {
        let twice: Vec<_> = log.events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
        for name in ROLLUPS {
            let differences = folded(name, &log.events).differences(&folded(name, &twice));
            prop_assert!(differences.is_empty(), "{name}: {differences:#?}");
        }
    }

    #[test]
    fn statistics_are_what_counting_gives(plans in plans()) {
        let tables = folded("statistics", &events(&plans));
        let found = summed(
            &tables,
            "statistics",
            &["event", "repository_key", "synthetic"],
            &["total", "processed", "received", "duplicates", "processing_count", "processing_us"],
        );
        let expected = counted(
            &plans,
            |plan| Some(vec![plan.event.into(), key_of(plan), (plan.kind == Kind::Synthetic).to_string()]),
            |plan| {
                let (due, marked) = (i64::from(plan.kind == Kind::Due), i64::from(plan.kind == Kind::Marked));
                vec![1, 1 - due, due, marked, 1 - due, (1 - due) * plan.taken_ms * 1000]
            },
        );
        prop_assert_eq!(found, expected);
        // By the hour they are the same, but for what is not asked there.
        let sums = ["total", "received", "processed", "duplicates", "attempts", "processing_count", "processing_us"];
        let of = |table: &str| summed(&tables, table, &["tenant", "source", "event", "synthetic", "block"], &sums);
        prop_assert_eq!(of("statistics_hours"), of("statistics"));
        // By the hour of each repository too, those that name none left out.
        let of = |table: &str| summed(&tables, table, &["repository_key", "tenant", "source", "event", "synthetic", "block"], &sums);
        let mut by_minute = of("statistics");
        by_minute.retain(|key, _| !key[0].is_empty());
        prop_assert_eq!(of("statistics_repositories"), by_minute);
    }

    #[test]
    fn bands_of_an_hour_are_what_counting_gives(plans in plans()) {
        let found = summed(&folded("health", &events(&plans)), "health_hours", &["tenant"], &["total", "processed", "duplicates"]);
        let expected = counted(
            &plans,
            |plan| (plan.kind != Kind::Synthetic).then(|| vec!["default".into()]),
            |plan| vec![1, i64::from(plan.kind != Kind::Due), i64::from(plan.kind == Kind::Marked)],
        );
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn activity_is_what_counting_gives(plans in plans()) {
        let tables = folded("repository_activity", &events(&plans));
        let commits = |plan: &Plan| if plan.event == "push" { i64::try_from(plan.commits).unwrap() } else { 0 };
        let found = summed(&tables, "repository_activity", &["repository_key", "event"], &["events", "commits"]);
        let expected = counted(
            &plans,
            |plan| (once(plan) && plan.repository.is_some()).then(|| vec![key_of(plan), plan.event.into()]),
            |plan| vec![1, commits(plan)],
        );
        prop_assert_eq!(found, expected);
        let found = summed(&tables, "repository_contributors", &["repository_key", "sender"], &["events", "pushes", "commits"]);
        let expected = counted(
            &plans,
            |plan| {
                let repository = plan.repository.filter(|_| once(plan))?;
                Some(vec![repository.to_lowercase(), plan.sender?.into()])
            },
            |plan| vec![1, i64::from(plan.event == "push"), commits(plan)],
        );
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_row_of_statistics_counts_by_minute_and_block() {
    let mut early = TestDelivery::new("push", "{}");
    let mut late = early.clone();
    early.received_at = "2026-11-21T10:00:59.999Z".parse().unwrap();
    late.received_at = "2026-11-21T10:01:00Z".parse().unwrap();
    let tables = folded(
        "statistics",
        &[projected(9, &early), projected(10, &early), projected(11, &late)],
    );
    let rows: Vec<_> = tables
        .rows("statistics")
        .map(|row| {
            (
                text(row, "minute").to_owned(),
                number(row, "block"),
                number(row, "upto"),
                number(row, "total"),
            )
        })
        .collect();
    let minute = |minute: &str| format!("2026-11-21 10:{minute}:00");
    assert_eq!(
        rows,
        [
            (minute("00"), 0, 9, 1),
            (minute("00"), 1, 10, 1),
            (minute("01"), 1, 11, 1)
        ]
    );
}

#[test]
fn a_row_of_an_hour_counts_all_its_minutes_actions_and_repositories() {
    let of = |at: &str, action: &str, repository: &str| {
        let mut delivery = TestDelivery::new("issues", "{}");
        delivery.received_at = at.parse().unwrap();
        delivery.action = Some(action.into());
        delivery.repository = Some(repository.into());
        delivery
    };
    let events = [
        projected(1, &of("2026-11-21T10:00:00Z", "opened", "a/one")),
        projected(2, &of("2026-11-21T10:59:59.999Z", "closed", "a/two")),
        projected(3, &of("2026-11-21T11:00:00Z", "opened", "a/one")),
    ];
    let tables = folded("statistics", &events);
    // Of each partition that has something in the hour.
    let mut hours: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for row in tables.rows("statistics_hours") {
        let (total, upto) = hours.entry(text(row, "hour")).or_default();
        *total += number(row, "total");
        *upto = number(row, "upto").max(*upto);
    }
    let expected = [("2026-11-21 10:00:00", (2, 2)), ("2026-11-21 11:00:00", (1, 3))];
    assert_eq!(hours, BTreeMap::from(expected));
}

#[test]
fn a_row_of_a_repository_counts_all_minutes_and_actions_of_an_hour() {
    let of = |at: &str, action: &str, repository: Option<&str>| TestDelivery {
        received_at: at.parse().unwrap(),
        action: Some(action.into()),
        repository: repository.map(str::to_owned),
        ..TestDelivery::new("issues", "{}")
    };
    let events = [
        projected(1, &of("2026-11-21T10:00:00Z", "opened", Some("a/one"))),
        projected(2, &of("2026-11-21T10:59:59.999Z", "closed", Some("A/One"))),
        projected(3, &of("2026-11-21T10:30:00Z", "opened", Some("a/two"))),
        projected(4, &of("2026-11-21T10:30:00Z", "opened", None)),
        projected(5, &of("2026-11-21T11:00:00Z", "opened", Some("a/one"))),
    ];
    let tables = folded("statistics", &events);
    let found = summed(
        &tables,
        "statistics_repositories",
        &["repository_key", "hour"],
        &["total"],
    );
    let hour = |repository: &str, hour: u8, total| {
        let key = vec![repository.to_owned(), format!("2026-11-21 {hour}:00:00")];
        (key, vec![total])
    };
    let expected = [hour("a/one", 10, 2), hour("a/one", 11, 1), hour("a/two", 10, 1)];
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn processing_times_are_kept_in_buckets() {
    let tables = folded("statistics", &[projected(1, &TestDelivery::new("push", "{}"))]);
    let row = tables.rows("statistics").next().unwrap();
    // 5 ms are 5000 µs: 5000 >> 8 is 19, in the ninth doubling.
    assert_eq!(text(row, "processing_buckets"), r#"{"147":1}"#);
    for table in ["statistics_hours", "statistics_repositories"] {
        let hour = tables.rows(table).next().unwrap();
        assert_eq!(text(hour, "processing_buckets"), r#"{"147":1}"#, "{table}");
    }
}
