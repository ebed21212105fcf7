//! Answers given from memory: as long as they are true, to whom they belong, and no more of them than there is room for.

use poem::Endpoint;
use poem::http::StatusCode;
use poem::test::TestClient;
use serde_json::{Value, json};

use super::World;

const PAGE: &str = "processing_ms, error";
const LIST: &str = "/api/webhooks/events?limit=2";
const ACTIVITY: &str = "/api/repositories/octo-org/api/activity";
const METRICS: &str = "/api/jobs/metrics";

fn row(id: &str) -> String {
    json!({"position": 9, "version": 9, "id": id, "delivery_id": id, "hook_id": "41", "source": "github",
        "repository": "octo-org/api", "event": "push", "action": "", "sender": "octocat",
        "received_us": 1_795_248_044_000_000_i64, "status": "processed", "attempts": 0, "processing_ms": 1.25, "error": "",
        "error_code": "", "retryable": null, "error_destination": "", "failed_us": null, "duplicate_of": ""})
    .to_string()
}

/// A world whose list is written by this process alone, up to a position.
fn world() -> World {
    let world = World::new();
    standing(&world, 2, 2, 3);
    world.tables.give(PAGE, &row("first"));
    world
        .tables
        .give("AS name, max(", r#"{"name":"octo-org/api","last_us":1}"#);
    world
}

fn standing(world: &World, position: u64, partitions_here: u32, build: u32) {
    let mut snapshot = world.told.snapshot.lock().unwrap();
    for projection in &mut snapshot.projections {
        projection.progress.position = position;
        projection.partitions_here = partitions_here;
        projection.build = Some(build);
    }
}

async fn data(client: &TestClient<impl Endpoint<Output = poem::Response>>, path: &str) -> Value {
    let answer = client.get(path).send().await.0;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let bytes = answer.into_body().into_bytes_limit(10_000_000).await.unwrap();
    let mut json: Value = serde_json::from_slice(&bytes).unwrap();
    json["data"].take()
}

async fn first_id(client: &TestClient<impl Endpoint<Output = poem::Response>>) -> String {
    let data = data(client, LIST).await;
    data["events"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_is_remembered_until_something_is_projected() {
    let world = world();
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    assert_eq!(first_id(&client).await, "first");
    world.tables.give(PAGE, &row("second"));
    assert_eq!(first_id(&client).await, "first", "nothing was projected");
    assert_eq!(world.tables.asked(PAGE).len(), 1);
    standing(&world, 3, 2, 3);
    let shown = data(&client, LIST).await;
    assert_eq!(
        shown["events"][0]["id"], "second",
        "it shows what was just projected"
    );
    assert!(shown["position"].as_str().unwrap().ends_with(":3"), "{shown}");
    world.tables.give(PAGE, &row("third"));
    standing(&world, 3, 2, 4);
    assert_eq!(first_id(&client).await, "third", "the tables are others");
}

#[tokio::test]
async fn a_page_that_others_may_have_written_to_is_asked_for_each_time() {
    let world = world();
    standing(&world, 2, 1, 3);
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    assert_eq!(first_id(&client).await, "first");
    world.tables.give(PAGE, &row("second"));
    assert_eq!(first_id(&client).await, "second");
    world.told.snapshot.lock().unwrap().projections.clear();
    world.tables.give(PAGE, &row("third"));
    assert_eq!(
        first_id(&client).await,
        "third",
        "how far the list is, is not known"
    );
}

#[tokio::test]
async fn each_question_has_an_answer_of_its_own() {
    let world = world();
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    let paths = [
        "/api/webhooks/events",
        "/api/webhooks/events?limit=2",
        "/api/webhooks/events?limit=2&offset=1",
        "/api/webhooks/events?limit=2&event=push",
        "/api/webhooks/events?limit=2&status=processed",
    ];
    for (before, path) in paths.iter().enumerate() {
        assert_eq!(world.tables.asked(PAGE).len(), before, "{path}");
        data(&client, path).await;
    }
    for path in paths {
        data(&client, path).await;
    }
    assert_eq!(world.tables.asked(PAGE).len(), paths.len(), "all are remembered");
}

#[tokio::test]
async fn activity_and_job_metrics_are_asked_once_for_many() {
    let world = world();
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    let asked = || world.tables.asked.lock().unwrap().len();
    for (path, other) in [
        (ACTIVITY, "/api/repositories/octo-org/api/activity?days=2"),
        (METRICS, "/api/jobs/metrics?workflow=ci"),
    ] {
        let first = data(&client, path).await;
        let statements = asked();
        assert_eq!(data(&client, path).await, first);
        assert_eq!(asked(), statements, "{path}: from memory");
        data(&client, other).await;
        assert!(asked() > statements, "{other} is another question");
    }
}

#[tokio::test]
async fn what_was_not_found_is_looked_for_again() {
    let world = world();
    world.tables.give("AS name, max(", r#"{"name":"","last_us":0}"#);
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    client
        .get(ACTIVITY)
        .send()
        .await
        .assert_status(StatusCode::NOT_FOUND);
    world
        .tables
        .give("AS name, max(", r#"{"name":"octo-org/api","last_us":1}"#);
    assert_eq!(data(&client, ACTIVITY).await["repository"], "octo-org/api");
}

#[tokio::test]
async fn an_answer_larger_than_the_memory_is_not_kept() {
    let mut world = world();
    world.options.cache_bytes_max = 100;
    let client = world.client_of(&world.served(), "127.0.0.1:50000");
    assert_eq!(first_id(&client).await, "first");
    world.tables.give(PAGE, &row("second"));
    assert_eq!(first_id(&client).await, "second");
}
