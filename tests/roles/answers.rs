//! What the tables of the builds that are asked come to, however they were cut into partitions and blocks.

use domain::{Query, Tables};
use projections::models;
use projections::{BuildShape, active_build};
use serde::Deserialize;

/// Of each table its name, its rows and the sum of their hashes. Rollups are added up over partitions and blocks.
pub(crate) type Answers = Vec<(String, u64, u64)>;

#[derive(Deserialize)]
struct Column {
    name: String,
    r#type: String,
    is_in_sorting_key: u8,
}

#[derive(Deserialize)]
struct Found {
    rows: u64,
    hash: u64,
}

pub(crate) async fn answers(tables: &dyn Tables) -> Answers {
    let mut all = Answers::new();
    for model in models::all(BuildShape::default()) {
        let build = active_build(tables, model.name()).await.expect("rows of builds");
        let build = build.expect("a build that is asked");
        for table in model.tables() {
            let real = build.table(table.name);
            let columns = Query::new(
                "SELECT name, type, is_in_sorting_key FROM system.columns
                 WHERE database = 'hooklog' AND table = {table:String} ORDER BY position",
            );
            let columns: Vec<Column> = tables
                .query(&columns.bind("table", &real))
                .await
                .expect("columns");
            let version = version_of(table.definition);
            let found: Vec<Found> = tables
                .query(&Query::new(statement(&real, &columns, version)))
                .await
                .expect("a hash");
            let found = &found[0];
            all.push((table.name.to_owned(), found.rows, found.hash));
        }
    }
    all
}

fn version_of(definition: &str) -> &str {
    let (_, after) = definition.split_once("ReplacingMergeTree(").expect("a version");
    after.split_once(')').expect("a version").0
}

/// Which of two rows stands says nothing about what it means, so the version is left out.
fn statement(real: &str, columns: &[Column], version: &str) -> String {
    let is_rollup = columns.iter().any(|column| column.name == "block");
    let cut = ["partition", "block"];
    let wanted: Vec<&Column> = columns
        .iter()
        .filter(|column| column.name != version && !(is_rollup && cut.contains(&column.name.as_str())))
        .collect();
    let value = |column: &&Column| {
        let name = &column.name;
        match column.r#type.as_str() {
            _ if !is_rollup || column.is_in_sorting_key == 1 => name.clone(),
            kind if kind.starts_with("Map(") => format!("sumMap({name})"),
            kind if kind.starts_with("Int") || kind.starts_with("UInt") => format!("sum({name})"),
            // The latest time; of a name one of its spellings.
            _ => format!("max({name})"),
        }
    };
    let values: Vec<String> = wanted.iter().map(value).collect();
    let keys: Vec<&str> = wanted
        .iter()
        .filter(|column| column.is_in_sorting_key == 1)
        .map(|column| column.name.as_str())
        .collect();
    let group = if is_rollup {
        format!(" GROUP BY {}", keys.join(", "))
    } else {
        String::new()
    };
    format!(
        "SELECT count() AS rows, sum(cityHash64(formatRowNoNewline('TSV', *))) AS hash
         FROM (SELECT {} FROM hooklog.{real} FINAL{group})",
        values.join(", ")
    )
}
