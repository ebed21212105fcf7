//! The engines' own configuration files, locked down.
//!
//! ClickHouse: one HTTP listener on loopback. Without the token only `/ping` is answered, everything
//! else is 404. With it, `default` (as which the engine's own last statement runs, and which therefore
//! has no password) may do nothing but read a counter; our user owns `hooklog…` databases and can reach no
//! file and no network; a reader only reads those. NATS: loopback, a token, JetStream with a limit.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::{EngineError, EngineKind, TOKEN_HEADER};

/// The user that owns our databases.
pub(super) const USER: &str = "hooklog";
/// The user that only reads them.
pub(super) const READER: &str = "hooklog_reader";

/// Keeps the engine running until it is killed; the profile it runs in has no limits.
pub(super) const KEEP_ALIVE: &str =
    "SELECT sleepEachRow(1) FROM system.numbers SETTINGS max_block_size=1 FORMAT Null";
/// How many inserts are being made.
pub(super) const INSERTING: &str = "SELECT count() FROM system.processes WHERE query_kind = 'Insert'";
/// Ends it. The statement given on the command line runs as no user at all.
pub(super) const STOP: &str =
    "KILL QUERY WHERE startsWith(query, 'SELECT sleepEachRow(1)') AND user = '' ASYNC";

/// The table engines our user may make tables with: none of them reaches a file of its choosing or a network.
const TABLE_ENGINES: [&str; 8] = [
    "Atomic",
    "MergeTree",
    "ReplacingMergeTree",
    "AggregatingMergeTree",
    "SummingMergeTree",
    "Memory",
    "Null",
    "Buffer",
];

/// What ClickHouse needs to know.
pub(super) struct ClickHouseConfig<'a> {
    pub(super) data: &'a Path,
    pub(super) users_file: &'a Path,
    pub(super) port: u16,
    pub(super) memory_bytes_max: u64,
    pub(super) token: &'a SecretString,
    pub(super) password: &'a SecretString,
    pub(super) reader_password: &'a SecretString,
    /// Whether the engine logs in as `default` itself (the library does, the server does not).
    pub(super) own_session: bool,
}

impl ClickHouseConfig<'_> {
    /// The server's file. It holds the token.
    pub(super) fn server(&self) -> Result<String, EngineError> {
        let data = text(EngineKind::ClickHouse, self.data)?;
        let (data, users) = (xml(data), xml(text(EngineKind::ClickHouse, self.users_file)?));
        let (port, memory) = (self.port, self.memory_bytes_max);
        let marks = (memory / 16).min(256 << 20);
        let token = self.token.expose_secret();
        // With the library's two threads for background work, merges are put off again and again: 16.
        Ok(format!(
            "<clickhouse>
  <logger><level>error</level><console>1</console></logger>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path>
  <format_schema_path>{data}/format_schemas/</format_schema_path>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <max_connections>512</max_connections>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>{marks}</mark_cache_size>
  <background_schedule_pool_size>16</background_schedule_pool_size>
  <users_config>{users}</users_config>
  <http_handlers>
    <rule>
      <url>/ping</url>
      <methods>GET,HEAD</methods>
      <handler><type>ping</type></handler>
    </rule>
    <rule>
      <headers><{TOKEN_HEADER}>{token}</{TOKEN_HEADER}></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
  </http_handlers>
</clickhouse>
"
        ))
    }

    /// The users' file: passwords stand in it as hashes only.
    pub(super) fn users(&self) -> String {
        let own = if self.own_session {
            user(
                "default",
                "<password/>",
                "keeper",
                &["SYSTEM LISTEN ON *.*", "SELECT ON system.numbers"],
            )
        } else {
            String::new()
        };
        let engines = TABLE_ENGINES.map(|name| format!("TABLE ENGINE ON {name}"));
        let mut grants = vec![
            "ALL ON hooklog*.*",
            "SELECT ON system.*",
            "KILL QUERY ON *.*",
            "CREATE TEMPORARY TABLE ON *.*",
        ];
        grants.extend(engines.iter().map(String::as_str));
        let owner = user(USER, &hash(self.password), USER, &grants);
        let reader = user(
            READER,
            &hash(self.reader_password),
            READER,
            &["SELECT ON hooklog*.*"],
        );
        format!(
            "<clickhouse>
  <profiles>
    <default/>
    <keeper/>
    <{USER}><async_insert>0</async_insert></{USER}>
    <{READER}><readonly>1</readonly><max_execution_time>60</max_execution_time></{READER}>
  </profiles>
  <quotas><default/></quotas>
  <users>
{own}{owner}{reader}  </users>
</clickhouse>
"
        )
    }
}

/// One user, let in from loopback only.
fn user(name: &str, password: &str, profile: &str, grants: &[&str]) -> String {
    let grants: String = grants
        .iter()
        .map(|grant| format!("<query>GRANT {grant}</query>"))
        .collect();
    format!(
        "    <{name}>{password}<networks><ip>127.0.0.1</ip></networks><profile>{profile}</profile>\
         <quota>default</quota><grants>{grants}</grants></{name}>\n"
    )
}

fn hash(password: &SecretString) -> String {
    let digest = hex::encode(Sha256::digest(password.expose_secret().as_bytes()));
    format!("<password_sha256_hex>{digest}</password_sha256_hex>")
}

/// What the NATS server needs to know.
pub(super) struct NatsConfig<'a> {
    pub(super) store: &'a Path,
    pub(super) port: u16,
    pub(super) jetstream_bytes_max: u64,
    pub(super) message_bytes_max: u32,
    pub(super) token: &'a SecretString,
}

impl NatsConfig<'_> {
    /// Its file. It holds the token.
    pub(super) fn server(&self) -> Result<String, EngineError> {
        let store = text(EngineKind::Nats, self.store)?
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        let (port, disk, message) = (self.port, self.jetstream_bytes_max, self.message_bytes_max);
        let token = self.token.expose_secret();
        Ok(format!(
            "server_name: hooklog
host: \"127.0.0.1\"
port: {port}
max_payload: {message}
authorization {{ token: \"{token}\" }}
jetstream {{
  store_dir: \"{store}\"
  max_file: {disk}
  max_mem: 67108864
}}
"
        ))
    }
}

fn text(engine: EngineKind, path: &Path) -> Result<&str, EngineError> {
    path.to_str().ok_or_else(|| EngineError::Path {
        engine,
        path: path.to_owned(),
    })
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(own_session: bool) -> (String, String) {
        let secret = |text: &str| SecretString::from(text);
        let (token, password, reader) = (secret("tok"), secret("pass-one"), secret("pass-two"));
        let config = ClickHouseConfig {
            data: Path::new("/a & b/<c>"),
            users_file: Path::new("/users.xml"),
            port: 1234,
            memory_bytes_max: 1 << 30,
            token: &token,
            password: &password,
            reader_password: &reader,
            own_session,
        };
        (config.server().unwrap(), config.users())
    }

    #[test]
    fn paths_are_escaped_in_xml() {
        assert!(config(true).0.contains("<path>/a &amp; b/&lt;c&gt;/</path>"));
    }

    #[test]
    fn passwords_never_stand_in_clear() {
        let (server, users) = config(true);
        assert!(!format!("{server}{users}").contains("pass-"));
        assert!(users.contains(&hex::encode(Sha256::digest(b"pass-one"))));
    }

    #[test]
    fn a_server_that_needs_no_session_of_its_own_has_no_open_user() {
        assert!(config(true).1.contains("<password/>"));
        assert!(!config(false).1.contains("<password/>"));
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_for_nats() {
        let token = SecretString::from("tok");
        let config = NatsConfig {
            store: Path::new("/a\"b\\c"),
            port: 1,
            jetstream_bytes_max: 2,
            message_bytes_max: 3,
            token: &token,
        };
        assert!(config.server().unwrap().contains(r#"store_dir: "/a\"b\\c""#));
    }
}
