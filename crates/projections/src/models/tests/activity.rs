use proptest::prelude::*;

use super::*;

fn described(event: &str, stars: u64, updated_at: &str) -> TestDelivery {
    let repository = format!(
        r#"{{"stargazers_count":{stars},"updated_at":"{updated_at}","forks_count":2,"private":true}}"#
    );
    TestDelivery::new(event, format!(r#"{{"repository":{repository}}}"#))
}

fn stars(deliveries: &[TestDelivery]) -> Vec<i64> {
    let events: Vec<_> = (1..)
        .zip(deliveries)
        .map(|(position, delivery)| projected(position, delivery))
        .collect();
    folded("repository_activity", &events)
        .rows("repositories")
        .map(|row| number(row, "stars"))
        .collect()
}

proptest! {
    #[test]
    fn the_stars_are_those_of_the_newest_payload_in_any_order(
        deliveries in Just(vec![
            described("star", 1, "2019-05-15T15:20:40Z"),
            described("push", 5, "2019-05-16T15:20:40Z"),
            described("star", 7, "2019-05-17T15:20:40Z"),
            described("pull_request", 4, "2019-05-15T15:20:50Z"),
            // An event whose payload is not read.
            described("issues", 9, "2019-06-15T15:20:50Z"),
        ]).prop_shuffle(),
    ) {
        prop_assert_eq!(stars(&deliveries), vec![7]);
    }
}

#[test]
fn equal_times_are_settled_by_the_body_not_by_arrival() {
    let one = described("star", 1, "2019-05-15T15:20:40Z");
    let other = described("star", 2, "2019-05-15T15:20:40Z");
    assert_eq!(stars(&[one.clone(), other.clone()]), stars(&[other, one]));
}

#[test]
fn a_merge_is_a_closed_pull_request_that_says_so() {
    let closed = |action: &str, merged: &str| {
        let mut delivery = TestDelivery::new(
            "pull_request",
            format!(r#"{{"pull_request":{{"merged":{merged}}}}}"#),
        );
        delivery.action = Some(action.into());
        delivery
    };
    let deliveries = [
        closed("opened", "false"),
        closed("closed", "true"),
        closed("closed", "false"),
        closed("labeled", "true"),
        closed("closed", "1"),
    ];
    let events: Vec<_> = (1..)
        .zip(&deliveries)
        .map(|(position, delivery)| projected(position, delivery))
        .collect();
    let tables = folded("repository_activity", &events);
    let count = |column: &str| {
        tables
            .rows("repository_activity")
            .map(|row| number(row, column))
            .sum::<i64>()
    };
    assert_eq!((count("events"), count("merged")), (5, 1));
}

#[test]
fn a_list_of_commits_may_come_with_its_own_count() {
    let push = TestDelivery::new("push", r#"{"commits":[{},{}],"total_commits_count":50}"#);
    let tables = folded("repository_activity", &[projected(1, &push)]);
    assert_eq!(
        number(tables.rows("repository_activity").next().unwrap(), "commits"),
        50
    );
}

#[test]
fn a_delivery_is_one_row_with_its_facts() {
    let mut delivery = TestDelivery::new("issues", "{}");
    delivery.action = Some("opened".into());
    delivery.repository = Some("Octo-Org/Hello".into());
    let plain = projected(4, &delivery);
    let mut due = projected(5, &delivery);
    due.received.as_mut().unwrap().reactors_due = vec!["destination:forward".into()];
    let mut repeated = marked(due.clone());
    repeated.event.position = domain::Position::new(6);
    let tables = folded("deliveries", &[plain.clone(), due, repeated, plain]);
    let rows: Vec<_> = tables.rows("deliveries").collect();
    let facts: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                number(row, "version"),
                text(row, "status"),
                text(row, "processing_ms"),
                text(row, "duplicate_of"),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            (4, "processed", "5", ""),
            (5, "received", "NULL", ""),
            (6, "processed", "5", "github.41.original")
        ]
    );
    assert_eq!(text(rows[0], "repository"), "Octo-Org/Hello");
    assert_eq!(text(rows[0], "repository_key"), "octo-org/hello");
    assert_eq!(text(rows[0], "received_at"), "2025-11-21 23:00:00.000000");
    assert_eq!(
        text(rows[0], "body_sha256"),
        domain::ContentHash::of(b"{}").to_string()
    );
}

/// What GitLab or Linear sends about a repository, as activity.
fn counted(deliveries: &[(&str, Option<&str>, &str)], repository: Option<&str>) -> FoldedTables {
    let told = |(position, (event, action, body)): (u64, &(&str, Option<&str>, &str))| {
        let mut delivery = TestDelivery::new(event, (*body).to_owned());
        delivery.action = action.map(str::to_owned);
        delivery.repository = repository.map(str::to_owned);
        projected(position, &delivery)
    };
    folded(
        "repository_activity",
        &(1..).zip(deliveries).map(told).collect::<Vec<_>>(),
    )
}

#[test]
fn what_happens_in_a_project_of_nested_groups_is_counted() {
    let push = r#"{"object_kind":"push","commits":[{},{}],"total_commits_count":50}"#;
    let tables = counted(
        &[
            ("push", None, push),
            (
                "tag_push",
                None,
                r#"{"object_kind":"tag_push","commits":[{}],"total_commits_count":1}"#,
            ),
            ("merge_request", Some("open"), "{}"),
            ("merge_request", Some("merge"), "{}"),
            ("issue", Some("open"), "{}"),
            ("note", Some("create"), "{}"),
            ("release", Some("create"), "{}"),
        ],
        Some("Group/Sub/Project"),
    );
    let sum = |table: &str, column: &str| tables.rows(table).map(|row| number(row, column)).sum::<i64>();
    assert_eq!(
        (
            sum("repository_activity", "events"),
            sum("repository_activity", "commits"),
            sum("repository_activity", "merged")
        ),
        (7, 50, 1)
    );
    assert_eq!(
        (
            sum("repository_contributors", "pushes"),
            sum("repository_contributors", "commits")
        ),
        (2, 50)
    );
    assert!(
        tables
            .rows("repository_activity")
            .all(|row| text(row, "repository_key") == "group/sub/project")
    );
}

#[test]
fn linear_counts_where_it_names_a_repository() {
    let synced = r#"{"type":"Issue","data":{"syncedWith":[{"service":"github","metadata":{"owner":"Octo-Org","repo":"hello"}}]}}"#;
    let page = r#"{"type":"Attachment","data":{"url":"https://github.com/octo-org/hello/pull/7"}}"#;
    let tables = counted(
        &[
            ("Issue", Some("create"), synced),
            ("Attachment", Some("create"), page),
            (
                "Issue",
                Some("create"),
                r#"{"type":"Issue","data":{"syncedWith":null}}"#,
            ),
            // Only Linear's events are looked into.
            ("issues", Some("opened"), synced),
        ],
        None,
    );
    let events: Vec<_> = tables
        .rows("repository_activity")
        .map(|row| {
            (
                text(row, "repository_key"),
                text(row, "event"),
                number(row, "events"),
            )
        })
        .collect();
    assert_eq!(
        events,
        [
            ("octo-org/hello", "Attachment", 1),
            ("octo-org/hello", "Issue", 1)
        ]
    );
}
