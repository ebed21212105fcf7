//! The read models' store: ClickHouse over HTTP, embedded or a cluster, through the same client.
//!
//! Every statement is bounded in time, memory and size of its answer, carries a query id, and is killed on the server
//! when nobody waits for it any longer. Never here: SQL of a read model, retries, or values pasted into a statement.

mod error;
mod hosts;
mod options;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use clickhouse::Client;
use domain::{Query, Rows, TableError, Tables};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use error::Failure;
use hosts::Hosts;
pub use options::ClickHouseOptions;

/// How much of a body is compressed and sent at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// How long a `KILL QUERY` and a ping may take.
const SHORT: Duration = Duration::from_secs(5);

/// Tables kept in ClickHouse. Cheap to clone.
#[derive(Clone)]
pub struct ClickHouse {
    hosts: Hosts,
    options: Arc<ClickHouseOptions>,
    permits: Arc<Semaphore>,
}

/// A statement under way; dropped before it is over, it is killed on the server.
struct Running {
    client: Client,
    query_id: String,
    over: bool,
}

impl ClickHouse {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the options are wrong: no address, or files that can't be read.
    pub fn new(options: ClickHouseOptions) -> Result<Self, TableError> {
        let always = settings(&options);
        let hosts = Hosts::new(&options)?.with(|mut client| {
            if let Some(token) = &options.token {
                client = client.with_header("X-Hooklog-Token", token.expose_secret());
            }
            let each = always.iter();
            each.fold(client, |client, (name, value)| client.with_setting(*name, value))
        });
        Ok(Self {
            hosts,
            permits: Arc::new(Semaphore::new(options.statements_in_flight_max.max(1))),
            options: Arc::new(options),
        })
    }

    /// The same store, unable to change anything; for statements that people write themselves.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let mut other = self.clone();
        other.hosts = other.hosts.with(|client| client.with_setting("readonly", "2"));
        other
    }

    /// Whether a server answers, within a few seconds.
    ///
    /// # Errors
    /// When none does, or one refuses our user.
    pub async fn ping(&self) -> Result<(), TableError> {
        let asked = self.on_a_host(|client| async move {
            let query_id = new_query_id();
            // A server without our database is alive all the same.
            let query = outside(&client).query_raw("SELECT 1 FORMAT Null");
            let query = query.with_setting("query_id", &query_id);
            self.bounded(&client, "ping", &query_id, SHORT, query.execute())
                .await
        });
        asked.await.map_err(Failure::into_table_error)
    }

    fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.options.query_timeout_ms)
    }

    /// Runs on the first server that answers. Everything that is run here may be run twice: a server that went away in the middle
    /// may have done it.
    async fn on_a_host<T: Send, F: Future<Output = Result<T, Failure>> + Send>(
        &self,
        run: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, Failure> {
        let mut last = None;
        for host in self.hosts.in_order() {
            match run(host.client.clone()).await {
                Err(away @ Failure::Away(_)) => {
                    self.hosts.went_away(host);
                    last = Some(away);
                }
                // There is no time left to ask another one.
                Err(late @ Failure::Late(_)) => {
                    self.hosts.went_away(host);
                    return Err(late);
                }
                answered => {
                    self.hosts.is_back(host);
                    return answered;
                }
            }
        }
        Err(last.unwrap_or_else(|| Failure::Later("there is no server".into())))
    }

    fn prepared(client: &Client, query: &Query, query_id: &str) -> clickhouse::query::Query {
        let mut prepared = client.query_raw(&query.sql).with_setting("query_id", query_id);
        for (name, value) in &query.params {
            let text = if takes_literal(&query.sql, name) {
                value.clone()
            } else {
                escaped(value)
            };
            prepared = prepared.with_setting(format!("param_{name}"), text);
        }
        prepared
    }

    async fn execute_once(&self, client: &Client, statement: &Query) -> Result<(), Failure> {
        let query_id = new_query_id();
        let prepared = Self::prepared(client, statement, &query_id);
        self.bounded(
            client,
            "execute",
            &query_id,
            self.query_timeout(),
            prepared.execute(),
        )
        .await
    }

    async fn query_once(&self, client: &Client, query: &Query) -> Result<Bytes, Failure> {
        let query_id = new_query_id();
        let prepared = Self::prepared(client, query, &query_id);
        let bytes_max = self.options.answer_bytes_max;
        let work = async move {
            let mut cursor = prepared.fetch_bytes("JSONEachRow")?;
            let mut answer = BytesMut::new();
            while let Some(piece) = cursor.next().await? {
                if answer.len().saturating_add(piece.len()) > bytes_max {
                    let text = format!("the answer is over {bytes_max} bytes");
                    return Err(clickhouse::error::Error::Custom(text));
                }
                answer.extend_from_slice(&piece);
            }
            Ok(answer.freeze())
        };
        self.bounded(client, "query", &query_id, self.query_timeout(), work)
            .await
    }

    async fn insert_once(&self, client: &Client, into: &str, rows: Bytes) -> Result<(), Failure> {
        let query_id = new_query_id();
        let mut insert = client
            .insert_formatted_with(format!("INSERT INTO {into} FORMAT RowBinary"))
            .with_setting("max_execution_time", seconds(self.options.insert_timeout_ms))
            .with_setting("query_id", &query_id);
        let work = async move {
            let mut rest = rows;
            while !rest.is_empty() {
                let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
                insert.send(piece).await?;
            }
            insert.end().await
        };
        let timeout = Duration::from_millis(self.options.insert_timeout_ms);
        self.bounded(client, "insert", &query_id, timeout, work).await
    }

    /// Runs a statement within its time, waiting for a permit included; kills it when it is given up.
    async fn bounded<T>(
        &self,
        client: &Client,
        operation: &'static str,
        query_id: &str,
        timeout: Duration,
        work: impl Future<Output = Result<T, clickhouse::error::Error>> + Send,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let mut running = None;
        let outcome = tokio::time::timeout(timeout, async {
            let _permit = self.permits.acquire().await;
            let running = running.insert(Running {
                client: client.clone(),
                query_id: query_id.to_owned(),
                over: false,
            });
            let answer = work.await;
            running.over = answer.is_ok() || answer.as_ref().is_err_and(error::is_answer);
            answer
        });
        let result = match outcome.await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::late(operation, timeout)),
        };
        metrics::histogram!("hooklog_clickhouse_duration_seconds", "operation" => operation)
            .record(began.elapsed().as_secs_f64());
        if let Err(failure) = &result {
            metrics::counter!("hooklog_clickhouse_errors_total", "operation" => operation, "kind" => failure.kind())
                .increment(1);
        }
        result
    }

    /// Creates our database; asked for only when the server says that it has none.
    async fn create_database(&self, client: &Client) -> Result<(), Failure> {
        let query_id = new_query_id();
        let name = quoted(&self.options.database);
        let on = self.options.cluster.as_deref();
        let on = on.map_or_else(String::new, |cluster| format!(" ON CLUSTER {}", quoted(cluster)));
        let query = outside(client)
            .query_raw(&format!(
                "CREATE DATABASE IF NOT EXISTS {name}{on} ENGINE = Atomic"
            ))
            .with_setting("query_id", &query_id);
        self.bounded(
            client,
            "execute",
            &query_id,
            self.query_timeout(),
            query.execute(),
        )
        .await?;
        tracing::info!(database = %self.options.database, "database created");
        Ok(())
    }

    /// Runs on a server, and once more with the database created, when it was missing: somebody may have deleted all of it.
    async fn with_database<T: Send, F: Future<Output = Result<T, Failure>> + Send>(
        &self,
        run: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, TableError> {
        let run = &run;
        let asked = self.on_a_host(|client| async move {
            match run(client.clone()).await {
                Err(Failure::NoDatabase(_)) => {
                    self.create_database(&client).await?;
                    run(client).await
                }
                other => other,
            }
        });
        asked.await.map_err(Failure::into_table_error)
    }
}

#[async_trait]
impl Tables for ClickHouse {
    async fn execute(&self, statement: &Query) -> Result<(), TableError> {
        self.with_database(|client| async move { self.execute_once(&client, statement).await })
            .await
    }

    async fn insert(&self, table: &str, rows: Rows) -> Result<(), TableError> {
        if rows.is_empty() {
            return Ok(());
        }
        let count = rows.len() as u64;
        let columns: Vec<String> = rows.columns().iter().map(|column| quoted(column)).collect();
        let into = format!("{} ({})", table_name(table)?, columns.join(", "));
        let (into, binary) = (into.as_str(), rows.into_binary());
        self.with_database(|client| {
            let binary = binary.clone();
            async move { self.insert_once(&client, into, binary).await }
        })
        .await?;
        metrics::counter!("hooklog_clickhouse_inserted_rows_total").increment(count);
        Ok(())
    }

    async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
        self.with_database(|client| async move { self.query_once(&client, query).await })
            .await
    }

    fn cluster(&self) -> Option<&str> {
        self.options.cluster.as_deref()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let kill = outside(&self.client)
            .query_raw("KILL QUERY WHERE query_id = {query:String} ASYNC FORMAT Null")
            .with_setting("param_query", &self.query_id);
        let query_id = std::mem::take(&mut self.query_id);
        runtime.spawn(async move {
            let done = tokio::time::timeout(SHORT, kill.execute()).await;
            if !matches!(done, Ok(Ok(()))) {
                tracing::debug!(%query_id, "abandoned statement could not be killed");
            }
        });
    }
}

/// The client for statements that need no database of ours, which may be missing.
fn outside(client: &Client) -> Client {
    client.clone().with_database("system")
}

/// What every statement runs with.
fn settings(options: &ClickHouseOptions) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    let mut settings = vec![
        // Without it an error in mid-answer arrives as garbage behind a 200.
        ("wait_end_of_query", text("1")),
        ("cancel_http_readonly_queries_on_client_close", text("1")),
        ("async_insert", text("0")),
        ("max_execution_time", seconds(options.query_timeout_ms)),
        ("max_memory_usage", options.query_memory_bytes_max.to_string()),
        ("max_threads", options.query_threads_max.to_string()),
        ("output_format_json_quote_64bit_integers", text("0")),
        ("output_format_json_quote_denormals", text("0")),
        ("date_time_input_format", text("best_effort")),
        ("date_time_output_format", text("iso")),
        // One block per insert: parsing in parallel could cut it.
        ("input_format_parallel_parsing", text("0")),
    ];
    if options.cluster.is_some() {
        settings.extend([
            // An insert is done when it is in its shards, and in most replicas of each: what a progress row says survives a server.
            ("distributed_foreground_insert", text("1")),
            ("insert_quorum", options.insert_quorum.clone()),
            ("insert_quorum_parallel", text("1")),
            // What was written once may be written again: a replica that leaves out blocks it has seen would only hide that.
            ("insert_deduplicate", text("0")),
            // A server that is down does not keep others from getting on: it does what it missed when it is back.
            ("distributed_ddl_output_mode", text("throw_only_active")),
            (
                "distributed_ddl_task_timeout",
                seconds(options.query_timeout_ms / 2),
            ),
            // Subqueries ask all shards, and go there with what they found.
            ("distributed_product_mode", text("global")),
            // Whoever reads after it wrote asks the same replica, while it is there.
            ("load_balancing", text("in_order")),
        ]);
    }
    settings
}

/// Time limits of the server, in whole seconds, never less than ours.
fn seconds(ms: u64) -> String {
    ms.div_ceil(1000).max(1).to_string()
}

fn new_query_id() -> String {
    format!("hooklog-{}", uuid::Uuid::now_v7())
}

/// A table as we name them, with or without its database.
fn table_name(table: &str) -> Result<String, TableError> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let parts: Vec<&str> = table.split('.').collect();
    if parts.len() > 2 || !parts.iter().all(|part| plain(part)) {
        return Err(TableError::Refused(format!("{table:?} is no table name of ours")));
    }
    Ok(parts
        .iter()
        .map(|part| quoted(part))
        .collect::<Vec<_>>()
        .join("."))
}

fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Whether a parameter is declared with a type whose value is written as a literal (`['a','b']`) instead of as text.
fn takes_literal(sql: &str, name: &str) -> bool {
    let declared = sql.split('{').skip(1).filter_map(|rest| rest.split_once(':'));
    declared
        .filter(|(declared, _)| declared.trim() == name)
        .any(|(_, kind)| {
            ["Array", "Tuple", "Map"]
                .iter()
                .any(|k| kind.trim_start().starts_with(k))
        })
}

/// Text as ClickHouse reads a parameter: the escapes of its tab-separated format.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\0' => text.push_str("\\0"),
            other => text.push(other),
        }
    }
    text
}
