//! The read store as the API sees it: which tables to ask, and every statement, one file per projection.
//!
//! Never here: a value inside the text of a statement. Values are bound; only names of tables, columns and numbers of
//! ours become text. Every statement names the tenant first.

pub(crate) mod causes;
pub(crate) mod deliveries;
pub(crate) mod destinations;
pub(crate) mod figures;
pub(crate) mod health;
pub(crate) mod histogram;
pub(crate) mod jobs;
pub(crate) mod newest;
pub(crate) mod rare;
pub(crate) mod replays;
pub(crate) mod repositories;
pub(crate) mod runners;
pub(crate) mod runs;
pub(crate) mod statistics;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{LogId, Query, TableError, Tables, TenantId};
use moka::future::Cache;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::{Code, Failure};
use crate::options::ApiOptions;

/// Seconds after which to ask again for a projection that is being built.
const BUILDING_RETRY_SECS: u64 = 5;

/// How ClickHouse calls it too.
const TIMED_OUT: &str = "TIMEOUT_EXCEEDED";

/// The build of a projection that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Build {
    schema: u16,
    number: u32,
}

impl Build {
    /// The real name of one of its tables.
    pub(crate) fn table(self, name: &str) -> String {
        format!("hooklog.{name}_s{}_b{}", self.schema, self.number)
    }

    /// Whether it has what came with a schema. While a new one is filled, the old one is asked.
    pub(crate) const fn knows(self, schema: u16) -> bool {
        self.schema >= schema
    }
}

#[derive(Deserialize)]
struct BuildRow {
    projection: String,
    schema: u16,
    build: u32,
    log_id: LogId,
}

/// Of several active rows the newest counts.
const ACTIVE_BUILDS: &str = "SELECT projection, schema, build, log_id FROM hooklog.projection_builds FINAL
    WHERE state = 'active' ORDER BY updated_at DESC, build DESC LIMIT 1 BY projection";

type Builds = HashMap<String, Build>;

/// Asks the read store, through the active builds.
pub(crate) struct Store {
    tables: Arc<dyn Tables>,
    log_id: LogId,
    builds: Cache<(), Arc<Builds>>,
    timeout: Duration,
}

impl Store {
    pub(crate) fn new(tables: Arc<dyn Tables>, log_id: LogId, options: &ApiOptions) -> Self {
        Self {
            tables,
            log_id,
            builds: Cache::builder()
                .max_capacity(1)
                .time_to_live(Duration::from_millis(options.builds_cache_ms))
                .build(),
            timeout: Duration::from_millis(options.query_timeout_ms),
        }
    }

    /// Asks the active build of a projection. A build that was replaced a moment ago is looked up once more.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        projection: &'static str,
        statement: impl Fn(Build) -> Query + Send,
    ) -> Result<Vec<T>, Failure> {
        let first = self.run(&statement(self.build(projection).await?)).await;
        let answer = match first {
            Err(TableError::Refused(text)) if gone(&text) => {
                self.builds.invalidate(&()).await;
                self.run(&statement(self.build(projection).await?)).await
            }
            answer => answer,
        };
        match answer {
            // The tables are those of an older version of the program, until the new ones have been filled.
            Err(TableError::Refused(text)) if gone(&text) || older(&text) => Err(being_built(projection)),
            // The store had just named its tables: it is the statement that asks for too much.
            Err(TableError::Unavailable(text)) if timed_out(&text) => Err(TableError::Refused(text).into()),
            answer => Ok(answer?),
        }
    }

    /// As [`Store::ask`], for statements that answer with one row.
    pub(crate) async fn ask_one<T: DeserializeOwned + Default>(
        &self,
        projection: &'static str,
        statement: impl Fn(Build) -> Query + Send,
    ) -> Result<T, Failure> {
        Ok(self
            .ask(projection, statement)
            .await?
            .into_iter()
            .next()
            .unwrap_or_default())
    }

    async fn run<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, TableError> {
        tokio::time::timeout(self.timeout, self.tables.query(query))
            .await
            .unwrap_or_else(|_| {
                let ms = self.timeout.as_millis();
                Err(TableError::Unavailable(format!("{TIMED_OUT} after {ms} ms")))
            })
    }

    async fn build(&self, projection: &'static str) -> Result<Build, Failure> {
        let builds = self.builds.try_get_with((), self.active_builds()).await;
        let builds = builds.map_err(|error: Arc<TableError>| shared(&error))?;
        builds
            .get(projection)
            .copied()
            .ok_or_else(|| being_built(projection))
    }

    async fn active_builds(&self) -> Result<Arc<Builds>, TableError> {
        let rows: Vec<BuildRow> = match self.run(&Query::new(ACTIVE_BUILDS)).await {
            Ok(rows) => rows,
            // Nothing was ever projected here.
            Err(TableError::Refused(text)) if gone(&text) => Vec::new(),
            Err(error) => return Err(error),
        };
        // What was projected from another log answers no question about this one.
        let ours = rows.into_iter().filter(|row| row.log_id == self.log_id);
        Ok(Arc::new(
            ours.map(|row| {
                let build = Build {
                    schema: row.schema,
                    number: row.build,
                };
                (row.projection, build)
            })
            .collect(),
        ))
    }
}

/// Whether it was given up here, before the store answered.
fn timed_out(text: &str) -> bool {
    text.starts_with(TIMED_OUT)
}

/// Errors 60 and 81 of ClickHouse: no such table or database.
fn gone(text: &str) -> bool {
    text.contains("UNKNOWN_TABLE") || text.contains("UNKNOWN_DATABASE")
}

/// Error 47 of ClickHouse: no such column.
fn older(text: &str) -> bool {
    text.contains("UNKNOWN_IDENTIFIER")
}

fn being_built(projection: &str) -> Failure {
    Failure::later(
        format!("projection {projection} is being built; see /api/projections"),
        BUILDING_RETRY_SECS,
    )
}

fn shared(error: &TableError) -> Failure {
    match error {
        TableError::Unavailable(text) => TableError::Unavailable(text.clone()).into(),
        TableError::Refused(text) => TableError::Refused(text.clone()).into(),
        TableError::Encoding(_) => Failure::new(Code::Internal, "the list of projections can't be read"),
    }
}

/// Conditions of a statement with the values they compare with.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    text: String,
    params: Vec<(&'static str, String)>,
}

impl Conditions {
    /// Starts with the tenant, as every statement must.
    pub(crate) fn of(tenant: &TenantId) -> Self {
        Self {
            text: "tenant = {tenant:String}".to_owned(),
            params: vec![("tenant", tenant.to_string())],
        }
    }

    /// Adds a condition without a value.
    pub(crate) fn and(mut self, condition: &str) -> Self {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self
    }

    /// Adds a condition on a value, which stands in it as `{name:Type}`.
    pub(crate) fn with(mut self, condition: &str, name: &'static str, value: impl ToString) -> Self {
        self.params.push((name, value.to_string()));
        self.and(condition)
    }

    /// As [`Conditions::with`], but as another way to fulfil the condition before it, which has opened a bracket that this
    /// one closes.
    pub(crate) fn or(mut self, condition: &str, name: &'static str, value: impl ToString) -> Self {
        self.params.push((name, value.to_string()));
        self.text.push_str(" OR ");
        self.text.push_str(condition);
        self
    }

    /// As [`Conditions::with`], when there is a value.
    pub(crate) fn with_given(
        self,
        condition: &str,
        name: &'static str,
        value: Option<impl ToString>,
    ) -> Self {
        match value {
            Some(value) => self.with(condition, name, value),
            None => self,
        }
    }

    /// As [`Conditions::and`], when there is one.
    pub(crate) fn and_given(self, condition: Option<&str>) -> Self {
        match condition {
            Some(condition) => self.and(condition),
            None => self,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Binds the values to a statement in which the text was used.
    pub(crate) fn bind(self, sql: String) -> Query {
        let mut query = Query::new(sql);
        query.params = self.params;
        query
    }
}

/// How many rows fit among so many raw ones that were looked at.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct CountedAmong {
    seen: i64,
    n: i64,
}

impl CountedAmong {
    /// The count, and whether it is of all rows.
    pub(crate) const fn total(self, rows: u32) -> (i64, bool) {
        (self.n, self.seen < rows as i64)
    }
}

/// A row of counts.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct Counted {
    pub(crate) n: i64,
}

#[cfg(test)]
impl Build {
    pub(crate) const fn for_test(schema: u16, number: u32) -> Self {
        Self { schema, number }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use domain::Rows;

    use super::*;

    /// Answers which builds there are, if it is to, and nothing else, ever.
    struct Slow {
        names_builds: bool,
    }

    #[async_trait]
    impl Tables for Slow {
        async fn execute(&self, _: &Query) -> Result<(), TableError> {
            Ok(())
        }

        async fn insert(&self, _: &str, _: Rows) -> Result<(), TableError> {
            Ok(())
        }

        async fn query_json(&self, query: &Query) -> Result<Bytes, TableError> {
            if self.names_builds && query.sql == ACTIVE_BUILDS {
                let id = uuid::Uuid::nil();
                return Ok(format!(r#"{{"projection":"p","schema":1,"build":1,"log_id":"{id}"}}"#).into());
            }
            std::future::pending().await
        }
    }

    async fn code(names_builds: bool) -> Code {
        let options = ApiOptions {
            query_timeout_ms: 5,
            ..ApiOptions::default()
        };
        let log_id = LogId::new(uuid::Uuid::nil());
        let store = Store::new(Arc::new(Slow { names_builds }), log_id, &options);
        let asked = store.ask::<Counted>("p", |_| Query::new("SELECT 1")).await;
        asked.map(|_| ()).unwrap_err().code
    }

    #[tokio::test]
    async fn a_statement_that_takes_too_long_is_not_a_store_that_is_gone() {
        assert_eq!(code(true).await, Code::Timeout);
        assert_eq!(code(false).await, Code::Unavailable);
    }
}
