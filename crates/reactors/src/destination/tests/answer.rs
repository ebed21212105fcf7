//! What answers, and the lack of them, mean.

use std::time::Duration;

use domain::ErrorCode;

use super::rig::{Rig, bare, code, delivered, dispatch, failed};
use super::server::{Answer, Server};
use crate::Sent;

async fn sent_to(answer: Answer) -> Sent {
    let server = Server::answering(&[answer]).await;
    let mut rig = Rig::at(server.url("/hook"));
    rig.reactors.timeout_ms = 1500;
    rig.send(&dispatch("{}")).await
}

#[tokio::test]
async fn any_2xx_is_a_delivery_and_its_answer_is_kept() {
    for status in ["200 OK", "201 Created", "202 Accepted", "204 No Content"] {
        let answer = Answer::Bytes(format!("HTTP/1.1 {status}\r\n{}\r\n", "content-length: 0\r\n"));
        assert!(delivered(sent_to(answer).await).is_some(), "{status}");
    }
    let response = delivered(sent_to(Answer::with("200 OK", "", "thanks\u{1b}[31m")).await).unwrap();
    assert_eq!((response.status, response.excerpt.as_str()), (200, "thanks [31m"));
}

#[tokio::test]
async fn each_status_has_its_kind() {
    for (status, expected) in [
        ("408 Request Timeout", ErrorCode::ServiceUnavailable),
        ("425 Too Early", ErrorCode::ServiceUnavailable),
        ("429 Too Many Requests", ErrorCode::RateLimitError),
        ("500 Internal Server Error", ErrorCode::ServiceUnavailable),
        ("503 Service Unavailable", ErrorCode::ServiceUnavailable),
        ("401 Unauthorized", ErrorCode::AuthenticationError),
        ("403 Forbidden", ErrorCode::AuthenticationError),
        ("404 Not Found", ErrorCode::NotFoundError),
        ("409 Conflict", ErrorCode::DuplicateError),
        ("400 Bad Request", ErrorCode::ValidationError),
        ("413 Content Too Large", ErrorCode::ValidationError),
        ("422 Unprocessable Content", ErrorCode::ValidationError),
        ("304 Not Modified", ErrorCode::ValidationError),
    ] {
        assert_eq!(code(sent_to(Answer::status(status)).await), expected, "{status}");
    }
}

#[tokio::test]
async fn gone_says_so_and_leaves_the_delivery_open() {
    let Sent::Failed {
        failure,
        gone,
        response,
        target,
        ..
    } = sent_to(Answer::with("410 Gone", "", "bye")).await
    else {
        panic!("410 is no delivery")
    };
    assert!(gone && failure.retryable);
    assert_eq!(failure.code, ErrorCode::NotFoundError);
    assert_eq!(response.unwrap().excerpt, "bye");
    assert!(target.ends_with("/hook"), "{target}");
    let Sent::Failed { gone, .. } = sent_to(Answer::status("404 Not Found")).await else {
        panic!("404 is no delivery")
    };
    assert!(!gone);
}

#[tokio::test]
async fn retry_after_is_read_from_429_and_503_in_both_forms_and_bounded() {
    for (status, headers, seconds) in [
        ("429 Too Many Requests", "retry-after: 7\r\n", Some(7)),
        ("503 Service Unavailable", "Retry-After: 0\r\n", Some(0)),
        ("429 Too Many Requests", "retry-after: 999999999\r\n", Some(60)),
        (
            "503 Service Unavailable",
            "date: Wed, 21 Oct 2015 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2015 07:28:30 GMT\r\n",
            Some(30),
        ),
        // Counted from the beginning of the attempt, 2024-11-15T21:12:01.5Z.
        (
            "429 Too Many Requests",
            "retry-after: Fri, 15 Nov 2024 21:12:21 GMT\r\n",
            Some(19),
        ),
        ("429 Too Many Requests", "", None),
        ("429 Too Many Requests", "retry-after: soon\r\n", None),
        ("500 Internal Server Error", "retry-after: 7\r\n", None),
    ] {
        let server = Server::answering(&[Answer::with(status, headers, "")]).await;
        let mut rig = Rig::at(server.url("/"));
        rig.reactors.retry_delay_ms_max = 60_000;
        let Sent::Failed { retry_after, .. } = rig.send(&dispatch("{}")).await else {
            panic!("{status} is no delivery")
        };
        assert_eq!(
            retry_after.map(|wait| wait.as_secs()),
            seconds,
            "{status} {headers}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_whole_is_a_failure_of_the_network() {
    for answer in [
        Answer::Slam,
        Answer::Cut(String::new()),
        Answer::Cut("HTTP/1.1 200 OK".into()),
        Answer::Cut("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n".into()),
        Answer::Cut("not http at all\r\n\r\n".into()),
    ] {
        let sent = sent_to(answer.clone()).await;
        assert_eq!(code(sent), ErrorCode::NetworkError, "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_was_begun_is_not_sent_again_by_itself() {
    let server = Server::answering(&[
        Answer::status("200 OK"),
        Answer::Cut(String::new()),
        Answer::status("200 OK"),
    ])
    .await;
    let rig = Rig::at(server.url("/"));
    let target = rig.target();
    delivered(target.send(&dispatch("{}")).await);
    // On the connection of the first one, which ends under it.
    assert_eq!(code(target.send(&dispatch("{}")).await), ErrorCode::NetworkError);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn once_the_status_is_here_the_rest_of_the_answer_decides_nothing() {
    for rest in [
        Answer::Cut("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\npart".into()),
        Answer::Cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n".into()),
        Answer::Hang("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\npart".into()),
    ] {
        let server = Server::answering(std::slice::from_ref(&rest)).await;
        let response = delivered(Rig::at(server.url("/")).send(&dispatch("{}")).await).unwrap();
        assert_eq!(
            (response.status, response.excerpt.as_str()),
            (200, "part"),
            "{rest:?}"
        );
    }
    let cut = Answer::Cut("HTTP/1.1 500 Oops\r\ncontent-length: 50\r\n\r\npart".into());
    assert_eq!(code(sent_to(cut).await), ErrorCode::ServiceUnavailable);
}

#[tokio::test]
async fn a_2xx_is_a_delivery_even_if_its_body_outlasts_the_time_of_the_attempt() {
    for rest in [
        Answer::Hang("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\npart".into()),
        Answer::Hang("HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n".into()),
    ] {
        let server = Server::answering(std::slice::from_ref(&rest)).await;
        let mut rig = Rig::at(server.url("/"));
        rig.options.timeout_ms = Some(700);
        let begun = std::time::Instant::now();
        let response = delivered(rig.send(&dispatch("{}")).await).unwrap();
        assert_eq!(response.excerpt, "part", "{rest:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_time_out() {
    for answer in [
        Answer::Hang(String::new()),
        Answer::Hang("HTTP/1.1 200 OK\r\n".into()),
        Answer::Drip("HTTP/1.1 200 OK\r\nx-header: and so on\r\n".into()),
    ] {
        let server = Server::answering(std::slice::from_ref(&answer)).await;
        let mut rig = Rig::at(server.url("/hook"));
        rig.options.timeout_ms = Some(300);
        let begun = std::time::Instant::now();
        let failure = failed(rig.send(&dispatch("{}")).await);
        assert_eq!(failure.code, ErrorCode::TimeoutError, "{answer:?}: {failure:?}");
        assert_eq!(failure.message, "no answer within 300 ms");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn of_an_endless_answer_only_the_beginning_is_read() {
    let server = Server::answering(&[Answer::Flood(
        "HTTP/1.1 500 Oops\r\ntransfer-encoding: identity\r\nconnection: close\r\n\r\n".into(),
    )])
    .await;
    let mut rig = Rig::at(server.url("/"));
    rig.reactors.response_bytes_max = 4096;
    let Sent::Failed {
        response, failure, ..
    } = rig.send(&dispatch("{}")).await
    else {
        panic!("500 is no delivery")
    };
    assert_eq!(failure.code, ErrorCode::ServiceUnavailable);
    assert_eq!(response.unwrap().excerpt, "x".repeat(500));
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failure_of_the_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let vacated = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failure = failed(Rig::at(vacated).send(&dispatch("{}")).await);
    assert_eq!(failure.code, ErrorCode::NetworkError);
    assert!(failure.message.contains("refused"), "{failure:?}");
    let unknown = failed(Rig::at("http://nowhere.example/").send(&dispatch("{}")).await);
    assert_eq!(unknown.code, ErrorCode::NetworkError);
    assert!(unknown.message.contains("no such host"), "{unknown:?}");
}

#[tokio::test]
async fn several_places_share_the_load_and_a_retry_goes_to_another_one() {
    let good = Server::answering(&[Answer::status("200 OK")]).await;
    let bad = Server::answering(&[Answer::status("500 Oops")]).await;
    let mut options = bare();
    options.urls = vec![bad.url("/a"), good.url("/b")];
    let target = Rig::of(options).target();
    assert_eq!(target.describe(), [bad.url("/a"), good.url("/b")]);
    for _ in 0..6 {
        let attempt = dispatch("{}");
        if let Sent::Failed { target: place, .. } = target.send(&attempt).await {
            assert_eq!(place, bad.url("/a"));
            let again = target.send(&attempt).await;
            assert!(
                matches!(&again, Sent::Delivered { target, .. } if *target == good.url("/b")),
                "{again:?}"
            );
        }
    }
    assert_eq!(
        bad.seen().len() + good.seen().len() - 6,
        bad.seen().len(),
        "each is delivered once"
    );
    assert!(!bad.seen().is_empty() && good.seen().len() == 6);
}

#[tokio::test]
async fn an_answer_that_repeats_our_secrets_is_kept_without_them() {
    let echo = "authorization: Bearer hush-hush-token; key whsec_plJ3nmyCDGBKInavdOK15jsl";
    let server = Server::answering(&[Answer::with("400 Bad Request", "", echo)]).await;
    let mut rig = Rig::at(server.url("/?token=in-the-query"));
    rig.options.secret = Some("whsec_plJ3nmyCDGBKInavdOK15jsl".into());
    rig.options
        .headers
        .insert("Authorization".into(), "Bearer hush-hush-token".into());
    let sent = rig.send(&dispatch("{}")).await;
    let shown = format!("{sent:?} {:?} {:?}", rig.options, rig.target().describe());
    for secret in ["hush-hush", "plJ3nmy"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let Sent::Failed { target, .. } = sent else {
        panic!("400 is no delivery")
    };
    assert!(!target.contains("in-the-query"), "{target}");
}

#[tokio::test]
async fn what_is_secret_in_a_url_is_neither_shown_nor_kept() {
    let path = "/services/T01234567/B01234567/x1y2z3hushhush?code=quietquietquiet";
    let echo = format!("Cannot POST {path}; x1y2z3hushhush is unknown");
    let server = Server::answering(&[Answer::with("404 Not Found", "", &echo)]).await;
    let rig = Rig::at(server.url(path));
    let sent = rig.send(&dispatch("{}")).await;
    let shown = format!("{sent:?} {:?} {:?}", rig.options, rig.target().describe());
    for secret in ["hushhush", "quietquiet", "T01234567"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(rig.target().describe(), [server.url("/services/…")]);
    let Sent::Failed { target, response, .. } = sent else {
        panic!("404 is no delivery")
    };
    assert_eq!(target, server.url("/services/…"));
    let excerpt = response.unwrap().excerpt;
    assert!(excerpt.starts_with("Cannot POST /services"), "{excerpt}");
}

#[tokio::test]
async fn of_a_url_host_and_first_word_are_shown() {
    for (path, shown) in [
        ("/", "/"),
        ("/hook", "/hook"),
        ("/hook/", "/hook/…"),
        ("/webhookb2/6f9619ff", "/webhookb2/…"),
        ("/6f9619ff-8b86-d011-b42d-00cf4fc964ff", "/…"),
        ("/bot123:ABC/sendMessage", "/…"),
    ] {
        let rig = Rig::at(format!("https://hooks.example{path}?key=1"));
        assert_eq!(rig.target().describe(), [format!("https://hooks.example{shown}")]);
    }
}
