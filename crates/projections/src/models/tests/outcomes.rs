//! What became of deliveries: the tables say of each what a fold of its stream says.

use std::collections::BTreeMap;

use domain::testing::{Ending, TestStream};
use domain::{DeliveryStatus, Outcome, ReplayTo};
use proptest::prelude::*;

use super::rollups::{fed, summed};
use super::told::{Told, logs};
use super::*;

/// A receipt and an outcome of each kind, from a position on.
pub(super) fn one_of_each(position: u64) -> Vec<Projected> {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.due = vec!["a", "b"];
    let mut stream = TestStream::new(position, &delivery);
    stream.attempt("a", Ending::Fails).unwrap();
    stream.attempt("b", Ending::Delivered).unwrap();
    stream.attempt("a", Ending::GivenUp).unwrap();
    stream
        .decide(domain::testing::replayed(ReplayTo::Processing, &["a".to_owned()]))
        .unwrap();
    stream.events.into_iter().map(read).collect()
}

fn only<'a>(tables: &'a FoldedTables, table: &str) -> &'a FoldedRow {
    let rows: Vec<_> = tables.rows(table).collect();
    assert_eq!(rows.len(), 1, "{table}");
    rows[0]
}

fn texts<'a>(row: &'a FoldedRow, columns: &[&str]) -> Vec<&'a str> {
    columns.iter().map(|column| text(row, column)).collect()
}

/// The row of a delivery that is due at `a` and `b`, after steps.
fn row_after(steps: &[(&str, Ending)]) -> FoldedRow {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.due = vec!["a", "b"];
    let mut stream = TestStream::new(7, &delivery);
    for (destination, ending) in steps {
        stream.attempt(destination, *ending).unwrap();
    }
    let events: Vec<_> = stream.events.into_iter().map(read).collect();
    only(&folded("deliveries", &events), "deliveries").clone()
}

const SHOWN: [&str; 5] = [
    "status",
    "attempts",
    "error_code",
    "error_destination",
    "next_attempt_at",
];

#[test]
fn an_outcome_at_one_destination_does_not_hide_the_failure_of_another() {
    use Ending::{Delivered, Fails, GivenUp, Skipped};
    let code = "SERVICE_UNAVAILABLE";
    // Received at 23:00:00, recorded 5 ms later; each outcome a second after the one before.
    let due = "2025-11-21 23:00:02.005000";
    for (steps, shown) in [
        (&[][..], ["received", "0", "", "", "NULL"]),
        (&[("a", Fails)], ["retrying", "1", code, "a", due]),
        (
            &[("a", Fails), ("b", Delivered)],
            ["retrying", "2", code, "a", due],
        ),
        (
            &[("a", GivenUp), ("b", Skipped)],
            ["dead", "1", code, "a", "NULL"],
        ),
        (
            &[("a", GivenUp), ("b", Fails)],
            ["dead", "2", code, "a", "2025-11-21 23:00:03.005000"],
        ),
        (
            &[("a", Fails), ("a", Delivered)],
            ["processing", "2", "", "", "NULL"],
        ),
        (
            &[("a", Skipped), ("b", Delivered)],
            ["processed", "1", "", "", "NULL"],
        ),
    ] {
        let row = row_after(steps);
        assert_eq!(texts(&row, &SHOWN), shown, "after {steps:?}");
        assert_eq!(number(&row, "position"), 7);
        assert_eq!(number(&row, "version"), 7 + i64::try_from(steps.len()).unwrap());
    }
}

#[test]
fn a_processed_delivery_says_how_long_it_took_and_a_replay_to_the_subjects_leaves_that() {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.due = vec!["a"];
    let mut stream = TestStream::new(1, &delivery);
    stream.attempt("a", Ending::Delivered).unwrap();
    stream
        .decide(domain::testing::replayed(ReplayTo::Subjects, &[]))
        .unwrap();
    let events: Vec<_> = stream.events.into_iter().map(read).collect();
    let tables = folded("deliveries", &events);
    let shown = texts(
        only(&tables, "deliveries"),
        &["status", "version", "processing_ms"],
    );
    assert_eq!(shown, ["processed", "2", "1005"]);
    assert_eq!(tables.rows("dead_letters").count(), 0);
}

#[test]
fn imported_history_has_no_processing_time() {
    let mut imported = projected(1, &TestDelivery::new("push", "{}"));
    imported.received.as_mut().unwrap().proof = domain::Proof::Imported;
    let events = [imported];
    assert_eq!(
        texts(
            only(&folded("deliveries", &events), "deliveries"),
            &["status", "processing_ms"]
        ),
        ["processed", "NULL"]
    );
    let counted = folded("statistics", &events);
    let row = only(&counted, "statistics");
    assert_eq!(
        (number(row, "processed"), number(row, "processing_count")),
        (1, 0)
    );
}

#[test]
fn a_dead_letter_that_is_asked_for_again_is_none_any_more() {
    let tables = folded("deliveries", &one_of_each(10));
    let row = only(&tables, "dead_letters");
    assert_eq!(
        texts(row, &["position", "version", "dead", "destination", "dead_at"]),
        ["10", "14", "false", "", "NULL"]
    );
    let before = folded("deliveries", &one_of_each(10)[..4]);
    let row = only(&before, "dead_letters");
    assert_eq!(
        texts(row, &["version", "dead", "destination", "dead_at"]),
        ["13", "true", "a", "2025-11-21 23:00:03.017000"]
    );
}

#[test]
fn a_change_is_counted_in_the_minute_of_the_receipt_and_in_the_block_of_the_outcome() {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.due = vec!["a"];
    let mut stream = TestStream::new(9, &delivery);
    stream.now = stream.now.plus_millis(3_600_000);
    stream.attempt("a", Ending::GivenUp).unwrap();
    let events: Vec<_> = stream.events.into_iter().map(read).collect();
    let tables = folded("statistics", &events);
    let rows: Vec<_> = tables
        .rows("statistics")
        .map(|row| texts(row, &["minute", "block", "total", "received", "dead", "attempts"]))
        .collect();
    let minute = "2025-11-21 23:00:00";
    assert_eq!(
        rows,
        [
            [minute, "0", "1", "1", "0", "0"],
            [minute, "1", "0", "-1", "1", "1"]
        ]
    );
    let tables = folded("destinations", &events);
    let row = only(&tables, "destination_minutes");
    assert_eq!(
        texts(row, &["minute", "attempts", "dead", "attempt_us"]),
        ["2025-11-22 00:00:00", "1", "1", "12000"]
    );
}

/// How many streams are in each status, those of synthetic deliveries left out.
fn by_status(log: &Told) -> BTreeMap<DeliveryStatus, i64> {
    let mut counts: BTreeMap<_, _> = DeliveryStatus::ALL.map(|status| (status, 0)).into();
    for stream in log.streams.iter().filter(|one| !one.state.received.synthetic) {
        *counts.get_mut(&stream.state.status()).unwrap() += 1;
    }
    counts
}

fn sum(tables: &FoldedTables, table: &str, column: &str) -> i64 {
    tables.rows(table).map(|row| number(row, column)).sum()
}

proptest! {
    #[test]
    fn rows_of_deliveries_are_what_their_streams_fold_to(log in logs()) {
        let tables = folded("deliveries", &log.events);
        for stream in &log.streams {
            let state = &stream.state;
            let position = state.receipt.position.get().to_string();
            let fits = |row: &&FoldedRow| text(row, "position") == position;
            let row = tables.rows("deliveries").find(fits).unwrap();
            let failing = state.standing().failure;
            let code = failing.as_ref().map_or("", |failing| failing.failure.code.as_str());
            let destination = failing.as_ref().map_or("", |failing| failing.destination.as_str());
            let taken = state.processed_at.map(|at| at.as_micros() - state.received.received_at.as_micros());
            #[allow(clippy::cast_precision_loss, reason = "test times are short")]
            let taken = taken.map(|micros| (micros as f64 / 1000.0).to_string());
            prop_assert_eq!(text(row, "status"), state.status().as_str());
            prop_assert_eq!(number(row, "attempts"), i64::from(state.attempts));
            prop_assert_eq!(text(row, "error_code"), code);
            prop_assert_eq!(text(row, "error_destination"), destination);
            prop_assert_eq!(row["processing_ms"].clone(), taken);
            let dead = tables.rows("dead_letters").find(fits);
            let is_dead = dead.is_some_and(|row| text(row, "dead") == "true");
            prop_assert_eq!(is_dead, state.status() == DeliveryStatus::Dead);
        }
    }

    #[test]
    fn neither_order_nor_repetition_of_rows_matters_to_deliveries(
        log in logs(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let whole = folded("deliveries", &log.events);
        let mut model = model("deliveries", SHAPE);
        let mut tables = FoldedTables::new(model.tables());
        // Some in any order, some of them more than once, then all from the end.
        let picked = order.iter().map(|index| index.get(&log.events));
        for event in picked.chain(log.events.iter().rev()) {
            feed(model.as_mut(), std::slice::from_ref(event), &mut tables);
        }
        let differences = whole.differences(&tables);
        prop_assert!(differences.is_empty(), "{differences:#?}");
    }

    #[test]
    fn sums_by_status_are_what_the_streams_fold_to(log in logs(), batches in prop::collection::vec((1..9_usize, any::<bool>()), 1..4)) {
        let statistics = fed("statistics", SHAPE, &log.events, &batches);
        let found = summed(&statistics, "statistics", &["synthetic"], &["received", "processing", "retrying", "processed", "dead"]);
        let expected: Vec<i64> = by_status(&log).into_values().collect();
        let none = vec![0; expected.len()];
        prop_assert_eq!(found.get(&vec!["false".to_owned()]).unwrap_or(&none), &expected);
        let health = fed("health", SHAPE, &log.events, &batches);
        let by_status = by_status(&log);
        for status in [DeliveryStatus::Retrying, DeliveryStatus::Processed, DeliveryStatus::Dead] {
            prop_assert_eq!(sum(&health, "health_hours", status.as_str()), by_status[&status]);
        }
    }

    #[test]
    fn times_are_counted_once_and_never_of_what_was_replayed(log in logs()) {
        let tables = folded("statistics", &log.events);
        let mut times = Histogram::default();
        let mut total = 0;
        for stream in &log.streams {
            // When its status first became processed, unless somebody had asked for it again before.
            let mut state = domain::DeliveryState::new(&stream.events[0]).unwrap().unwrap();
            for event in &stream.events[1..] {
                if state.processed_at.is_some() || state.replayed {
                    break;
                }
                state.evolve(event).unwrap();
            }
            if let Some(at) = state.processed_at.filter(|_| !state.replayed) {
                let micros = at.as_micros() - state.received.received_at.as_micros();
                total += micros;
                times.add_micros(u64::try_from(micros).unwrap());
            }
        }
        prop_assert_eq!(sum(&tables, "statistics", "processing_us"), total);
        let mut buckets: BTreeMap<String, u64> = BTreeMap::new();
        for row in tables.rows("statistics") {
            let counted: BTreeMap<String, u64> = serde_json::from_str(text(row, "processing_buckets")).unwrap();
            for (bucket, count) in counted {
                *buckets.entry(bucket).or_default() += count;
            }
        }
        let expected: BTreeMap<String, u64> = serde_json::from_value(serde_json::to_value(&times).unwrap()).unwrap();
        prop_assert_eq!(buckets, expected);
    }

    #[test]
    fn attempts_at_destinations_are_what_counting_gives(log in logs()) {
        let tables = folded("destinations", &log.events);
        let columns = ["attempts", "retries", "delivered", "retried", "dead", "skipped"];
        let found = summed(&tables, "destination_minutes", &["destination", "synthetic"], &columns);
        let mut expected: BTreeMap<Vec<String>, Vec<i64>> = BTreeMap::new();
        for (_, outcome) in log.outcomes() {
            let Some(destination) = outcome.outcome.destination() else { continue };
            let key = vec![destination.to_string(), outcome.delivery.synthetic.to_string()];
            let sums = expected.entry(key).or_insert_with(|| vec![0; columns.len()]);
            let attempt = outcome.outcome.attempt();
            let ending = match &outcome.outcome {
                Outcome::Processed(_) if attempt.is_some() => 2,
                Outcome::Failed(_) => 3,
                Outcome::DeadLettered(_) => 4,
                Outcome::Processed(_) | Outcome::ReplayRequested(_) => 5,
            };
            sums[0] += i64::from(attempt.is_some());
            sums[1] += i64::from(attempt.is_some_and(|attempt| attempt.number > 1));
            sums[ending] += 1;
        }
        prop_assert_eq!(found, expected);
        let statistics = folded("statistics", &log.events);
        let made: i64 = log.streams.iter().map(|stream| i64::from(stream.state.attempts)).sum();
        prop_assert_eq!(sum(&statistics, "statistics", "attempts"), made);
        prop_assert_eq!(sum(&tables, "destination_minutes", "attempts"), made);
    }

    #[test]
    fn outcomes_are_no_activity_and_no_jobs(log in logs()) {
        let receipts: Vec<_> = log.events.iter().filter(|event| event.received.is_some()).cloned().collect();
        for name in ["repository_activity", "jobs"] {
            let differences = folded(name, &receipts).differences(&folded(name, &log.events));
            prop_assert!(differences.is_empty(), "{name}: {differences:#?}");
        }
    }
}
