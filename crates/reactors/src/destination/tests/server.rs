//! A server that answers as it is told, byte for byte, and keeps what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What it does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Sends these bytes.
    Bytes(String),
    /// Sends these bytes, then ends the connection.
    Cut(String),
    /// Says nothing more after these bytes, and keeps the connection.
    Hang(String),
    /// Sends these bytes, one every 10 ms, for ever beginning again.
    Drip(String),
    /// Sends these bytes, then as many again and again as the connection takes.
    Flood(String),
    /// Ends the connection as soon as the first byte of the request is here.
    Slam,
}

impl Answer {
    pub(super) fn status(status: &str) -> Self {
        Self::with(status, "", "")
    }

    pub(super) fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ))
    }
}

/// The server; it stops when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _stop: DropGuard,
}

impl Server {
    /// Answers the requests in turn; the last answer is repeated.
    pub(super) async fn answering(answers: &[Answer]) -> Self {
        Self::start(answers, None).await
    }

    pub(super) async fn start(answers: &[Answer], tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::default(), CancellationToken::new());
        let desk = Arc::new(Desk {
            answers: answers.to_vec(),
            seen: Arc::clone(&seen),
            stop: stop.clone(),
        });
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = desk.stop.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                let (desk, tls) = (Arc::clone(&desk), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        // A client that does not trust us goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(accepted).await {
                                desk.serve(stream).await;
                            }
                        }
                        None => desk.serve(accepted).await,
                    }
                });
            }
        });
        Self {
            address,
            seen,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

struct Desk {
    answers: Vec<Answer>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: CancellationToken,
}

impl Desk {
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        if matches!(self.answers.as_slice(), [Answer::Slam]) {
            let _ = stream.read_u8().await;
            return;
        }
        while let Some(seen) = request(&mut stream).await {
            let answer = {
                let mut all = self.seen.lock().unwrap();
                let index = all.len().min(self.answers.len() - 1);
                all.push(seen);
                self.answers[index].clone()
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                open = answered(&mut stream, answer) => if !open {
                    return;
                },
            }
        }
    }
}

/// Reads a request; none at the end of the connection.
async fn request(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await.ok()?;
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let mut seen = Seen {
        line: lines.next()?,
        headers: lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect(),
        body: Vec::new(),
    };
    let length: usize = seen
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    seen.body = vec![0; length];
    stream.read_exact(&mut seen.body).await.ok()?;
    Some(seen)
}

/// Sends an answer; whether the connection goes on.
async fn answered(stream: &mut (impl AsyncWrite + Unpin), answer: Answer) -> bool {
    let text = match &answer {
        Answer::Slam => return false,
        Answer::Bytes(text) | Answer::Cut(text) | Answer::Hang(text) | Answer::Flood(text) => text,
        Answer::Drip(text) => {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for byte in text.bytes().cycle() {
                tick.tick().await;
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    return false;
                }
            }
            return false;
        }
    };
    if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    match answer {
        Answer::Bytes(_) => true,
        Answer::Cut(_) | Answer::Slam | Answer::Drip(_) => {
            let _ = stream.shutdown().await;
            false
        }
        Answer::Hang(_) => std::future::pending().await,
        Answer::Flood(_) => {
            while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
            false
        }
    }
}
