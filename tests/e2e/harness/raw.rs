//! HTTP by hand, for what a well-behaved client never sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Server;

/// A connection on which bytes are written as they are.
pub(crate) struct RawConnection(TcpStream);

/// What came back.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl RawConnection {
    /// Connects.
    pub(crate) async fn to(server: &Server) -> Self {
        Self(
            TcpStream::connect(("127.0.0.1", server.port()))
                .await
                .expect("the server listens"),
        )
    }

    /// Writes; the server may have answered and closed already.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Writes the head of a delivery: request line, host, and the given lines.
    pub(crate) async fn write_head(&mut self, lines: &[String]) {
        let head = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n\r\n",
            lines.join("\r\n")
        );
        self.write(head).await;
    }

    /// Ends the sending side, as a sender does that gives up.
    pub(crate) async fn finish(&mut self) {
        let _closed = self.0.shutdown().await;
    }

    /// Reads the answer; `None` when the server closed without one.
    pub(crate) async fn answer(mut self) -> Option<RawAnswer> {
        let mut seen = Vec::new();
        let read = async {
            let mut piece = [0; 4096];
            loop {
                match self.0.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => seen.extend_from_slice(&piece[..n]),
                }
                if complete(&seen) {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), read).await.is_ok();
        assert!(in_time, "neither an answer nor a close within 60 s");
        let text = String::from_utf8_lossy(&seen).into_owned();
        let status = text.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        Some(RawAnswer { status, text })
    }
}

/// Whether head and body (by Content-Length) are there.
fn complete(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
    length
        .and_then(|l| l.trim().parse::<usize>().ok())
        .is_some_and(|l| body.len() >= l)
}
