//! Opening what is due: once a projection is known, or something about it has changed or failed.

use std::collections::BTreeMap;

use domain::Position;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Projector;
use super::open::{OpenError, Seen, Slot};
use crate::builds::BuildState;
use crate::causes::with_causes;

impl Projector {
    /// Opens what is due, and starts a lane for each position that models want to go on from.
    pub(super) async fn open_due(&mut self, shutdown: &CancellationToken) {
        if self.shares.ours().is_empty() {
            // Others fill all of it. What is due is opened once anything is ours.
            return;
        }
        let now = Instant::now();
        let due: Vec<&'static str> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(name, _)| *name)
            .collect();
        // New builds go by themselves: comparing them must not hold up those that are asked.
        let mut lanes: BTreeMap<(Position, bool), Vec<Slot>> = BTreeMap::new();
        let (mut partitions, mut newer) = (self.worker.options.partitions, false);
        if due.is_empty() {
            return;
        }
        let seen = match Seen::read(&self.worker.builds).await {
            Ok(seen) => seen,
            Err(error) => {
                due.iter().for_each(|name| self.not_open(name, &error));
                if error.is_for_a_newer_program() {
                    self.leave_to_others();
                }
                return;
            }
        };
        let opened = due.iter().filter_map(|name| {
            let (worker, ours) = (&self.worker, self.shares.ours());
            let projection = self.projections.get(name)?;
            let seen = &seen;
            Some(async move { (*name, worker.open(projection, ours, seen).await) })
        });
        // Each may have tables to make, and waits for the store.
        for (name, opened) in join_all(opened).await {
            match opened {
                Ok(slots) => {
                    self.due.remove(name);
                    self.worker.board.opened(name);
                    for slot in slots {
                        partitions = partitions.max(slot.row.partitions);
                        let new = slot.row.state == BuildState::Building;
                        lanes.entry((slot.after, new)).or_default().push(slot);
                    }
                }
                Err(error) => {
                    self.not_open(name, &error);
                    newer |= error.is_for_a_newer_program();
                }
            }
        }
        if newer && self.leave_to_others() {
            return;
        }
        for ((after, _), slots) in lanes {
            self.start(after, slots, shutdown);
        }
        // A build may have more partitions than the settings: nobody but us is asked for them.
        self.shares.stand_for(partitions);
    }

    fn not_open(&mut self, name: &'static str, error: &OpenError) {
        let why = with_causes(error);
        tracing::warn!(
            projection = name,
            error = why,
            "projection_not_open: trying again"
        );
        self.worker.board.trouble(name, why);
        self.retry(name);
    }

    pub(super) fn open_all(&mut self) {
        let now = Instant::now();
        for name in self.projections.keys() {
            self.due.entry(*name).or_insert(now);
        }
    }
}
