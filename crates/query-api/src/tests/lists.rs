//! Lists and figures: parameters checked and bound, rows shaped, pages joined up, answers kept for a moment.

use serde_json::{Value, json};

use super::{World, log_id};

fn event_row(position: u64) -> String {
    json!({"position": position, "version": position, "id": format!("github.41.{position}"), "delivery_id": position.to_string(),
        "hook_id": "41", "source": "github", "repository": "Octo-Org/api", "event": "push", "action": "",
        "sender": "octocat", "received_us": 1_795_248_044_000_000_i64, "status": "processed", "attempts": 0,
        "processing_ms": 1.25, "error": "", "error_code": "", "retryable": null, "error_destination": "",
        "failed_us": null, "duplicate_of": ""})
    .to_string()
}

fn rows(positions: impl IntoIterator<Item = u64>) -> String {
    positions
        .into_iter()
        .map(event_row)
        .collect::<Vec<_>>()
        .join("\n")
}

const PAGE: &str = "processing_ms, error";
const TOTAL: &str = "AS n FROM hooklog.statistics_hours_s1_b3 FINAL";

#[tokio::test]
async fn a_page_says_from_where_the_stream_goes_on() {
    let world = World::new();
    world.tables.give(PAGE, &rows([12]));
    let data = world.data("/api/webhooks/events").await;
    assert_eq!(data["position"], json!(format!("{}:2", log_id())), "{data}");
}

#[tokio::test]
async fn dead_letters_say_where_and_when_they_died() {
    let world = World::new();
    world.tables.give("AS edge", r#"{"seen":3,"edge":6}"#);
    // One died; one is well again already, only the narrow table does not know yet.
    world
        .tables
        .give("argMax(raw.dead", "{\"position\":12}\n{\"position\":6}");
    let mut died: Value = serde_json::from_str(&event_row(6)).unwrap();
    died["status"] = json!("dead");
    died["attempts"] = json!(4);
    died["error"] = json!("connection refused");
    died["error_code"] = json!("NETWORK_ERROR");
    died["error_destination"] = json!("ci");
    died["failed_us"] = json!(1_795_248_060_000_000_i64);
    let rows = [event_row(12), died.to_string()];
    world.tables.give("position IN (12, 6)", &rows.join("\n"));
    let data = world.data("/api/webhooks/failed").await;
    let events = data["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{data}");
    for (field, value) in [
        ("deliveryId", json!("6")),
        ("status", json!("dead")),
        ("attempts", json!(4)),
        ("error", json!("connection refused")),
        ("errorCode", json!("NETWORK_ERROR")),
        ("destination", json!("ci")),
        ("failedAt", json!("2026-11-21T08:01:00Z")),
    ] {
        assert_eq!(events[0][field], value, "{field}: {data}");
    }
    assert_eq!((&data["limit"], &data["total"]), (&json!(10), &json!(1)));
    let same = world
        .data("/api/webhooks/events?status=failed&repository=Octo-Org/API")
        .await;
    assert_eq!(same["events"][0]["deliveryId"], "6");
    let asked = world.tables.asked("argMax(raw.dead").pop().unwrap();
    assert!(
        asked.params.contains(&("repository", "octo-org/api".into())),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_full_page_of_dead_letters_goes_on_where_it_ended() {
    let world = World::new();
    world.tables.give("AS edge", r#"{"seen":4096,"edge":6}"#);
    world
        .tables
        .give("argMax(raw.dead", "{\"position\":12}\n{\"position\":9}");
    let died = |position: u64| event_row(position).replace("\"processed\"", "\"dead\"");
    world
        .tables
        .give("position IN (12, 9)", &[died(12), died(9)].join("\n"));
    world.tables.give("sum(dead) AS n", r#"{"n":4711}"#);
    let page = world.data("/api/webhooks/failed?limit=1").await;
    assert_eq!(
        (&page["events"][0]["deliveryId"], &page["total"]),
        (&json!("12"), &json!(4711))
    );
    let cursor = page["nextCursor"].as_str().unwrap().to_owned();
    world
        .data(&format!("/api/webhooks/failed?limit=1&cursor={cursor}"))
        .await;
    let asked = world.tables.asked("AS edge").pop().unwrap();
    assert!(asked.params.contains(&("before", "12".into())), "{asked:?}");
}

#[tokio::test]
async fn a_row_has_the_fields_of_the_contract_and_no_others() {
    let world = World::new();
    world.tables.give(PAGE, &rows([9]));
    let data = world.data("/api/webhooks/events").await;
    let expected = json!({"id": "github.41.9", "deliveryId": "9", "hookId": "41", "source": "github",
        "repository": "Octo-Org/api", "event": "push", "action": null, "sender": "octocat",
        "timestamp": "2026-11-21T08:00:44Z", "processed": true, "status": "processed", "attempts": 0,
        "processingTimeMs": 1.25, "error": null, "errorCode": null, "retryable": null, "duplicateOf": null});
    assert_eq!(data["events"][0], expected);
    let fields: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "events",
            "limit",
            "nextCursor",
            "offset",
            "position",
            "total",
            "totalIsExact"
        ]
    );
}

#[tokio::test]
async fn a_short_page_counts_itself_and_a_full_one_asks_the_rollups() {
    let world = World::new();
    world.tables.give(PAGE, &rows([9, 6, 3]));
    world.tables.give(TOTAL, r#"{"n":4711}"#);
    let data = world.data("/api/webhooks/events?limit=3").await;
    assert_eq!((&data["total"], &data["totalIsExact"]), (&json!(3), &json!(true)));
    assert!(world.tables.asked(TOTAL).is_empty());
    let data = world.data("/api/webhooks/events?limit=2").await;
    assert_eq!(
        (&data["total"], &data["totalIsExact"]),
        (&json!(4711), &json!(true))
    );
    assert_eq!(data["events"].as_array().unwrap().len(), 2);
    let cut = world
        .data("/api/webhooks/events?limit=2&startDate=2026-11-21T08:00:30Z")
        .await;
    assert_eq!(cut["totalIsExact"], false, "the range cuts a minute in two");
}

#[tokio::test]
async fn a_total_of_too_many_rows_is_counted_up_to_a_bound() {
    let world = World::new();
    world.tables.give(PAGE, &rows([9, 6, 3]));
    world.tables.refuse(TOTAL, "Code: 158. TOO_MANY_ROWS");
    world.tables.give("AS seen", r#"{"seen":10000,"n":9000}"#);
    let data = world.data("/api/webhooks/events?limit=2").await;
    assert_eq!(
        (&data["total"], &data["totalIsExact"]),
        (&json!(9000), &json!(false))
    );
}

#[tokio::test]
async fn pages_join_up_by_cursor() {
    let world = World::new();
    world.tables.give(PAGE, &rows([3, 9, 6]));
    let page = world.data("/api/webhooks/events?limit=2").await;
    let ids: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["deliveryId"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        ["9", "6"],
        "the newest first, whatever the order of the rows"
    );
    let cursor = page["nextCursor"].as_str().unwrap().to_owned();
    world.tables.give(PAGE, &rows([3]));
    let page = world
        .data(&format!("/api/webhooks/events?limit=2&cursor={cursor}"))
        .await;
    assert!(page["nextCursor"].is_null());
    let asked = world.tables.asked(PAGE).pop().unwrap();
    assert!(asked.params.contains(&("before", "6".into())), "{asked:?}");
    let other = World::new();
    let mut tampered = cursor.clone();
    tampered.replace_range(0..1, if cursor.starts_with('A') { "B" } else { "A" });
    for bad in [tampered.as_str(), "nonsense", &cursor[1..]] {
        let message = other
            .refusal(&format!("/api/webhooks/events?cursor={bad}"), 400)
            .await;
        assert!(message.contains("cursor"), "{message}");
    }
    assert!(
        other
            .refusal(&format!("/api/jobs?cursor={cursor}"), 400)
            .await
            .contains("cursor")
    );
}

#[tokio::test]
async fn filters_are_bound_and_never_text() {
    let world = World::new();
    let path = "/api/webhooks/events?repository=Octo-Org/API&source=github&event=it's&action=%22x%22\
        &startDate=2026-11-21&endDate=2026-11-22&limit=5000&offset=7";
    let data = world.data(path).await;
    assert_eq!((&data["limit"], &data["offset"]), (&json!(1000), &json!(7)));
    let failed = world.data(&format!("{path}&status=failed")).await;
    assert_eq!(failed["total"], 0);
    let (asked, rare) = (
        world.tables.asked(PAGE).pop().unwrap(),
        world.tables.asked("AS edge").pop().unwrap(),
    );
    for param in [
        ("tenant", "default"),
        ("repository", "octo-org/api"),
        ("source", "github"),
        ("event", "it's"),
        ("action", "\"x\""),
        ("from", "1795219200000000"),
        ("until", "1795305600000000"),
    ] {
        assert!(
            asked.params.contains(&(param.0, param.1.into())),
            "{param:?}: {asked:?}"
        );
        assert!(
            rare.params.contains(&(param.0, param.1.into())),
            "{param:?}: {rare:?}"
        );
    }
    assert!(asked.sql.contains("LIMIT 2284") && rare.sql.contains("status IN ('dead')"));
    for query in [asked, rare] {
        assert!(query.sql.contains("hooklog.deliveries_s1_b3") && !query.sql.contains("it's"));
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named_with_what_is_allowed() {
    let world = World::new();
    for (path, name, allowed) in [
        (
            "/api/webhooks/events?status=done",
            "status",
            "received, processing, retrying, processed, dead, pending, failed",
        ),
        ("/api/webhooks/events?limit=many", "limit", "1000"),
        ("/api/webhooks/events?limit=0", "limit", "from 1"),
        ("/api/webhooks/events?offset=20000", "offset", "10000"),
        ("/api/webhooks/events?offset=-1", "offset", "from 0"),
        (
            "/api/webhooks/events?startDate=yesterday",
            "startDate",
            "2026-11-21",
        ),
        (
            "/api/webhooks/events?startDate=2026-11-22&endDate=2026-11-21",
            "endDate",
            "after",
        ),
        (
            "/api/webhooks/events?processed=perhaps",
            "processed",
            "true, false",
        ),
        ("/api/webhooks/events?source=Not%20One", "source", "a-z"),
        (
            "/api/webhooks/events?repositry=a/b",
            "repositry",
            "did you mean `repository`",
        ),
        ("/api/webhooks/events/x?hook_id=1", "hook_id", "hookId"),
        ("/api/webhooks/statistics?hours=lots", "hours", "whole number"),
        ("/api/webhooks/statistics?hours=99999999", "hours", "ten years"),
        (
            "/api/jobs?status=dancing",
            "status",
            "queued, waiting, in_progress, completed, pending, running",
        ),
        ("/api/jobs?pullRequest=x", "pullRequest", "whole number"),
        ("/api/jobs/abc", "id", "whole number"),
        (
            "/api/workflow-runs?conclusion=fine",
            "conclusion",
            "success, failure",
        ),
        ("/api/repositories?hours=1&days=1", "days", "either"),
        (
            "/api/repositories/a/b/activity?interval=week",
            "interval",
            "minute, hour, day",
        ),
        (
            "/api/repositories/a/b/activity?days=30&interval=minute",
            "interval",
            "2000",
        ),
    ] {
        let message = world.refusal(path, 400).await;
        assert!(
            message.contains(&format!("`{name}`")) && message.contains(allowed),
            "{path}: {message}"
        );
    }
    assert!(
        world.tables.asked(PAGE).is_empty(),
        "nothing was asked for a wrong parameter"
    );
}

#[tokio::test]
async fn a_projection_that_is_being_built_says_so() {
    let world = World::new();
    world.tables.give("projection_builds", "");
    let answer = world.client().get("/api/webhooks/events").send().await;
    answer.assert_status(poem::http::StatusCode::SERVICE_UNAVAILABLE);
    answer.assert_header("retry-after", "5");
    assert!(world.refusal("/api/jobs", 503).await.contains("projection jobs"));
    let other =
        json!({"projection": "deliveries", "schema": 1, "build": 3, "log_id": uuid::Uuid::from_u128(8)});
    world.tables.give("projection_builds", &other.to_string());
    assert!(
        world
            .refusal("/api/webhooks/events", 503)
            .await
            .contains("being built"),
        "built from another log"
    );
    world
        .tables
        .refuse("projection_builds", "Code: 81. UNKNOWN_DATABASE");
    assert!(
        world
            .refusal("/api/webhooks/events", 503)
            .await
            .contains("being built"),
        "never built"
    );
    world.tables.refuse("projection_builds", "down");
    let message = world.refusal("/api/webhooks/events", 503).await;
    assert!(message.contains("can't be reached"), "{message}");
}

#[tokio::test]
async fn a_build_replaced_a_moment_ago_is_looked_up_once_more() {
    let world = World::new();
    let client = world.client();
    client
        .get("/api/webhooks/events")
        .send()
        .await
        .assert_status_is_ok();
    let next = json!({"projection": "deliveries", "schema": 1, "build": 4, "log_id": log_id()});
    world.tables.give("projection_builds", &next.to_string());
    world.tables.refuse("deliveries_s1_b3", "Code: 60. UNKNOWN_TABLE");
    client
        .get("/api/webhooks/events")
        .send()
        .await
        .assert_status_is_ok();
    assert!(!world.tables.asked("deliveries_s1_b4").is_empty());
}

#[tokio::test]
async fn tables_of_an_older_version_are_said_to_be_built_anew() {
    let world = World::new();
    world.tables.refuse(
        PAGE,
        "Code: 47. DB::Exception: Unknown expression identifier (UNKNOWN_IDENTIFIER)",
    );
    assert!(
        world
            .refusal("/api/webhooks/events", 503)
            .await
            .contains("being built")
    );
    world
        .tables
        .refuse("AS edge", "Code: 60. DB::Exception: (UNKNOWN_TABLE)");
    assert!(
        world
            .refusal("/api/webhooks/failed", 503)
            .await
            .contains("being built")
    );
}

#[tokio::test]
async fn a_nested_group_is_one_repository() {
    let world = World::new();
    world.tables.give(
        "AS name, max(",
        r#"{"name":"Group/Sub/Project","last_us":1795248044000000}"#,
    );
    let data = world.data("/api/repositories/Group/Sub%2FProject/activity").await;
    assert_eq!(data["repository"], "Group/Sub/Project");
    assert_eq!(data["lastActivity"], "2026-11-21T08:00:44Z");
    let asked = world.tables.asked("AS name, max(").pop().unwrap();
    assert!(asked.params.contains(&("repository", "group/sub/project".into())));
    let nobody = World::new()
        .refusal("/api/repositories/no/body/activity", 404)
        .await;
    assert!(nobody.contains("no/body"), "{nobody}");
}
