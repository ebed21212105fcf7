//! Three NATS servers that are a cluster.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::SOON;
use crate::harness::{Launch, client, eventually, kill9, signal};

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

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
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
    pub(crate) async fn start(folder: &Path) -> Self {
        let binary = engine(folder, "nats-server");
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect();
        let mut servers = Vec::new();
        for (n, route) in routes.iter().enumerate() {
            let (port, monitor, name) = (free_port(), free_port(), format!("n{n}"));
            let config = folder.join(format!("{name}.conf"));
            let text = format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
                 authorization {{ token: \"{TOKEN}\" }}\n\
                 jetstream {{ store_dir: \"{}\", max_file: 1073741824 }}\n\
                 cluster {{ name: tests, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
                folder.join(&name).display(),
                all.join(", ")
            );
            std::fs::write(&config, text).unwrap();
            servers.push(Server {
                child: run(&binary, &config),
                name,
                config,
                port,
                monitor,
            });
        }
        let nats = Self { binary, servers };
        for n in 0..3 {
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

    /// The server that leads a stream, as the one says that is not about to be disturbed.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let name = eventually("the stream has a leader", SOON, || async {
            let streams = self.streams(0).await?;
            let found = streams.into_iter().find(|found| found["name"] == stream);
            let leader = found.and_then(|found| found["cluster"]["leader"].as_str().map(str::to_owned));
            leader.ok_or_else(|| "none".to_owned())
        })
        .await;
        let found = self.servers.iter().position(|server| server.name == name);
        found.expect("one of the three leads")
    }

    pub(crate) fn name(&self, n: usize) -> &str {
        &self.servers[n].name
    }

    async fn streams(&self, n: usize) -> Result<Vec<Value>, String> {
        let all = self.ask(n, "jsz?accounts=true&streams=true&config=true").await?;
        let accounts = all["account_details"].as_array().cloned().unwrap_or_default();
        let streams = accounts.into_iter().filter_map(|account| {
            let streams = account["stream_detail"].as_array()?;
            Some(streams.clone())
        });
        Ok(streams.flatten().collect())
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
