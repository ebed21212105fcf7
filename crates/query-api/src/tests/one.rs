//! One delivery: found by its key or its sender's id, read from the log, its bytes untouched and harmless.

use domain::testing::TestDelivery;
use domain::{Append, BodyRef, ContentHash, EventData, EventLog, HeaderFact};
use poem::http::StatusCode;

use super::World;

fn named(event: &str, id: &str, body: &'static str) -> TestDelivery {
    let mut delivery = TestDelivery::new(event, body);
    delivery.delivery_id = id.into();
    delivery.window_ms = 0;
    delivery
}

/// An append whose metadata was changed.
fn with(delivery: &TestDelivery, change: impl FnOnce(&mut domain::DeliveryReceived)) -> Append {
    let mut received = delivery.received();
    change(&mut received);
    let mut append = delivery.append();
    append.stream = received.stream();
    append.events[0].metadata = received.to_metadata();
    append
}

fn content_type(received: &mut domain::DeliveryReceived, kind: &str) {
    received.headers = vec![HeaderFact("content-type".into(), kind.into())];
}

#[tokio::test]
async fn a_delivery_is_shown_in_full_right_after_its_200() {
    let world = World::new();
    let mut delivery = named("push", "72d3", r#"{"ref":"main","big":12345678901234567890.10}"#);
    delivery.action = Some("opened".into());
    world.append(&delivery).await;
    let data = world.data("/api/webhooks/events/github.41.72d3").await;
    for (field, value) in [
        ("id", "github.41.72d3"),
        ("deliveryId", "72d3"),
        ("hookId", "41"),
        ("source", "github"),
        ("event", "push"),
        ("action", "opened"),
        ("repository", "octo-org/octo-repo"),
        ("sender", "octocat"),
        ("status", "processed"),
        ("signature", "verified"),
        ("contentType", "application/json"),
    ] {
        assert_eq!(data[field], value, "{field}: {data}");
    }
    assert_eq!(data["processed"], true);
    assert_eq!(data["position"], 3);
    assert_eq!(data["headers"][0]["name"], "Content-Type");
    assert_eq!(data["history"][0]["type"], "DeliveryReceived");
    assert_eq!(data["history"].as_array().unwrap().len(), 1);
    assert_eq!(data["alternatives"].as_array().unwrap().len(), 0);
    assert_eq!(data["sha256"], ContentHash::of(&delivery.body).to_string());
    // Digit for digit: a number that no double holds comes out as it came in.
    let answer = world.client().get("/api/webhooks/events/72d3").send().await;
    let text = answer.0.into_body().into_string().await.unwrap();
    assert!(
        text.contains(r#""payload":{"ref":"main","big":12345678901234567890.10}"#),
        "{text}"
    );
}

#[tokio::test]
async fn an_id_that_names_several_means_the_first_and_lists_the_others() {
    let world = World::new();
    for hook in ["41", "42", "43"] {
        let mut delivery = named("push", "same", "{}");
        delivery.hook = Some(hook.into());
        delivery.event_id = domain::EventId::new(uuid::Uuid::new_v4());
        world.append(&delivery).await;
    }
    let data = world.data("/api/webhooks/events/same").await;
    assert_eq!(data["hookId"], "41");
    let others: Vec<_> = data["alternatives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["id"].as_str().unwrap())
        .collect();
    assert_eq!(others, ["github.42.same", "github.43.same"]);
    let data = world.data("/api/webhooks/events/same?hookId=42").await;
    assert_eq!(
        (data["hookId"].as_str(), data["duplicateOf"].as_str()),
        (Some("42"), Some("github.41.same"))
    );
    assert_eq!(
        world.data("/api/webhooks/events/same?source=github").await["hookId"],
        "41"
    );
    for path in [
        "/api/webhooks/events/same?hookId=99",
        "/api/webhooks/events/same?source=gitlab",
        "/api/webhooks/events/github.41.same?hookId=42",
        "/api/webhooks/events/same/body?hookId=99",
    ] {
        assert!(world.refusal(path, 404).await.contains("hookId"), "{path}");
    }
    assert!(
        world
            .refusal("/api/webhooks/events/nobody", 404)
            .await
            .contains("no delivery")
    );
}

#[tokio::test]
async fn a_key_with_percent_signs_is_found_however_it_is_escaped() {
    let world = World::new();
    let mut delivery = named("push", "a b/c", "{}");
    delivery.hook = None;
    world.append(&delivery).await;
    for id in ["github._.a%20b%2Fc", "github._.a%2520b%252Fc", "a%20b%2Fc"] {
        let data = world.data(&format!("/api/webhooks/events/{id}")).await;
        assert_eq!(data["deliveryId"], "a b/c", "{id}");
        let (status, _) = world.get(&format!("/api/webhooks/events/{id}/body")).await;
        assert_eq!(status, 200, "{id}");
    }
}

#[tokio::test]
async fn a_form_is_decoded_and_what_is_no_json_comes_as_base64() {
    let world = World::new();
    let form = named("push", "form", "payload=%7B%22a%22%3A+1%7D");
    let append = with(&form, |r| content_type(r, "application/x-www-form-urlencoded"));
    world.log.append(append).await.unwrap();
    let data = world.data("/api/webhooks/events/form").await;
    assert_eq!(data["payload"]["a"], 1);
    world.append(&named("push", "text", "no json")).await;
    let data = world.data("/api/webhooks/events/text").await;
    assert!(data["payload"].is_null());
    assert_eq!(data["payloadBase64"], "bm8ganNvbg==");
}

#[tokio::test]
async fn a_long_body_is_named_by_its_address_and_streamed_from_the_store() {
    let mut world = World::new();
    let body = vec![b'x'; 1_500_000];
    world.body = body.clone().into();
    let stored = BodyRef {
        sha256: ContentHash::of(&body),
        bytes: body.len() as u64,
    };
    let delivery = named("push", "a.b", "");
    let mut append = with(&delivery, |r| r.sha256 = stored.sha256);
    append.events[0].data = EventData::Stored(stored);
    world.log.append(append).await.unwrap();
    let data = world.data("/api/webhooks/events/a.b").await;
    assert!(data["payload"].is_null() && data["payloadBase64"].is_null());
    let url = data["payloadUrl"].as_str().unwrap();
    assert_eq!(
        url,
        "http://127.0.0.1:3000/api/webhooks/events/github.41.a%252Eb/body"
    );
    let path = url.strip_prefix("http://127.0.0.1:3000").unwrap();
    let answer = world.client().get(path).send().await;
    answer.assert_header("content-length", "1500000");
    let bytes = answer.0.into_body().into_bytes_limit(2_000_000).await.unwrap();
    assert!(bytes == body, "byte for byte");
}

#[tokio::test]
async fn a_body_that_the_store_lost_is_an_error_and_not_a_broken_download() {
    let world = World::new();
    let stored = BodyRef {
        sha256: ContentHash::of(b"lost"),
        bytes: 4,
    };
    let mut append = named("push", "lost", "").append();
    append.events[0].data = EventData::Stored(stored);
    world.log.append(append).await.unwrap();
    assert!(
        world
            .refusal("/api/webhooks/events/lost/body", 500)
            .await
            .contains("operator")
    );
}

#[tokio::test]
async fn a_stored_page_runs_in_no_browser() {
    let world = World::new();
    let page = named("push", "xss", "<script>alert(document.domain)</script>");
    let append = with(&page, |r| content_type(r, "text/html"));
    world.log.append(append).await.unwrap();
    let answer = world.client().get("/api/webhooks/events/xss/body").send().await;
    answer.assert_status_is_ok();
    answer.assert_header("content-type", "text/html");
    answer.assert_header("x-content-type-options", "nosniff");
    answer.assert_header("content-security-policy", "default-src 'none'; sandbox");
    answer.assert_header(
        "content-disposition",
        "attachment; filename=\"github.41.xss.bin\"",
    );
    assert_eq!(
        answer.0.into_body().into_string().await.unwrap(),
        "<script>alert(document.domain)</script>"
    );
    let shown = world.client().get("/api/webhooks/events/xss").send().await;
    shown.assert_header("content-type", "application/json; charset=utf-8");
}

#[tokio::test]
async fn an_odd_content_type_breaks_nothing() {
    let world = World::new();
    let odd = named("push", "odd", "{}");
    let append = with(&odd, |r| content_type(r, "text/plain\r\nSet-Cookie: a=b"));
    world.log.append(append).await.unwrap();
    let answer = world.client().get("/api/webhooks/events/odd/body").send().await;
    answer.assert_status(StatusCode::OK);
    answer.assert_header("content-type", "application/octet-stream");
    answer.assert_header_is_not_exist("set-cookie");
}
