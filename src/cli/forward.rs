//! `hooklog forward`: sends deliveries on to a program on this machine, with the headers and the body that their sender sent.
//!
//! In order, one after the other. While the program is away it waits; what the program answers, it only tells. With a resume file
//! it goes on where it ended, and a delivery that it could not write down is sent again: at least once, as senders do.

mod sign;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use ingest::SchemeKind;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Client, Refused, ServerArgs, Unreadable, direct, part};
use super::events::FilterArgs;
use super::live::{self, Begin, Heard, Live};
use super::table::{cell, clean, field, moment};
use super::{row, secret, tail};
use sign::{Signing, Unsigned};

/// How long the program may take to be reached. Once it is, it may stand at a breakpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pauses while it is away.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What is said anew for every connection.
const OWN_HEADERS: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "accept-encoding",
    "expect",
];

/// What to send on, and where.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hooklog forward --to http://localhost:8080/hook --event push\n  hooklog forward --to http://localhost:8080/hook --resume-file .hooklog-resume\n  hooklog forward --to http://localhost:8080/hook --secret-file dev-secret"
)]
pub(super) struct Forward {
    #[command(flatten)]
    server: ServerArgs,
    /// Where to send them.
    #[arg(long, value_name = "URL")]
    to: reqwest::Url,
    #[command(flatten)]
    filter: FilterArgs,
    /// Begins after this position of the log, 0 for its beginning [default: where the resume file says, else from now on].
    #[arg(long, value_name = "POSITION", value_parser = live::place)]
    after: Option<String>,
    /// A file that remembers how far it is, so that the next start goes on from there.
    #[arg(long, value_name = "FILE", conflicts_with = "after")]
    resume_file: Option<PathBuf>,
    /// How many seconds the program may take for an answer; then that is told, and the next one sent [default: as long as it likes].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Sends those too that repeat another one.
    #[arg(long)]
    duplicates: bool,
    /// Signs them anew with the secret of this file, `-` for standard input [default: they keep their own signatures].
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// By which scheme they are signed anew [default: that of their source].
    #[arg(long, requires = "secret_file", value_parser = scheme)]
    scheme: Option<SchemeKind>,
}

fn scheme(name: &str) -> Result<SchemeKind, String> {
    let known = || SchemeKind::ALL.map(SchemeKind::as_str).join(", ");
    SchemeKind::named(name).ok_or_else(|| format!("there is no such scheme; known are: {}", known()))
}

/// A delivery as its sender sent it.
struct Original {
    headers: HeaderMap,
    body: Bytes,
}

/// Sends deliveries on.
struct Forwarder {
    asked: Forward,
    http: reqwest::Client,
    /// To sign anew with.
    signing: Option<Signing>,
}

impl Forward {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !matches!(self.to.scheme(), "http" | "https") {
            bail!("--to: an address of http or https is expected, such as http://localhost:8080/hook");
        }
        let begin = match (&self.after, &self.resume_file) {
            (Some(after), _) => Begin::Typed(after.clone()),
            (None, Some(file)) => remembered(file)?.map_or(Begin::Now, Begin::Remembered),
            (None, None) => Begin::Now,
        };
        let signing = self.secret_file.as_deref().map(|file| {
            anyhow::Ok(Signing {
                settings: self.server.settings()?,
                secret: secret::read(file)?,
                scheme: self.scheme,
            })
        });
        let live = Live::new(self.server.client()?, self.filter.query(), begin);
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(seconds) = self.timeout {
            http = http.timeout(Duration::from_secs(seconds));
        }
        let http = direct(http, self.to.as_str());
        let forwarder = Forwarder {
            signing: signing.transpose()?,
            http: http.build()?,
            asked: self,
        };
        super::block_on(forwarder.run(live)).or_else(live::wrong_usage)
    }
}

impl Forwarder {
    async fn run(self, mut live: Live) -> anyhow::Result<ExitCode> {
        loop {
            match live.next().await? {
                Heard::Delivery(row) => {
                    if self.asked.duplicates || field(&row, "duplicateOf").is_null() {
                        self.forward(live.client(), &row).await?;
                    }
                    self.remember(live.at())?;
                }
                Heard::Further | Heard::Change(_) => self.remember(live.at())?,
                aside @ (Heard::Lost(_) | Heard::Back | Heard::Gap(_)) => tail::aside(&aside),
            }
        }
    }

    /// Sends one on, as soon as the program is there. What can't be sent at all is told, and the others go on.
    async fn forward(&self, server: &Client, row: &Value) -> anyhow::Result<()> {
        let Some(Original { mut headers, body }) = original(server, row).await? else {
            return Ok(());
        };
        let signed = match &self.signing {
            Some(signing) => signing.sign(server, row, &body, &mut headers).await,
            None => Ok(()),
        };
        if let Err(error) = signed {
            // That is of no one delivery: those that come next would be left out as well.
            if error.is::<Unsigned>() {
                return Err(error);
            }
            aside(&format!(
                "{} is left out: it can't be signed: {error:#}",
                cell(field(row, "id"))
            ));
            return Ok(());
        }
        let (mut pause, mut told) = (PAUSE_FIRST, false);
        loop {
            let begun = Instant::now();
            let request = self
                .http
                .post(self.asked.to.clone())
                .headers(headers.clone())
                .body(body.clone());
            match request.send().await {
                Ok(answer) => return self.tell(row, answer.status().as_u16(), begun.elapsed()),
                Err(error) if error.is_builder() => {
                    return Err(error).context("the delivery can't be sent on");
                }
                // It has it, and may still be at it: sent again it would do everything twice.
                Err(error) if error.is_timeout() && !error.is_connect() => {
                    let id = cell(field(row, "id"));
                    aside(&format!(
                        "{id}: {} did not answer in time; going on",
                        self.asked.to
                    ));
                    return Ok(());
                }
                // It went away in the middle, perhaps: then it may have taken it, and takes it again.
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        let why = anyhow::Error::from(error.without_url());
                        aside(&format!(
                            "{} is away ({why:#}); trying until it is back",
                            self.asked.to
                        ));
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn tell(&self, row: &Value, status: u16, took: Duration) -> anyhow::Result<()> {
        let mut out = anstream::stdout().lock();
        let millis = took.as_millis();
        let written = if self.asked.server.json {
            let told = json!({
                "id": field(row, "id"), "position": field(row, "position"), "event": field(row, "event"),
                "repository": field(row, "repository"), "status": status, "durationMs": u64::try_from(millis).unwrap_or(u64::MAX),
            });
            writeln!(out, "{told}")
        } else {
            let (dim, style) = (row::DIM, if status < 300 { row::GOOD } else { row::BAD });
            let time = moment(field(row, "timestamp"));
            writeln!(
                out,
                "{dim}{}{dim:#}  {style}{status}{style:#} {millis:>5} ms  {:28}  {}",
                time.get(11..).unwrap_or_default(),
                clean(&row::event(row)),
                clean(&cell(field(row, "repository")))
            )
        };
        written
            .and_then(|()| out.flush())
            .context("what was sent on can't be printed")
    }

    /// Writes down how far it is: a file that is there whole, or as it was.
    fn remember(&self, at: Option<&str>) -> anyhow::Result<()> {
        let (Some(file), Some(at)) = (&self.asked.resume_file, at) else {
            return Ok(());
        };
        let mut beside = file.clone().into_os_string();
        beside.push(format!(".new.{}", std::process::id()));
        let written = std::fs::File::create(&beside).and_then(|mut new| {
            writeln!(new, "{at}")?;
            new.sync_data()
        });
        let written = written.and_then(|()| std::fs::rename(&beside, file));
        written.with_context(|| format!("{} can't be written", file.display()))
    }
}

fn aside(text: &str) {
    let style = row::WARN;
    // Where nobody reads it, nobody misses it.
    let _ = writeln!(anstream::stderr(), "{style}-- {}{style:#}", clean(text));
}

/// Where the last start ended; nothing when there was none.
fn remembered(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim().is_empty() => bail!(
            "{} says nothing: delete it to go on with what comes in from now on, or give --after",
            file.display()
        ),
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", file.display())),
    }
}

/// The headers and the body of a delivery, from the log; nothing where the server has it no more.
async fn original(server: &Client, row: &Value) -> anyhow::Result<Option<Original>> {
    let id = cell(field(row, "id"));
    let path = format!("/webhooks/events/{}", part(&id));
    let fetched = patient(&id, async || {
        let detail: Detail = server.get_as(&path, &[]).await?;
        anyhow::Ok((detail, server.bytes(&format!("{path}/body")).await?))
    });
    match fetched.await {
        Ok((detail, body)) => {
            let headers = headers(detail);
            Ok(Some(Original { headers, body }))
        }
        Err(error) if refused(&error) == Some(StatusCode::NOT_FOUND) => {
            aside(&format!("{id} is left out: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn refused(error: &anyhow::Error) -> Option<StatusCode> {
    error.downcast_ref::<Refused>().map(|refused| refused.status)
}

/// What the server says of a delivery. While it is away, it is waited for; only a refusal is one.
async fn patient<T>(id: &str, mut ask: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (mut pause, mut told) = (PAUSE_FIRST, false);
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let is_final =
            |status: StatusCode| status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        // Nor does a good answer change that can't be read.
        let unreadable = error.downcast_ref::<Unreadable>();
        if refused(&error).is_some_and(is_final) || unreadable.is_some_and(|u| u.status.is_success()) {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            aside(&format!("{id} can't be read now, and is tried again: {error:#}"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Of what the server has of a delivery what it came with. Not its payload: that may be anything, and the body has it.
#[derive(Deserialize)]
struct Detail {
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// The headers as they came, but those that belong to a connection.
fn headers(detail: Detail) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for Header { name, value } in detail.headers {
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        // Each was a header once.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_sent_on_as_they_came_but_those_of_the_connection() {
        let detail = json!({"headers": [
            {"name": "Host", "value": "hooks.example.com"}, {"name": "content-length", "value": "7"},
            {"name": "x-hub-signature-256", "value": "sha256=00"}, {"name": "x-many", "value": "1"}, {"name": "x-many", "value": "2"},
        ]});
        let headers = headers(serde_json::from_value(detail).unwrap());
        let told: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                ("x-hub-signature-256", "sha256=00"),
                ("x-many", "1"),
                ("x-many", "2")
            ]
        );
    }

    #[test]
    fn where_it_ended_is_remembered_and_nothing_is_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resume");
        assert_eq!(remembered(&file).unwrap(), None);
        std::fs::write(&file, "").unwrap();
        assert!(
            remembered(&file).is_err(),
            "it was cut off: nobody knows where it ended"
        );
        std::fs::write(&file, "log:7\n").unwrap();
        assert_eq!(remembered(&file).unwrap().as_deref(), Some("log:7"));
        assert!(remembered(folder.path()).is_err());
    }
}
