//! `hooklog send`: signs a delivery as its sender would, and posts it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;
use domain::{Clock as _, SOURCE_SCHEMES, Timestamp};
use ingest::{SchemeKind, Sender, Sent};
use secrecy::ExposeSecret as _;

use super::client::trusting;
use super::{SettingsArgs, secret};
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
    /// A file with the secret, `-` for standard input [default: the one of the settings or the data directory]. Needed for a
    /// source that was added while the server runs.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How it is signed [default: as the settings say of the source, else as its name does].
    #[arg(long, value_parser = PossibleValuesParser::new(SOURCE_SCHEMES))]
    scheme: Option<String>,
    /// A certificate to trust beside the system's, PEM: that of a server with one of its own.
    #[arg(long, value_name = "FILE", env = "HOOKLOG_CACERT")]
    cacert: Option<PathBuf>,
}

impl Send {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.settings.overrides().load()?;
        let secret = match &self.secret_file {
            Some(file) => secret::read(file)?,
            None => loaded.settings.secret_of(&self.source)?.into(),
        };
        let mut options = loaded.settings.sender_of(&self.source, secret.expose_secret())?;
        if let Some(scheme) = self.scheme.as_deref().and_then(SchemeKind::named) {
            options.scheme = scheme;
        }
        let sender = Sender::build(&options)?;
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
            let client = trusting(reqwest::Client::builder(), self.cacert.as_deref())?.build()?;
            let mut request = client.post(&url).body(body);
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
