//! Deliveries, signed elsewhere, and what is answered to them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{SECRET, Tools, openssl_signature};

/// A signed delivery as a sender holds it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Signed {
    pub(crate) event: String,
    pub(crate) hook: String,
    pub(crate) delivery: String,
    pub(crate) signature: String,
    pub(crate) body: String,
}

/// An answer over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Signed {
    /// One delivery, signed by openssl.
    pub(crate) fn new(event: &str, delivery: &str, body: impl Into<String>) -> Self {
        let body = body.into();
        let signature = openssl_signature(SECRET, body.as_bytes());
        Self {
            event: event.into(),
            hook: "41".into(),
            delivery: delivery.into(),
            signature,
            body,
        }
    }

    /// All 329 example payloads of GitHub, signed by `@octokit/webhooks-methods`.
    pub(crate) fn examples(tools: &Tools) -> Vec<Self> {
        Self::lines(&tools.node("examples.mjs", &[SECRET]))
    }

    /// Many small deliveries, signed by `@octokit/webhooks-methods`.
    pub(crate) fn many(tools: &Tools, count: usize, prefix: &str) -> Vec<Self> {
        Self::lines(&tools.node("load.mjs", &[SECRET, &count.to_string(), prefix]))
    }

    /// The same, evenly over so many repositories.
    pub(crate) fn spread(tools: &Tools, count: usize, prefix: &str, repositories: usize) -> Vec<Self> {
        let (count, repositories) = (count.to_string(), repositories.to_string());
        Self::lines(&tools.node("load.mjs", &[SECRET, &count, prefix, &repositories]))
    }

    fn lines(text: &str) -> Vec<Self> {
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a delivery a line"))
            .collect()
    }

    /// Posts it.
    ///
    /// # Errors
    /// When no answer came, as happens while the server is being killed.
    pub(crate) async fn post(&self, client: &reqwest::Client, base: &str) -> Result<Answer, reqwest::Error> {
        let mut request = client
            .post(format!("{base}/api/webhooks/github"))
            .timeout(Duration::from_secs(60));
        for (name, value) in github_headers(&self.event, &self.delivery, &self.signature) {
            request = request.header(name, value);
        }
        let response = request
            .header("X-GitHub-Hook-ID", &self.hook)
            .body(self.body.clone())
            .send()
            .await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, json })
    }
}

/// The headers of a delivery but that of its hook.
pub(crate) fn github_headers(event: &str, delivery: &str, signature: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Content-Type", "application/json".into()),
        ("User-Agent", "GitHub-Hookshot/044aadd".into()),
        ("X-GitHub-Event", event.into()),
        ("X-GitHub-Delivery", delivery.into()),
        ("X-Hub-Signature-256", signature.into()),
    ]
}

impl Answer {
    /// The position that a 200 names.
    pub(crate) fn position(&self) -> u64 {
        self.json["data"]["position"]
            .as_u64()
            .unwrap_or_else(|| panic!("no position in {self:?}"))
    }

    /// Whether it says `"duplicate": true`.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.json["data"]["duplicate"]
            .as_bool()
            .unwrap_or_else(|| panic!("no duplicate in {self:?}"))
    }
}
