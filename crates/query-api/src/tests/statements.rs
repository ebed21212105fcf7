//! Every statement names the tenant first and carries no value in its text.

use domain::{DeliveryStatus, Query, TenantId, Timestamp};

use crate::sql::{Build, deliveries, health, jobs, repositories, runners, runs, statistics};

const SECRET: &str = "'; DROP TABLE x --";

fn all() -> Vec<(&'static str, Query)> {
    let build = Build::for_test(1, 3);
    let tenant = TenantId::default();
    let now: Timestamp = super::NOW.parse().unwrap();
    let text = || Some(SECRET.to_owned());
    let whole = deliveries::Filter::default();
    let narrow = deliveries::Filter {
        repository: text(),
        source: text(),
        event: text(),
        action: text(),
        statuses: Some(vec![DeliveryStatus::Dead, DeliveryStatus::Retrying]),
        from: Some(now),
        until: Some(now),
    };
    let processed = deliveries::Filter {
        statuses: Some(vec![DeliveryStatus::Processed]),
        ..deliveries::Filter::default()
    };
    let page = deliveries::Page {
        before: u64::MAX,
        limit: 101,
        offset: 5,
    };
    let scope = |synthetic: bool| statistics::Scope {
        start_secs: 1_795_000_000,
        end_secs: 1_795_300_000,
        repository: text().filter(|_| !synthetic),
        source: text().filter(|_| !synthetic),
        synthetic,
    };
    let window = repositories::Window {
        start_secs: 1_795_000_000,
        end_secs: 1_795_300_000,
    };
    let keys = [SECRET.to_owned(), "octo-org/api".to_owned()];
    let jobs_page = |before| jobs::Page {
        before,
        limit: 101,
        offset: 0,
    };
    let some_jobs = jobs::Filter {
        repository: text(),
        states: Some(vec!["queued", "waiting"]),
        label: text(),
        pull_request: Some(12),
    };
    let done_jobs = jobs::Filter {
        states: Some(vec!["completed"]),
        ..jobs::Filter::default()
    };
    let measured = |repository: Option<String>| jobs::Measured {
        since: now.plus_millis(-86_400_000),
        until: now,
        workflow: repository.clone(),
        repository,
    };
    let run_page = runs::Page {
        before: u64::MAX,
        limit: 101,
        offset: 0,
    };
    let some_runs = runs::Filter {
        repository: text(),
        status: Some("queued"),
        conclusion: Some("success"),
    };
    let ended_runs = runs::Filter {
        conclusion: Some("failure"),
        ..runs::Filter::default()
    };
    let figures = |grouping, of| jobs::figures(build, &tenant, &measured(of), grouping);
    vec![
        ("events", deliveries::page(build, &tenant, &whole, page)),
        ("events narrow", deliveries::page(build, &tenant, &narrow, page)),
        (
            "events processed",
            deliveries::page(build, &tenant, &processed, page),
        ),
        (
            "events count",
            deliveries::count_up_to(build, &tenant, &narrow, 10_000),
        ),
        ("events since", deliveries::count_since(build, &tenant, now)),
        ("total", statistics::total(build, &tenant, &whole)),
        ("total narrow", statistics::total(build, &tenant, &narrow)),
        ("by event", statistics::by_event(build, &tenant, &scope(false))),
        (
            "by event synthetic",
            statistics::by_event(build, &tenant, &scope(true)),
        ),
        ("series", statistics::series(build, &tenant, &scope(false), 3600)),
        (
            "series synthetic",
            statistics::series(build, &tenant, &scope(true), 60),
        ),
        ("all time", health::all_time(build, &tenant)),
        (
            "same hours",
            health::same_hours(build, &tenant, 1_795_000_000, 1_795_300_000),
        ),
        ("repositories", repositories::page(build, &tenant, window, 100, 0)),
        ("repositories count", repositories::count(build, &tenant, window)),
        (
            "contributor counts",
            repositories::contributor_counts(build, &tenant, window, &keys),
        ),
        ("facts", repositories::facts(build, &tenant, &keys)),
        (
            "by action",
            repositories::by_action(build, &tenant, window, SECRET),
        ),
        ("seen", repositories::seen(build, &tenant, SECRET)),
        (
            "contributors",
            repositories::contributors(build, &tenant, window, SECRET),
        ),
        (
            "activity series",
            repositories::series(build, &tenant, window, SECRET, 86_400),
        ),
        (
            "jobs",
            jobs::page(
                build,
                &tenant,
                &jobs::Filter::default(),
                jobs_page((u64::MAX, u64::MAX)),
            ),
        ),
        (
            "jobs narrow",
            jobs::page(build, &tenant, &some_jobs, jobs_page((7, 1))),
        ),
        (
            "jobs done",
            jobs::page(build, &tenant, &done_jobs, jobs_page((u64::MAX, u64::MAX))),
        ),
        (
            "jobs count",
            jobs::count_up_to(build, &tenant, &some_jobs, 10_000),
        ),
        ("job", jobs::one(build, &tenant, 7)),
        ("job states", jobs::states(build, &tenant, &[7, 8])),
        ("pulls", jobs::pulls(build, &tenant, &[9])),
        ("figures", figures(jobs::Grouping::All, None)),
        ("figures narrow", figures(jobs::Grouping::All, text())),
        ("figures label", figures(jobs::Grouping::Label, None)),
        ("figures runner", figures(jobs::Grouping::Runner, None)),
        ("conclusions", jobs::conclusions(build, &tenant, &measured(None))),
        ("open", jobs::open(build, &tenant, &measured(text()))),
        (
            "runs",
            runs::page(build, &tenant, &runs::Filter::default(), run_page),
        ),
        ("runs narrow", runs::page(build, &tenant, &some_runs, run_page)),
        ("runs ended", runs::page(build, &tenant, &ended_runs, run_page)),
        (
            "runs count",
            runs::count_up_to(build, &tenant, &some_runs, 10_000),
        ),
        ("run", runs::one(build, &tenant, 9)),
        ("runners", runners::seen(build, &tenant, now)),
        ("busy", runners::busy(build, &tenant, now)),
        ("demand", runners::demand(build, &tenant, now)),
    ]
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
