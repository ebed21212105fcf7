//! Every statement names the tenant first and carries no value in its text.

use domain::{DeliveryStatus, Query, TenantId, Timestamp};

use crate::sql::{Build, deliveries, health, jobs, repositories, runners, runs, statistics};

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
        action: text(),
        statuses: Some(vec![DeliveryStatus::Dead, DeliveryStatus::Retrying]),
        from: Some(now().plus_millis(-3_600_000)),
        until: Some(now()),
    };
    let processed = deliveries::Filter {
        statuses: Some(vec![DeliveryStatus::Processed]),
        ..deliveries::Filter::default()
    };
    let page = |filter| {
        let page = deliveries::Page {
            before: u64::MAX,
            limit: 101,
            offset: 5,
        };
        deliveries::page(BUILD, &tenant(), filter, page)
    };
    vec![
        ("events", page(&whole)),
        ("events narrow", page(&narrow)),
        ("events processed", page(&processed)),
        (
            "events count",
            deliveries::count_up_to(BUILD, &tenant(), &narrow, 10_000),
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
        (
            "by action",
            repositories::by_action(BUILD, &tenant, window, SECRET),
        ),
        ("seen", repositories::seen(BUILD, &tenant, SECRET)),
        (
            "contributors",
            repositories::contributors(BUILD, &tenant, window, SECRET),
        ),
        (
            "activity series",
            repositories::series(BUILD, &tenant, window, SECRET, 86_400),
        ),
    ]
}

fn of_jobs() -> Vec<Named> {
    let page = |filter, before| {
        let page = jobs::Page {
            before,
            limit: 101,
            offset: 0,
        };
        jobs::page(BUILD, &tenant(), filter, page)
    };
    let some = jobs::Filter {
        repository: text(),
        states: Some(vec!["queued", "waiting"]),
        label: text(),
        pull_request: Some(12),
    };
    let done = jobs::Filter {
        states: Some(vec!["completed"]),
        ..jobs::Filter::default()
    };
    let start = (u64::MAX, u64::MAX);
    vec![
        ("jobs", page(&jobs::Filter::default(), start)),
        ("jobs narrow", page(&some, (7, 1))),
        ("jobs done", page(&done, start)),
        ("jobs count", jobs::count_up_to(BUILD, &tenant(), &some, 10_000)),
        ("job", jobs::one(BUILD, &tenant(), 7)),
        ("job states", jobs::states(BUILD, &tenant(), &[7, 8])),
        ("pulls", jobs::pulls(BUILD, &tenant(), &[9])),
    ]
}

fn of_figures() -> Vec<Named> {
    let measured = |text: Option<String>| jobs::Measured {
        since: now().plus_millis(-86_400_000),
        until: now(),
        workflow: text.clone(),
        repository: text,
    };
    let figures = |grouping, text| jobs::figures(BUILD, &tenant(), &measured(text), grouping);
    vec![
        ("figures", figures(jobs::Grouping::All, None)),
        ("figures narrow", figures(jobs::Grouping::All, text())),
        ("figures label", figures(jobs::Grouping::Label, None)),
        ("figures runner", figures(jobs::Grouping::Runner, None)),
        (
            "conclusions",
            jobs::conclusions(BUILD, &tenant(), &measured(None)),
        ),
        ("open", jobs::open(BUILD, &tenant(), &measured(text()))),
        (
            "runners",
            runners::seen(BUILD, &tenant(), now().plus_millis(-86_400_000)),
        ),
        ("busy", runners::busy(BUILD, &tenant(), now())),
        ("demand", runners::demand(BUILD, &tenant(), now())),
    ]
}

fn of_runs() -> Vec<Named> {
    let page = |filter| {
        let page = runs::Page {
            before: u64::MAX,
            limit: 101,
            offset: 0,
        };
        runs::page(BUILD, &tenant(), filter, page)
    };
    let some = runs::Filter {
        repository: text(),
        status: Some("queued"),
        conclusion: Some("success"),
    };
    let ended = runs::Filter {
        conclusion: Some("failure"),
        ..runs::Filter::default()
    };
    vec![
        ("runs", page(&runs::Filter::default())),
        ("runs narrow", page(&some)),
        ("runs ended", page(&ended)),
        ("runs count", runs::count_up_to(BUILD, &tenant(), &some, 10_000)),
        ("run", runs::one(BUILD, &tenant(), 9)),
    ]
}

fn all() -> impl Iterator<Item = Named> {
    let groups = [
        of_deliveries(),
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
        for (param, _) in &query.params {
            assert!(
                query.sql.contains(&format!("{{{param}:")),
                "{name}: {param} is bound for nothing"
            );
        }
    }
}
