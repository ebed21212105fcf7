//! Statistics: they add up, per event, destination and step, and are asked once for many.

use serde_json::{Value, json};

use super::World;

fn sums(event: &str, total: i64, failed: i64, buckets: &Value) -> String {
    json!({"event": event, "total": total, "processed": total - failed - 1, "pending": 1, "failed": failed,
        "duplicates": 2, "tried": total, "repeated": 3, "timed": total - 1, "micros": (total - 1) * 2000, "buckets": buckets})
    .to_string()
}

fn with_statistics(world: &World) {
    let rows = [
        sums("push", 100, 1, &json!({"112": 98})),
        sums("issues", 50, 0, &json!({"128": 49})),
    ];
    world.tables.give("GROUP BY event", &rows.join("\n"));
    let step = json!({"step": 1_795_246_200, "total": 150, "processed": 147, "pending": 2, "failed": 1,
        "duplicates": 4, "tried": 150, "repeated": 6, "timed": 148, "micros": 296_000});
    world.tables.give("GROUP BY step", &step.to_string());
}

#[tokio::test]
async fn statistics_add_up() {
    let world = World::new();
    with_statistics(&world);
    let data = world.data("/api/webhooks/statistics?hours=1").await;
    let summary = &data["summary"];
    for (field, value) in [
        ("totalEvents", json!(150)),
        ("processedEvents", json!(147)),
        ("pendingEvents", json!(2)),
        ("failedEvents", json!(1)),
        ("duplicates", json!(4)),
        ("attempts", json!(150)),
        ("retries", json!(6)),
        ("successRate", json!("98.00")),
        ("avgProcessingTimeMs", json!(2.0)),
        ("p50ProcessingTimeMs", json!(1.056)),
        ("p99ProcessingTimeMs", json!(2.112)),
    ] {
        assert_eq!(summary[field], value, "{field}: {summary}");
    }
    assert_eq!(data["byEvent"][0]["event"], "push");
    assert_eq!(data["timeWindow"]["start"], "2026-11-21T07:30:00Z");
    let series = data["series"].as_array().unwrap();
    assert_eq!((series.len(), data["interval"].as_str()), (61, Some("minute")));
    let total: i64 = series.iter().map(|point| point["total"].as_i64().unwrap()).sum();
    assert_eq!(total, 150, "every step is in the series");
}

#[tokio::test]
async fn statistics_say_what_each_destination_did() {
    let world = World::new();
    let row = json!({"destination": "ci", "tried": 10, "repeated": 3, "arrived": 7, "to_retry": 2, "given_up": 1,
        "left_out": 4, "micros": 20_000, "buckets": {"112": 10}, "delivered_us": 1_795_248_060_000_000_i64,
        "failed_us": null});
    world.tables.give("GROUP BY destination", &row.to_string());
    let data = world.data("/api/webhooks/statistics").await;
    let expected = json!([{"destination": "ci", "attempts": 10, "delivered": 7, "failed": 2, "dead": 1, "retries": 3,
        "skipped": 4, "successRate": "70.00", "avgDurationMs": 2.0, "p50DurationMs": 1.056, "p95DurationMs": 1.056,
        "p99DurationMs": 1.056, "lastDeliveredAt": "2026-11-21T08:01:00Z", "lastFailedAt": null}]);
    assert_eq!(data["byDestination"], expected);
    let narrow = world.data("/api/webhooks/statistics?repository=a/b").await;
    assert_eq!(
        narrow["byDestination"],
        Value::Null,
        "they are not counted by repository"
    );
}

#[tokio::test]
async fn an_empty_window_is_a_hundred_percent() {
    let data = World::new().data("/api/webhooks/statistics").await;
    assert_eq!(data["summary"]["successRate"], "100.00");
    assert_eq!(data["summary"]["p50ProcessingTimeMs"], Value::Null);
    assert_eq!(data["series"].as_array().unwrap().len(), 25);
}

#[tokio::test]
async fn many_who_ask_for_statistics_at_once_share_one_answer() {
    let world = World::new();
    with_statistics(&world);
    let client = std::sync::Arc::new(world.client());
    let asking: Vec<_> = (0..32)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move {
                client
                    .get("/api/webhooks/statistics")
                    .send()
                    .await
                    .assert_status_is_ok()
            })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert_eq!(world.tables.asked("GROUP BY event").len(), 1);
}
