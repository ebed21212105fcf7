//! Having a request checked: what is asked of the port, what is refused, and that it stands in the trail.

use domain::{AuditOutcome, Scope};
use poem::http::Method;
use serde_json::{Value, json};

use super::World;
use super::keys::{FAR, HERE, ask, told};

const PATH: &str = "/api/webhooks/verify";

async fn verify(world: &World, body: &Value) -> super::keys::Told {
    ask(world, HERE, Method::POST, PATH, &[], body).await
}

#[tokio::test]
async fn a_request_is_checked_byte_for_byte_and_as_it_was_sent() {
    let world = World::new();
    let asked = json!({
        "source": "github", "connection": "41", "at": "2026-11-21T08:30:00Z",
        "headers": {"X-GitHub-Event": " push ", "X-Twice": ["1", "2"], "x-twice": "3"},
        "bodyBase64": "AP8K",
    });
    let seen = verify(&world, &asked).await;
    assert_eq!(
        (seen.status, &seen.json["success"]),
        (200, &json!(true)),
        "{}",
        seen.json
    );
    let data = &seen.json["data"];
    assert_eq!(
        (&data["verified"], &data["wouldBe"]),
        (&json!(false), &json!("rejected"))
    );
    assert_eq!(data["checks"][0]["name"], "signature");
    assert_eq!(data["checks"][0]["hint"], "compare the secrets");
    assert!(
        data["secretId"].is_null() && data["deliveryId"].is_null(),
        "{data}"
    );
    let checked = world.told.checked.lock().unwrap();
    let [request] = checked.as_slice() else {
        panic!("not one request: {}", checked.len());
    };
    assert_eq!(
        (request.tenant.as_str(), request.source.as_str()),
        ("default", "github")
    );
    assert_eq!(request.connection.as_deref(), Some("41"));
    assert_eq!(&request.body[..], b"\x00\xff\n");
    assert_eq!(request.at, "2026-11-21T08:30:00Z".parse().ok());
    assert_eq!(request.headers["x-github-event"], "push");
    let twice: Vec<_> = request.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2", "3"]);
}

#[tokio::test]
async fn what_can_not_be_checked_is_refused_by_name_and_shows_no_value() {
    let world = World::new();
    for (body, words) in [
        (json!({}), "field `source`"),
        (json!({"source": "no such name!", "body": ""}), "field `source`"),
        (json!({"source": "github"}), "give it, or bodyBase64"),
        (
            json!({"source": "github", "body": "", "bodyBase64": ""}),
            "either it or bodyBase64",
        ),
        (
            json!({"source": "github", "bodyBase64": "!"}),
            "field `bodyBase64`",
        ),
        (
            json!({"source": "github", "body": "", "at": "soon"}),
            "field `at`",
        ),
        (
            json!({"source": "github", "body": "", "connection": "a/b"}),
            "field `connection`",
        ),
        (
            json!({"source": "github", "body": "", "headers": {"x y": "swordfish"}}),
            "\"x y\" can't be the name",
        ),
        (
            json!({"source": "github", "body": "", "headers": {"x": "swordfish\n"}}),
            "\"x\" holds control",
        ),
        (
            json!({"source": "github", "body": "", "headers": {"x": {"swordfish": 1}}}),
            "a text, or a list of texts",
        ),
        (
            json!({"source": "github", "body": "", "headers": ["swordfish"]}),
            "an object with headers",
        ),
        (
            json!({"source": "github", "body": "", "headers": "X-Gitlab-Token: swordfish"}),
            "headers have to be an object",
        ),
        (
            json!({"source": "github", "body": "", "headers": {"x": vec!["v"; 1001]}}),
            "at most 1000",
        ),
        (
            json!({"source": "github", "body": "", "signature": "x"}),
            "unknown field `signature`",
        ),
    ] {
        let seen = verify(&world, &body).await;
        assert_eq!(
            (seen.status, &seen.json["error"]["code"]),
            (400, &json!("VALIDATION_ERROR")),
            "{body}"
        );
        let message = seen.json["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{body}: {message}");
        assert!(!message.contains("swordfish"), "{message}");
    }
    assert!(world.told.checked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_of_any_length_that_is_set_is_taken_and_no_longer_one() {
    let mut world = World::new();
    let of = |bytes: usize| json!({"source": "github", "body": "x".repeat(bytes)});
    assert_eq!(verify(&world, &of(1_000_000)).await.status, 200);
    world.options.check_bytes_max = 1000;
    assert_eq!(verify(&world, &of(900)).await.status, 200);
    assert_eq!(verify(&world, &of(1000)).await.status, 413);
}

#[tokio::test]
async fn who_has_a_request_checked_stands_in_the_trail_and_hears_of_their_tenant() {
    let world = World::new();
    let body = json!({"source": "github", "body": "{}"});
    let as_key = async |key: &str| {
        let client = world.client_at(FAR);
        let request = client.post(PATH).header("x-api-key", key).body(body.to_string());
        told(request.send().await).await
    };
    let reader = world.doors.key("reader", "team-a", Scope::Read);
    assert_eq!(as_key(&reader).await.status, 403);
    let operator = world.doors.key("operator", "team-a", Scope::Operate);
    assert_eq!(as_key(&operator).await.status, 200);
    assert_eq!(world.told.checked.lock().unwrap()[0].tenant.as_str(), "team-a");
    let trail = world.written.told();
    let of = |outcome| ("delivery.verify".to_owned(), "operator".to_owned(), outcome);
    assert!(
        trail.contains(&of(AuditOutcome::Begun)) && trail.contains(&of(AuditOutcome::Done)),
        "{trail:?}"
    );
}
