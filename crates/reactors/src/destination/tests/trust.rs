//! Certificates.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use domain::ErrorCode;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::super::tls::with_roots;
use super::rig::{Rig, delivered, dispatch, failed};
use super::server::{Answer, Server};

/// A certificate for `hooks.example`, and its key.
fn certificate(directory: &Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (key, cert) = (directory.join("key.pem"), directory.join("cert.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=hooks.example",
            "-addext",
            "subjectAltName=DNS:hooks.example",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (
        CertificateDer::from_pem_file(&cert).unwrap(),
        PrivateKeyDer::from_pem_file(&key).unwrap(),
    )
}

async fn https() -> (Server, CertificateDer<'static>) {
    let directory = std::env::temp_dir().join(format!("hooklog-trust-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).unwrap();
    let (certificate, key) = certificate(&directory);
    std::fs::remove_dir_all(&directory).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    (
        Server::start(&[Answer::status("200 OK")], Some(acceptor)).await,
        certificate,
    )
}

fn rig(server: &Server, host: &str, trusted: &[CertificateDer<'static>]) -> Rig {
    let mut rig = Rig::at(format!("https://{host}:{}/hook", server.address.port()));
    rig.names.insert(host.into(), vec!["127.0.0.1".parse().unwrap()]);
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    rig.trust = Some(with_roots(roots).unwrap());
    rig
}

#[tokio::test]
async fn a_trusted_certificate_is_delivered_to_and_another_one_is_not() {
    let (server, certificate) = https().await;
    delivered(
        rig(&server, "hooks.example", std::slice::from_ref(&certificate))
            .send(&dispatch("{}"))
            .await,
    );
    assert_eq!(server.seen()[0].line, "POST /hook HTTP/1.1");
    for (host, trusted) in [("hooks.example", vec![]), ("other.example", vec![certificate])] {
        let failure = failed(rig(&server, host, &trusted).send(&dispatch("{}")).await);
        assert_eq!(failure.code, ErrorCode::NetworkError, "{host}: {failure:?}");
        assert!(failure.message.contains("certificate"), "{host}: {failure:?}");
    }
    assert_eq!(server.seen().len(), 1);
}
