//! TLS and a name with a password, as the address says.

use std::sync::Arc;

use domain::testing::ManualClock;
use eventstore_sim::{Login, NodeOptions, TlsIdentity};
use infra::eventstore::{EventStoreLog, EventStoreOptions, OpenError};

use super::harness::{Server, all, delivery, options, receive, start};

fn login() -> Login {
    Login {
        user: "hooklog".to_owned(),
        password: "sword/fish".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_password_come_from_the_address_and_a_wrong_one_is_said_at_once() {
    let node = NodeOptions {
        login: Some(login()),
        ..NodeOptions::default()
    };
    let server = Server::over(Arc::default(), node).await;
    let url = |login: &str| format!("esdb://{login}@127.0.0.1:{}?tls=false", server.node.port());
    let wrong = EventStoreLog::open(options(&url("hooklog:guess")), Arc::clone(&server.clock) as _).await;
    assert!(matches!(wrong.err(), Some(OpenError::Denied)));
    let none = EventStoreLog::open(options(&server.node.url()), Arc::clone(&server.clock) as _).await;
    assert!(matches!(none.err(), Some(OpenError::Denied)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_reached_over_tls_with_the_authority_that_the_address_names() {
    let folder = tempfile::tempdir().unwrap();
    let made = certificate();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &made.certificate).unwrap();
    let node = NodeOptions {
        login: Some(Login {
            password: "swordfish".to_owned(),
            ..login()
        }),
        tls: Some(made),
        ..NodeOptions::default()
    };
    let server = Server::over(Arc::default(), node).await;
    let url = format!(
        "esdb://hooklog:swordfish@localhost:{}?tls=true&tlsCaFile={}",
        server.node.port(),
        authority.display()
    );
    let log = server.log_with(options(&url)).await;
    receive(&log, &delivery("{}")).await;
    assert_eq!(all(&log).await.len(), 1);
    // The authorities of the system do not know this one.
    let unknown = EventStoreOptions {
        connect_timeout_ms: 300,
        ..options(&format!(
            "esdb://hooklog:swordfish@localhost:{}?tls=true",
            server.node.port()
        ))
    };
    let clock = Arc::new(ManualClock::at(start()));
    let opened = EventStoreLog::open(unknown, clock).await;
    assert!(matches!(opened.err(), Some(OpenError::Unreachable { .. })));
}

/// A certificate for localhost that is its own authority, made by openssl as an operator would make it.
fn certificate() -> TlsIdentity {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    TlsIdentity {
        certificate: read("cert.pem"),
        key: read("key.pem"),
    }
}
