//! Redirects, followed or not.

use domain::ErrorCode;

use super::rig::{Rig, delivered, dispatch, failed};
use super::server::{Answer, Server};

fn to(status: &str, location: &str) -> Answer {
    Answer::with(status, &format!("location: {location}\r\n"), "")
}

#[tokio::test]
async fn method_body_and_signature_go_along() {
    for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let server = Server::answering(&[to(status, "/moved?x=1"), Answer::status("200 OK")]).await;
        let mut rig = Rig::at(server.url("/"));
        rig.options.secret = Some("whsec_plJ3nmyCDGBKInavdOK15jsl".into());
        rig.options.headers.insert("X-Key".into(), "hush".into());
        delivered(rig.send(&dispatch("{\"a\":1}")).await);
        let seen = server.seen();
        assert_eq!(seen[1].line, "POST /moved?x=1 HTTP/1.1");
        assert_eq!(seen[1].body, b"{\"a\":1}");
        for name in ["webhook-signature", "webhook-id", "idempotency-key", "x-key"] {
            assert!(seen[0].header(name).is_some());
            assert_eq!(seen[0].header(name), seen[1].header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn what_the_settings_add_does_not_go_to_another_origin_nor_back_from_it() {
    let home = Server::answering(&[Answer::status("200 OK")]).await;
    let away = Server::answering(&[to("307 Temporary Redirect", &home.url("/back"))]).await;
    let start = Server::answering(&[to("307 Temporary Redirect", &away.url("/"))]).await;
    let mut rig = Rig::at(start.url("/"));
    rig.options
        .headers
        .insert("Authorization".into(), "Bearer hush".into());
    delivered(rig.send(&dispatch("{}")).await);
    assert!(start.seen()[0].header("authorization").is_some());
    assert_eq!(away.seen()[0].header("authorization"), None);
    assert_eq!(home.seen()[0].header("authorization"), None);
    assert!(home.seen()[0].header("idempotency-key").is_some());
}

#[tokio::test]
async fn a_redirect_into_a_refused_network_is_not_followed() {
    let inside = Server::answering(&[Answer::status("200 OK")]).await;
    let port = inside.address.port();
    for location in [
        format!("http://127.0.0.9:{port}/"),
        format!("http://0x7f000009:{port}/"),
        format!("http://[::ffff:127.0.0.9]:{port}/"),
        format!("http://inside.example:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let server = Server::answering(&[to("307 Temporary Redirect", &location)]).await;
        let mut rig = Rig::at(server.url("/"));
        rig.reactors.addresses_allowed = vec!["127.0.0.1/32".parse().unwrap()];
        rig.names
            .insert("inside.example".into(), vec!["127.0.0.9".parse().unwrap()]);
        let failure = failed(rig.send(&dispatch("{}")).await);
        assert_eq!(
            failure.code,
            ErrorCode::ValidationError,
            "{location}: {failure:?}"
        );
        assert!(
            failure.message.contains("addresses_allowed"),
            "{location}: {failure:?}"
        );
    }
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn what_would_change_the_request_or_never_end_is_not_followed() {
    for status in ["301 Moved Permanently", "302 Found", "303 See Other"] {
        let server = Server::answering(&[to(status, "/there")]).await;
        let failure = failed(Rig::at(server.url("/")).send(&dispatch("{}")).await);
        assert_eq!(failure.code, ErrorCode::ValidationError);
        assert!(failure.message.contains("GET"), "{failure:?}");
        assert_eq!(server.seen().len(), 1);
    }
    let round = Server::answering(&[to("307 Temporary Redirect", "/round")]).await;
    let failure = failed(Rig::at(round.url("/")).send(&dispatch("{}")).await);
    assert!(failure.message.contains("redirects_max"), "{failure:?}");
    assert!(!failure.retryable);
    assert_eq!(round.seen().len(), 4);
    let mut rig = Rig::at(round.url("/"));
    rig.reactors.redirects_max = 0;
    failed(rig.send(&dispatch("{}")).await);
    assert_eq!(round.seen().len(), 5);
}
