//! A real NATS server for one test, in a temporary directory, gone with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

use super::port::free_port;
use crate::jetstream::{JetStream, JetStreamOptions};

const TOKEN: &str = "a token for tests";

pub(crate) struct Server {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&format!("authorization {{ token: \"{TOKEN}\" }}\n"))
    }

    /// With more in its configuration than where it listens and keeps things.
    pub(super) fn with(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let store = directory.path().join("store");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\n{more}\
             jetstream {{ store_dir: \"{}\", max_file: 1073741824 }}\n",
            store.display()
        );
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let mut server = Self {
            directory,
            port,
            child: None,
        };
        server.restart();
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it on the same port and directory.
    pub(crate) fn restart(&mut self) {
        let child = Command::new(binary())
            .arg("-c")
            .arg(self.directory.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server never listened");
            std::thread::yield_now();
        }
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in the middle of its work; it has stopped when this returns.
    pub(super) fn stand_still(&self) {
        self.signal(Signal::STOP);
        let pid = self.pid();
        let stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    }

    /// Lets it work again.
    pub(super) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Deletes everything it kept.
    pub(crate) fn wipe(&mut self) {
        assert!(self.child.is_none(), "kill it first");
        std::fs::remove_dir_all(self.directory.path().join("store")).unwrap();
    }

    pub(crate) fn options(&self) -> JetStreamOptions {
        JetStreamOptions {
            url: format!("nats://127.0.0.1:{}", self.port),
            token: Some(TOKEN.into()),
            bytes_max: 64 * 1024 * 1024,
            quiet_check_ms: 200,
            reconnect_delay_max_ms: 50,
            ..JetStreamOptions::default()
        }
    }

    pub(crate) async fn connect(&self) -> JetStream {
        self.connect_with(self.options()).await
    }

    pub(crate) async fn connect_with(&self, options: JetStreamOptions) -> JetStream {
        let jetstream = JetStream::connect(options).await.unwrap();
        until("connected", async || jetstream.is_connected().then_some(())).await;
        jetstream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The server that `make engines` fetched, else one on the PATH.
fn binary() -> PathBuf {
    let cache = std::env::var_os("HOOKLOG_ENGINES").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/hooklog/engines"),
        PathBuf::from,
    );
    let installed = std::fs::read_dir(&cache).into_iter().flatten().flatten();
    let found = installed
        .map(|entry| entry.path().join("bin/nats-server"))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from("nats-server"))
}
