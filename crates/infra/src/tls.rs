//! How the way to an engine of somebody else is made private: whose certificates are believed, and which one we show.
//!
//! Never here: a way to believe any certificate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::SecretString;

/// Which files say whom to believe and who we are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsFiles<'a> {
    /// Certificates of authorities, PEM; those of the system without it.
    pub(crate) authorities: Option<&'a Path>,
    /// Our certificate and its key, PEM; none is shown without them.
    pub(crate) certificate: Option<(&'a Path, &'a Path)>,
    /// The name that the server's certificate has to be for, where it is not that of the address.
    pub(crate) server_name: Option<&'a str>,
}

/// Why TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("read {}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("{0:?} is no name of a server")]
    ServerName(String),
    #[error("certificates can't be used: {0}")]
    Certificates(String),
}

impl TlsFiles<'_> {
    /// Reads the files.
    pub(crate) fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.roots()?);
        let unusable = |error: &dyn std::fmt::Display| TlsError::Certificates(error.to_string());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| unusable(&error))?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.server_name {
            Some(name) => {
                let wrong = |_| TlsError::ServerName(name.to_owned());
                Arc::new(OneName {
                    name: ServerName::try_from(name.to_owned()).map_err(wrong)?,
                    verifier,
                })
            }
            None => verifier,
        };
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // "dangerous" is what rustls calls any verifier that is handed to it; these are its own.
        let builder = builder.map_err(|error| unusable(&error))?.dangerous();
        let builder = builder.with_custom_certificate_verifier(verifier);
        match self.certificate {
            Some((certificate, key)) => {
                let shown = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file_error(key, &error))?;
                builder
                    .with_client_auth_cert(shown, key)
                    .map_err(|error| unusable(&error))
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match self.authorities {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| file_error(path, &error))?;
                }
            }
            None => {
                let of_the_system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(of_the_system.certs);
            }
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| file_error(path, &error))?;
    let read = read.collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| file_error(path, &error))?;
    if read.is_empty() {
        return Err(file_error(path, &"there is no certificate in it"));
    }
    Ok(read)
}

fn file_error(path: &Path, problem: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Checks certificates as rustls does, but always for one name: that of a cluster, whichever of its addresses was called.
#[derive(Debug)]
struct OneName {
    name: ServerName<'static>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for OneName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _called: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A secret that stands in a file, such as a mounted one: its first line.
pub(crate) fn secret_in(path: &Path) -> io::Result<SecretString> {
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path)?);
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is no secret in it",
        ));
    }
    Ok(line.to_owned().into())
}
