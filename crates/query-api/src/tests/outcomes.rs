//! What became of a delivery, as its stream tells: per destination, with every attempt.

use domain::testing::TestDelivery;
use domain::{
    Attempt, AttemptResult, DeliveryCommand, DeliveryState, ErrorCode, EventId, EventLog, Failure,
    HeaderFact, ReplayId, ReplayTo, Response, SentHeaders, Timestamp, load_delivery,
};
use serde_json::{Value, json};

use super::World;

const RECEIVED: &str = "2026-11-21T08:29:00Z";

fn at(second: i64) -> Timestamp {
    RECEIVED.parse::<Timestamp>().unwrap().plus_millis(second * 1000)
}

/// A delivery due at two destinations.
async fn receive(world: &World, id: &str) -> TestDelivery {
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.delivery_id = id.into();
    delivery.window_ms = 0;
    delivery.received_at = at(0);
    let mut received = delivery.received();
    received.reactors_due = vec!["destination:chat".into(), "destination:ci".into()];
    received.headers = vec![
        HeaderFact("Host".into(), "hooks.example".into()),
        HeaderFact("X-GitHub-Event".into(), "push".into()),
    ];
    let mut append = delivery.append();
    append.events[0].metadata = received.to_metadata();
    world.log.append(append).await.unwrap();
    delivery
}

async fn state(world: &World, delivery: &TestDelivery) -> DeliveryState {
    let stream = delivery.received().stream();
    let state = load_delivery(world.log.as_ref(), &stream, None).await;
    state.unwrap().unwrap()
}

async fn tell(world: &World, delivery: &TestDelivery, command: DeliveryCommand) {
    append(world, &delivery.received().stream(), command).await;
}

fn attempt(number: u32, failure: Option<Failure>) -> Attempt {
    Attempt {
        number,
        started_at: at(i64::from(number)),
        duration_us: 12_500,
        target: "https://ci.example.com/hooks".into(),
        idempotency_key: "k.ci".into(),
        headers: (number == 1).then(|| SentHeaders {
            added: vec![HeaderFact("authorization".into(), "***".into())],
            left_out: vec!["host".into()],
        }),
        response: failure.is_some().then(|| Response::new(500, "oh no")),
        failure,
    }
}

async fn attempted(world: &World, delivery: &TestDelivery, name: &str, result: AttemptResult) {
    let state = state(world, delivery).await;
    let destination = name.parse().unwrap();
    let round = state.destinations[&destination].round.opened_by;
    let command = DeliveryCommand::RecordAttempt {
        destination,
        round,
        result,
    };
    tell(world, delivery, command).await;
}

fn failure() -> Failure {
    Failure::new(ErrorCode::ServiceUnavailable, "answered 500")
}

/// Gives a delivery up that is in the log without anything due: it is replayed to a destination, which fails for good.
pub(super) async fn die(world: &World, key: &str) {
    let key = key.parse().unwrap();
    let stream = domain::StreamName::of_delivery(&domain::TenantId::default(), &key);
    let destination: domain::DestinationName = "ci".parse().unwrap();
    let replay = DeliveryCommand::Replay {
        to: ReplayTo::Processing,
        destinations: vec![destination.clone()],
        replay: ReplayId::new(uuid::Uuid::from_u128(5)),
        requested_by: "test".into(),
        reason: None,
    };
    let opened = append(world, &stream, replay).await;
    let command = DeliveryCommand::RecordAttempt {
        destination,
        round: opened,
        result: AttemptResult::GivenUp(attempt(1, Some(failure()))),
    };
    append(world, &stream, command).await;
}

/// A delivery that has failed once at one of its destinations, and where the failure stands in the log.
pub(super) async fn received_and_failed(world: &World, id: &str) -> u64 {
    let delivery = receive(world, id).await;
    let failed = AttemptResult::RetryAt(attempt(1, Some(failure())), at(60));
    attempted(world, &delivery, "ci", failed).await;
    world.log.head().await.unwrap().get()
}

async fn append(world: &World, stream: &domain::StreamName, command: DeliveryCommand) -> EventId {
    let state = load_delivery(world.log.as_ref(), stream, None).await;
    let state = state.unwrap().unwrap();
    let outcome = state.decide(command).unwrap().unwrap();
    let id = EventId::new(uuid::Uuid::now_v7());
    world.log.append(state.append(&outcome, id)).await.unwrap();
    id
}

fn part<'a>(data: &'a Value, name: &str) -> &'a Value {
    let parts = data["destinations"].as_array().unwrap();
    parts
        .iter()
        .find(|part| part["name"] == name)
        .unwrap_or_else(|| panic!("{data}"))
}

async fn shown(world: &World) -> Value {
    world.data("/api/webhooks/events/d1").await
}

#[tokio::test]
async fn a_delivery_is_shown_with_what_each_destination_did() {
    let world = World::new();
    let delivery = receive(&world, "d1").await;
    let data = shown(&world).await;
    assert_eq!(
        (&data["status"], &data["processed"]),
        (&json!("received"), &json!(false))
    );
    assert_eq!(data["processingTimeMs"], Value::Null);
    assert_eq!(part(&data, "ci")["state"], "open");
    assert!(
        part(&data, "ci")["nextAttemptAt"].is_string(),
        "it is due: {data}"
    );

    attempted(
        &world,
        &delivery,
        "chat",
        AttemptResult::Skipped("its condition does not hold".into()),
    )
    .await;
    let again = AttemptResult::RetryAt(attempt(1, Some(failure())), at(60));
    attempted(&world, &delivery, "ci", again).await;
    let data = shown(&world).await;
    for (field, value) in [
        ("status", json!("retrying")),
        ("attempts", json!(1)),
        ("error", json!("answered 500")),
        ("errorCode", json!("SERVICE_UNAVAILABLE")),
        ("retryable", json!(true)),
        ("errorDestination", json!("ci")),
        ("failedAt", json!("2026-11-21T08:29:01.0125Z")),
    ] {
        assert_eq!(data[field], value, "{field}: {data}");
    }
    let chat = part(&data, "chat");
    assert_eq!(
        (&chat["state"], &chat["skipped"], &chat["nextAttemptAt"]),
        (
            &json!("done"),
            &json!("its condition does not hold"),
            &Value::Null
        )
    );
    let ci = part(&data, "ci");
    assert_eq!(ci["nextAttemptAt"], "2026-11-21T08:30:00Z");
    let expected = json!([{"number": 1, "startedAt": "2026-11-21T08:29:01Z", "durationMs": 12.5,
        "target": "https://ci.example.com/hooks", "idempotencyKey": "k.ci", "response": {"status": 500, "excerpt": "oh no"},
        "headers": [{"name": "X-GitHub-Event", "value": "push"}, {"name": "authorization", "value": "***"}],
        "error": "answered 500", "errorCode": "SERVICE_UNAVAILABLE", "retryable": true}]);
    assert_eq!(ci["attempts"], expected);
}

#[tokio::test]
async fn a_delivery_that_arrived_keeps_its_attempts_and_its_history() {
    let world = World::new();
    let delivery = receive(&world, "d1").await;
    let skipped = AttemptResult::Skipped("its condition does not hold".into());
    attempted(&world, &delivery, "chat", skipped).await;
    let again = AttemptResult::RetryAt(attempt(1, Some(failure())), at(60));
    attempted(&world, &delivery, "ci", again).await;
    attempted(
        &world,
        &delivery,
        "ci",
        AttemptResult::Delivered(attempt(2, None)),
    )
    .await;
    let data = shown(&world).await;
    assert_eq!(
        (&data["status"], &data["attempts"], &data["error"]),
        (&json!("processed"), &json!(2), &Value::Null)
    );
    assert!(data["processingTimeMs"].as_f64().unwrap() > 0.0);
    let ci = part(&data, "ci");
    assert_eq!(
        ci["attempts"].as_array().unwrap().len(),
        2,
        "the one that arrived too"
    );
    assert_eq!(ci["attempts"][1]["error"], Value::Null);
    assert!(ci["endedAt"].is_string());
    let history: Vec<_> = data["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        history,
        [
            "DeliveryReceived",
            "DeliveryProcessed",
            "DeliveryFailed",
            "DeliveryProcessed"
        ]
    );
    let facts = &data["history"][2]["facts"];
    assert_eq!(
        (&facts["before"], &facts["after"]),
        (&json!("processing"), &json!("retrying"))
    );
    assert_eq!(facts["outcome"]["attempt"]["number"], 1);
    assert!(
        facts.get("delivery").is_none(),
        "what the row shows is not repeated: {facts}"
    );
}

#[tokio::test]
async fn a_dead_letter_keeps_every_attempt_and_a_replay_opens_a_round_of_its_own() {
    let world = World::new();
    let delivery = receive(&world, "d1").await;
    for name in ["chat", "ci"] {
        let again = AttemptResult::RetryAt(attempt(1, Some(failure())), at(60));
        attempted(&world, &delivery, name, again).await;
    }
    attempted(
        &world,
        &delivery,
        "chat",
        AttemptResult::Delivered(attempt(2, None)),
    )
    .await;
    attempted(
        &world,
        &delivery,
        "ci",
        AttemptResult::GivenUp(attempt(2, Some(failure()))),
    )
    .await;
    let data = shown(&world).await;
    assert_eq!((&data["status"], &data["attempts"]), (&json!("dead"), &json!(4)));
    let ci = part(&data, "ci");
    assert_eq!(
        (&ci["state"], &ci["nextAttemptAt"]),
        (&json!("dead"), &Value::Null)
    );
    let numbers: Vec<_> = ci["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2]);

    let replay = ReplayId::new(uuid::Uuid::from_u128(77));
    let command = DeliveryCommand::Replay {
        to: ReplayTo::Processing,
        destinations: vec!["ci".parse().unwrap()],
        replay,
        requested_by: "loopback".into(),
        reason: None,
    };
    tell(&world, &delivery, command).await;
    let data = shown(&world).await;
    assert_eq!(
        (&data["status"], &data["error"]),
        (&json!("processing"), &Value::Null)
    );
    let ci = part(&data, "ci");
    assert_eq!(
        (&ci["state"], &ci["attempts"], &ci["replayId"]),
        (&json!("open"), &json!([]), &json!(replay.to_string()))
    );
    assert_eq!(part(&data, "chat")["state"], "done", "the other round stands");
}

#[tokio::test]
async fn imported_history_has_no_processing_time_of_ours() {
    let world = World::new();
    let mut delivery = TestDelivery::new("push", "{}");
    delivery.delivery_id = "d1".into();
    let mut received = delivery.received();
    received.proof = domain::Proof::Imported;
    let mut append = delivery.append();
    append.events[0].metadata = received.to_metadata();
    world.log.append(append).await.unwrap();
    let data = shown(&world).await;
    assert_eq!(
        (&data["status"], &data["processingTimeMs"]),
        (&json!("processed"), &Value::Null)
    );
}
