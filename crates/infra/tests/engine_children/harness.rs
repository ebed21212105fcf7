//! Engines in a folder of their own, and a look at the processes of this machine.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use infra::engine::{
    ClickHouseEndpoint, EngineOptions, EngineState, EngineStatus, Engines, NatsEndpoint, TOKEN_HEADER,
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hooklog-engine");

pub(crate) fn engines_dir() -> PathBuf {
    std::env::var_os("HOOKLOG_ENGINES").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/hooklog/engines"),
        PathBuf::from,
    )
}

pub(crate) fn options(dir: &Path) -> EngineOptions {
    EngineOptions {
        data_dir: dir.to_owned(),
        engines_dir: engines_dir(),
        clickhouse_memory_bytes_max: 1 << 30,
        jetstream_bytes_max: 64 << 20,
        ..EngineOptions::default()
    }
}

pub(crate) struct Running {
    pub(crate) engines: Engines,
    pub(crate) options: EngineOptions,
    pub(crate) dir: TempDir,
}

impl Running {
    pub(crate) async fn both() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn nats() -> Self {
        Self::with(|options| options.clickhouse = false).await
    }

    pub(crate) async fn clickhouse() -> Self {
        Self::with(|options| options.nats = false).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut EngineOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(dir.path());
        change(&mut options);
        let engines = Engines::start(&options, Path::new(PROGRAM)).await.unwrap();
        Self {
            engines,
            options,
            dir,
        }
    }

    pub(crate) fn nats_endpoint(&self) -> NatsEndpoint {
        self.engines.endpoints().nats.clone().unwrap()
    }

    pub(crate) fn clickhouse_endpoint(&self) -> ClickHouseEndpoint {
        self.engines.endpoints().clickhouse.clone().unwrap()
    }

    pub(crate) fn status(&self, name: &str) -> EngineStatus {
        self.engines
            .status()
            .into_iter()
            .find(|status| status.name == name)
            .unwrap()
    }

    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.status(name).pid.unwrap()
    }

    /// Waits until the engine has been started `restarts` times more and answers.
    pub(crate) async fn restarted(&self, name: &str, restarts: u64) {
        until(&format!("{name} is back"), Duration::from_secs(20), || {
            let status = self.status(name);
            status.state == EngineState::Ready && status.restarts == restarts
        })
        .await;
    }
}

/// Waits for a condition; the message says what never happened.
pub(crate) async fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Who asks ClickHouse, and with what in hand.
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) login: Option<(String, String)>,
}

impl Client {
    pub(crate) fn owner(endpoint: &ClickHouseEndpoint) -> Self {
        Self::with(endpoint, &endpoint.user, endpoint.password.expose_secret())
    }

    pub(crate) fn reader(endpoint: &ClickHouseEndpoint) -> Self {
        Self::with(
            endpoint,
            &endpoint.reader,
            endpoint.reader_password.expose_secret(),
        )
    }

    pub(crate) fn with(endpoint: &ClickHouseEndpoint, user: &str, password: &str) -> Self {
        Self {
            url: endpoint.url.clone(),
            token: Some(endpoint.token.expose_secret().to_owned()),
            login: Some((user.to_owned(), password.to_owned())),
        }
    }

    /// Status and text of the answer.
    pub(crate) async fn ask(&self, sql: &str) -> (u16, String) {
        let mut request = http().post(&self.url).body(sql.to_owned());
        if let Some(token) = &self.token {
            request = request.header(TOKEN_HEADER, token);
        }
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        answer(request).await
    }

    pub(crate) async fn succeeds(&self, sql: &str) -> String {
        let (status, text) = self.ask(sql).await;
        assert_eq!(status, 200, "{sql}: {text}");
        text.trim().to_owned()
    }

    /// The statement is refused for want of rights.
    pub(crate) async fn is_denied(&self, sql: &str) {
        let (status, text) = self.ask(sql).await;
        assert_ne!(status, 200, "{sql}: {text}");
        assert!(
            text.contains("ACCESS_DENIED") || text.contains("READONLY"),
            "{sql}: {text}"
        );
    }
}

pub(crate) fn http() -> reqwest::Client {
    infra::engine::http::client(Some(Duration::from_secs(20))).unwrap()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Whether the process runs; one that ended and was not collected yet doesn't.
pub(crate) fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// The processes below this one, at any depth.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Some(child) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
            && let Some((_, parent)) = stat(child)
        {
            parents.insert(child, parent);
        }
    }
    let is_below = |mut child: u32| {
        while let Some(&parent) = parents.get(&child) {
            if parent == pid {
                return true;
            }
            child = parent;
        }
        false
    };
    parents.keys().copied().filter(|&child| is_below(child)).collect()
}

fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// The addresses a process listens on, TCP over IPv4; `None` for any over IPv6.
pub(crate) fn listens(pid: u32) -> Vec<Option<(Ipv4Addr, u16)>> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let mut found = Vec::new();
    for (table, is_v4) in [(table("tcp"), true), (table("tcp6"), false)] {
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] != "0A" || !sockets.iter().any(|inode| inode == fields[9]) {
                continue;
            }
            let (address, port) = fields[1].split_once(':').unwrap();
            found.push(is_v4.then(|| {
                let address = u32::from_str_radix(address, 16).unwrap().swap_bytes();
                (Ipv4Addr::from(address), u16::from_str_radix(port, 16).unwrap())
            }));
        }
    }
    found
}
