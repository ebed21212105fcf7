//! Who gets into NATS.

use std::net::Ipv4Addr;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Running, below, listens};

async fn talk(port: u16, lines: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // The server may reset the connection after its last word.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn without_the_token_nothing_can_be_said() {
    let running = Running::nats().await;
    let port = running.status("nats").port;
    let publish = "PUB hooklog.v1.x 1\r\nx\r\nPING\r\n";
    for login in ["CONNECT {}\r\n", "CONNECT {\"auth_token\":\"wrong\"}\r\n", ""] {
        let answer = talk(port, &format!("{login}{publish}")).await;
        assert!(answer.contains("Authorization Violation"), "{answer}");
        assert!(!answer.contains("PONG"), "{answer}");
    }
    let endpoint = running.nats_endpoint();
    assert!(async_nats::connect(&endpoint.url).await.is_err());
    running.engines.shutdown().await;
}

#[tokio::test]
async fn with_the_token_streams_can_be_made_within_the_disk_limit() {
    let running = Running::nats().await;
    let endpoint = running.nats_endpoint();
    let token = endpoint.token.expose_secret().to_owned();
    let client = async_nats::ConnectOptions::with_token(token)
        .connect(&endpoint.url)
        .await
        .unwrap();
    let context = async_nats::jetstream::new(client);
    let stream = |name: &str, max_bytes: i64| async_nats::jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        max_bytes,
        ..Default::default()
    };
    let limit = i64::try_from(running.options.jetstream_bytes_max).unwrap();
    context.create_stream(stream("FITS", limit)).await.unwrap();
    context.create_stream(stream("TOO_MUCH", 1)).await.unwrap_err();
    context
        .publish("FITS.a", "x".into())
        .await
        .unwrap()
        .await
        .unwrap();
    running.engines.shutdown().await;
}

#[tokio::test]
async fn it_listens_on_one_loopback_port() {
    let running = Running::nats().await;
    let port = running.status("nats").port;
    let mut found = Vec::new();
    for pid in below(std::process::id()) {
        found.extend(listens(pid));
    }
    assert_eq!(found, [Some((Ipv4Addr::LOCALHOST, port))]);
    running.engines.shutdown().await;
}
