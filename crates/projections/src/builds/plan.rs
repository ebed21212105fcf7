//! What to do about the builds of a projection, by their rows and the tables that exist.

use std::collections::BTreeSet;

use domain::LogId;

use super::row::build_of;
use super::{BuildRow, BuildState, newest_active};
use crate::model::Table;

/// What to do about a projection's builds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The active build, when this process may fill it.
    pub(crate) active: Option<BuildRow>,
    /// A build to go on filling beside it.
    pub(crate) building: Option<BuildRow>,
    /// A build that was retired and is asked again: nothing else answers.
    pub(crate) revive: Option<BuildRow>,
    /// A new build is needed, in this state.
    pub(crate) create: Option<BuildState>,
    /// Builds of no more use.
    pub(crate) retire: Vec<BuildRow>,
    /// A newer version of this program owns the projection: leave everything alone.
    pub(crate) newer_schema: Option<u16>,
}

/// The tables of builds that are neither asked nor being filled, with the number of their build.
pub(crate) fn of_no_use<'a>(
    rows: &[BuildRow],
    tables: &'static [Table],
    existing: &'a BTreeSet<String>,
) -> impl Iterator<Item = (&'a String, u32)> {
    let active = newest_active(rows).map(|row| row.build);
    let building = rows.iter().filter(|row| row.state == BuildState::Building);
    let keep: BTreeSet<u32> = building.map(|row| row.build).chain(active).collect();
    // Tables beyond every row are being made by another process: their row comes after them.
    let last = rows.iter().map(|row| row.build).max().unwrap_or(0);
    let of_model = existing.iter().filter_map(|real| {
        let build = tables.iter().find_map(|table| build_of(table.name, real))?;
        Some((real, build))
    });
    of_model.filter(move |(_, build)| *build <= last && !keep.contains(build))
}

/// Decides by the rows and the tables that exist.
pub(crate) fn plan(
    rows: &[BuildRow],
    schema: u16,
    names: &'static [Table],
    log: LogId,
    existing: &BTreeSet<String>,
) -> Plan {
    let whole = |row: &&BuildRow| names.iter().all(|t| existing.contains(&row.table(t.name)));
    let ours = |row: &&BuildRow| row.log_id == log && row.schema == schema;
    let active = newest_active(rows);
    let mut plan = Plan {
        active: None,
        building: None,
        revive: None,
        create: None,
        retire: Vec::new(),
        newer_schema: None,
    };
    if let Some(newer) = active.filter(|row| row.log_id == log && row.schema > schema) {
        plan.newer_schema = Some(newer.schema);
        return plan;
    }
    plan.active = active.filter(ours).filter(whole).cloned();
    let in_building = rows.iter().filter(|row| row.state == BuildState::Building);
    let newer_than = active.map_or(0, |row| row.build);
    plan.building = in_building
        .filter(|row| row.build > newer_than)
        .filter(ours)
        .filter(whole)
        .max_by_key(|row| row.build)
        .cloned();
    // Another schema's or log's tables still answer until their successor has caught up.
    let answers = active.is_some_and(|row| plan.active.is_some() || row.schema != schema || whole(&row));
    if plan.active.is_none() && plan.building.is_none() {
        let retired = rows.iter().filter(|row| row.state == BuildState::Retired);
        let whole_still = retired.filter(ours).filter(whole).max_by_key(|row| row.build);
        plan.revive = whole_still.filter(|_| !answers).cloned();
        // Tables that no row knows of were made by somebody: the rows that are seen here may be those of yesterday, and an empty
        // build that is asked would hide the one that they miss.
        let empty_may_answer = !answers && !is_beyond(rows, names, existing);
        plan.create = plan.revive.is_none().then_some(if empty_may_answer {
            BuildState::Active
        } else {
            BuildState::Building
        });
    }
    let keep = [plan.building.as_ref(), answers.then_some(active).flatten()];
    // A newer program's are not for this one to judge.
    let of_no_use = rows
        .iter()
        .filter(|row| row.state != BuildState::Retired && (row.schema <= schema || row.log_id != log));
    plan.retire = of_no_use
        .filter(|row| keep.iter().flatten().all(|kept| kept.build != row.build))
        .cloned()
        .collect();
    plan
}

/// Whether there are tables of a build beyond every row.
fn is_beyond(rows: &[BuildRow], names: &[Table], existing: &BTreeSet<String>) -> bool {
    let last = rows.iter().map(|row| row.build).max().unwrap_or(0);
    let mut builds = existing
        .iter()
        .flat_map(|real| names.iter().filter_map(|table| build_of(table.name, real)));
    builds.any(|build| build > last)
}
