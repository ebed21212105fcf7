//! TLS to destinations: the system's certificate authorities, so that a company's own one works, and Mozilla's where the
//! system has none, as in a bare container.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// The configuration of every connection to a destination.
pub(crate) fn system() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system could not be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::info!("the system has no certificate authorities; those of mozilla are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    with_roots(roots)
}

/// A configuration that trusts these authorities.
pub(crate) fn with_roots(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let versioned = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versioned.with_root_certificates(roots).with_no_client_auth())
}
