//! HTTPS: curl and openssl as the clients, and a certificate that is replaced while the server runs.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Launch, Server, eventually, signal};

const PATIENT: Duration = Duration::from_secs(60);

/// Makes a certificate of its own authority for this machine.
fn certificate(folder: &Path, name: &str) {
    let done = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        // Not an authority: not everybody takes one for a server.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn launch(folder: &Path) -> Launch {
    let file = |name: &str| folder.join(name).display().to_string();
    Launch::in_folder(folder)
        .env("HOOKLOG_SERVER__TLS_CERTIFICATE", &file("cert.pem"))
        .env("HOOKLOG_SERVER__TLS_KEY", &file("key.pem"))
        .env("HOOKLOG_SERVER__TLS_HANDSHAKE_TIMEOUT_MS", "1000")
        .env("HOOKLOG_SERVER__TLS_CHECK_MS", "300")
}

fn curl(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(folder.join("cert.pem"))
        .args(arguments)
        .output()
        .unwrap()
}

/// What openssl says of a handshake.
fn handshake(server: &Server, arguments: &[&str]) -> (bool, String) {
    let done = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.port())])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    (done.status.success(), text)
}

async fn ready(server: &Server, folder: &Path) -> String {
    let base = format!("https://127.0.0.1:{}", server.port());
    eventually("it answers over HTTPS", PATIENT, || async {
        let done = curl(folder, &["--fail", &format!("{base}/ready")]);
        if done.status.success() {
            Ok(())
        } else {
            Err(format!(
                "{}\n{}",
                String::from_utf8_lossy(&done.stderr),
                server.printed()
            ))
        }
    })
    .await;
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_in_its_newer_versions_alone_and_a_silent_peer_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "first");
    let server = launch(folder.path()).spawn();
    let base = ready(&server, folder.path()).await;
    let silent: Vec<_> = (0..64)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap())
        .collect();
    let head = curl(folder.path(), &["-i", &format!("{base}/health")]);
    let head = String::from_utf8_lossy(&head.stdout).to_lowercase();
    assert!(
        head.starts_with("http/1.1 200") && head.contains("strict-transport-security: max-age="),
        "{head}"
    );
    for (version, spoken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let (_, text) = handshake(&server, &[version]);
        let made = text.contains("-----BEGIN CERTIFICATE-----");
        assert_eq!(made, spoken, "{version}: {text}");
    }
    let plain = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            &format!("http://127.0.0.1:{}/health", server.port()),
        ])
        .output()
        .unwrap();
    assert!(!plain.status.success(), "HTTP is not spoken there");
    drop(silent);
    // The command line, over the network, with a key.
    let key = server.launch().run(&["key", "create", "ops", "--scope", "admin"]);
    let key = String::from_utf8(key.stdout).unwrap();
    let cert = folder.path().join("cert.pem").display().to_string();
    let list = [
        "key",
        "list",
        "--url",
        &base,
        "--cacert",
        &cert,
        "--key",
        key.trim(),
    ];
    let done = server.launch().run(&list);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("ops"));
    let sent = server.launch().run(&["send", "--url", &base, "--cacert", &cert]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let untrusted = server.launch().run(&["send", "--url", &base]);
    assert!(!untrusted.status.success(), "nobody vouches for it");
    let untrusted = server
        .launch()
        .run(&["key", "list", "--url", &base, "--key", key.trim()]);
    assert!(!untrusted.status.success(), "nobody vouches for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_over_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "first");
    let server = launch(folder.path())
        // Only when told to.
        .env("HOOKLOG_SERVER__TLS_CHECK_MS", "3600000")
        .spawn();
    ready(&server, folder.path()).await;
    let shown = |server: &Server| handshake(server, &[]).1;
    assert!(shown(&server).contains("first"));
    certificate(folder.path(), "second");
    assert!(shown(&server).contains("first"), "nobody told it yet");
    signal(server.pid(), Signal::HUP);
    eventually("the second certificate serves", PATIENT, || async {
        let text = shown(&server);
        if text.contains("second") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    signal(server.pid(), Signal::HUP);
    eventually("it is warned of", PATIENT, || async {
        let printed = server.printed();
        if printed.contains("the old one serves on") {
            Ok(())
        } else {
            Err(printed)
        }
    })
    .await;
    assert!(shown(&server).contains("second"));
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "third");
    let server = launch(folder.path()).spawn();
    ready(&server, folder.path()).await;
    certificate(folder.path(), "fourth");
    eventually("a change of the files is noticed", PATIENT, || async {
        let text = shown(&server);
        if text.contains("fourth") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_does_not_fit_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "first");
    let other = tempfile::tempdir().unwrap();
    certificate(other.path(), "other");
    std::fs::copy(other.path().join("key.pem"), folder.path().join("key.pem")).unwrap();
    let (status, text) = launch(folder.path()).refusal().await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("does not fit the certificate"), "{text}");
    let (status, text) = Launch::in_folder(folder.path())
        .env("HOOKLOG_SERVER__TLS_CERTIFICATE", "cert.pem")
        .refusal()
        .await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("HTTPS needs both"), "{text}");
}
