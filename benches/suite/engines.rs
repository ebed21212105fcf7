//! Engines as the product starts them, for figures that need one and no server.

use std::path::{Path, PathBuf};

use infra::engine::{EngineOptions, Engines};

/// Where fetched engines are kept: as the product has it.
pub(crate) fn engines_dir() -> PathBuf {
    let given = std::env::var_os("HOOKLOG_ENGINES");
    given.map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/hooklog/engines"),
        PathBuf::from,
    )
}

/// Starts those that are wanted.
pub(crate) async fn start(folder: &Path, nats: bool, clickhouse: bool) -> Engines {
    let options = EngineOptions {
        data_dir: folder.to_owned(),
        engines_dir: engines_dir(),
        nats,
        clickhouse,
        jetstream_bytes_max: 16 << 30,
        ..EngineOptions::default()
    };
    let program = Path::new(env!("CARGO_BIN_EXE_hooklog"));
    Engines::start(&options, program)
        .await
        .expect("the engines start")
}
