//! Stands in for `hooklog engine …` in the tests of this crate, and runs engines under a parent that can be
//! killed: `hooklog-engine serve DATA_DIR ENGINES_DIR` prints the endpoints as one line of JSON and waits.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use infra::engine::{EngineOptions, Engines, child};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["engine", "clickhouse", launch] => child::clickhouse(Path::new(launch)),
        ["engine", "nats", launch] => child::nats(Path::new(launch)),
        ["serve", data_dir, engines_dir] => serve(data_dir, engines_dir),
        _ => ExitCode::from(2),
    }
}

fn serve(data_dir: &str, engines_dir: &str) -> ExitCode {
    let options = EngineOptions {
        data_dir: PathBuf::from(data_dir),
        engines_dir: PathBuf::from(engines_dir),
        ..EngineOptions::default()
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let outcome: Result<(), Box<dyn std::error::Error>> = runtime.block_on(async {
        let engines = Engines::start(&options, &std::env::current_exe()?).await?;
        let pids: Vec<Option<u32>> = engines.status().iter().map(|status| status.pid).collect();
        let clickhouse = engines.endpoints().clickhouse.as_ref().ok_or("no ClickHouse")?;
        let line = serde_json::json!({
            "pids": pids,
            "url": clickhouse.url,
            "token": clickhouse.token.expose_secret(),
            "password": clickhouse.password.expose_secret(),
        });
        // Listening comes first: whoever reads the line may send the signal at once.
        let mut interrupt = signal(SignalKind::interrupt())?;
        writeln!(std::io::stdout(), "{line}")?;
        interrupt.recv().await;
        engines.shutdown().await;
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
