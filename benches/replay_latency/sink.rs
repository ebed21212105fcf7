//! A destination that takes everything at once and counts it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A running sink; it lives as long as the program.
pub(crate) struct Sink {
    address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Requests taken so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Starts it on a free loopback port.
pub(crate) async fn start() -> Sink {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let service =
                    service_fn(move |request: Request<Incoming>| take(request, Arc::clone(&counter)));
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Sink { address, received }
}

async fn take(
    request: Request<Incoming>,
    counter: Arc<AtomicU64>,
) -> Result<Response<String>, std::convert::Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = next_frame(&mut body).await {}
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(Response::new("taken".to_owned()))
}

async fn next_frame(body: &mut Incoming) -> Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>> {
    use hyper::body::Body as _;
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context)).await
}
