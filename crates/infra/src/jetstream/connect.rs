//! How a connection to NATS is made and kept: who we are, whom we believe, how soon it is tried again, and what is said about it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use domain::FanOutError;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use super::JetStreamOptions;
use crate::tls::{TlsFiles, secret_in};

/// What kept it from connecting last; empty while it is connected.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<String>>);

impl Trouble {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is another one than before: each is said once, not at each try.
    fn replace(&self, trouble: String) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *last != trouble;
        *last = trouble;
        is_new
    }
}

/// What the client is told before it connects. Everything that can be wrong with files is found here, not at each try.
pub(super) fn options(
    options: &JetStreamOptions,
    lost: watch::Sender<u64>,
    trouble: Trouble,
) -> Result<ConnectOptions, FanOutError> {
    let delay_max_ms = options.reconnect_delay_max_ms.max(10);
    let connect = ConnectOptions::new()
        .name("hooklog")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(Duration::from_millis(options.connect_timeout_ms))
        .request_timeout(Some(Duration::from_millis(options.request_timeout_ms)))
        .reconnect_delay_callback(move |attempts| {
            let doublings = u32::try_from(attempts.min(16)).unwrap_or(16);
            Duration::from_millis((10_u64 << doublings).min(delay_max_ms))
        })
        .event_callback({
            let watch = Watch {
                connected_before: AtomicBool::new(false),
                trouble,
                lost,
            };
            move |event| {
                watch.happened(&event);
                std::future::ready(())
            }
        });
    private(known(connect, options)?, options)
}

/// Says who we are.
fn known(mut connect: ConnectOptions, options: &JetStreamOptions) -> Result<ConnectOptions, FanOutError> {
    if let Some(token) = secret("token", options.token.as_ref(), options.token_file.as_deref())? {
        connect = connect.token(token.expose_secret().to_owned());
    }
    if let Some(user) = &options.user {
        let password = secret(
            "password",
            Some(&options.password),
            options.password_file.as_deref(),
        )?;
        let password = password.unwrap_or_default();
        connect = connect.user_and_password(user.clone(), password.expose_secret().to_owned());
    }
    if let Some(seed) = secret(
        "nkey seed",
        options.nkey_seed.as_ref(),
        options.nkey_seed_file.as_deref(),
    )? {
        nkeys::KeyPair::from_seed(seed.expose_secret())
            .map_err(|error| FanOutError::Refused(format!("the nkey seed can't be used: {error}")))?;
        connect = connect.nkey(seed.expose_secret().to_owned());
    }
    if let Some(path) = &options.credentials_file {
        let unreadable = |error: std::io::Error| {
            FanOutError::Refused(format!("read credentials {}: {error}", path.display()))
        };
        let credentials = std::fs::read_to_string(path).map_err(unreadable)?;
        connect = connect.credentials(&credentials).map_err(unreadable)?;
    }
    Ok(connect)
}

/// A secret of the settings, or of the file that they name.
fn secret(
    what: &str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<Option<SecretString>, FanOutError> {
    match file {
        Some(path) => {
            let read = secret_in(path);
            let unreadable =
                |error| FanOutError::Refused(format!("read the {what} in {}: {error}", path.display()));
            read.map(Some).map_err(unreadable)
        }
        None => Ok(value.cloned()),
    }
}

/// Makes the connection private, where that is asked for.
fn private(connect: ConnectOptions, options: &JetStreamOptions) -> Result<ConnectOptions, FanOutError> {
    if !options.wants_tls() {
        return Ok(connect);
    }
    let authorities = options.tls_ca_file.as_deref();
    let certificate = options
        .tls_certificate_file
        .as_deref()
        .zip(options.tls_key_file.as_deref());
    let files = TlsFiles {
        authorities,
        certificate,
        server_name: options.tls_server_name.as_deref(),
    };
    let config = files
        .config()
        .map_err(|error| FanOutError::Refused(format!("TLS to NATS: {error}")))?;
    let mut connect = connect.require_tls(true);
    if options.tls_first {
        connect = connect.tls_first();
    }
    if options.tls_server_name.is_some() {
        return Ok(connect.tls_client_config(config));
    }
    // By their names: the client reads them again for each connection, so that new ones are taken without a restart.
    if let Some(path) = authorities {
        connect = connect.add_root_certificates(path.to_owned());
    }
    if let Some((certificate, key)) = certificate {
        connect = connect.add_client_certificate(certificate.to_owned(), key.to_owned());
    }
    Ok(connect)
}

/// What is kept of what happened to the connection.
struct Watch {
    connected_before: AtomicBool,
    trouble: Trouble,
    lost: watch::Sender<u64>,
}

impl Watch {
    fn happened(&self, event: &Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to nats");
                metrics::gauge!("hooklog_jetstream_connected").set(1.0);
                self.trouble.replace(String::new());
                // A connection that was replaced is not always announced as lost.
                if self.connected_before.swap(true, Ordering::SeqCst) {
                    self.lost.send_modify(|losses| *losses += 1);
                }
            }
            Event::Disconnected | Event::Closed => {
                tracing::warn!("connection to nats lost");
                metrics::gauge!("hooklog_jetstream_connected").set(0.0);
                self.lost.send_modify(|losses| *losses += 1);
            }
            Event::SlowConsumer(_) => tracing::warn!("nats says that a subscription is too slow"),
            Event::ServerError(error) => tracing::warn!(%error, "nats reports an error"),
            Event::ClientError(error) => {
                if self.trouble.replace(error.to_string()) {
                    tracing::warn!(%error, "no connection to nats yet; it is tried again");
                } else {
                    tracing::debug!(%error, "nats client reports an error");
                }
            }
            Event::LameDuckMode | Event::Draining => {
                tracing::info!(%event, "nats connection is about to move")
            }
        }
    }
}
