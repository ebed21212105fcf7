//! A destination that does as it is told: answers, hangs, breaks off, is away; and remembers every request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::eventually;

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Answers with a status and headers.
    Answer(u16, Vec<(&'static str, String)>),
    /// Takes the request and never answers.
    Hang,
    /// Breaks off in the middle of the answer's head.
    Cut,
}

impl Behaviour {
    /// Answers with a status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new())
    }
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) at: Instant,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The status that it was answered with; none when it was not answered.
    pub(crate) answered: Option<u16>,
}

impl Taken {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The key by which a receiver recognises a repeat.
    pub(crate) fn idempotency_key(&self) -> &str {
        self.header("idempotency-key")
            .expect("every request carries its key")
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Behaviour>>,
    taken: Mutex<Vec<Taken>>,
}

/// A receiver on a loopback port. Dropped, it is away.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Receiver {
    /// One that answers 200 to everything.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let listening = Some(listen(listener, &shared));
        Self {
            address,
            shared,
            listening,
        }
    }

    /// One that does these things first, one a request, and answers 200 from then on.
    pub(crate) async fn with(script: impl IntoIterator<Item = Behaviour>) -> Self {
        let receiver = Self::start().await;
        receiver.then(script);
        receiver
    }

    /// Does these things next.
    pub(crate) fn then(&self, script: impl IntoIterator<Item = Behaviour>) {
        self.shared.script.lock().unwrap().extend(script);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Stops listening: connections are refused.
    pub(crate) async fn go_away(&mut self) {
        if let Some((stop, listening)) = self.listening.take() {
            stop.cancel();
            listening.await.expect("it stops");
        }
    }

    /// Listens again, on the same port.
    pub(crate) async fn come_back(&mut self) {
        let listener = eventually("the port can be taken again", Duration::from_secs(30), || async {
            TcpListener::bind(self.address).await.map_err(|e| e.to_string())
        })
        .await;
        self.listening = Some(listen(listener, &self.shared));
    }

    /// Every request so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Waits until so many requests came, and returns them.
    pub(crate) async fn has_taken(&self, count: usize, deadline: Duration) -> Vec<Taken> {
        eventually(&format!("{count} requests came in"), deadline, || async {
            let taken = self.taken();
            if taken.len() >= count {
                Ok(taken)
            } else {
                Err(format!("{} came", taken.len()))
            }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some((stop, _)) = self.listening.take() {
            stop.cancel();
        }
    }
}

fn listen(listener: TcpListener, shared: &Arc<Shared>) -> (CancellationToken, JoinHandle<()>) {
    let (stop, shared) = (CancellationToken::new(), Arc::clone(shared));
    let stopped = stop.clone();
    let listening = tokio::spawn(async move {
        while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    });
    (stop, listening)
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_request(&mut stream).await {
        let next = shared.script.lock().unwrap().pop_front();
        let behaviour = next.unwrap_or(Behaviour::Answer(200, Vec::new()));
        if let Behaviour::Answer(status, _) = &behaviour {
            request.answered = Some(*status);
        }
        shared.taken.lock().unwrap().push(request);
        match behaviour {
            Behaviour::Answer(status, headers) => {
                let mut head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 5\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\ntaken");
                if stream.get_mut().write_all(head.as_bytes()).await.is_err() {
                    return;
                }
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Cut => {
                let _ = stream.get_mut().write_all(b"HTTP/1.1 200 O").await;
                return;
            }
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Taken> {
    let line = read_line(stream).await?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let value = |wanted: &str| headers.iter().find(|(n, _)| n == wanted).map(|(_, v)| v.clone());
    let mut body = Vec::new();
    if value("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let size = usize::from_str_radix(read_line(stream).await?.trim(), 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await.ok()?;
            read_line(stream).await?;
            if size == 0 {
                break;
            }
            body.extend(chunk);
        }
    } else if let Some(length) = value("content-length") {
        body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(Taken {
        at: Instant::now(),
        line,
        headers,
        body,
        answered: None,
    })
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let bytes = stream.read_line(&mut line).await.ok()?;
    (bytes > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
