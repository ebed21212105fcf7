//! `hooklog verify`: which check of receiving a request fails, and why.
//!
//! The running server is asked, which knows the sources as they are; or, offline, the settings are, with the secrets in them or
//! one at hand. Neither prints a signature or a secret.

mod print;
mod request;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{Clock as _, Timestamp};
use ingest::{Asker, Explainer, Question, SourceOptions};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::client::ServerArgs;
use super::table::field;
use crate::clock::SystemClock;
use crate::settings::Settings;
use request::{Header, Headers};

const EXAMPLES: &str = "Examples:
  hooklog verify --source github --headers headers.txt --body body.json
  hooklog verify --source github --header 'X-GitHub-Event: push' \\
    --header 'X-GitHub-Delivery: 1' --header 'X-Hub-Signature-256: sha256=…' \\
    --header 'Content-Type: application/json' --body - <body.json
  hooklog verify --source linear --headers headers.txt --body body.json \\
    --at 2026-11-21T08:30:00Z --offline --secret-file secret.txt

The body has to be the very bytes that the sender sent, and the headers those of
the same request. Exit codes: 0 it would be kept, 1 it would not, 2 wrong usage.";

/// The request to check, and against what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    #[command(flatten)]
    server: ServerArgs,
    /// The source that it was sent to.
    #[arg(long)]
    source: String,
    /// The connection in its path, the last part of `/api/webhooks/SOURCE/CONNECTION`.
    #[arg(long)]
    connection: Option<String>,
    /// A header of it; once for each. One with a token is better in a file, where other users of the machine don't see it.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = Header::parse)]
    header: Vec<Header>,
    /// A file with its headers, one a line.
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    /// A file with its body, byte for byte; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// When it is taken to be received [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Asks no server: checks by the sources of the settings, and their secrets.
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    /// A file with the secret to check with, in place of those of the source.
    #[arg(long, value_name = "FILE", requires = "offline")]
    secret_file: Option<PathBuf>,
}

impl Verify {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let headers = Headers::read(self.headers.as_deref(), &self.header)?;
        let body = request::body(&self.body)?;
        let told = if self.offline {
            self.offline(&headers, body)?
        } else {
            let client = self.server.client()?;
            super::block_on(client.post("/webhooks/verify", &self.asked(&headers, &body)))?
        };
        if self.server.json {
            println!("{told}");
        } else {
            print::explanation(&told);
        }
        Ok(if field(&told, "wouldBe") == "accepted" {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn asked(&self, headers: &Headers, body: &[u8]) -> Value {
        json!({
            "source": self.source,
            "connection": self.connection,
            "headers": headers.to_json(),
            "bodyBase64": STANDARD.encode(body),
            "at": self.at.map(|at| at.to_string()),
        })
    }

    /// The secret that was made for a source. For others than the one that is asked about, one that nobody knows does: they
    /// may never have been started.
    fn generated(&self, settings: &Settings, name: &str) -> anyhow::Result<SecretString> {
        match settings.secret_of(name) {
            Err(_) if name != self.source => Ok(uuid::Uuid::new_v4().simple().to_string().into()),
            secret => secret.map(SecretString::from),
        }
    }

    fn offline(&self, headers: &Headers, body: Vec<u8>) -> anyhow::Result<Value> {
        let settings = self.server.settings()?;
        let sources: Vec<SourceOptions> = match &self.secret_file {
            Some(file) => {
                let secret = std::fs::read_to_string(file);
                let secret = secret.with_context(|| format!("{} can't be read", file.display()))?;
                vec![settings.sender_of(&self.source, secret.trim_end_matches(['\r', '\n']))?]
            }
            None => settings.sources(|name| self.generated(&settings, name))?,
        };
        let explainer = Explainer::build(settings.ingest, sources)?;
        let question = Question {
            asker: Asker::Instance,
            source: self.source.clone(),
            connection: self.connection.clone(),
            headers: headers.to_map()?,
            body: body.into(),
            at: self.at,
        };
        let explained = explainer.explain(&question, SystemClock.now());
        let explanation = super::block_on(async { Ok(explained.await) })?;
        serde_json::to_value(&explanation).context("the explanation can't be written as JSON")
    }
}
