//! Starts the engines, says where they are, stops them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::config::{ClickHouseConfig, INSERTING, KEEP_ALIVE, NatsConfig, READER, STOP, USER};
use super::credential::Credentials;
use super::fetch::{self, Artifact, Form};
use super::launch::{How, Launch, StopRequest, StopSignal};
use super::probe::Probe;
use super::process::Process;
use super::running::{Plan, Running};
use super::spawner::Spawner;
use super::{
    ClickHouseEndpoint, Endpoints, EngineError, EngineKind, EngineOptions, EngineStatus, NatsEndpoint, port,
    private_file,
};

use secrecy::ExposeSecret as _;

/// How many ports are tried when another program takes the chosen one before the engine does.
const PORTS_TRIED_MAX: usize = 3;

/// The running engines. [`Engines::shutdown`] stops them and waits; when this is dropped they stop as well, but
/// nobody waits for it.
#[derive(Debug)]
pub struct Engines {
    endpoints: Endpoints,
    status: Vec<Arc<Mutex<EngineStatus>>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    _stop_when_dropped: tokio_util::sync::DropGuard,
    _lock: File,
}

impl Engines {
    /// Fetches what is missing, starts what is wanted, and waits until all of it answers. `program` is
    /// a binary with the commands `engine clickhouse FILE` and `engine nats FILE` (see [`super::child`]).
    ///
    /// # Errors
    /// When an engine can't be had, can't be started, or does not answer in time. None is left running.
    pub async fn start(options: &EngineOptions, program: &Path) -> Result<Self, EngineError> {
        private_file::make_dir(&options.data_dir)?;
        let data_dir = options
            .data_dir
            .canonicalize()
            .map_err(|source| EngineError::File {
                path: options.data_dir.clone(),
                source,
            })?;
        let options = EngineOptions {
            data_dir,
            ..options.clone()
        };
        let lock = lock(&options.data_dir)?;
        let mut credentials = Credentials::load(&options.data_dir)?;
        credentials.store(&options.data_dir)?;
        let spawner = Arc::new(Spawner::start().map_err(|source| EngineError::Spawn {
            engine: EngineKind::Nats,
            source,
        })?);
        let artifacts = artifacts(&options).await?;
        let starts = artifacts.into_iter().map(|(engine, artifact)| {
            let starter = Starter {
                engine,
                artifact,
                options: &options,
                credentials: &credentials,
                program,
                spawner: &spawner,
            };
            async move { starter.start().await }
        });
        let started = futures_util::future::try_join_all(starts).await?;
        for (plan, _, port) in &started {
            match plan.engine() {
                EngineKind::Nats => credentials.nats_port = *port,
                EngineKind::ClickHouse => credentials.clickhouse_port = *port,
            }
        }
        if let Err(error) = credentials.store(&options.data_dir) {
            warn!(%error, "engine ports could not be remembered");
        }
        Ok(Self::supervise(endpoints(&options, &credentials), started, lock))
    }

    fn supervise(endpoints: Endpoints, started: Vec<(Running, Process, u16)>, lock: File) -> Self {
        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let mut status = Vec::new();
        for (running, process, _) in started {
            status.push(running.status());
            tasks.spawn(running.supervise(process, shutdown.clone()));
        }
        tasks.close();
        Self {
            endpoints,
            status,
            tasks,
            _stop_when_dropped: shutdown.clone().drop_guard(),
            shutdown,
            _lock: lock,
        }
    }

    /// Where the engines listen: the same for as long as this process lives.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What each engine is doing.
    #[must_use]
    pub fn status(&self) -> Vec<EngineStatus> {
        self.status
            .iter()
            .map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// Stops the engines and waits until they are gone, at most a little longer than their stop time-out;
    /// may be called more than once.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
    }
}

/// Taken before anything is written there: the files belong to the engines that are running.
fn lock(dir: &Path) -> Result<File, EngineError> {
    let path = dir.join("engines.lock");
    match private_file::lock(&path) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(EngineError::InUse { dir: dir.to_owned() }),
        Err(source) => Err(EngineError::File { path, source }),
    }
}

/// What is wanted, and where it is.
async fn artifacts(options: &EngineOptions) -> Result<Vec<(EngineKind, Artifact)>, EngineError> {
    let wanted = [
        (EngineKind::Nats, options.nats),
        (EngineKind::ClickHouse, options.clickhouse),
    ];
    let source = fetch::Options {
        engines_dir: options.engines_dir.clone(),
        download: options.fetch,
        timeout_ms: options.fetch_timeout_ms,
    };
    // When nobody waits for the answer any more, the fetching ends as well.
    let cancel = CancellationToken::new();
    let _waiting = cancel.clone().drop_guard();
    let find = move || {
        let mut found = Vec::new();
        for (engine, wanted) in wanted {
            if wanted {
                let artifact =
                    fetch::engine_until(engine, &source, &cancel).map_err(|source| EngineError::Fetch {
                        engine,
                        source: Box::new(source),
                    })?;
                found.push((engine, artifact));
            }
        }
        Ok(found)
    };
    tokio::task::spawn_blocking(find)
        .await
        .map_err(|_| EngineError::StarterGone)?
}

fn endpoints(options: &EngineOptions, credentials: &Credentials) -> Endpoints {
    Endpoints {
        nats: options.nats.then(|| NatsEndpoint {
            url: format!("nats://127.0.0.1:{}", credentials.nats_port),
            token: credentials.nats_token.clone(),
        }),
        clickhouse: options.clickhouse.then(|| ClickHouseEndpoint {
            url: format!("http://127.0.0.1:{}", credentials.clickhouse_port),
            token: credentials.clickhouse_token.clone(),
            user: USER.to_owned(),
            password: credentials.clickhouse_password.clone(),
            reader: READER.to_owned(),
            reader_password: credentials.reader_password.clone(),
        }),
    }
}

/// Makes one engine ready.
struct Starter<'a> {
    engine: EngineKind,
    artifact: Artifact,
    options: &'a EngineOptions,
    credentials: &'a Credentials,
    program: &'a Path,
    spawner: &'a Arc<Spawner>,
}

impl Starter<'_> {
    async fn start(&self) -> Result<(Running, Process, u16), EngineError> {
        let (wanted, last) = match self.engine {
            EngineKind::Nats => (self.options.nats_port, self.credentials.nats_port),
            EngineKind::ClickHouse => (self.options.clickhouse_port, self.credentials.clickhouse_port),
        };
        let mut tried = 1;
        loop {
            let port = port::choose(self.engine, wanted, last)?;
            let running = Running::new(self.plan(port)?, Arc::clone(self.spawner));
            match running.start().await {
                Ok(process) => return Ok((running, process, port)),
                Err(EngineError::PortTaken { .. }) if wanted == 0 && tried < PORTS_TRIED_MAX => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn plan(&self, port: u16) -> Result<Plan, EngineError> {
        let dir = self.options.data_dir.join(self.engine.name());
        let (folders, files, how) = match self.engine {
            EngineKind::Nats => self.nats(&dir, port)?,
            EngineKind::ClickHouse => self.clickhouse(&dir, port)?,
        };
        let [
            start_timeout,
            stop_timeout,
            silence_timeout,
            backoff_min,
            backoff_max,
        ] = Plan::times(self.options);
        Ok(Plan {
            engine: self.engine,
            program: self.program.to_owned(),
            launch: Launch {
                parent: rustix::process::getpid().as_raw_nonzero().get(),
                lock: dir.join("lock"),
                stop_timeout_ms: self.options.stop_timeout_ms,
                how,
            },
            dir,
            folders,
            files,
            port,
            probe: self.probe()?,
            start_timeout,
            stop_timeout,
            silence_timeout,
            backoff_min,
            backoff_max,
        })
    }

    fn probe(&self) -> Result<Probe, EngineError> {
        match self.engine {
            EngineKind::Nats => Ok(Probe::Nats {
                token: self.credentials.nats_token.clone(),
            }),
            EngineKind::ClickHouse => {
                let http = super::http::client(None);
                Ok(Probe::ClickHouse {
                    http: http.map_err(|error| EngineError::Spawn {
                        engine: self.engine,
                        source: std::io::Error::other(error),
                    })?,
                    user: USER,
                    password: self.credentials.clickhouse_password.clone(),
                    token: self.credentials.clickhouse_token.clone(),
                })
            }
        }
    }

    fn nats(&self, dir: &Path, port: u16) -> Result<Parts, EngineError> {
        let (store, file) = (dir.join("data"), dir.join("nats.conf"));
        let config = NatsConfig {
            store: &store,
            port,
            jetstream_bytes_max: self.options.jetstream_bytes_max,
            message_bytes_max: self.options.nats_message_bytes_max,
            token: &self.credentials.nats_token,
        };
        let how = How::Program {
            path: self.artifact.path.clone(),
            arguments: vec!["-c".to_owned(), self.text(&file)?],
            stop: StopSignal::Interrupt,
        };
        Ok((
            vec![dir.to_owned(), store.clone()],
            vec![(file, config.server()?)],
            how,
        ))
    }

    fn clickhouse(&self, dir: &Path, port: u16) -> Result<Parts, EngineError> {
        let data = dir.join("data");
        let (server, users) = (dir.join("config.xml"), dir.join("users.xml"));
        let config = ClickHouseConfig {
            data: &data,
            users_file: &users,
            port,
            memory_bytes_max: self.options.clickhouse_memory_bytes_max,
            token: &self.credentials.clickhouse_token,
            password: &self.credentials.clickhouse_password,
            reader_password: &self.credentials.reader_password,
            own_session: self.artifact.form == Form::Library,
        };
        let files = vec![
            (server.clone(), config.server()?),
            (users.clone(), config.users()),
        ];
        let how = match self.artifact.form {
            Form::Library => How::Library {
                path: self.artifact.path.clone(),
                arguments: vec![
                    "clickhouse".to_owned(),
                    format!("--path={}", self.text(&data)?),
                    format!("--config-file={}", self.text(&server)?),
                    format!("--http_port={port}"),
                    "--listen_host=127.0.0.1".to_owned(),
                    "--log-level=error".to_owned(),
                    format!("--query=SYSTEM START LISTEN HTTP; {KEEP_ALIVE}"),
                ],
                stop: StopRequest {
                    url: format!("http://127.0.0.1:{port}/"),
                    token: self.credentials.clickhouse_token.expose_secret().to_owned(),
                    user: USER.to_owned(),
                    password: self.credentials.clickhouse_password.expose_secret().to_owned(),
                    busy: INSERTING.to_owned(),
                    stop: STOP.to_owned(),
                },
            },
            Form::Program => How::Program {
                path: self.artifact.path.clone(),
                arguments: vec![
                    "server".to_owned(),
                    format!("--config-file={}", self.text(&server)?),
                ],
                stop: StopSignal::Terminate,
            },
        };
        Ok((vec![dir.to_owned(), data], files, how))
    }

    fn text(&self, path: &Path) -> Result<String, EngineError> {
        path.to_str().map(str::to_owned).ok_or_else(|| EngineError::Path {
            engine: self.engine,
            path: path.to_owned(),
        })
    }
}

/// Folders to make, files to write, and what to run.
type Parts = (Vec<PathBuf>, Vec<(PathBuf, String)>, How);
