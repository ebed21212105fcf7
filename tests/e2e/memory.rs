//! Large deliveries are streamed: memory does not grow with them.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::harness::{Launch, SECRET, Server, Tools, github_headers, peak_resident_bytes};

const AT_ONCE: usize = 32;
const BODY_BYTES: usize = 25 * 1024 * 1024;
const RESIDENT_BYTES_MAX: u64 = 300 * 1024 * 1024;

/// A large body by its parts: `head`, then so many `x`, then `tail`.
#[derive(Deserialize, Clone)]
struct Large {
    delivery: String,
    signature: String,
    sha256: String,
    head: String,
    tail: String,
    padding: usize,
}

impl Large {
    fn pieces(&self) -> impl Iterator<Item = Result<Bytes, std::io::Error>> + use<> {
        const PIECE: usize = 64 * 1024;
        let padding = Bytes::from(vec![b'x'; PIECE]);
        let whole = self.padding / PIECE;
        let rest = padding.slice(..self.padding % PIECE);
        let ends = (Bytes::from(self.head.clone()), Bytes::from(self.tail.clone()));
        std::iter::once(ends.0)
            .chain(std::iter::repeat_n(padding, whole))
            .chain([rest, ends.1])
            .map(Ok)
    }
}

async fn post(server_base: String, client: reqwest::Client, large: Large, chunked: bool) -> (u16, String) {
    let mut request = client.post(format!("{server_base}/api/webhooks/github"));
    for (name, value) in github_headers("push", &large.delivery, &large.signature) {
        request = request.header(name, value);
    }
    if !chunked {
        request = request.header(
            "Content-Length",
            large.head.len() + large.padding + large.tail.len(),
        );
    }
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(large.pieces()));
    let answer = request.body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("its text"))
}

async fn bodies_are_kept(server: &Server, tools: &Tools, all: &[Large]) {
    for large in all {
        let url = format!("{}/api/webhooks/events/{}/body", server.base(), large.delivery);
        assert_eq!(
            tools.python("sha256_of_url.py", &[&url]).trim(),
            large.sha256,
            "{}",
            large.delivery
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_deliveries_of_25_mib_at_once_stay_within_300_mib() {
    let tools = Tools::ready();
    let lines = tools.python(
        "large.py",
        &[SECRET, &AT_ONCE.to_string(), &BODY_BYTES.to_string()],
    );
    let all: Arc<[Large]> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(all.len(), AT_ONCE);
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;

    let client = crate::harness::client();
    let mut senders = JoinSet::new();
    for (n, large) in all.iter().enumerate() {
        senders.spawn(post(server.base(), client.clone(), large.clone(), n % 2 == 0));
    }
    for (status, text) in senders.join_all().await {
        assert_eq!(status, 200, "{text}");
    }
    server.caught_up().await;
    bodies_are_kept(&server, &tools, &all).await;

    let peak = peak_resident_bytes(server.pid());
    assert!(
        peak <= RESIDENT_BYTES_MAX,
        "the server once held {} MiB",
        peak / 1024 / 1024
    );
}
