//! Heeding what is asked through the handle: rebuilds begun and given up.

use domain::TableError;
use tokio::time::Instant;

use super::Projector;
use super::handle::{AbortError, RebuildError, Request};
use crate::builds::{BuildRow, BuildState, Created, Facts, Known, newest_active, of_projection, plan, same};

impl Projector {
    pub(super) async fn heed(&mut self, request: Request) {
        // Whoever asked may have gone.
        match request {
            Request::Rebuild(name, answer) => {
                let mut begun = self.begin_rebuilds(&[&name]).await;
                let unknown = || Err(RebuildError::Unknown(name.clone()));
                drop(answer.send(begun.pop().map_or_else(unknown, |(_, begun)| begun)));
            }
            Request::RebuildAll(answer) => {
                let names: Vec<&'static str> = self.projections.keys().copied().collect();
                drop(answer.send(self.begin_rebuilds(&names).await));
            }
            Request::Abort(name, answer) => drop(answer.send(self.abort(&name).await)),
        }
    }

    /// Begins rebuilds at one time, with one look at what there is and one write of what is new: statements take longer than they
    /// do, and would be a good hundred and fifty one by one. Only then they are opened, all together: what is opened
    /// together goes through the log together.
    async fn begin_rebuilds(&mut self, names: &[&str]) -> Vec<(String, Result<u32, RebuildError>)> {
        let builds = &self.worker.builds;
        let known = async {
            builds.ensure_control().await?;
            builds.known().await
        };
        let known = known.await;
        let wanted = names.iter().map(|name| self.may_rebuild(name, &known));
        let wanted: Vec<Result<Facts, RebuildError>> = wanted.collect();
        let models: Vec<Facts> = wanted.iter().flatten().copied().collect();
        let created = match &known {
            Ok(known) => {
                let shape = self.worker.shape();
                builds.create(known, &models, shape, BuildState::Building).await
            }
            // Then no model is wanted either.
            Err(_) => Vec::new(),
        };
        let mut created = created.into_iter();
        let begun = wanted.into_iter().map(|wanted| {
            let facts = wanted?;
            match created.next().ok_or(RebuildError::NotRunning)?? {
                Created::Made(row) => Ok((facts, row)),
                Created::Taken(build) => Err(RebuildError::UnderWay(build)),
            }
        });
        let begun: Vec<Result<(Facts, BuildRow), RebuildError>> = begun.collect();
        for (facts, row) in begun.iter().flatten() {
            self.worker.board.begins(row);
            self.due.insert(facts.name, Instant::now());
        }
        let builds = begun.into_iter().map(|begun| begun.map(|(_, row)| row.build));
        names.iter().map(|name| (*name).to_owned()).zip(builds).collect()
    }

    /// Whether a rebuild of a projection may begin.
    fn may_rebuild(&self, name: &str, known: &Result<Known, TableError>) -> Result<Facts, RebuildError> {
        let unknown = || RebuildError::Unknown(name.to_owned());
        let facts = self.projections.get(name).ok_or_else(unknown)?.facts;
        let known = known.as_ref().map_err(same)?;
        let rows = of_projection(&known.rows, name);
        let active = newest_active(&rows).map_or(0, |row| row.build);
        let mut building = rows.iter().filter(|row| row.state == BuildState::Building);
        match building.find(|row| row.build > active) {
            Some(row) => Err(RebuildError::UnderWay(row.build)),
            None => Ok(facts),
        }
    }

    /// Gives up a rebuild. First it is taken down in the store, from where on it never comes back, then its lane is ended;
    /// opening the projection again drops the tables.
    async fn abort(&mut self, name: &str) -> Result<u32, AbortError> {
        let unknown = || AbortError::Unknown(name.to_owned());
        let facts = self.projections.get(name).ok_or_else(unknown)?.facts;
        let builds = &self.worker.builds;
        builds.ensure_control().await?;
        let (rows, existing) = (builds.rows(name).await?, builds.existing().await?);
        let plan = plan(&rows, facts.schema, facts.tables, builds.log_id, &existing);
        let row = plan.building.ok_or(AbortError::NotUnderWay)?;
        if plan.active.is_none() {
            return Err(AbortError::Needed(row.build));
        }
        if !self.worker.board.abandon(facts.name, row.incarnation) {
            return Err(AbortError::TooLate(row.build));
        }
        let retired = builds.retire(vec![row.clone()]).await;
        // Even if that failed the lane is over, and the build goes on when it is opened again.
        let of_build = self.crews.values().filter(|crew| {
            let mut members = crew.members.iter();
            members.any(|member| member.incarnation == row.incarnation)
        });
        of_build.for_each(|crew| crew.stop.cancel());
        self.due.insert(facts.name, Instant::now());
        retired?;
        self.undo_if_asked(facts.name, &row).await?;
        metrics::counter!("hooklog_projection_rebuilds_total", "projection" => facts.name, "outcome" => "aborted")
            .increment(1);
        tracing::info!(
            projection = facts.name,
            build = row.build,
            "projection_rebuild_aborted"
        );
        Ok(row.build)
    }

    /// Another process may have made the build the one that is asked, after it was found not to be. Then no build is asked any
    /// more, as the one before it went with that; so it is given back.
    async fn undo_if_asked(&self, name: &'static str, row: &BuildRow) -> Result<(), AbortError> {
        let builds = &self.worker.builds;
        let rows = builds.rows(name).await?;
        if newest_active(&rows).is_some() {
            return Ok(());
        }
        builds.give_back(row).await?;
        Err(AbortError::TooLate(row.build))
    }
}
