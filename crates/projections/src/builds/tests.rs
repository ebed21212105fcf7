use super::row::build_of;
use super::view::qualified;
use super::*;
use crate::doubles::log_id;

const TABLES: &[Table] = &[
    Table {
        name: "jobs",
        definition: "",
    },
    Table {
        name: "jobs_s",
        definition: "",
    },
];

fn row(schema: u16, build: u32, log: u128, state: BuildState) -> BuildRow {
    BuildRow {
        projection: "jobs".into(),
        schema,
        build,
        partitions: 1,
        block_size: 10,
        log_id: log_id(log),
        incarnation: uuid::Uuid::from_u128(u128::from(build)),
        state,
        updated_us: i64::from(build),
    }
}

/// What is planned for schema 2 and log 1, with all tables there but those of some builds:
/// (active, building, create, retired).
fn check(
    rows: &[BuildRow],
    without: &[u32],
    expected: (Option<u32>, Option<u32>, Option<BuildState>, &[u32]),
) {
    let there = rows.iter().filter(|row| !without.contains(&row.build));
    let existing = there
        .flat_map(|row| TABLES.iter().map(|t| row.table(t.name)))
        .collect();
    let plan = plan(rows, 2, TABLES, log_id(1), &existing);
    let number = |row: &Option<BuildRow>| row.as_ref().map(|row| row.build);
    let retired: Vec<u32> = plan.retire.iter().map(|row| row.build).collect();
    let found = (
        number(&plan.active),
        number(&plan.building),
        plan.create,
        retired.as_slice(),
    );
    assert_eq!(found, expected, "{rows:?}");
}

#[test]
fn builds_are_kept_made_and_retired_by_what_they_are_good_for() {
    use BuildState::{Active, Building, Retired};
    check(&[], &[], (None, None, Some(Active), &[]));
    check(&[row(2, 1, 1, Active)], &[], (Some(1), None, None, &[]));
    // Its tables are gone: nothing answers, so the new one answers at once.
    check(&[row(2, 1, 1, Active)], &[1], (None, None, Some(Active), &[1]));
    // An older schema and another log answer until the new build has caught up.
    check(&[row(1, 1, 1, Active)], &[], (None, None, Some(Building), &[]));
    check(&[row(2, 1, 9, Active)], &[], (None, None, Some(Building), &[]));
    // A rebuild goes on, unless its tables are gone or it is of another log.
    let rows = [row(2, 1, 1, Active), row(2, 2, 1, Building)];
    check(&rows, &[], (Some(1), Some(2), None, &[]));
    check(&rows, &[2], (Some(1), None, None, &[2]));
    check(
        &[row(2, 1, 1, Active), row(2, 2, 9, Building)],
        &[],
        (Some(1), None, None, &[2]),
    );
    // Of two active rows the newest counts; what was retired stays so.
    check(
        &[row(2, 2, 1, Active), row(2, 1, 1, Active)],
        &[],
        (Some(2), None, None, &[1]),
    );
    check(
        &[row(2, 1, 1, Retired), row(2, 2, 1, Active)],
        &[1],
        (Some(2), None, None, &[]),
    );
}

#[test]
fn a_newer_schema_is_left_alone() {
    let rows = [row(3, 4, 1, BuildState::Active)];
    let plan = plan(&rows, 2, TABLES, log_id(1), &BTreeSet::new());
    assert_eq!(
        (plan.newer_schema, plan.create, plan.retire),
        (Some(3), None, vec![])
    );
}

/// An upgrade under way: a new program fills its build beside the one of this program.
#[test]
fn a_build_of_a_newer_schema_is_not_retired_by_an_older_program() {
    let rows = [
        row(2, 1, 1, BuildState::Active),
        row(3, 2, 1, BuildState::Building),
    ];
    check(&rows, &[], (Some(1), None, None, &[]));
    check(&rows, &[2], (Some(1), None, None, &[]));
    // One of another log is nobody's any more.
    let rows = [
        row(2, 1, 1, BuildState::Active),
        row(3, 2, 9, BuildState::Building),
    ];
    check(&rows, &[], (Some(1), None, None, &[2]));
}

/// A replica that was away has the tables of today and the rows of yesterday.
#[test]
fn an_empty_build_is_not_asked_beside_tables_that_no_row_knows_of() {
    let rows = [row(2, 1, 1, BuildState::Active)];
    let later = row(2, 2, 1, BuildState::Active);
    for (rows, tables) in [(&rows[..], "jobs"), (&rows[..], "jobs_s"), (&[], "jobs")] {
        let existing = BTreeSet::from([later.table(tables)]);
        let plan = plan(rows, 2, TABLES, log_id(1), &existing);
        assert_eq!(plan.create, Some(BuildState::Building), "{rows:?} {tables}");
    }
    let existing = BTreeSet::from([row(2, 1, 1, BuildState::Active).table("jobs")]);
    let plan = plan(&rows, 2, TABLES, log_id(1), &existing);
    assert_eq!(plan.create, Some(BuildState::Active), "its own tables, not whole");
}

#[test]
fn where_nothing_answers_a_retired_build_with_its_tables_is_asked_again() {
    use BuildState::{Active, Building, Retired};
    let revived = |rows: &[BuildRow], without: u32| {
        let there = rows.iter().filter(|row| row.build != without);
        let existing = there
            .flat_map(|row| TABLES.iter().map(|t| row.table(t.name)))
            .collect();
        let plan = plan(rows, 2, TABLES, log_id(1), &existing);
        (plan.revive.map(|row| row.build), plan.create)
    };
    let rows = [row(2, 1, 1, Retired), row(2, 2, 1, Retired), row(2, 3, 1, Active)];
    assert_eq!(revived(&rows, 3), (Some(2), None));
    assert_eq!(revived(&rows, 0), (None, None), "the active one answers");
    assert_eq!(revived(&rows[..2], 2), (Some(1), None), "none is asked");
    let other = [row(1, 1, 1, Retired), row(2, 2, 9, Retired)];
    assert_eq!(revived(&other, 0), (None, Some(Active)), "they can't be filled");
    let building = [row(2, 1, 1, Retired), row(2, 2, 1, Building)];
    assert_eq!(revived(&building, 0), (None, None), "a rebuild goes on");
}

#[test]
fn a_real_name_belongs_to_one_table() {
    assert_eq!(build_of("jobs", "jobs_s2_b7"), Some(7));
    assert_eq!(build_of("jobs", "jobs_s_s2_b7"), None);
    assert_eq!(build_of("jobs_s", "jobs_s_s2_b7"), Some(7));
    assert_eq!(build_of("jobs", "jobs"), None);
    assert_eq!(build_of("jobs", "jobs_s2_b7_old"), None);
}

#[test]
fn tables_of_builds_that_are_neither_asked_nor_filled_are_of_no_use() {
    let rows = [
        row(2, 6, 1, BuildState::Retired),
        row(2, 7, 1, BuildState::Active),
        row(2, 8, 1, BuildState::Building),
    ];
    let found = |names: &[&str]| {
        let existing: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = of_no_use(&rows, TABLES, &existing).map(|(real, build)| (real.clone(), build));
        found.collect::<Vec<_>>()
    };
    assert_eq!(found(&["jobs_s2_b7", "jobs_s_s2_b8", "other_s2_b6"]), []);
    // The one beyond all rows is being made by somebody.
    assert_eq!(
        found(&["jobs_s2_b7", "jobs_s_s1_b6", "jobs_s2_b9"]),
        [("jobs_s_s1_b6".to_owned(), 6)]
    );
}

#[test]
fn a_view_names_the_real_tables_with_their_database() {
    let select = "SELECT * FROM {jobs} JOIN hooklog.{jobs_s} USING (a)";
    assert_eq!(
        qualified(select, TABLES, &row(2, 7, 1, BuildState::Active)),
        "SELECT * FROM hooklog.jobs_s2_b7 JOIN hooklog.jobs_s_s2_b7 USING (a)"
    );
}

#[test]
fn the_column_projection_is_quoted_where_it_is_declared() {
    // `(projection …` would begin the declaration of a projection of the table, which ClickHouse refuses.
    for statement in [DEFINITION, crate::progress::DEFINITION] {
        assert!(statement.contains("`projection` LowCardinality"), "{statement}");
    }
}
