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

/// Serves an API that answers with as many bytes as the path says, or with who asks.
async fn served(limits: Limits) -> Served {
    behind(limits, Proxies::default()).await
}

async fn behind(limits: Limits, proxies: Proxies) -> Served {
    let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let api = make(|request: Request| async move {
        if request.uri().path() == "/who" {
            let client = request.extensions().get::<domain::ClientAddress>().unwrap();
            return Response::builder().body(format!("<{}>", client.0));
        }
        let bytes: usize = request.uri().path().trim_start_matches('/').parse().unwrap_or(2);
        Response::builder().body("x".repeat(bytes))
    });
    let door = FrontDoor {
        ingest: None,
        api: api.boxed(),
        proxies,
        draining: CancellationToken::new(),
    };
    let stop = CancellationToken::new();
    let listeners = Listeners {
        network: listener,
        tls: None,
        owner: None,
    };
    let running = tokio::spawn(run(listeners, door, limits, stop.clone()));
    Served {
        address,
        stop,
        running,
    }
}

fn limits() -> Limits {
    Limits {
        connections_max: 4,
        connections_per_address_max: 0,
        head_bytes_max: 8192,
        headers_max: 20,
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

/// Sends a request on a connection of its own and reads until that is closed.
async fn ask(served: &Served, request: &str) -> String {
    let mut socket = connect(served).await;
    socket.write_all(request.as_bytes()).await.unwrap();
    until_closed(&mut socket).await
}

#[tokio::test]
async fn who_asks_is_who_connects_unless_a_trusted_proxy_says_otherwise() {
    let request = "GET /who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\
                   X-Forwarded-For: 198.51.100.7\r\nForwarded: for=203.0.113.10\r\nConnection: close\r\n\r\n";
    let nobody = served(limits()).await;
    assert!(ask(&nobody, request).await.ends_with("<127.0.0.1>"));
    let networks = ["127.0.0.0/8".parse().unwrap()];
    let proxies = Proxies::new(&networks, domain::ForwardedHeader::XForwardedFor);
    let believing = behind(limits(), proxies).await;
    assert!(ask(&believing, request).await.ends_with("<198.51.100.7>"));
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let served = served(limits()).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let seen = ask(&served, request).await;
        assert!(
            seen.starts_with("HTTP/1.1 400") || seen.starts_with("HTTP/1.0 400"),
            "{request:?}: {seen}"
        );
        assert!(seen.contains("REQUEST_MALFORMED"), "{seen}");
    }
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://A/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let seen = ask(&served, request).await;
        assert!(seen.contains("200 OK"), "{request:?}: {seen}");
    }
}

#[tokio::test]
async fn nothing_follows_a_chunked_request_on_its_connection() {
    let limits = Limits {
        idle_timeout: PATIENT,
        ..limits()
    };
    let served = served(limits).await;
    let first =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let seen = ask(&served, &format!("{first}GET /7 HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(seen.matches("HTTP/1.1 ").count(), 1, "{seen}");
    assert!(seen.contains("connection: close"), "{seen}");
}

#[tokio::test]
async fn a_head_with_too_much_in_it_is_refused() {
    let served = served(limits()).await;
    let many = "X-Many: 1\r\n".repeat(30);
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    for headers in [many, long] {
        let seen = ask(&served, &format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        assert!(seen.starts_with("HTTP/1.1 431"), "{seen}");
    }
}

#[tokio::test]
async fn one_address_gets_no_more_connections_than_it_may_unless_it_is_a_proxy() {
    let limits = Limits {
        connections_per_address_max: 1,
        idle_timeout: PATIENT,
        ..limits()
    };
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let strict = served(limits).await;
    let first = connect(&strict).await;
    let mut second = connect(&strict).await;
    assert_eq!(until_closed(&mut second).await, "");
    drop(first);
    let deadline = Instant::now() + PATIENT;
    loop {
        let mut next = connect(&strict).await;
        if next.write_all(request.as_bytes()).await.is_ok()
            && tokio::time::timeout(PATIENT, next.read(&mut [0; 12]))
                .await
                .unwrap()
                .is_ok_and(|read| read == 12)
        {
            break;
        }
        assert!(Instant::now() < deadline, "its place never became free");
    }
    let networks = ["127.0.0.0/8".parse().unwrap()];
    let proxied = behind(
        limits,
        Proxies::new(&networks, domain::ForwardedHeader::XForwardedFor),
    )
    .await;
    let _first = connect(&proxied).await;
    assert!(ask(&proxied, request).await.contains("200 OK"));
}

#[tokio::test]
async fn when_all_places_are_taken_the_one_that_has_asked_for_nothing_longest_has_to_go() {
    let served = served(Limits {
        connections_max: 2,
        idle_timeout: PATIENT,
        ..limits()
    })
    .await;
    // Busy: its answer is larger than what the system takes for a reader that does not read.
    let mut busy = connect(&served).await;
    busy.write_all(b"GET /50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    busy.read_exact(&mut [0; 12]).await.unwrap();
    let mut idle = connect(&served).await;
    idle.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let begin = Instant::now();
    let seen = ask(&served, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(seen.contains("200 OK"), "{seen}");
    assert!(begin.elapsed() < PATIENT, "a place was made for it");
    assert!(until_closed(&mut idle).await.is_empty());
    let mut rest = vec![0; 40_000_000];
    busy.read_exact(&mut rest).await.expect("who is served stays");
}
