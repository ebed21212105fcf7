//! TLS on the listener: a certificate and its key from files, read again when they change.
//!
//! A new pair that can't be used never replaces a good one: it is warned of, and the old one serves on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Where the pair is, and how patient to be.
#[derive(Debug, Clone)]
pub(crate) struct TlsOptions {
    /// The certificate and those that lead to its authority, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
    /// The longest that a handshake may take.
    pub(crate) handshake_timeout: Duration,
    /// How often the files are looked at.
    pub(crate) check: Duration,
}

/// The pair in use.
pub(crate) struct Tls {
    options: TlsOptions,
    current: RwLock<Arc<ServerConfig>>,
    /// What was last read, whether it could be used or not.
    seen: RwLock<[u8; 32]>,
}

/// What stands in the files.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the pair.
    ///
    /// # Errors
    /// When it can't be read or does not fit together.
    pub(crate) fn open(options: TlsOptions) -> anyhow::Result<Self> {
        let pair = Pair::read(&options)?;
        Ok(Self {
            current: RwLock::new(Arc::new(pair.config(&options)?)),
            seen: RwLock::new(pair.digest()),
            options,
        })
    }

    /// Makes a connection private, within the time that a handshake may take.
    pub(super) async fn accept(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let current = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let handshake = TlsAcceptor::from(current).accept(socket);
        tokio::time::timeout(self.options.handshake_timeout, handshake)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Reads the files again when they changed, and on SIGHUP, until it is told to stop.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::warn!("SIGHUP can't be listened to; the TLS certificate is looked at all the same");
            return self.look_now_and_then(stop).await;
        };
        loop {
            tokio::select! {
                _ = hangup.recv() => self.look(true),
                () = tokio::time::sleep(self.options.check) => self.look(false),
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look_now_and_then(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.options.check) => self.look(false),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes a new pair over; `asked` tells of it also when nothing changed.
    fn look(&self, asked: bool) {
        let certificate = self.options.certificate.display();
        let pair = match Pair::read(&self.options) {
            Ok(pair) => pair,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, %certificate, "the TLS certificate can't be read; the old one serves on");
                return;
            }
        };
        let digest = pair.digest();
        let known = *self.seen.read().unwrap_or_else(PoisonError::into_inner) == digest;
        if known && !asked {
            return;
        }
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = digest;
        match pair.config(&self.options) {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!(%certificate, "the TLS certificate was read again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, %certificate, "the new TLS certificate can't be used; the old one serves on");
            }
        }
    }
}

impl Pair {
    fn read(options: &TlsOptions) -> anyhow::Result<Self> {
        let read = |setting: &str, file: &Path| {
            std::fs::read(file)
                .with_context(|| format!("setting server.{setting}: {} can't be read", file.display()))
        };
        Ok(Self {
            certificate: read("tls_certificate", &options.certificate)?,
            key: read("tls_key", &options.key)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update((self.certificate.len() as u64).to_le_bytes());
        hasher.update(&self.certificate);
        hasher.update(&self.key);
        hasher.finalize().into()
    }

    fn config(&self, options: &TlsOptions) -> anyhow::Result<ServerConfig> {
        let (file, key_file) = (options.certificate.display(), options.key.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain =
            chain.with_context(|| format!("setting server.tls_certificate: {file} is no PEM file"))?;
        if chain.is_empty() {
            bail!("setting server.tls_certificate: there is no certificate in {file}");
        }
        // The error of the parser may quote the file; this one is a secret.
        let Ok(key) = PrivateKeyDer::from_pem_slice(&self.key) else {
            bail!("setting server.tls_key: there is no private key in {key_file} that can be read");
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("the key of {key_file} does not fit the certificate of {file}"));
        let mut config = config?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
