//! Tables of a cluster of ClickHouse: two real engines are two shards, reached by TLS with a user, a password from a file and a
//! server that is away. What is for all servers goes to both (`tests/tools/cluster_proxy.py` says what it plays, and why).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::engine;
use crate::harness::{Launch, Server, Signed, Tools, client, eventually, free_port};
use crate::reconcile::{Sent, same_answers_as_the_fold};

const SOON: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a-password-of-tests";

/// A program that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn certificate(folder: &Path) {
    let done = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=clickhouse.test"])
        .args(["-addext", "subjectAltName=DNS:clickhouse.test"])
        // Not an authority: no client takes one for a server.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Two engines, and what stands before them.
struct Cluster {
    http: [u16; 2],
    proxy: u16,
    said: PathBuf,
    _running: Vec<Running>,
}

impl Cluster {
    async fn start(tools: &Tools, folder: &Path) -> Self {
        certificate(folder);
        let library = engine("libchdb.so").display().to_string();
        let (http, tcp, proxy) = (
            [free_port(), free_port()],
            [free_port(), free_port()],
            free_port(),
        );
        let mut running = Vec::new();
        for number in 0..2 {
            let place = folder.join(format!("shard-{number}")).display().to_string();
            let ports = format!("{},{}", tcp[number], tcp[1 - number]);
            let port = http[number].to_string();
            let arguments = [&library, &place, &port, &ports, "hooklog", PASSWORD];
            running.push(Running(tools.python_program(
                "shard.py",
                &arguments,
                Stdio::null(),
            )));
        }
        for port in http {
            eventually("the engine answers", SOON, || async move {
                let asked = client().get(format!("http://127.0.0.1:{port}/ping")).send().await;
                asked.map(drop).map_err(|error| error.to_string())
            })
            .await;
        }
        let urls = http.map(|port| format!("http://127.0.0.1:{port}")).join(",");
        let said = folder.join("said");
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
        let arguments = [&proxy.to_string(), &certificate, &key, &urls, "shards"];
        let out = std::fs::File::create(&said).unwrap();
        running.push(Running(tools.python_program(
            "cluster_proxy.py",
            &arguments,
            out.into(),
        )));
        Self {
            http,
            proxy,
            said,
            _running: running,
        }
    }

    /// A number that one of the shards answers.
    async fn count(&self, shard: usize, query: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/", self.http[shard]);
        let asked = client()
            .post(url)
            .header("X-ClickHouse-User", "hooklog")
            .header("X-ClickHouse-Key", PASSWORD)
            .body(query.to_owned());
        let text = asked.send().await.unwrap().text().await.unwrap();
        text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text}"))
    }

    /// Whether the engine reads a statement as one of its own. It can't run those that need a Keeper.
    async fn reads(&self, statement: &str) {
        let asked = client()
            .post(format!("http://127.0.0.1:{}/", self.http[0]))
            .query(&[(
                "param_text",
                statement
                    .replace('\\', "\\\\")
                    .replace('\n', "\\n")
                    .replace('\t', "\\t"),
            )])
            .header("X-ClickHouse-User", "hooklog")
            .header("X-ClickHouse-Key", PASSWORD)
            .body("SELECT formatQuery({text:String}) FORMAT TSVRaw");
        let answer = asked.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(
            status.is_success() && text.contains("ON CLUSTER shards"),
            "{statement}: {text}"
        );
    }

    /// The statements that were for all servers.
    fn for_all(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.said).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

async fn on(cluster: &Cluster, folder: &Path) -> Server {
    std::fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    // Nobody listens at the first address.
    let urls = format!(
        "https://127.0.0.1:{},https://127.0.0.1:{}",
        free_port(),
        cluster.proxy
    );
    Launch::in_folder(folder)
        .env("HOOKLOG_CLICKHOUSE__URL", &urls)
        .env("HOOKLOG_CLICKHOUSE__USER", "hooklog")
        .env("HOOKLOG_CLICKHOUSE__PASSWORD_FILE", &file("password"))
        .env("HOOKLOG_CLICKHOUSE__TLS_CA_FILE", &file("cert.pem"))
        .env("HOOKLOG_CLICKHOUSE__TLS_SERVER_NAME", "clickhouse.test")
        .env("HOOKLOG_CLICKHOUSE__CLUSTER", "shards")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_two_shards_are_those_of_the_log() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&tools, folder.path()).await;
    let server = on(&cluster, folder.path()).await;
    let mut sent = Vec::new();
    let mut deliveries = Signed::many(&tools, 300, "shards");
    deliveries.extend(Signed::examples(&tools).into_iter().step_by(5));
    for delivery in deliveries {
        let answer = server.send(&delivery).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        sent.push(Sent::new(delivery, answer.position()));
    }
    server.caught_up().await;
    same_answers_as_the_fold(&server, &tools, &sent);
    let url = server.base();
    let compared = |what: &'static str| {
        let done = server
            .launch()
            .run(&["projections", "verify", "all", "--url", &url]);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(
            done.status.success(),
            "{what}: {text}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(text.lines().all(|line| line.starts_with("ok")), "{what}: {text}");
    };
    compared("as they were filled");
    let local = "SELECT count() FROM merge('hooklog', '^deliveries_s[0-9]+_b1_local$')";
    let of_each = [cluster.count(0, local).await, cluster.count(1, local).await];
    assert!(
        of_each.iter().all(|rows| *rows > 0),
        "one shard has it all: {of_each:?}"
    );
    let tables = "SELECT count() FROM system.tables WHERE database = 'hooklog'";
    assert_eq!(cluster.count(0, tables).await, cluster.count(1, tables).await);
    let said = cluster.for_all();
    assert!(
        said[0].starts_with("CREATE DATABASE IF NOT EXISTS hooklog ON CLUSTER `shards`"),
        "{}",
        said[0]
    );
    for statement in &said {
        cluster.reads(statement).await;
    }
    let rebuilt = server
        .launch()
        .run(&["projections", "rebuild", "all", "--url", &url]);
    assert!(
        rebuilt.status.success(),
        "{}",
        String::from_utf8_lossy(&rebuilt.stderr)
    );
    server.caught_up().await;
    same_answers_as_the_fold(&server, &tools, &sent);
    compared("as they were rebuilt");
}
