use std::collections::BTreeSet;

use domain::testing::rows_as_json;

use super::*;

const GOLDEN: &str = include_str!("../golden/tables.txt");
const DOCUMENTATION: &str = include_str!("../../../../../docs/read-models.md");

fn tables() -> Vec<(u16, Table)> {
    let models = all(SHAPE);
    models
        .iter()
        .flat_map(|model| model.tables().iter().map(|table| (model.schema(), *table)))
        .collect()
}

#[test]
fn a_changed_definition_has_a_new_schema_number() {
    let lines: BTreeSet<&str> = GOLDEN.lines().collect();
    for (schema, table) in tables() {
        let hash = domain::ContentHash::of(table.definition.as_bytes());
        let line = format!("{} s{schema} {hash}", table.name);
        assert!(
            lines.contains(line.as_str()),
            "{} is not as schema {schema} was: raise the schema of its model and add to golden/tables.txt:\n{line}",
            table.name
        );
    }
    let shapes: Vec<_> = lines
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    let distinct: BTreeSet<_> = shapes.iter().collect();
    assert_eq!(
        distinct.len(),
        shapes.len(),
        "golden/tables.txt has two shapes of one schema"
    );
}

#[test]
fn the_documentation_shows_every_definition() {
    for (_, table) in tables() {
        let shown = format!("```sql\nCREATE TABLE {}\n{}```", table.name, table.definition);
        assert!(
            DOCUMENTATION.contains(&shown),
            "docs/read-models.md does not show {} as it is",
            table.name
        );
    }
}

#[test]
fn the_documentation_names_every_view() {
    for model in all(SHAPE) {
        for view in model.views() {
            assert!(
                DOCUMENTATION.contains(&format!("| `{}` |", view.name)),
                "{} is not in docs/read-models.md",
                view.name
            );
        }
    }
}

#[test]
fn every_table_replaces_and_is_synced() {
    for (_, table) in tables() {
        assert!(
            table.definition.contains("ENGINE = ReplacingMergeTree("),
            "{}",
            table.name
        );
        assert!(
            table.definition.contains("ORDER BY (tenant, "),
            "{} does not put the tenant first",
            table.name
        );
        assert!(
            table
                .definition
                .contains("fsync_after_insert = 1, fsync_part_directory = 1"),
            "{}",
            table.name
        );
    }
}

#[test]
fn a_view_reads_tables_of_its_own_model_only() {
    for model in all(SHAPE) {
        let own: BTreeSet<_> = model.tables().iter().map(|table| table.name).collect();
        for view in model.views() {
            let named: BTreeSet<_> = view
                .select
                .split('{')
                .skip(1)
                .map(|rest| rest.split_once('}').unwrap().0)
                .collect();
            assert!(
                !named.is_empty() && named.is_subset(&own),
                "{}: {named:?}",
                view.name
            );
        }
    }
}

/// The names of the columns in a definition.
fn columns(definition: &str) -> BTreeSet<String> {
    let lines = definition.lines().map(str::trim).take_while(|line| *line != ")");
    let columns = lines.filter(|line| *line != "(" && !line.starts_with("INDEX"));
    columns
        .map(|line| line.split_once(' ').unwrap().0.to_owned())
        .collect()
}

/// Events that give rows to every table.
fn events_for_every_table() -> Vec<Projected> {
    let job = TestDelivery::new(
        "workflow_job",
        super::ci_session::job(501, 1, "in_progress", "{}"),
    );
    let run = r#"{"action":"completed","workflow_run":{"id":7,"pull_requests":[{"number":3}]}}"#;
    let push = r#"{"repository":{"stargazers_count":3}}"#;
    let events = [
        projected(
            1,
            &TestDelivery {
                action: Some("in_progress".into()),
                ..job
            },
        ),
        projected(2, &TestDelivery::new("workflow_run", run)),
        projected(3, &TestDelivery::new("push", push)),
    ];
    [
        &events[..],
        &super::outcomes::one_of_each(10),
        &super::replays::one_of_each(20),
    ]
    .concat()
}

/// The types of a row's fields are those of the columns: what its bytes say by these is what it says by itself.
#[test]
fn rows_are_written_as_the_types_of_their_table_read_them() {
    let events = events_for_every_table();
    for model in all(SHAPE) {
        let written = |mut batch: RowBatch| {
            let mut model = super::model(model.name(), SHAPE);
            model.project(&events, &mut batch).unwrap();
            batch
        };
        let (binary, readable) = (written(RowBatch::default()), written(RowBatch::readable()));
        let told = readable.into_lines();
        for ((table, rows), (of_table, lines)) in binary.into_rows().into_iter().zip(told) {
            let definition = model
                .tables()
                .iter()
                .find(|t| t.name == table)
                .unwrap()
                .definition;
            let read = rows_as_json(definition, rows).join("\n");
            let rows = |lines: &[u8]| rows_of(table, lines).map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(rows(read.as_bytes()), rows(&lines), "{table}");
            assert_eq!(table, of_table);
        }
    }
}

#[test]
fn rows_have_the_columns_of_their_table_and_no_others() {
    let events = events_for_every_table();
    for model in all(SHAPE) {
        let tables = folded(model.name(), &events);
        for table in model.tables() {
            let row = tables
                .rows(table.name)
                .next()
                .unwrap_or_else(|| panic!("{} has no row", table.name));
            assert_eq!(
                row.keys().cloned().collect::<BTreeSet<_>>(),
                columns(table.definition),
                "{}",
                table.name
            );
        }
    }
}
