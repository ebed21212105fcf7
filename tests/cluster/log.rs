//! The log: a server of the protocol of EventStoreDB, in a process of its own and over a data file, so that it can die and sleep.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use eventstore_sim::{Node, NodeOptions, Store};
use rustix::process::Signal;

use crate::SOON;
use crate::harness::{eventually, free_port, kill9, knob, signal};

/// Its port, for the process that it is.
const PORT: &str = "HOOKLOG_CLUSTER_LOG_PORT";
/// What it keeps, in the folder that it runs in.
const DATA_FILE: &str = "log.events";

/// This program once more, as the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the process of the log, which the test of the cluster starts"]
async fn the_log_serves() {
    let Some(port) = u16::try_from(knob(PORT, 0)).ok().filter(|port| *port > 0) else {
        return;
    };
    let store = Store::open(Path::new(DATA_FILE)).expect("the data file can be read");
    let options = NodeOptions {
        port,
        ..NodeOptions::default()
    };
    let _node = Node::start(Arc::new(store), options)
        .await
        .expect("the port is free");
    std::future::pending::<()>().await;
}

pub(crate) struct Log {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Log {
    pub(crate) async fn start(folder: &Path) -> Self {
        let (folder, port) = (folder.join("log"), free_port());
        std::fs::create_dir_all(&folder).unwrap();
        let log = Self {
            child: run(&folder, port),
            folder,
            port,
        };
        log.answers().await;
        log
    }

    pub(crate) fn url(&self) -> String {
        format!("esdb://127.0.0.1:{}?tls=false", self.port)
    }

    async fn answers(&self) {
        eventually("the log takes connections", SOON, || async {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// It dies, and what it has not written to its file is gone.
    pub(crate) fn kill(&mut self) {
        kill9(self.child.id());
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.child = run(&self.folder, self.port);
        self.answers().await;
    }

    pub(crate) fn sleep(&self) {
        signal(self.child.id(), Signal::STOP);
    }

    pub(crate) fn wake(&self) {
        signal(self.child.id(), Signal::CONT);
    }
}

fn run(folder: &Path, port: u16) -> Child {
    let said = std::fs::File::create(folder.join("said.log")).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "log::the_log_serves"])
        .current_dir(folder)
        .env(PORT, port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("this program runs once more")
}

impl Drop for Log {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
