//! The servers that may be asked: the first one, and while it is away the next.
//!
//! Never here: spreading statements over servers. Whoever reads where it has just written reads its own rows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clickhouse::Client;
use domain::TableError;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;

use super::ClickHouseOptions;
use crate::tls::{TlsFiles, secret_in};

/// How long a connection may take to be made: less than any statement, so that the next server has its time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// ClickHouse closes idle connections after three seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A server.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) client: Client,
    /// Its address as it may be told.
    url: String,
    /// Until when it is passed over; shared by everybody who asks it.
    away_until: Arc<Mutex<Option<Instant>>>,
}

/// The servers, in the order of the settings.
#[derive(Clone)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    pause: Duration,
}

impl Hosts {
    pub(super) fn new(options: &ClickHouseOptions) -> Result<Self, TableError> {
        let password = match &options.password_file {
            Some(path) => secret_in(path).map_err(|error| {
                TableError::Refused(format!("read the password in {}: {error}", path.display()))
            })?,
            None => options.password.clone(),
        };
        let base = base(options)?
            .with_user(&options.user)
            .with_password(password.expose_secret())
            .with_database(&options.database)
            .with_product_info("hooklog", env!("CARGO_PKG_VERSION"));
        let urls = options
            .url
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty());
        let host = |url: &str| Host {
            client: base.clone().with_url(url),
            url: without_userinfo(url),
            away_until: Arc::default(),
        };
        let hosts: Vec<Host> = urls.map(host).collect();
        if hosts.is_empty() {
            return Err(TableError::Refused("no address of a ClickHouse server".into()));
        }
        Ok(Self {
            hosts,
            pause: Duration::from_millis(options.host_pause_ms),
        })
    }

    /// The same servers, asked in another way.
    pub(super) fn with(mut self, change: impl Fn(Client) -> Client) -> Self {
        for host in &mut self.hosts {
            host.client = change(host.client.clone());
        }
        self
    }

    /// In the order in which they should be asked: those that are not known to be away first.
    pub(super) fn in_order(&self) -> Vec<&Host> {
        let now = Instant::now();
        let mut hosts: Vec<&Host> = self.hosts.iter().collect();
        // Stable: among equals the order of the settings holds.
        hosts.sort_by_key(|host| host.away_until().filter(|until| *until > now));
        hosts
    }

    /// It did not answer: others are asked first, for a while.
    pub(super) fn went_away(&self, host: &Host) {
        if self.hosts.len() < 2 {
            return;
        }
        let before = host.set_away(Some(Instant::now() + self.pause));
        if before.is_none() {
            tracing::warn!(url = %host.url, "a clickhouse server is away; the next one is asked");
        }
    }

    /// It answered.
    pub(super) fn is_back(&self, host: &Host) {
        if host.away_until().is_some() && host.set_away(None).is_some() {
            tracing::info!(url = %host.url, "a clickhouse server is back");
        }
    }
}

impl Host {
    fn away_until(&self) -> Option<Instant> {
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_away(&self, until: Option<Instant>) -> Option<Instant> {
        let mut away = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *away, until)
    }
}

/// An address without the user and the password that may stand in it.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest
        .get(..end)
        .and_then(|authority| authority.rfind('@'))
        .map_or(0, |at| at + 1);
    format!("{scheme}://{}", rest.get(host..).unwrap_or_default())
}

/// A client that speaks HTTP, and TLS to addresses that ask for it.
fn base(options: &ClickHouseOptions) -> Result<Client, TableError> {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let pool = || {
        let mut builder = HttpClient::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE_TIMEOUT);
        builder
    };
    if !options.wants_tls() {
        return Ok(Client::with_http_client(pool().build(connector)));
    }
    connector.enforce_http(false);
    let certificate = options
        .tls_certificate_file
        .as_deref()
        .zip(options.tls_key_file.as_deref());
    let files = TlsFiles {
        authorities: options.tls_ca_file.as_deref(),
        certificate,
        server_name: options.tls_server_name.as_deref(),
    };
    let config = files
        .config()
        .map_err(|error| TableError::Refused(format!("TLS to ClickHouse: {error}")))?;
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::with_http_client(pool().build(connector)))
}

#[cfg(test)]
mod tests {
    use super::without_userinfo;

    #[test]
    fn an_address_is_told_without_a_password() {
        for (url, told) in [
            ("http://a:8123", "http://a:8123"),
            ("https://user:pass@word@a:8443/x?y=@z", "https://a:8443/x?y=@z"),
            ("no scheme", "no scheme"),
        ] {
            assert_eq!(without_userinfo(url), told);
        }
    }
}
