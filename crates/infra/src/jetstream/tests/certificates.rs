//! An authority and what it signed, made by openssl for one test.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub(super) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// An authority, a certificate of servers for `nats.test` and loopback, and one of a client.
    pub(super) fn new() -> Self {
        // The client of NATS takes the provider of the process, as main sets it.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        let authority = [
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=tests",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ];
        made.openssl(&[&authority[..], &curve].concat());
        for (name, uses) in [
            (
                "server",
                "subjectAltName=DNS:nats.test,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth",
            ),
            ("client", "extendedKeyUsage=clientAuth"),
        ] {
            let [key, request, certificate, extensions] =
                ["key", "csr", "crt", "ext"].map(|kind| format!("{name}.{kind}"));
            std::fs::write(made.folder.path().join(&extensions), uses).unwrap();
            let subject = format!("/CN={name}");
            let ask = ["req", "-subj", &subject, "-keyout", &key, "-out", &request];
            made.openssl(&[&ask[..], &curve].concat());
            made.openssl(&[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                &extensions,
                "-out",
                &certificate,
            ]);
        }
        made
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The files of a server, as its configuration names them; clients have to show a certificate too.
    pub(super) fn of_server(&self) -> String {
        let [certificate, key, authority] =
            ["server.crt", "server.key", "ca.crt"].map(|name| self.file(name));
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
            certificate.display(),
            key.display(),
            authority.display()
        )
    }

    fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("openssl runs");
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
