//! Why an engine can't be had.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::EngineKind;
use super::fetch::FetchError;

/// Why the engines could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file or folder of theirs can't be made or read.
    #[error("engine file {} can't be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of theirs holds something else.
    #[error("engine file {} can't be understood; delete it to have it made anew", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A path can't be written into a configuration file.
    #[error("the path {} is not valid UTF-8, which {engine} needs", path.display())]
    Path {
        /// For which engine.
        engine: EngineKind,
        /// The path.
        path: PathBuf,
    },
    /// It isn't there and could not be fetched.
    #[error("getting {engine}")]
    Fetch {
        /// Which engine.
        engine: EngineKind,
        /// Why.
        source: Box<FetchError>,
    },
    /// The child process could not be made.
    #[error("starting a process for {engine}")]
    Spawn {
        /// Which engine.
        engine: EngineKind,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("{engine} ended while starting ({status}): {detail}")]
    Ended {
        /// Which engine.
        engine: EngineKind,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        detail: String,
    },
    /// It did not answer in time.
    #[error("{engine} did not answer within {waited_ms} ms: {detail}")]
    NotReady {
        /// Which engine.
        engine: EngineKind,
        /// How long it was given.
        waited_ms: u64,
        /// The last attempt to reach it, and the last lines it wrote.
        detail: String,
    },
    /// Another process runs an engine on the same data.
    #[error("the engine data in {} is in use by another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// Another program listens there.
    #[error("port {port} for {engine} is taken by another program")]
    PortTaken {
        /// For which engine.
        engine: EngineKind,
        /// The port.
        port: u16,
    },
    /// No port could be had.
    #[error("finding a free loopback port")]
    NoPort(#[source] io::Error),
    /// The thread or task that starts engines is gone.
    #[error("the starter of engines has stopped")]
    StarterGone,
}
