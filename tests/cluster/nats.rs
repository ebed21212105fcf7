//! Three NATS servers that are a cluster.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::SOON;
use crate::harness::{Launch, client, eventually, free_port, kill9, signal};

/// Where a server tells of its streams.
const JETSTREAM: &str = "jsz?accounts=true&streams=true&config=true";
pub(crate) const TOKEN: &str = "a token of tests";

/// A server of it.
struct Server {
    name: String,
    config: PathBuf,
    port: u16,
    monitor: u16,
    child: Child,
}

pub(crate) struct Nats {
    binary: PathBuf,
    servers: Vec<Server>,
}

/// A file of the engines that tests run with.
pub(crate) fn engine(folder: &Path, name: &str) -> PathBuf {
    let done = Launch::bare(folder).run(&["engine", "fetch"]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let mut words = said.split_whitespace().map(PathBuf::from);
    words
        .find(|word| word.ends_with(name))
        .unwrap_or_else(|| panic!("no {name} in {said}"))
}

impl Nats {
    /// A cluster of three.
    pub(crate) async fn start(folder: &Path) -> Self {
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect();
        let all = all.join(", ");
        let cluster = |(n, port): (usize, &u16)| {
            let more = format!("cluster {{ name: tests, listen: \"127.0.0.1:{port}\", routes: [{all}] }}\n");
            (format!("n{n}"), more)
        };
        Self::run(folder, routes.iter().enumerate().map(cluster)).await
    }

    /// One alone.
    pub(crate) async fn alone(folder: &Path) -> Self {
        Self::run(folder, [("alone".to_owned(), String::new())].into_iter()).await
    }

    async fn run(folder: &Path, named: impl Iterator<Item = (String, String)>) -> Self {
        let binary = engine(folder, "nats-server");
        let server = |(name, more): (String, String)| {
            let (port, monitor) = (free_port(), free_port());
            let config = folder.join(format!("{name}.conf"));
            let text = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
                 authorization {{ token: \"{TOKEN}\" }}\n\
                 jetstream {{ store_dir: \"{}\", max_file: 1073741824 }}\n{more}",
                folder.join(&name).display(),
            );
            std::fs::write(&config, text).unwrap();
            Server {
                child: run(&binary, &config),
                name,
                config,
                port,
                monitor,
            }
        };
        let servers: Vec<_> = named.map(server).collect();
        let nats = Self { binary, servers };
        for n in 0..nats.servers.len() {
            nats.answers(n).await;
        }
        nats
    }

    pub(crate) fn url(&self) -> String {
        let urls = self
            .servers
            .iter()
            .map(|server| format!("nats://127.0.0.1:{}", server.port));
        urls.collect::<Vec<_>>().join(",")
    }

    async fn ask(&self, n: usize, what: &str) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}/{what}", self.servers[n].monitor);
        let asked = client().get(url).send().await.map_err(|e| e.to_string())?;
        asked.json().await.map_err(|e| e.to_string())
    }

    async fn answers(&self, n: usize) {
        eventually("a NATS server answers", SOON, || self.ask(n, "varz")).await;
    }

    /// All servers, the one that leads a stream first.
    pub(crate) async fn in_turn(&self, stream: &str) -> Vec<usize> {
        let leader = self.leader_beside(stream, None).await;
        (leader..3).chain(0..leader).collect()
    }

    /// What a server leads: streams, buckets, and the cluster itself.
    pub(crate) async fn leads(&self, n: usize) -> Vec<String> {
        let led = eventually("a NATS server says what it leads", SOON, || async {
            let all = self.ask(n, JETSTREAM).await?;
            let name = self.servers[n].name.as_str();
            let streams = streams_of(&all).into_iter();
            let led = streams.filter(|stream| stream["cluster"]["leader"] == name);
            let mut led: Vec<_> = led
                .filter_map(|stream| stream["name"].as_str().map(str::to_owned))
                .collect();
            if all["meta_cluster"]["leader"] == name {
                led.push("the cluster".to_owned());
            }
            Ok(led)
        });
        led.await
    }

    /// Waits until a server leads a stream that is not this one; it takes an election.
    pub(crate) async fn another_leads(&self, stream: &str, n: usize) {
        self.leader_beside(stream, Some(n)).await;
    }

    async fn leader_beside(&self, stream: &str, away: Option<usize>) -> usize {
        let asked = (0..3).find(|n| Some(*n) != away).expect("there are three");
        eventually("the stream has a leader", SOON, || async {
            let streams = self.streams(asked).await?;
            let found = streams.into_iter().find(|found| found["name"] == stream);
            let leader = found.and_then(|found| found["cluster"]["leader"].as_str().map(str::to_owned));
            let place = self
                .servers
                .iter()
                .position(|server| Some(&server.name) == leader.as_ref());
            let place = place.filter(|place| Some(*place) != away);
            place.ok_or_else(|| format!("{leader:?}"))
        })
        .await
    }

    pub(crate) fn name(&self, n: usize) -> &str {
        &self.servers[n].name
    }

    async fn streams(&self, n: usize) -> Result<Vec<Value>, String> {
        Ok(streams_of(&self.ask(n, JETSTREAM).await?))
    }

    /// Waits until every copy of every stream is up to date, as their leaders see them.
    pub(crate) async fn is_whole(&self) {
        eventually("every copy of every stream is up to date", SOON, || async {
            let mut led = 0;
            for n in 0..3 {
                for stream in self.streams(n).await? {
                    let cluster = &stream["cluster"];
                    if cluster["leader"] != self.servers[n].name.as_str() {
                        continue;
                    }
                    led += 1;
                    let copies = cluster["replicas"].as_array().cloned().unwrap_or_default();
                    let behind = copies
                        .iter()
                        .find(|copy| copy["current"] != true || copy["offline"] == true);
                    if let Some(behind) = behind {
                        return Err(format!("{}: {behind}", stream["name"]));
                    }
                }
            }
            if led > 0 {
                Ok(())
            } else {
                Err("nobody leads".to_owned())
            }
        })
        .await;
    }

    pub(crate) fn kill(&mut self, n: usize) {
        kill9(self.servers[n].child.id());
        self.servers[n].child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self, n: usize) {
        self.servers[n].child = run(&self.binary, &self.servers[n].config);
        self.answers(n).await;
    }

    pub(crate) fn sleep(&self, n: usize) {
        signal(self.servers[n].child.id(), Signal::STOP);
    }

    pub(crate) fn wake(&self, n: usize) {
        signal(self.servers[n].child.id(), Signal::CONT);
    }
}

fn streams_of(all: &Value) -> Vec<Value> {
    let accounts = all["account_details"].as_array().into_iter().flatten();
    let streams = accounts.filter_map(|account| account["stream_detail"].as_array());
    streams.flatten().cloned().collect()
}

fn run(binary: &Path, config: &Path) -> Child {
    let said = std::fs::File::create(config.with_extension("log")).unwrap();
    Command::new(binary)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .unwrap()
}

impl Drop for Nats {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _gone = server.child.kill();
            let _reaped = server.child.wait();
        }
    }
}
