//! `engines.json` in the data directory: how the owner of the directory reaches the embedded engines with clients of
//! their own. Mode 0600, like every file with a secret.

use std::path::Path;

use anyhow::Context as _;
use infra::data_dir::write_atomically;
use infra::engine::Endpoints;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

const FILE: &str = "engines.json";

/// Writes it anew, as ports may change from one start to the next.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn write(data_dir: &Path, endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut engines = Map::new();
    if let Some(nats) = &endpoints.nats {
        engines.insert(
            "nats".into(),
            json!({ "url": nats.url, "token": nats.token.expose_secret() }),
        );
    }
    if let Some(clickhouse) = &endpoints.clickhouse {
        let value = json!({
            "url": clickhouse.url,
            "tokenHeader": infra::engine::TOKEN_HEADER,
            "token": clickhouse.token.expose_secret(),
            "user": clickhouse.user,
            "password": clickhouse.password.expose_secret(),
            "reader": clickhouse.reader,
            "readerPassword": clickhouse.reader_password.expose_secret(),
        });
        engines.insert("clickhouse".into(), value);
    }
    let text = serde_json::to_vec_pretty(&Value::Object(engines))?;
    let file = data_dir.join(FILE);
    write_atomically(&file, &text, 0o600).with_context(|| format!("{} can't be written", file.display()))
}
