//! Three servers that are a cluster, with TLS and credentials, and what becomes of publishing while each of them dies in turn.

use std::sync::atomic::{AtomicBool, AtomicU64};

use super::certificates::Certificates;
use super::port::free_port;
use super::server::Server;
use super::*;

/// Elections take up to nine seconds, and a server that is back has to catch up.
const PATIENCE: Duration = Duration::from_secs(90);
const PASSWORD: &str = "a password of tests";

/// As [`until`], for what an election may delay.
async fn in_time<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Cluster {
    servers: Vec<Server>,
    certificates: Certificates,
}

impl Cluster {
    fn start() -> Self {
        let certificates = Certificates::new();
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect();
        let of = |number: usize, port: &u16| {
            Server::with(&format!(
                "server_name: n{number}\n{}\
                 authorization {{ users: [{{ user: hooklog, password: \"{PASSWORD}\" }}] }}\n\
                 server_tags: [\"disk:fast\"]\n\
                 cluster {{ name: tests, listen: \"127.0.0.1:{port}\", routes: [{}] }}\n",
                certificates.of_server(),
                all.join(", ")
            ))
        };
        let servers = routes
            .iter()
            .enumerate()
            .map(|(number, port)| of(number, port))
            .collect();
        Self {
            servers,
            certificates,
        }
    }

    fn options(&self) -> JetStreamOptions {
        let urls = self
            .servers
            .iter()
            .map(|server| format!("tls://127.0.0.1:{}", server.port()));
        let password = self.certificates.file("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        JetStreamOptions {
            url: urls.collect::<Vec<_>>().join(", "),
            token: None,
            user: Some("hooklog".into()),
            password_file: Some(password),
            tls_ca_file: Some(self.certificates.file("ca.crt")),
            tls_certificate_file: Some(self.certificates.file("client.crt")),
            tls_key_file: Some(self.certificates.file("client.key")),
            replicas: 3,
            placement_tags: vec!["disk:fast".into()],
            ..self.servers[0].options()
        }
    }

    async fn connect(&self) -> JetStream {
        let jetstream = JetStream::connect(self.options()).await.unwrap();
        in_time("connected", async || jetstream.is_connected().then_some(())).await;
        jetstream
    }
}

/// Whether every copy of the stream is up to date.
async fn whole(jetstream: &JetStream) -> Option<()> {
    let stream = jetstream.context.get_stream("HOOKLOG").await.ok()?;
    let cluster = stream.cached_info().cluster.clone()?;
    let current = |peer: &async_nats::jetstream::stream::PeerInfo| peer.current && !peer.offline;
    (cluster.leader.is_some() && cluster.replicas.len() == 2 && cluster.replicas.iter().all(current))
        .then_some(())
}

/// Publishes as the relay does until it is told to stop: on any error it reads the end again and goes on from there.
async fn publish(jetstream: JetStream, published: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let to = published.load(Ordering::SeqCst) + 50;
        match try_to_publish(&jetstream, to, 50).await {
            Ok(()) => published.store(to, Ordering::SeqCst),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_cluster_die_in_turn_and_the_stream_has_no_hole_and_nothing_twice() {
    let mut cluster = Cluster::start();
    let jetstream = cluster.connect().await;
    in_time("bound", async || jetstream.rebind(log(1)).await.ok()).await;
    let info = jetstream.stream().await.unwrap().cached_info().clone();
    assert_eq!(info.config.num_replicas, 3);
    assert_eq!(info.config.placement.unwrap().tags, ["disk:fast"]);
    let (published, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let publishing = tokio::spawn(publish(
        jetstream.clone(),
        Arc::clone(&published),
        Arc::clone(&stop),
    ));
    for number in 0..3 {
        in_time("every copy is up to date", async || whole(&jetstream).await).await;
        cluster.servers[number].kill();
        let before = published.load(Ordering::SeqCst);
        let began = std::time::Instant::now();
        in_time("it goes on without one server", async || {
            (published.load(Ordering::SeqCst) >= before + 500).then_some(())
        })
        .await;
        eprintln!(
            "n{number} killed at {before}: 500 more after {:?}",
            began.elapsed()
        );
        cluster.servers[number].restart();
    }
    in_time("every copy is up to date", async || whole(&jetstream).await).await;
    stop.store(true, Ordering::SeqCst);
    publishing.await.unwrap();
    let last = published.load(Ordering::SeqCst);
    in_time("the end", async || {
        (jetstream.tail().await.ok()? == tail(last, Some(last))).then_some(())
    })
    .await;
    let reader = cluster.connect().await;
    let mut events = in_time("followed", async || reader.follow(Position::START).await.ok()).await;
    for position in 1..=last {
        assert_eq!(next(&mut events).await, position);
    }
    eprintln!("{last} events, each once, in order");
}

/// Says why it does not connect.
async fn refused(options: JetStreamOptions) -> String {
    let jetstream = JetStream::connect(options).await.unwrap();
    let why = until("a reason", async || match jetstream.tail().await {
        Err(FanOutError::Unavailable(text)) => text.strip_prefix("not connected: ").map(str::to_owned),
        other => panic!("{other:?}"),
    });
    let why = why.await;
    assert!(!jetstream.is_connected());
    why
}

#[tokio::test]
async fn who_can_not_be_believed_or_shows_nothing_is_not_talked_to() {
    let certificates = Certificates::new();
    let server = Server::with(&format!(
        "{}authorization {{ token: \"a token for tests\" }}\n",
        certificates.of_server()
    ));
    let good = JetStreamOptions {
        url: format!("nats://127.0.0.1:{}", server.port()),
        tls_ca_file: Some(certificates.file("ca.crt")),
        tls_certificate_file: Some(certificates.file("client.crt")),
        tls_key_file: Some(certificates.file("client.key")),
        ..server.options()
    };
    server.connect_with(good.clone()).await;
    let named = JetStreamOptions {
        tls_server_name: Some("nats.test".into()),
        ..good.clone()
    };
    server.connect_with(named).await;
    let other = Certificates::new();
    let stranger = JetStreamOptions {
        tls_ca_file: Some(other.file("ca.crt")),
        ..good.clone()
    };
    refused(stranger).await;
    let misnamed = JetStreamOptions {
        tls_server_name: Some("other.test".into()),
        ..good.clone()
    };
    refused(misnamed).await;
    let silent = JetStreamOptions {
        tls_certificate_file: None,
        tls_key_file: None,
        ..good.clone()
    };
    refused(silent).await;
    let wrong = JetStreamOptions {
        token: Some("another".into()),
        ..good.clone()
    };
    assert!(refused(wrong).await.contains("authorization"));
    let missing = JetStreamOptions {
        tls_ca_file: Some(certificates.file("nowhere.crt")),
        ..good
    };
    let Err(FanOutError::Refused(text)) = JetStream::connect(missing).await else {
        panic!("a file that is not there was believed");
    };
    assert!(text.contains("nowhere.crt"), "{text}");
}

#[tokio::test]
async fn an_nkey_lets_in_and_its_seed_is_never_told() {
    let key = nkeys::KeyPair::new_user();
    let server = Server::with(&format!(
        "authorization {{ users: [{{ nkey: {} }}] }}\n",
        key.public_key()
    ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seed");
    std::fs::write(&file, key.seed().unwrap()).unwrap();
    let options = JetStreamOptions {
        token: None,
        nkey_seed_file: Some(file),
        ..server.options()
    };
    let jetstream = server.connect_with(options.clone()).await;
    jetstream.rebind(log(1)).await.unwrap();
    let wrong = JetStreamOptions {
        nkey_seed_file: None,
        nkey_seed: Some("SUNOTASEED".into()),
        ..options.clone()
    };
    assert!(!format!("{wrong:?}").contains("SUNOTASEED"));
    let Err(FanOutError::Refused(text)) = JetStream::connect(wrong).await else {
        panic!("no seed at all was taken");
    };
    assert!(text.contains("nkey") && !text.contains("SUNOTASEED"), "{text}");
    let stranger = JetStreamOptions {
        nkey_seed_file: None,
        nkey_seed: Some(nkeys::KeyPair::new_user().seed().unwrap().into()),
        ..options
    };
    assert!(refused(stranger).await.contains("authorization"));
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_told() {
    let both = JetStreamOptions {
        token: Some("a".into()),
        user: Some("b".into()),
        ..JetStreamOptions::default()
    };
    assert!(both.check().unwrap_err().contains("token and user"));
    let half = JetStreamOptions {
        tls_key_file: Some("key".into()),
        ..JetStreamOptions::default()
    };
    assert!(half.check().unwrap_err().contains("tls_certificate_file"));
    let alone = JetStreamOptions {
        url: String::new(),
        replicas: 3,
        ..JetStreamOptions::default()
    };
    assert!(alone.check().unwrap_err().contains("replicas"));
    JetStreamOptions::default().check().unwrap();
}

/// A claim as NATS signs them (`nats-io/jwt`, version 2).
fn claim(signer: &nkeys::KeyPair, subject: &nkeys::KeyPair, says: serde_json::Value) -> String {
    use base64::Engine as _;
    let coded = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let head = serde_json::json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = serde_json::json!({
        "jti": "tests", "iat": 1_700_000_000, "iss": signer.public_key(), "sub": subject.public_key(), "name": "tests",
        "nats": says,
    });
    let text = format!(
        "{}.{}",
        coded(head.to_string().as_bytes()),
        coded(body.to_string().as_bytes())
    );
    let signature = coded(&signer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

#[tokio::test]
async fn a_credentials_file_lets_in() {
    let (operator, user) = (nkeys::KeyPair::new_operator(), nkeys::KeyPair::new_user());
    let (account, system) = (nkeys::KeyPair::new_account(), nkeys::KeyPair::new_account());
    let limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account =
        |limits: &serde_json::Value| serde_json::json!({"type": "account", "version": 2, "limits": limits});
    let mut plain = limits.clone();
    for storage in ["mem_storage", "disk_storage", "streams", "consumer"] {
        plain.as_object_mut().unwrap().remove(storage);
    }
    let server = Server::with(&format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        claim(
            &operator,
            &operator,
            serde_json::json!({"type": "operator", "version": 2})
        ),
        system.public_key(),
        account.public_key(),
        claim(&operator, &account, of_account(&limits)),
        system.public_key(),
        claim(&operator, &system, of_account(&plain)),
    ));
    let says = serde_json::json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nats.creds");
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        claim(&account, &user, says),
        user.seed().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let options = JetStreamOptions {
        token: None,
        credentials_file: Some(file),
        ..server.options()
    };
    let jetstream = server.connect_with(options).await;
    assert_eq!(jetstream.rebind(log(1)).await.unwrap(), tail(0, None));
    jetstream.publish(0, messages(1, 10)).await.unwrap();
    assert_eq!(jetstream.tail().await.unwrap(), tail(10, Some(10)));
}
