//! Processes of the binary, each with a part of the work.

use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Launch, Server, kill9, signal};

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Relay,
    Project,
    React,
    Ingest,
    Query,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Relay, Self::Project, Self::React, Self::Ingest, Self::Query];

    pub(crate) const fn role(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Project => "project",
            Self::React => "react",
            Self::Ingest => "ingest",
            Self::Query => "query",
        }
    }
}

/// A process, which may be killed, and started again at the same place.
pub(crate) struct Process {
    pub(crate) name: String,
    launch: Launch,
    server: Server,
}

impl Process {
    /// Starts one, without waiting for it.
    pub(crate) fn spawn(
        folder: &Path,
        name: &str,
        role: &str,
        settings: &str,
        environment: &[(String, String)],
    ) -> Self {
        let place = folder.join(name);
        std::fs::create_dir_all(&place).unwrap();
        let mut launch = Launch::in_folder(&place)
            .settings(settings)
            .argument("--roles")
            .argument(role);
        for (variable, value) in environment {
            launch = launch.env(variable, value);
        }
        Self {
            name: name.to_owned(),
            server: launch.spawn(),
            launch,
        }
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.server
    }

    /// It dies, and nothing of it is given back.
    pub(crate) async fn kill(&mut self) {
        kill9(self.server.pid());
        self.server.ended("the killed process is gone", crate::SOON).await;
    }

    /// Starts it again.
    pub(crate) async fn restart(&mut self) {
        self.server = self.launch.start().await;
    }

    /// It does nothing until it is woken.
    pub(crate) fn sleep(&self) {
        signal(self.server.pid(), Signal::STOP);
    }

    pub(crate) fn wake(&self) {
        signal(self.server.pid(), Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that sleeps could not be told to end.
        self.wake();
    }
}
