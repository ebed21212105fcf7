//! Stands in for `hooklog engine …` in the tests of this crate, and runs engines under a parent that can be
//! killed: `hooklog-engine serve DATA_DIR ENGINES_DIR` prints the endpoints as one line of JSON and waits,
//! `hooklog-engine fetch ENGINES_DIR` fetches a NATS server.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use infra::engine::{EngineKind, EngineOptions, Engines, child, fetch};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["engine", "clickhouse", launch] => child::clickhouse(Path::new(launch)),
        ["engine", "nats", launch] => child::nats(Path::new(launch)),
        ["serve", data_dir, engines_dir] => done(serve(data_dir, engines_dir)),
        ["fetch", engines_dir] => done(fetch_nats(engines_dir)),
        _ => ExitCode::from(2),
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn done(outcome: Outcome) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    drop(writeln!(std::io::stderr(), "{text}"));
    ExitCode::FAILURE
}

fn fetch_nats(engines_dir: &str) -> Outcome {
    let options = fetch::Options {
        engines_dir: PathBuf::from(engines_dir),
        download: true,
        timeout_ms: 10_000,
    };
    let artifact = fetch::engine(EngineKind::Nats, &options)?;
    writeln!(
        std::io::stdout(),
        "{} {}",
        artifact.version,
        artifact.path.display()
    )?;
    Ok(())
}

fn serve(data_dir: &str, engines_dir: &str) -> Outcome {
    let options = EngineOptions {
        data_dir: PathBuf::from(data_dir),
        engines_dir: PathBuf::from(engines_dir),
        ..EngineOptions::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let program = std::env::current_exe()?;
        let engines = tokio::select! {
            engines = Engines::start(&options, &program) => engines?,
            _ = interrupt.recv() => return Ok(()),
        };
        let pids: Vec<Option<u32>> = engines.status().iter().map(|status| status.pid).collect();
        let clickhouse = engines.endpoints().clickhouse.as_ref().ok_or("no ClickHouse")?;
        let line = serde_json::json!({
            "pids": pids,
            "url": clickhouse.url,
            "token": clickhouse.token.expose_secret(),
            "password": clickhouse.password.expose_secret(),
        });
        writeln!(std::io::stdout(), "{line}")?;
        interrupt.recv().await;
        engines.shutdown().await;
        Ok(())
    })
}
