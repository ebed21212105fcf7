//! The secrets and ports of the engines: made once per data directory, so that a SQL client or a NATS
//! subscriber set up today still works tomorrow.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{EngineError, private_file};

/// The name of the file.
const FILE: &str = "credentials.json";

/// What is kept.
pub(super) struct Credentials {
    pub(super) nats_token: SecretString,
    pub(super) clickhouse_token: SecretString,
    pub(super) clickhouse_password: SecretString,
    pub(super) reader_password: SecretString,
    /// The ports of last time, 0 for none.
    pub(super) nats_port: u16,
    pub(super) clickhouse_port: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    nats_token: String,
    clickhouse_token: String,
    clickhouse_password: String,
    reader_password: String,
    nats_port: u16,
    clickhouse_port: u16,
}

impl Credentials {
    /// Those of this data directory; new ones if there are none yet.
    pub(super) fn load(dir: &Path) -> Result<Self, EngineError> {
        let path = dir.join(FILE);
        let stored = match std::fs::read(&path) {
            Ok(content) => serde_json::from_slice::<Stored>(&content)
                .map_err(|source| EngineError::Content { path, source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Stored::fresh(),
            Err(source) => return Err(EngineError::File { path, source }),
        };
        Ok(stored.into())
    }

    /// Keeps them.
    pub(super) fn store(&self, dir: &Path) -> Result<(), EngineError> {
        let path = dir.join(FILE);
        let stored = Stored {
            nats_token: self.nats_token.expose_secret().to_owned(),
            clickhouse_token: self.clickhouse_token.expose_secret().to_owned(),
            clickhouse_password: self.clickhouse_password.expose_secret().to_owned(),
            reader_password: self.reader_password.expose_secret().to_owned(),
            nats_port: self.nats_port,
            clickhouse_port: self.clickhouse_port,
        };
        let content = serde_json::to_vec_pretty(&stored).map_err(|source| EngineError::Content {
            path: path.clone(),
            source,
        })?;
        private_file::replace(&path, &content)
    }
}

impl Stored {
    fn fresh() -> Self {
        Self {
            nats_token: secret(),
            clickhouse_token: secret(),
            clickhouse_password: secret(),
            reader_password: secret(),
            nats_port: 0,
            clickhouse_port: 0,
        }
    }
}

impl From<Stored> for Credentials {
    fn from(stored: Stored) -> Self {
        Self {
            nats_token: stored.nats_token.into(),
            clickhouse_token: stored.clickhouse_token.into(),
            clickhouse_password: stored.clickhouse_password.into(),
            reader_password: stored.reader_password.into(),
            nats_port: stored.nats_port,
            clickhouse_port: stored.clickhouse_port,
        }
    }
}

/// 256 random bits in hex: safe in XML, in a configuration file and in a header.
fn secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_stay_the_same_once_stored() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Credentials::load(dir.path()).unwrap();
        assert_ne!(
            first.nats_token.expose_secret(),
            first.clickhouse_token.expose_secret()
        );
        first.nats_port = 4;
        first.store(dir.path()).unwrap();
        let second = Credentials::load(dir.path()).unwrap();
        assert_eq!(
            first.nats_token.expose_secret(),
            second.nats_token.expose_secret()
        );
        assert_eq!(second.nats_port, 4);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        let Err(EngineError::Content { path, .. }) = Credentials::load(dir.path()) else {
            panic!("a damaged file was accepted");
        };
        assert_eq!(path, dir.path().join(FILE));
        assert_eq!(std::fs::read(path).unwrap(), b"{");
    }
}
