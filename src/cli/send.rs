//! `hooklog send`: signs a delivery as its sender would, and posts it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use domain::{Clock as _, Timestamp};
use ingest::{Sender, Sent};

use super::SettingsArgs;
use crate::clock::SystemClock;

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
        let secret = match &self.secret_file {
            Some(file) => read_secret(file)?,
            None => loaded.settings.secret_of(&self.source)?,
        };
        let sender = Sender::build(&loaded.settings.sender_of(&self.source, &secret)?)?;
        let now = SystemClock.now();
        let body = self.body(&sender, now)?;
        let base = self
            .url
            .clone()
            .unwrap_or_else(|| loaded.settings.server.base_url());
        let id = self
            .id
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let signed = sender.sign(&Sent {
            event: &self.event,
            delivery_id: &id,
            body: &body,
            now,
        })?;
        let url = format!("{}/api/webhooks/{}", base.trim_end_matches('/'), self.source);
        let (status, answer) = super::block_on(async {
            let mut request = reqwest::Client::new().post(&url).body(body);
            let ours = [(
                "user-agent".to_owned(),
                concat!("hooklog-send/", env!("CARGO_PKG_VERSION")).to_owned(),
            )];
            // What the sender's program calls itself goes before: some sources ask for it.
            let named = signed.iter().any(|(name, _)| name == "user-agent");
            for (name, value) in ours.into_iter().filter(|_| !named).chain(signed) {
                request = request.header(name, value);
            }
            let response = request
                .send()
                .await
                .with_context(|| format!("{url} can't be reached; is it running?"))?;
            let status = response.status();
            Ok((status, response.text().await.context("the answer can't be read")?))
        })?;
        println!("{answer}");
        if !status.is_success() {
            let hint = if status == 401 && self.file.is_some() && sender.has_time_in_body() {
                "; its sender puts the time of signing into the body, and that of the file may be too old"
            } else {
                ""
            };
            bail!("{url} answered {status}{hint}");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn body(&self, sender: &Sender, now: Timestamp) -> anyhow::Result<Vec<u8>> {
        match &self.file {
            Some(file) => std::fs::read(file).with_context(|| format!("{} can't be read", file.display())),
            None => Ok(sender.example(&self.event, self.action.as_deref(), &self.repository, now)),
        }
    }
}

fn read_secret(file: &std::path::Path) -> anyhow::Result<String> {
    let secret =
        std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(secret.trim_end_matches(['\r', '\n']).to_owned())
}
