//! Connections that send a byte a second, half of them in the head, half in the body.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::attacker::Attacker;
use crate::harness::Server;

const HEAD: &str = "POST /api/webhooks/github HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n\
                    X-GitHub-Event: push\r\nX-GitHub-Delivery: slow\r\nX-Hub-Signature-256: sha256=00\r\nX-Slow: ";
/// A signature of the right shape, so that the body is read.
const WHOLE_HEAD: &str = "POST /api/webhooks/github HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json\r\n\
                          X-GitHub-Event: push\r\nX-GitHub-Delivery: slow\r\nContent-Length: 1000000\r\n\
                          X-Hub-Signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n";
/// Files that the test and the server need for everything else.
const FILES_KEPT: u64 = 1000;
/// How long after the day the last of them may last.
const LAST: Duration = Duration::from_secs(60);

/// Slow connections under way.
pub(super) struct Slow {
    over: CancellationToken,
    ticking: JoinHandle<usize>,
}

impl Slow {
    /// As many as wanted, or as the machine's limit of open files allows.
    pub(super) fn possible(wanted: usize) -> usize {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        let _as_it_is = setrlimit(Resource::Nofile, limit);
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(most.saturating_sub(FILES_KEPT)).unwrap_or(usize::MAX);
        wanted.min(most)
    }

    /// Opens them all; one that is cut is opened again until the day is over.
    pub(super) async fn begin(attacker: &Attacker, server: &Server, count: usize) -> Self {
        let (over, address) = (
            CancellationToken::new(),
            SocketAddr::from(([127, 0, 0, 1], server.port())),
        );
        // Their sockets belong to the runtime that they are opened on.
        let opening = attacker.runtime().spawn(async move {
            let mut open = Vec::with_capacity(count);
            for n in 0..count {
                open.push(Some(Connection::open(address, n % 2 == 0).await));
            }
            open
        });
        let mut open = opening.await.expect("they are opened");
        let ended = over.clone();
        let ticking = attacker.runtime().spawn(async move {
            let (mut second, mut cut) = (tokio::time::interval(Duration::from_secs(1)), 0);
            while open.iter().any(Option::is_some) {
                second.tick().await;
                for (n, place) in open.iter_mut().enumerate() {
                    let Some(connection) = place else { continue };
                    if connection.goes_on() {
                        continue;
                    }
                    cut += 1;
                    *place = if ended.is_cancelled() {
                        None
                    } else {
                        Some(Connection::open(address, n % 2 == 0).await)
                    };
                }
            }
            cut
        });
        Self { over, ticking }
    }

    /// Waits until the server has cut every one, and says how many it cut in all.
    pub(super) async fn all_cut(self) -> usize {
        self.over.cancel();
        let cut = tokio::time::timeout(LAST, self.ticking).await;
        cut.expect("every slow connection is cut in the end")
            .expect("the slow connections were watched")
    }
}

struct Connection(TcpStream);

impl Connection {
    async fn open(address: SocketAddr, in_head: bool) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.writable().await.expect("a new connection takes bytes");
        let start = if in_head { HEAD } else { WHOLE_HEAD };
        let _whole = stream.try_write(start.as_bytes());
        Self(stream)
    }

    /// Sends a byte; false once the server answered or closed.
    fn goes_on(&self) -> bool {
        let mut answer = [0; 64];
        let silent =
            matches!(self.0.try_read(&mut answer), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
        silent && self.0.try_write(b"x").is_ok()
    }
}
