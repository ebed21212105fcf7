//! The hands of one destination: takes out what is due, has it attempted, and gives back what came of it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::attempt::{Stops, attempt};
use super::breaker::Verdict;
use super::entry::After;
use super::lane::{Job, Next};

type Done = Result<(Id, After), JoinError>;

/// Dispatches until told to stop, then waits for the attempts under way.
pub(super) async fn run(shared: Arc<Shared>, index: usize, stops: Stops) {
    let mut hands = Hands {
        shared,
        index,
        stops,
        running: JoinSet::new(),
        jobs: HashMap::new(),
    };
    let stop = hands.stops.stop.clone();
    let shared = Arc::clone(&hands.shared);
    let Some(cell) = shared.cells.get(index) else {
        return;
    };
    if let Some(ready) = &cell.plan.ready {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = ready.cancelled() => {}
        }
    }
    while !stop.is_cancelled() {
        let next = hands.begin();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(done) = hands.running.join_next_with_id() => hands.finish(done),
            () = cell.work.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
    while let Some(done) = hands.running.join_next_with_id().await {
        hands.finish(done);
    }
}

struct Hands {
    shared: Arc<Shared>,
    index: usize,
    stops: Stops,
    running: JoinSet<After>,
    jobs: HashMap<Id, Job>,
}

impl Hands {
    /// Begins all attempts that may begin; returns when the next may.
    fn begin(&mut self) -> Option<Instant> {
        loop {
            let now = self.shared.now();
            match self.shared.next(self.index, now) {
                Next::Go(job) => {
                    let (shared, index, stops) = (Arc::clone(&self.shared), self.index, self.stops.clone());
                    let taken = job.clone();
                    let task = async move { attempt(&shared, index, &taken, &stops).await };
                    self.jobs.insert(self.running.spawn(task).id(), job);
                }
                Next::At(at) => return Some(at),
                Next::Idle => return None,
            }
        }
    }

    fn finish(&mut self, done: Done) {
        let (id, after) = match done {
            Ok((id, after)) => (id, Some(after)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an attempt broke: its delivery stays open until a restart"
                );
                (error.id(), None)
            }
        };
        if let Some(job) = self.jobs.remove(&id) {
            if after.is_none() {
                // It did not come to say so itself; a probe must not stay under way for ever.
                self.shared.judged(self.index, job.probe, true, Verdict::Unsaid);
            }
            self.shared.with_lane(self.index, |lane, _| {
                lane.finish(job.entry.opened_at, after.unwrap_or(After::Parked));
            });
        }
        if let Some(cell) = self.shared.cells.get(self.index) {
            cell.room.notify_one();
        }
    }
}
