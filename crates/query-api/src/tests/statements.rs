//! Every statement names the tenant first and carries no value in its text.

use domain::{DeliveryStatus, Query, TenantId, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::sql::{
    Build, Counted, CountedAmong, causes, deliveries, destinations, figures, health, jobs, rare, replays,
    repositories, runners, runs, statistics,
};

const SECRET: &str = "'; DROP TABLE x --";
const BUILD: Build = Build::for_test(1, 3);

type Named = (&'static str, Query);

fn now() -> Timestamp {
    super::NOW.parse().unwrap()
}

fn tenant() -> TenantId {
    TenantId::default()
}

fn text() -> Option<String> {
    Some(SECRET.to_owned())
}

fn of_deliveries() -> Vec<Named> {
    let whole = deliveries::Filter::default();
    let narrow = deliveries::Filter {
        repository: text(),
        source: text(),
        event: text(),
        category: Some(domain::catalogue::Category::Security),
        action: text(),
        statuses: Some(vec![DeliveryStatus::Dead, DeliveryStatus::Retrying]),
        from: Some(now().plus_millis(-3_600_000)),
        until: Some(now()),
    };
    let processed = deliveries::Filter {
        statuses: Some(vec![DeliveryStatus::Processed]),
        ..deliveries::Filter::default()
    };
    let dead = deliveries::Filter {
        statuses: Some(vec![DeliveryStatus::Dead]),
        from: None,
        until: None,
        ..narrow.clone()
    };
    let page = |filter| deliveries::window(BUILD, &tenant(), filter, u64::MAX, 143);
    vec![
        ("dead edge", rare::edge(BUILD, &tenant(), &dead, u64::MAX, 4096)),
        (
            "dead letters",
            rare::fitting(BUILD, &tenant(), &dead, (7, u64::MAX), 11),
        ),
        ("rare edge", rare::edge(BUILD, &tenant(), &narrow, u64::MAX, 4096)),
        (
            "rare",
            rare::fitting(BUILD, &tenant(), &narrow, (7, u64::MAX), 11),
        ),
        ("causes", causes::all(BUILD, &tenant(), 100)),
        ("rare rows", rare::rows(BUILD, &tenant(), &[7, 9])),
        ("events", page(&whole)),
        ("events narrow", page(&narrow)),
        ("events processed", page(&processed)),
        (
            "events count",
            deliveries::count_among(BUILD, &tenant(), &narrow, 10_000),
        ),
        ("events since", deliveries::count_since(BUILD, &tenant(), now())),
        ("total", statistics::total(BUILD, &tenant(), &whole)),
        ("total narrow", statistics::total(BUILD, &tenant(), &narrow)),
    ]
}

fn of_statistics() -> Vec<Named> {
    let scope = |text: Option<String>| statistics::Scope {
        start_secs: 1_795_000_000,
        end_secs: 1_795_300_000,
        repository: text.clone(),
        synthetic: text.is_none(),
        source: text,
    };
    vec![
        ("by event", statistics::by_event(BUILD, &tenant(), &scope(text()))),
        (
            "by event synthetic",
            statistics::by_event(BUILD, &tenant(), &scope(None)),
        ),
        (
            "series",
            statistics::series(BUILD, &tenant(), &scope(text()), 3600),
        ),
        (
            "series synthetic",
            statistics::series(BUILD, &tenant(), &scope(None), 60),
        ),
        (
            "by destination",
            destinations::by_destination(BUILD, &tenant(), &scope(None)),
        ),
        ("all time", health::all_time(BUILD, &tenant())),
        (
            "same hours",
            health::same_hours(BUILD, &tenant(), 1_795_000_000, 1_795_248_000),
        ),
    ]
}

fn of_repositories() -> Vec<Named> {
    let window = repositories::Window {
        start_secs: 1_795_000_000,
        end_secs: 1_795_300_000,
    };
    let keys = [SECRET.to_owned(), "octo-org/api".to_owned()];
    let tenant = tenant();
    vec![
        ("repositories", repositories::page(BUILD, &tenant, window, 100, 0)),
        ("repositories count", repositories::count(BUILD, &tenant, window)),
        (
            "contributor counts",
            repositories::contributor_counts(BUILD, &tenant, window, &keys),
        ),
        ("facts", repositories::facts(BUILD, &tenant, &keys)),
        ("seen", repositories::seen(BUILD, &tenant, SECRET)),
        (
            "contributors",
            repositories::contributors(BUILD, &tenant, window, SECRET),
        ),
        (
            "activity parts",
            repositories::parts(BUILD, &tenant, window, SECRET, 86_400),
        ),
    ]
}

fn of_jobs() -> Vec<Named> {
    let page = |filter, before| jobs::window(BUILD, &tenant(), filter, &before, 143);
    let some = jobs::Filter {
        repository: text(),
        states: Some(vec!["queued", "waiting"]),
        label: text(),
        pull_request: Some(12),
        host: text(),
    };
    let done = jobs::Filter {
        states: Some(vec!["completed"]),
        ..jobs::Filter::default()
    };
    vec![
        ("jobs", page(&jobs::Filter::default(), jobs::newest())),
        ("jobs narrow", page(&some, (7, 1, SECRET.to_owned()))),
        ("jobs done", page(&done, jobs::newest())),
        ("jobs count", jobs::count_among(BUILD, &tenant(), &some, 10_000)),
        ("job", jobs::one(BUILD, &tenant(), 7)),
        ("job states", jobs::states(BUILD, &tenant(), &[7, 8])),
        ("pulls", jobs::pulls(BUILD, &tenant(), &[9])),
    ]
}

fn of_figures() -> Vec<Named> {
    let measured = |text: Option<String>| figures::Measured {
        since: now().plus_millis(-86_400_000),
        until: now(),
        workflow: text.clone(),
        repository: text,
    };
    let of = |grouping, text| figures::figures(BUILD, &tenant(), &measured(text), grouping);
    vec![
        ("figures", of(figures::Grouping::All, None)),
        ("figures narrow", of(figures::Grouping::All, text())),
        ("figures label", of(figures::Grouping::Label, None)),
        ("figures runner", of(figures::Grouping::Runner, None)),
        (
            "conclusions",
            figures::conclusions(BUILD, &tenant(), &measured(None)),
        ),
        ("open", figures::open(BUILD, &tenant(), &measured(text()))),
        (
            "runners",
            runners::seen(BUILD, &tenant(), now().plus_millis(-86_400_000)),
        ),
        ("busy", runners::busy(BUILD, &tenant(), now())),
        ("demand", runners::demand(BUILD, &tenant(), now())),
    ]
}

fn of_runs() -> Vec<Named> {
    let before = (u64::MAX, SECRET.to_owned());
    let page = |filter| runs::window(BUILD, &tenant(), filter, &before, 143);
    let some = runs::Filter {
        repository: text(),
        status: Some("queued"),
        conclusion: Some("success"),
        host: text(),
    };
    let ended = runs::Filter {
        conclusion: Some("failure"),
        ..runs::Filter::default()
    };
    vec![
        ("runs", page(&runs::Filter::default())),
        ("runs narrow", page(&some)),
        ("runs ended", page(&ended)),
        ("runs count", runs::count_among(BUILD, &tenant(), &some, 10_000)),
        ("run", runs::one(BUILD, &tenant(), 9, SECRET)),
    ]
}

fn of_replays() -> Vec<Named> {
    let row = json!({"replay": uuid::Uuid::from_u128(9), "position": 40, "filter_json": "{}", "target": "processing",
        "destinations": [], "dead_only": false, "rate_per_second": 200, "to_position": 39, "expected": null,
        "requested_by": SECRET, "reason": SECRET, "requested_us": 0});
    let order: replays::Order = serde_json::from_value(row).unwrap();
    vec![
        ("replays", replays::window(BUILD, &tenant(), u128::MAX, 143)),
        ("replays count", replays::count_among(BUILD, &tenant(), 10_000)),
        ("replay states", replays::states(BUILD, &tenant(), &[order])),
    ]
}

fn all() -> impl Iterator<Item = Named> {
    let groups = [
        of_deliveries(),
        of_replays(),
        of_statistics(),
        of_repositories(),
        of_jobs(),
        of_figures(),
        of_runs(),
    ];
    groups.into_iter().flatten()
}

#[test]
fn every_statement_asks_for_the_tenant_first_and_carries_no_value() {
    for (name, query) in all() {
        // For trying them by hand: `cargo test -p query-api every_statement -- --nocapture`.
        let line = serde_json::json!({"name": name, "sql": query.sql, "params": query.params});
        println!("{line}");
        assert!(!query.sql.contains("DROP"), "{name}: {}", query.sql);
        for (from, _) in query.sql.match_indices("FROM hooklog.") {
            let rest = &query.sql[from..];
            let (_, conditions) = rest.split_once("WHERE ").expect(name);
            assert!(
                conditions.starts_with("tenant = {tenant:String}"),
                "{name}: {}",
                query.sql
            );
        }
        let tables = query.sql.matches("hooklog.").count();
        let asked = query.sql.matches("FROM hooklog.").count();
        assert_eq!(tables, asked, "{name} names a table elsewhere: {}", query.sql);
        for (param, _) in &query.params {
            assert!(
                query.sql.contains(&format!("{{{param}:")),
                "{name}: {param} is bound for nothing"
            );
        }
    }
}

/// The fields that a row can't be read without, found by leaving them out.
fn needed<T: DeserializeOwned>() -> Vec<String> {
    let mut row = serde_json::Map::new();
    let mut needed: Vec<String> = Vec::new();
    loop {
        let read = |row: &serde_json::Map<String, Value>| {
            serde_json::from_value::<T>(Value::Object(row.clone())).map_err(|error| error.to_string())
        };
        let Err(error) = read(&row) else { return needed };
        let missing = error
            .split("missing field `")
            .nth(1)
            .and_then(|rest| rest.split('`').next());
        let Some(field) = missing.map(str::to_owned) else {
            panic!("{error} after {needed:?}");
        };
        let fitting = [json!(0), json!(""), json!([]), json!({}), json!(false)]
            .into_iter()
            .find(|value| {
                row.insert(field.clone(), value.clone());
                read(&row)
                    .err()
                    .is_none_or(|error| error.contains("missing field"))
            });
        assert!(fitting.is_some(), "no value fits {field}");
        needed.push(field);
    }
}

fn check<T: DeserializeOwned>(names: &[&str]) {
    let fields = needed::<T>();
    assert!(!fields.is_empty());
    for (name, query) in all().filter(|(name, _)| names.contains(name)) {
        let words: Vec<&str> = query
            .sql
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        for field in &fields {
            assert!(
                words.contains(&field.as_str()),
                "{name} does not select {field}: {}",
                query.sql
            );
        }
    }
}

#[test]
fn every_statement_selects_what_its_rows_are_read_from() {
    check::<deliveries::Row>(&["events", "events narrow", "rare rows"]);
    check::<causes::Row>(&["causes"]);
    check::<rare::Fitting>(&["dead letters", "rare"]);
    check::<rare::Edge>(&["dead edge", "rare edge"]);
    check::<destinations::OfDestination>(&["by destination"]);
    check::<CountedAmong>(&["events count", "jobs count", "runs count", "replays count"]);
    check::<Counted>(&["total", "events since", "repositories count"]);
    check::<statistics::OfEvent>(&["by event"]);
    check::<statistics::OfStep>(&["series"]);
    check::<health::AllTime>(&["all time"]);
    check::<health::Hour>(&["same hours"]);
    check::<repositories::OfRepository>(&["repositories"]);
    check::<repositories::Contributors>(&["contributor counts"]);
    check::<repositories::Facts>(&["facts"]);
    check::<repositories::Seen>(&["seen"]);
    check::<repositories::OfSender>(&["contributors"]);
    check::<repositories::Part>(&["activity parts"]);
    check::<jobs::Row>(&["jobs", "jobs narrow", "job"]);
    check::<jobs::JobState>(&["job states"]);
    check::<jobs::Pull>(&["pulls"]);
    check::<figures::Figures>(&["figures", "figures label", "figures runner"]);
    check::<figures::OfWord>(&["conclusions", "open"]);
    check::<runs::Row>(&["runs", "run"]);
    check::<runners::Row>(&["runners"]);
    check::<runners::Busy>(&["busy"]);
    check::<runners::Demand>(&["demand"]);
}
