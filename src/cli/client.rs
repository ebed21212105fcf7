//! Asks a running server, for the commands that do what the API does.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::SettingsArgs;
use super::table::field;
use crate::serve::http::owner;
use crate::settings::Settings;

/// Longer than any call that the server itself bounds: counting a replay may take a minute, verifying a projection longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(3600);

/// A stream goes on for as long as somebody looks.
const STREAM_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The server said no, and why: nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({code}, {status})")]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: String,
    message: String,
}

/// The server answered, and it can't be told what.
#[derive(Debug, thiserror::Error)]
#[error("{url} answered {status}, and not in JSON as expected; is it a Hooklog server?")]
pub(super) struct Unreadable {
    pub(super) status: StatusCode,
    url: String,
}

/// An answer, as far as the envelope.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// Which server to ask; on every command that asks one.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The server [default: the one of the settings].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The API key; better in the variable, where other users of the machine don't see it.
    #[arg(long, value_name = "KEY", env = "HOOKLOG_API_KEY", hide_env_values = true)]
    key: Option<SecretString>,
    /// A certificate to trust beside the system's, PEM: that of a server with one of its own.
    #[arg(long, value_name = "FILE", env = "HOOKLOG_CACERT")]
    cacert: Option<PathBuf>,
    /// Prints the answer's data as JSON, for scripts.
    #[arg(long)]
    pub(super) json: bool,
}

/// A server to ask.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
    key: Option<SecretString>,
}

impl ServerArgs {
    /// The server that is meant. Without an address and a key that is the one that runs in the data directory, through its
    /// socket: whoever can open that needs no key.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let builder = reqwest::Client::builder()
            .timeout(CALL_TIMEOUT)
            // A key must not follow wherever an answer leads.
            .redirect(reqwest::redirect::Policy::none());
        let base = match &self.url {
            Some(url) => url.clone(),
            None => {
                let settings = self.settings.overrides().load()?.settings;
                let socket = owner::path(&settings.data.dir);
                if self.key.is_none() && UnixStream::connect(&socket).is_ok() {
                    return Ok(Client {
                        base: "http://localhost".to_owned(),
                        http: builder.unix_socket(socket).no_proxy().build()?,
                        key: None,
                    });
                }
                settings.server.base_url()
            }
        };
        Ok(Client {
            http: trusting(direct(builder, &base), self.cacert.as_deref())?.build()?,
            base: base.trim_end_matches('/').to_owned(),
            key: self.key.clone(),
        })
    }

    /// The settings, for what needs no server.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        Ok(self.settings.overrides().load()?.settings)
    }
}

/// What is on this machine is asked without the proxy that the environment may name.
pub(super) fn direct(builder: reqwest::ClientBuilder, url: &str) -> reqwest::ClientBuilder {
    let is_here = reqwest::Url::parse(url).is_ok_and(|url| match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            address.is_ok_and(|address| address.to_canonical().is_loopback())
        }
        None => false,
    });
    if is_here { builder.no_proxy() } else { builder }
}

/// A client that trusts the certificates of a file beside the system's.
pub(super) fn trusting(
    builder: reqwest::ClientBuilder,
    file: Option<&Path>,
) -> anyhow::Result<reqwest::ClientBuilder> {
    let Some(file) = file else {
        return Ok(builder);
    };
    let pem = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem);
    let certificates =
        certificates.with_context(|| format!("there is no certificate in {}", file.display()))?;
    Ok(builder.tls_certs_merge(certificates))
}

impl Client {
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let url = self.url(path);
        self.call(self.http.get(&url).query(query), &url).await
    }

    /// The data as far as it is of use: the rest may be anything, however deep.
    pub(super) async fn get_as<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<T> {
        let url = self.url(path);
        let answer = self.good(self.http.get(&url).query(query), &url).await?;
        Ok(json_of::<Envelope<T>>(answer, &url).await?.data)
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = self.url(path);
        self.call(self.http.post(&url).json(body), &url).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = self.url(path);
        self.call(self.http.patch(&url).json(body), &url).await
    }

    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        let url = self.url(path);
        self.call(self.http.request(Method::DELETE, &url), &url).await
    }

    /// The status that a path outside the API answers with, in time.
    pub(super) async fn status(&self, path: &str, timeout: Duration) -> anyhow::Result<StatusCode> {
        let url = format!("{}{path}", self.base);
        let answer = self.http.get(&url).timeout(timeout).send().await;
        let answer = answer.with_context(|| format!("{url} does not answer"))?;
        Ok(answer.status())
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api{path}", self.base)
    }

    /// The data of a good answer; what the server says of a bad one.
    async fn call(&self, request: reqwest::RequestBuilder, url: &str) -> anyhow::Result<Value> {
        let mut json: Value = json_of(self.good(request, url).await?, url).await?;
        Ok(json.get_mut("data").map_or(Value::Null, Value::take))
    }

    /// The bytes of a good answer.
    pub(super) async fn bytes(&self, path: &str) -> anyhow::Result<Bytes> {
        let url = self.url(path);
        let answer = self.good(self.http.get(&url), &url).await?;
        answer.bytes().await.context("the answer can't be read")
    }

    /// An answer that goes on, from after an event.
    pub(super) async fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        after: Option<&str>,
    ) -> anyhow::Result<Response> {
        let url = self.url(path);
        let mut request = self.http.get(&url).query(query).timeout(STREAM_TIMEOUT);
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        self.good(request, &url).await
    }

    /// A good answer; what the server says of a bad one.
    async fn good(&self, request: reqwest::RequestBuilder, url: &str) -> anyhow::Result<Response> {
        let request = match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        };
        let answer = request
            .header("User-Agent", concat!("hooklog-cli/", env!("CARGO_PKG_VERSION")))
            .send()
            .await
            .with_context(|| format!("{url} can't be reached; is `hooklog serve` running there?"))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let json: Value = json_of(answer, url).await?;
        let error = field(&json, "error");
        let text = |name, none: &str| field(error, name).as_str().unwrap_or(none).to_owned();
        Err(Refused {
            status,
            code: text("code", "no code"),
            message: text("message", "it does not say why"),
        }
        .into())
    }
}

async fn json_of<T: DeserializeOwned>(answer: Response, url: &str) -> anyhow::Result<T> {
    let status = answer.status();
    let text = answer.text().await.context("the answer can't be read")?;
    serde_json::from_str(&text).map_err(|_| {
        let url = url.to_owned();
        Unreadable { status, url }.into()
    })
}

/// A part of a path, escaped: keys hold percent signs, projections and destinations could be mistyped as anything.
pub(super) fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
