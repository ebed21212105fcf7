//! Over a real connection: what a sender gets to read when it is refused in the middle of sending.

use std::net::SocketAddr;
use std::time::Duration;

use poem::listener::{Acceptor, Listener, TcpListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::rig::{Delivery, Rig};

async fn serve(rig: &Rig) -> SocketAddr {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(rig.ingest.clone()));
    address
}

fn head(delivery: &Delivery, more: &str) -> Vec<u8> {
    let mut head = format!("POST {} HTTP/1.1\r\n", delivery.path).into_bytes();
    for (name, value) in &delivery.headers {
        head.extend_from_slice(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes());
    }
    head.extend_from_slice(format!("{more}\r\n\r\n").as_bytes());
    head
}

async fn read_all(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer));
    read.await
        .expect("the connection was never closed")
        .expect("the answer was lost in a reset");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_sender_of_far_too_much_gets_to_read_why_it_is_refused() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 100_000);
    let address = serve(&rig).await;
    let delivery = Delivery::push();
    let bytes = 8_000_000;
    let announced = format!("content-length: {bytes}");
    for framing in [announced.as_str(), "transfer-encoding: chunked"] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(&head(&delivery, framing)).await.unwrap();
        let piece = vec![b'x'; 1000];
        for _ in 0..bytes / 1000 {
            if framing == announced {
                connection.write_all(&piece).await.unwrap();
            } else {
                connection.write_all(b"3e8\r\n").await.unwrap();
                connection.write_all(&piece).await.unwrap();
                connection.write_all(b"\r\n").await.unwrap();
            }
        }
        if framing != announced {
            connection.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let answer = read_all(connection).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{framing}: {answer}");
        assert!(answer.contains("BODY_TOO_LARGE"), "{framing}: {answer}");
    }
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_before_it_sends() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 1000);
    let address = serve(&rig).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let asked = head(&Delivery::push(), "content-length: 1001\r\nexpect: 100-continue");
    connection.write_all(&asked).await.unwrap();
    let answer = read_all(connection).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_sender_that_asked_first_and_was_told_to_send_gets_to_read_why_it_is_refused_later() {
    let rig = Rig::with(|options, _| options.body_bytes_max = 100_000);
    let address = serve(&rig).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    let asked = head(
        &Delivery::push(),
        "transfer-encoding: chunked\r\nexpect: 100-continue",
    );
    connection.write_all(&asked).await.unwrap();
    let mut go_on = [0; 25];
    connection.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let piece = [b"3e8\r\n".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
    for _ in 0..8000 {
        connection.write_all(&piece).await.unwrap();
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = read_all(connection).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_sender_that_goes_away_leaves_nothing() {
    let rig = Rig::with(|options, _| options.inline_bytes_max = 10);
    let address = serve(&rig).await;
    let delivery = Delivery::push();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection
        .write_all(&head(&delivery, "content-length: 1000"))
        .await
        .unwrap();
    connection.write_all(&[b'{'; 500]).await.unwrap();
    until("the upload begins", || rig.bodies.open() == 1).await;
    drop(connection);
    until("the upload is given up", || {
        rig.bodies.open() == 0 && rig.ingest.in_flight() == 0
    })
    .await;
    assert_eq!((rig.bodies.count(), rig.events().await.len()), (0, 0));
}

#[tokio::test]
async fn one_connection_serves_many_deliveries() {
    let rig = Rig::new();
    let address = serve(&rig).await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    for n in 1..=3 {
        let delivery = Delivery::push();
        let mut request = head(&delivery, &format!("content-length: {}", delivery.body.len()));
        request.extend_from_slice(&delivery.body);
        connection.write_all(&request).await.unwrap();
        let mut answer = [0; 4096];
        let read = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.contains(&format!("\"position\":{n}")),
            "{answer}"
        );
        let (_, received) = (n, rig.events().await);
        assert_eq!(received.len(), n);
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it never happened: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
