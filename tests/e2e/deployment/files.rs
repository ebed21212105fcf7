//! The files of `infra/`, read by those who know them: schemas, linters, and the programs that they are for, where those can be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{engine, infra, named, run_if_there};
use crate::harness::{BINARY, Launch, Tools};

/// Files below a folder whose names end so.
fn files(folder: &Path, ends: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ends));
        } else if path.to_string_lossy().ends_with(ends) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn every_settings_file_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let variables = named(&Tools::ready()).variables;
    assert!(variables.iter().any(|v| v == "HOOKLOG_CLICKHOUSE__PASSWORD"));
    let paths = files(&infra(), "hooklog.toml");
    assert!(paths.len() >= 3, "{paths:?}");
    for path in texts(&paths) {
        let mut launch = Launch::bare(folder.path());
        if !path.contains("systemd") {
            for name in &variables {
                launch = launch.env(name, value_of(name));
            }
        }
        let done = launch.run(&["config", "check", "--config", &path]);
        assert!(done.status.success(), "{path}: {done:?}");
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(said, "the settings can be used\n", "{path}");
    }
}

/// What a deployment might put into a variable.
fn value_of(name: &str) -> &'static str {
    match name {
        "HOOKLOG_LOG__BACKEND" => "eventstore",
        "HOOKLOG_EVENTSTORE_URL" => "esdb://kurrentdb:2113?tls=false",
        "HOOKLOG_BODIES__URL" => "file:///srv/bodies",
        "HOOKLOG_SECRET_KEY" => "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "WEBHOOK_BASE_URL" => "https://hooklog.example.com",
        _ => "a-secret-of-the-deployment",
    }
}

#[test]
fn the_dockerfile_passes_its_linter() {
    let file = infra().join("docker/Dockerfile");
    Tools::ready().program("hadolint", &[&file.display().to_string()]);
    let text = std::fs::read_to_string(file).unwrap();
    for needed in [
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "HEALTHCHECK",
        "--locked",
    ] {
        assert!(text.contains(needed), "{needed}");
    }
}

#[test]
fn the_manifests_fit_the_schemas_of_kubernetes() {
    let tools = Tools::ready();
    let folder = infra().join("kubernetes");
    let mut manifests = files(&folder, ".yaml");
    manifests.retain(|path| !path.ends_with("kustomization.yaml"));
    let arguments = texts(&manifests);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tools.python("manifests.py", &arguments);
    let overlay = folder.join("overlays/example");
    let Some(rendered) = run_if_there(Command::new("kubectl").arg("kustomize").arg(overlay)) else {
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rendered).unwrap();
    tools.python("manifests.py", &["--whole", &file.path().display().to_string()]);
}

#[test]
fn the_compose_file_fits_its_schema() {
    let file = infra().join("compose/compose.yaml").display().to_string();
    Tools::ready().node_program("dclint", &["--quiet", &file]);
}

#[test]
fn nats_takes_its_configuration() {
    let routes = "[nats://route:b@nats-1:6222, nats://route:b@nats-2:6222, nats://route:b@nats-3:6222]";
    let said = run_if_there(
        Command::new(engine("nats-server"))
            .args(["-t", "-c"])
            .arg(infra().join("compose/nats.conf"))
            .env("NATS_PASSWORD", "a")
            .env("NATS_CLUSTER_PASSWORD", "b")
            .env("NATS_ROUTES", routes),
    );
    assert!(said.is_some_and(|said| said.contains("is valid")));
}

#[test]
fn prometheus_takes_its_rules_and_they_do_what_their_tests_say() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/promtool.sh");
    let found = Command::new("bash")
        .arg(script)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let promtool = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if promtool.is_empty() {
        eprintln!("promtool can't be had here, so the rules were read by their grammar alone");
        return;
    }
    let prometheus = infra().join("prometheus");
    let rules = files(&prometheus.join("rules"), ".yml");
    run_if_there(Command::new(&promtool).args(["check", "rules"]).args(rules));
    let check = ["check", "config", "--syntax-only"];
    run_if_there(
        Command::new(&promtool)
            .args(check)
            .arg(prometheus.join("prometheus.yml")),
    );
    let tests = files(&prometheus.join("tests"), ".yml");
    run_if_there(Command::new(&promtool).args(["test", "rules"]).args(tests));
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    let unit = std::fs::read_to_string(infra().join("systemd/hooklog.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooklog.service");
    std::fs::write(&path, unit.replace("/usr/local/bin/hooklog", BINARY)).unwrap();
    let analyze =
        |arguments: &[&str]| run_if_there(Command::new("systemd-analyze").args(arguments).arg(&path));
    let said = analyze(&["verify", "--man=no"]);
    assert!(
        said.is_none_or(|said| !said.contains("hooklog.service")),
        "it was warned of"
    );
    // 2.0 of 10: what is left is the network, and memory that ClickHouse compiles into.
    analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager"]);
}
