//! The file by which the supervisor tells a child what to run: it has mode 0600, so that no secret
//! stands in a command line.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{EngineError, private_file};

/// What the child runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Launch {
    /// The process that must live as long as the child.
    pub(super) parent: i32,
    /// Held locked while the engine runs, so that no two run on the same data.
    pub(super) lock: PathBuf,
    /// How long the engine may take to stop.
    pub(super) stop_timeout_ms: u64,
    /// How to run it.
    pub(super) how: How,
}

/// In which form the engine is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// ClickHouse as a library, run inside the child.
    Library {
        /// The library.
        path: PathBuf,
        /// The command line it is given, the program's name first.
        arguments: Vec<String>,
        /// How the child stops it.
        stop: StopRequest,
    },
    /// A program, run below the child.
    Program {
        /// The program: a path, or a name to look up.
        path: PathBuf,
        /// Its arguments, without its name.
        arguments: Vec<String>,
        /// The signal that stops it cleanly.
        stop: StopSignal,
    },
}

/// Statements to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopRequest {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) user: String,
    pub(super) password: String,
    /// Answers with the number of statements worth waiting for.
    pub(super) busy: String,
    /// Ends the engine's last statement.
    pub(super) stop: String,
}

/// A signal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Launch {
    /// Reads it.
    pub(super) fn read(path: &Path) -> Result<Self, EngineError> {
        let content = std::fs::read(path).map_err(|source| EngineError::File {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&content).map_err(|source| EngineError::Content {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> Result<(), EngineError> {
        let content = serde_json::to_vec_pretty(self).map_err(|source| EngineError::Content {
            path: path.to_owned(),
            source,
        })?;
        private_file::replace(path, &content)
    }
}
