use std::time::Instant;

use poem::{EndpointExt as _, endpoint::make};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;

const PATIENT: Duration = Duration::from_secs(10);

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// Serves an API that answers with as many bytes as the path says.
async fn served(limits: Limits) -> Served {
    let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let api = make(|request: Request| async move {
        let bytes: usize = request.uri().path().trim_start_matches('/').parse().unwrap_or(2);
        Response::builder().body("x".repeat(bytes))
    });
    let door = FrontDoor {
        ingest: None,
        api: api.boxed(),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(listener, door, limits, stop.clone()));
    Served {
        address,
        stop,
        running,
    }
}

fn limits() -> Limits {
    Limits {
        connections_max: 4,
        idle_timeout: Duration::from_millis(150),
        shutdown_timeout: PATIENT,
    }
}

async fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(served.address).await.unwrap()
}

/// Reads until the other side closes; what came.
async fn until_closed(socket: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let closed = tokio::time::timeout(PATIENT, socket.read_to_end(&mut seen)).await;
    assert!(closed.is_ok(), "it was never closed");
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn whoever_sends_nothing_half_a_head_or_no_second_request_is_let_go() {
    let served = served(limits()).await;
    for sent in [
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Slow",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut socket = connect(&served).await;
        socket.write_all(sent.as_bytes()).await.unwrap();
        let seen = until_closed(&mut socket).await;
        assert_eq!(
            seen.starts_with("HTTP/1.1 200"),
            sent.ends_with("\r\n\r\n"),
            "{sent:?}: {seen}"
        );
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off_all_the_same() {
    let served = served(limits()).await;
    let mut socket = connect(&served).await;
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    socket.write_all(b"GET / HTTP/1.1\r\nX-Long: ").await.unwrap();
    while socket.write_all(b"x").await.is_ok() {
        assert!(begin.elapsed() < PATIENT, "it was never cut off");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_let_go() {
    let served = served(Limits {
        connections_max: 1,
        ..limits()
    })
    .await;
    let mut greedy = connect(&served).await;
    greedy
        .write_all(b"GET /50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    // The only place becomes free although the greedy one never reads.
    let mut next = connect(&served).await;
    next.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut next).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_over_the_most_wait_for_a_place() {
    let served = served(Limits {
        connections_max: 2,
        idle_timeout: PATIENT,
        ..limits()
    })
    .await;
    let (first, _second) = (connect(&served).await, connect(&served).await);
    let mut third = connect(&served).await;
    third
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), third.read(&mut byte)).await;
    assert!(early.is_err(), "there was no place for it");
    drop(first);
    assert!(until_closed(&mut third).await.contains("200 OK"));
}

#[tokio::test]
async fn after_the_stop_open_connections_are_closed_and_new_ones_refused() {
    let served = served(Limits {
        idle_timeout: PATIENT,
        ..limits()
    })
    .await;
    let mut idle = connect(&served).await;
    served.stop.cancel();
    assert_eq!(until_closed(&mut idle).await, "");
    tokio::time::timeout(PATIENT, served.running)
        .await
        .expect("it ends")
        .unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_stop() {
    let limits = Limits {
        idle_timeout: PATIENT,
        shutdown_timeout: Duration::from_millis(100),
        ..limits()
    };
    let served = served(limits).await;
    let mut greedy = connect(&served).await;
    greedy
        .write_all(b"GET /50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    greedy.read_exact(&mut byte).await.unwrap();
    served.stop.cancel();
    tokio::time::timeout(PATIENT, served.running)
        .await
        .expect("it ends")
        .unwrap();
}
