//! Who gets into ClickHouse, and how far.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use infra::engine::{ClickHouseEndpoint, EngineState, TOKEN_HEADER};
use secrecy::ExposeSecret as _;

use crate::harness::{Client, Running, answer, http, listens};

/// What an intruder would try.
const ATTACKS: [&str; 12] = [
    "SELECT 1",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM hooklog.secrets",
    "SELECT name FROM system.tables",
    "SELECT sum(number) FROM system.numbers",
    "SYSTEM STOP LISTEN HTTP",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "KILL QUERY WHERE 1",
    "CREATE DATABASE hooklog_intruder",
    "DROP DATABASE hooklog",
];

async fn with_a_table() -> (Running, ClickHouseEndpoint) {
    let running = Running::clickhouse().await;
    let endpoint = running.clickhouse_endpoint();
    let owner = Client::owner(&endpoint);
    owner.succeeds("CREATE DATABASE hooklog ENGINE = Atomic").await;
    owner
        .succeeds("CREATE TABLE hooklog.secrets (a UInt64) ENGINE = ReplacingMergeTree ORDER BY a SETTINGS fsync_after_insert = 1")
        .await;
    owner
        .succeeds("INSERT INTO hooklog.secrets VALUES (1), (2), (3)")
        .await;
    (running, endpoint)
}

/// Nothing that was tried did any harm.
async fn is_unharmed(running: &Running) {
    let owner = Client::owner(&running.clickhouse_endpoint());
    assert_eq!(owner.succeeds("SELECT count() FROM hooklog.secrets").await, "3");
    let strange = "SELECT count() FROM system.databases WHERE name LIKE '%intruder%'";
    assert_eq!(owner.succeeds(strange).await, "0");
    let status = running.status("clickhouse");
    assert_eq!((status.state, status.restarts), (EngineState::Ready, 0));
}

#[tokio::test]
async fn without_the_token_everything_but_ping_is_not_found() {
    let (running, endpoint) = with_a_table().await;
    let url = &endpoint.url;
    assert_eq!(answer(http().get(format!("{url}/ping"))).await.0, 200);
    for path in [
        "",
        "/",
        "/play",
        "/dashboard",
        "/binary",
        "/metrics",
        "/replicas_status",
        "/js/uplot.js",
    ] {
        assert_eq!(answer(http().get(format!("{url}{path}"))).await.0, 404, "{path}");
    }
    assert_eq!(
        answer(http().post(format!("{url}/ping")).body("SELECT 1"))
            .await
            .0,
        404
    );
    for sql in ATTACKS {
        for query in ["/", "/ping/", "/?user=default"] {
            let separator = if query.contains('?') { '&' } else { '?' };
            let get = http().get(format!("{url}{query}{separator}query={}", escaped(sql)));
            let (status, text) = answer(get).await;
            assert_eq!(status, 404, "GET {query} {sql}: {text}");
            let (status, text) = answer(http().post(format!("{url}{query}")).body(sql)).await;
            assert_eq!(status, 404, "POST {query} {sql}: {text}");
        }
        let ping = http().get(format!("{url}/ping?query={}", escaped(sql)));
        let (status, text) = answer(ping).await;
        assert!(
            status == 404 || text.trim() == "Ok.",
            "GET /ping {sql}: {status} {text}"
        );
    }
    is_unharmed(&running).await;
    running.engines.shutdown().await;
}

#[tokio::test]
async fn the_right_password_without_the_right_token_is_not_found() {
    let (running, endpoint) = with_a_table().await;
    let token = endpoint.token.expose_secret();
    let wrong = [
        None,
        Some(String::new()),
        Some(token[1..].to_owned()),
        Some(format!("{token}0")),
    ];
    for token in wrong {
        for login in [
            Some((
                endpoint.user.clone(),
                endpoint.password.expose_secret().to_owned(),
            )),
            None,
        ] {
            let client = Client {
                url: endpoint.url.clone(),
                token: token.clone(),
                login,
            };
            let (status, text) = client.ask("SELECT 1").await;
            assert_eq!(status, 404, "{token:?}: {text}");
        }
    }
    is_unharmed(&running).await;
    running.engines.shutdown().await;
}

#[tokio::test]
async fn the_user_without_a_password_may_do_nothing_even_with_the_token() {
    let (running, endpoint) = with_a_table().await;
    let nobody = Client {
        url: endpoint.url.clone(),
        token: Some(endpoint.token.expose_secret().to_owned()),
        login: None,
    };
    let harmless = [
        "SELECT 1",
        "SELECT name FROM system.tables",
        "SELECT sum(number) FROM system.numbers",
    ];
    // `SYSTEM … LISTEN` is what it exists for; the token is what keeps others from asking for it.
    let own = "SYSTEM STOP LISTEN HTTP";
    for sql in ATTACKS
        .into_iter()
        .filter(|sql| !harmless.contains(sql) && *sql != own)
    {
        nobody.is_denied(sql).await;
    }
    assert!(
        !nobody
            .succeeds("SELECT name FROM system.tables")
            .await
            .contains("secrets")
    );
    is_unharmed(&running).await;
    running.engines.shutdown().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let (running, endpoint) = with_a_table().await;
    for (user, password) in [
        (&endpoint.user, "wrong"),
        (&endpoint.user, ""),
        (&endpoint.reader, "wrong"),
    ] {
        let (status, text) = Client::with(&endpoint, user, password).ask("SELECT 1").await;
        assert!(status == 401 || status == 403, "{status}");
        assert!(text.contains("AUTHENTICATION_FAILED"), "{text}");
    }
    running.engines.shutdown().await;
}

#[tokio::test]
async fn our_user_owns_its_databases_but_reaches_no_file_and_no_network() {
    let (running, endpoint) = with_a_table().await;
    let owner = Client::owner(&endpoint);
    owner
        .succeeds("CREATE TABLE hooklog.other AS hooklog.secrets")
        .await;
    owner
        .succeeds("EXCHANGE TABLES hooklog.other AND hooklog.secrets")
        .await;
    owner
        .succeeds("EXCHANGE TABLES hooklog.other AND hooklog.secrets")
        .await;
    owner
        .succeeds("CREATE OR REPLACE VIEW hooklog.view AS SELECT * FROM hooklog.secrets")
        .await;
    owner
        .succeeds("ALTER TABLE hooklog.other DELETE WHERE a = 1")
        .await;
    owner.succeeds("DROP TABLE hooklog.other").await;
    owner
        .succeeds("CREATE DATABASE hooklog_test ENGINE = Atomic")
        .await;
    owner.succeeds("DROP DATABASE hooklog_test").await;
    assert_eq!(
        owner
            .succeeds("SELECT count() FROM system.tables WHERE database = 'hooklog'")
            .await,
        "2"
    );
    for sql in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "INSERT INTO FUNCTION file('/tmp/x', 'LineAsString') SELECT 'x'",
        "CREATE TABLE hooklog.f (l String) ENGINE = File('LineAsString', '/etc/passwd')",
        "CREATE TABLE hooklog.f (l String) ENGINE = URL('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE DATABASE other ENGINE = Atomic",
        "CREATE USER intruder",
        "SYSTEM STOP LISTEN HTTP",
        "SYSTEM SHUTDOWN",
    ] {
        owner.is_denied(sql).await;
    }
    is_unharmed(&running).await;
    running.engines.shutdown().await;
}

#[tokio::test]
async fn the_reader_reads_our_databases_and_does_nothing_else() {
    let (running, endpoint) = with_a_table().await;
    let reader = Client::reader(&endpoint);
    assert_eq!(reader.succeeds("SELECT count() FROM hooklog.secrets").await, "3");
    for sql in [
        "INSERT INTO hooklog.secrets VALUES (4)",
        "DROP TABLE hooklog.secrets",
        "SET readonly = 0",
        "SELECT * FROM system.processes",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "KILL QUERY WHERE 1",
    ] {
        reader.is_denied(sql).await;
    }
    is_unharmed(&running).await;
    running.engines.shutdown().await;
}

#[tokio::test]
async fn it_listens_on_one_loopback_port() {
    let running = Running::clickhouse().await;
    let port = running.status("clickhouse").port;
    assert_eq!(
        listens(running.pid("clickhouse")),
        [Some((Ipv4Addr::LOCALHOST, port))]
    );
    running.engines.shutdown().await;
}

#[tokio::test]
async fn a_query_beyond_the_memory_limit_is_refused_and_the_engine_goes_on() {
    let running = Running::with(|options| {
        options.nats = false;
        options.clickhouse_memory_bytes_max = 400 << 20;
    })
    .await;
    let owner = Client::owner(&running.clickhouse_endpoint());
    let (_, text) = owner
        .ask("SELECT groupArray(repeat('x', 1000)) FROM numbers(10000000) FORMAT Null")
        .await;
    assert!(text.contains("MEMORY_LIMIT_EXCEEDED"), "{text}");
    assert_eq!(owner.succeeds("SELECT 1").await, "1");
    assert_eq!(running.status("clickhouse").restarts, 0);
    running.engines.shutdown().await;
}

#[tokio::test]
async fn secrets_are_in_private_files_and_never_in_a_command_line() {
    let running = Running::both().await;
    let endpoint = running.clickhouse_endpoint();
    let secrets = [
        running.nats_endpoint().token,
        endpoint.token,
        endpoint.password,
        endpoint.reader_password,
    ];
    for pid in crate::harness::below(std::process::id()) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&[line, environment].concat()).into_owned();
        assert!(
            secrets
                .iter()
                .all(|secret| !text.contains(secret.expose_secret())),
            "{text}"
        );
    }
    for file in [
        "credentials.json",
        "nats/nats.conf",
        "nats/launch.json",
        "clickhouse/config.xml",
        "clickhouse/users.xml",
        "clickhouse/launch.json",
    ] {
        assert_eq!(mode(&running.dir.path().join(file)), 0o600, "{file}");
    }
    for folder in ["nats", "clickhouse", "nats/data", "clickhouse/data"] {
        assert_eq!(mode(&running.dir.path().join(folder)), 0o700, "{folder}");
    }
    assert!(!format!("{:?}", running.engines.endpoints()).contains(secrets[0].expose_secret()));
    assert!(TOKEN_HEADER.starts_with("X-"));
    running.engines.shutdown().await;
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
