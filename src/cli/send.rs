//! `hooklog send`: signs a delivery as its sender would, and posts it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SettingsArgs;

const EXAMPLE: &str = "Example: hooklog send --event push --repository octo-org/hello --file push.json";

/// What to send, where to, and signed with what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Send {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The source to send as.
    #[arg(long, default_value = "github")]
    source: String,
    /// The event type.
    #[arg(long, default_value = "ping")]
    event: String,
    /// The action, put into the body made here.
    #[arg(long, conflicts_with = "file")]
    action: Option<String>,
    /// The repository, put into the body made here.
    #[arg(long, default_value = "octo-org/hello", conflicts_with = "file")]
    repository: String,
    /// The body, byte for byte; without it a small one is made.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The id of the delivery; the same id twice is the same delivery.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The server [default: the one of the settings].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the secret [default: the one of the settings or the data directory].
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Send {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.settings.overrides().load()?;
        let body = self.body()?;
        let secret = match &self.secret_file {
            Some(file) => read_secret(file)?,
            None => loaded.settings.secret_of(&self.source)?,
        };
        let base = self
            .url
            .clone()
            .unwrap_or_else(|| loaded.settings.server.base_url());
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the secret can't be used")?;
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let url = format!("{}/api/webhooks/{}", base.trim_end_matches('/'), self.source);
        let (status, answer) = super::block_on(async {
            let request = reqwest::Client::new()
                .post(&url)
                .header("Content-Type", "application/json")
                .header("User-Agent", concat!("hooklog-send/", env!("CARGO_PKG_VERSION")))
                .header("X-GitHub-Event", &self.event)
                .header("X-GitHub-Delivery", &id)
                .header("X-Hub-Signature-256", format!("sha256={signature}"))
                .body(body);
            let response = request
                .send()
                .await
                .with_context(|| format!("{url} can't be reached; is it running?"))?;
            let status = response.status();
            Ok((status, response.text().await.context("the answer can't be read")?))
        })?;
        println!("{answer}");
        if !status.is_success() {
            bail!("{url} answered {status}");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self) -> anyhow::Result<Vec<u8>> {
        if let Some(file) = &self.file {
            return std::fs::read(file).with_context(|| format!("{} can't be read", file.display()));
        }
        let mut body = serde_json::json!({
            "zen": "Keep it logically awesome.",
            "repository": { "full_name": self.repository },
            "sender": { "login": "octocat" },
        });
        if let Some(action) = &self.action {
            body.as_object_mut()
                .map(|fields| fields.insert("action".into(), action.as_str().into()));
        }
        Ok(serde_json::to_vec(&body)?)
    }
}

fn read_secret(file: &std::path::Path) -> anyhow::Result<String> {
    let secret =
        std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(secret.trim_end_matches(['\r', '\n']).to_owned())
}
