//! The statements that make and drop tables and views: on one server, or on all servers of a cluster.
//!
//! In a cluster a table is two: `<name>_local`, replicated within its shard, and `<name>`, which spreads rows over the shards and asks
//! all of them. All versions of a row have the same sort key, so the hash of that chooses the shard: the replacing engine
//! meets them, and `FINAL` tells the truth.

use domain::Query;

/// The engine of every table of ours.
const ENGINE: &str = "ENGINE = ReplacingMergeTree(";
/// What the part of a table in each shard is called.
const LOCAL: &str = "_local";

/// Makes the database.
pub(crate) fn create_database(cluster: Option<&str>) -> Query {
    let on = on(cluster);
    Query::new(format!(
        "CREATE DATABASE IF NOT EXISTS hooklog{on} ENGINE = Atomic"
    ))
}

/// Makes a table: its columns, engine and order are the definition. In this order: a table that spreads rows has some to spread to.
pub(crate) fn create_table(cluster: Option<&str>, name: &str, definition: &str) -> Vec<Query> {
    let Some(named) = cluster else {
        let statement = format!("CREATE TABLE IF NOT EXISTS hooklog.{name} {definition}");
        return vec![Query::new(statement)];
    };
    let (on, quoted) = (on(cluster), quoted(named));
    // Where its copies find each other is for the servers to say (default_replica_path, default_replica_name).
    let replicated = definition.replacen(ENGINE, "ENGINE = ReplicatedReplacingMergeTree(", 1);
    let key = sort_key(definition);
    vec![
        Query::new(format!(
            "CREATE TABLE IF NOT EXISTS hooklog.{name}{LOCAL}{on} {replicated}"
        )),
        Query::new(format!(
            "CREATE TABLE IF NOT EXISTS hooklog.{name}{on} AS hooklog.{name}{LOCAL} \
             ENGINE = Distributed({quoted}, hooklog, {name}{LOCAL}, cityHash64({key}))"
        )),
    ]
}

/// Makes a table that must not be there yet: of several who make it, one succeeds.
pub(crate) fn claim_table(cluster: Option<&str>, name: &str, definition: &str) -> Vec<Query> {
    let mut statements = create_table(cluster, name, definition);
    if let Some(first) = statements.first_mut() {
        first.sql = first.sql.replacen("IF NOT EXISTS ", "", 1);
    }
    statements
}

/// Drops a table. The part that is looked for goes last, so that a crash in between leaves something to find.
pub(crate) fn drop_table(cluster: Option<&str>, name: &str) -> Vec<Query> {
    if cluster.is_none() {
        return vec![Query::new(format!("DROP TABLE IF EXISTS hooklog.{name}"))];
    }
    let on = on(cluster);
    let drop = |name: String| Query::new(format!("DROP TABLE IF EXISTS hooklog.{name}{on} SYNC"));
    vec![drop(format!("{name}{LOCAL}")), drop(name.to_owned())]
}

/// Points a view somewhere.
pub(crate) fn replace_view(cluster: Option<&str>, name: &str, select: &str) -> Query {
    let on = on(cluster);
    Query::new(format!("CREATE OR REPLACE VIEW hooklog.{name}{on} AS {select}"))
}

fn on(cluster: Option<&str>) -> String {
    cluster.map_or_else(String::new, |cluster| format!(" ON CLUSTER {}", quoted(cluster)))
}

fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

/// The columns that rows are sorted by, as the definition writes them, without brackets.
fn sort_key(definition: &str) -> &str {
    let after = definition.rsplit_once("ORDER BY ").map_or("", |(_, rest)| rest);
    let end = after.find("SETTINGS").unwrap_or(after.len());
    let key = after.get(..end).unwrap_or(after).trim();
    key.strip_prefix('(')
        .and_then(|key| key.strip_suffix(')'))
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::builds::Facts;
    use crate::model::BuildShape;

    const DEFINITION: &str = "(a String, b UInt64, upto UInt64) ENGINE = ReplacingMergeTree(upto)\nORDER BY (a, b)\n\
                              SETTINGS fsync_after_insert = 1";

    fn texts(statements: Vec<Query>) -> Vec<String> {
        statements.into_iter().map(|query| query.sql).collect()
    }

    #[test]
    fn one_server_has_one_table() {
        assert_eq!(
            texts(create_table(None, "jobs_s1_b1", DEFINITION)),
            [format!(
                "CREATE TABLE IF NOT EXISTS hooklog.jobs_s1_b1 {DEFINITION}"
            )]
        );
        assert_eq!(texts(drop_table(None, "t")), ["DROP TABLE IF EXISTS hooklog.t"]);
        assert_eq!(
            replace_view(None, "v", "SELECT 1").sql,
            "CREATE OR REPLACE VIEW hooklog.v AS SELECT 1"
        );
        let database = create_database(None).sql;
        assert_eq!(database, "CREATE DATABASE IF NOT EXISTS hooklog ENGINE = Atomic");
    }

    #[test]
    fn a_name_of_a_cluster_can_end_nothing() {
        let database = create_database(Some("a` ENGINE = Memory --")).sql;
        assert!(
            database.contains("ON CLUSTER `a\\` ENGINE = Memory --` ENGINE = Atomic"),
            "{database}"
        );
    }

    /// What a cluster is told, for every table that there is; the golden file is for people to read.
    #[test]
    fn the_statements_for_a_cluster_are_as_agreed() {
        let cluster = Some("main");
        let mut said = String::new();
        let mut statement = |query: Query| writeln!(said, "{};\n", query.sql.trim()).unwrap();
        statement(create_database(cluster));
        for migration in crate::migration::MIGRATIONS {
            create_table(cluster, migration.table, migration.definition)
                .into_iter()
                .for_each(&mut statement);
        }
        for model in crate::models::all(BuildShape::default()) {
            let facts = Facts::of(model.as_ref());
            for table in facts.tables {
                let name = crate::builds::real_name(table.name, facts.schema, 1);
                create_table(cluster, &name, table.definition)
                    .into_iter()
                    .for_each(&mut statement);
                assert!(!sort_key(table.definition).is_empty(), "{name}");
            }
        }
        drop_table(cluster, "t_s1_b1")
            .into_iter()
            .for_each(&mut statement);
        statement(replace_view(cluster, "v", "SELECT 1"));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/models/golden/cluster.sql");
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        if golden != said {
            // For whoever meant to change it: compare the two, then put this in its place.
            let seen = std::env::temp_dir().join("hooklog-cluster.sql");
            std::fs::write(&seen, &said).unwrap();
            panic!("{path} differs from {}", seen.display());
        }
    }
}
