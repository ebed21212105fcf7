//! Whether an engine answers, and to us: with our secrets, on our port.

use std::net::Ipv4Addr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TOKEN_HEADER;

/// The longest one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The longest line of the NATS protocol read here.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How to ask an engine whether it is ready.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    Nats {
        token: SecretString,
    },
    ClickHouse {
        http: reqwest::Client,
        user: &'static str,
        password: SecretString,
        token: SecretString,
    },
}

#[derive(Deserialize)]
struct Info {
    version: String,
    #[serde(default)]
    jetstream: bool,
}

impl Probe {
    /// The version of an engine that is ready; otherwise why it isn't.
    pub(super) async fn version(&self, port: u16) -> Result<String, String> {
        let attempt = async {
            match self {
                Self::Nats { token } => nats(port, token).await,
                Self::ClickHouse {
                    http,
                    user,
                    password,
                    token,
                } => {
                    let request = http
                        .post(format!("http://127.0.0.1:{port}/"))
                        .header(TOKEN_HEADER, token.expose_secret())
                        .basic_auth(user, Some(password.expose_secret()))
                        .body("SELECT version()");
                    clickhouse(request).await
                }
            }
        };
        timeout(ATTEMPT, attempt)
            .await
            .unwrap_or_else(|_| Err("no answer".to_owned()))
    }
}

async fn clickhouse(request: reqwest::RequestBuilder) -> Result<String, String> {
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if status.is_success() {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("{status}: {}", text.lines().next().unwrap_or_default()))
    }
}

/// Logs in and pings: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
async fn nats(port: u16, token: &SecretString) -> Result<String, String> {
    let said = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(said)?;
    let mut stream = BufReader::new(stream.take(u64::MAX));
    let mut line = String::new();
    read_line(&mut stream, &mut line).await.map_err(said)?;
    let info = line
        .strip_prefix("INFO ")
        .ok_or_else(|| "it is not a NATS server".to_owned())?;
    let info: Info = serde_json::from_str(info).map_err(|error| error.to_string())?;
    if !info.jetstream {
        return Err("JetStream is not on".to_owned());
    }
    let login = serde_json::json!({"auth_token": token.expose_secret(), "verbose": false, "pedantic": false});
    let login = format!("CONNECT {login}\r\nPING\r\n");
    stream
        .get_mut()
        .get_mut()
        .write_all(login.as_bytes())
        .await
        .map_err(said)?;
    read_line(&mut stream, &mut line).await.map_err(said)?;
    if line.trim() == "PONG" {
        Ok(info.version)
    } else {
        Err(format!("it refuses our token: {}", line.trim()))
    }
}

async fn read_line(
    stream: &mut BufReader<tokio::io::Take<TcpStream>>,
    line: &mut String,
) -> std::io::Result<usize> {
    line.clear();
    stream.get_mut().set_limit(LINE_BYTES_MAX);
    stream.read_line(line).await
}
