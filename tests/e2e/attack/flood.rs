//! Forged deliveries, as many as go through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::attacker::Attacker;
use crate::harness::{Server, Signed, client, openssl_signature};

const SENDERS: usize = 16;
const BODY: &str =
    r#"{"ref":"refs/heads/main","repository":{"full_name":"octo-org/octo-repo"},"forged":true}"#;

/// A flood under way.
pub(super) struct Flood(JoinSet<usize>);

impl Flood {
    /// Sends so many forgeries, some at a time.
    pub(super) fn begin(attacker: &Attacker, server: &Server, count: usize) -> Self {
        let (base, signatures) = (server.base(), Arc::new(signatures()));
        let next = Arc::new(AtomicUsize::new(0));
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (base, signatures, next, client) =
                (base.clone(), Arc::clone(&signatures), Arc::clone(&next), client());
            let sending = async move {
                let mut refused = 0;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return refused;
                    }
                    let forged = forgery(n, &signatures[n % signatures.len()]);
                    let answer = forged.post(&client, &base).await.expect("an answer");
                    assert_eq!(answer.status, 401, "{}", answer.json);
                    assert_eq!(
                        answer.json["error"]["code"], "SIGNATURE_INVALID",
                        "{}",
                        answer.json
                    );
                    refused += 1;
                }
            };
            senders.spawn_on(sending, attacker.runtime());
        }
        Self(senders)
    }

    /// How many were refused, once all were.
    pub(super) async fn end(self) -> usize {
        self.0.join_all().await.into_iter().sum()
    }
}

fn forgery(n: usize, signature: &str) -> Signed {
    Signed {
        event: "push".into(),
        hook: "41".into(),
        delivery: format!("forged-{n}"),
        signature: signature.into(),
        body: BODY.into(),
    }
}

/// Wrong in every way there is.
fn signatures() -> Vec<String> {
    let anothers = openssl_signature("another secret", BODY.as_bytes());
    vec![
        anothers.clone(),
        format!("sha256={}", "0".repeat(64)),
        "sha256=".into(),
        anothers[..anothers.len() - 1].into(),
        anothers.replace("sha256", "sha1"),
        anothers["sha256=".len()..].into(),
        format!("{anothers},{anothers}"),
        "x".repeat(4000),
    ]
}
