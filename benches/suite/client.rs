//! As little HTTP/1.1 as measuring needs: requests that were built before, one after the other over a kept connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer takes no more than this, or is not one of those that are asked for here.
const ANSWER_BYTES_MAX: usize = 1 << 22;

/// A kept connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
pub(crate) struct Answer<'b> {
    pub(crate) status: u16,
    pub(crate) body: &'b [u8],
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a head and a body, and reads the answer.
    pub(crate) async fn exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer<'_>> {
        self.send(head, body).await?;
        self.receive().await
    }

    async fn send(&mut self, mut head: &[u8], mut body: &[u8]) -> io::Result<()> {
        while !head.is_empty() {
            let written = self
                .stream
                .write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
                .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_head = written.min(head.len());
            head = &head[of_head..];
            body = &body[written - of_head..];
        }
        self.stream.write_all(body).await
    }

    async fn receive(&mut self) -> io::Result<Answer<'_>> {
        self.buffer.clear();
        let (head_end, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end]));
            }
        };
        let length = length.filter(|length| *length <= ANSWER_BYTES_MAX);
        let whole = head_end + length.ok_or(io::ErrorKind::InvalidData)?;
        while self.buffer.len() < whole {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = self
            .buffer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok(Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            body: &self.buffer[head_end..whole],
        })
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

/// A delivery of GitHub, all but its id: only the body is signed, so the same body under a new id is a new delivery.
pub(crate) struct Template {
    head: Vec<u8>,
    id_at: usize,
    pub(crate) body: Vec<u8>,
}

/// How long ids are.
const ID_DIGITS: usize = 12;

impl Template {
    /// `run` tells the ids of one run from those of another.
    pub(crate) fn new(event: &str, signature: &str, body: Vec<u8>, run: &str) -> Self {
        let before = format!(
            "POST /api/webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: GitHub-Hookshot/bench\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nX-GitHub-Event: {event}\r\nX-GitHub-Hook-ID: 4711\r\n\
             X-Hub-Signature-256: {signature}\r\nX-GitHub-Delivery: {run}-",
            body.len()
        );
        let id_at = before.len();
        let head = format!("{before}{:0ID_DIGITS$}\r\n\r\n", 0).into_bytes();
        Self { head, id_at, body }
    }

    /// The head of the delivery of that number, in a buffer that is used again.
    pub(crate) fn head_of(&self, number: u64, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.head);
        let mut rest = number;
        for at in (self.id_at..self.id_at + ID_DIGITS).rev() {
            buffer[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// Asks for a path, once.
pub(crate) async fn get(address: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n");
    let answer = connection.exchange(head.as_bytes(), &[]).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// Orders something, without a body.
pub(crate) async fn post(address: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n");
    let answer = connection.exchange(head.as_bytes(), &[]).await?;
    Ok((answer.status, answer.body.to_vec()))
}
