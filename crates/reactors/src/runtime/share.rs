//! Which destinations this process serves, of those that several could.
//!
//! A destination is served as a whole by one process, so that its rate, its breaker, its order and its concurrency are what
//! they are called. Every process keeps the index of all of them up to date, and goes on at once with what it is given.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{ContentHash, Lease, LeaseName, SharedWork};
use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::fact::Place;

/// Parts that destinations are spread over. It is the same in all processes, for ever: two that spread them differently would
/// serve one destination both.
pub(crate) const PARTS: u32 = 16;
/// How often it is looked whether attempts under way have ended, once another process waits for them.
const LOOK: Duration = Duration::from_millis(50);

/// The part of a destination.
pub(super) fn part_of(place: &Place) -> u32 {
    let name = format!("{}.{}", place.tenant, place.name);
    let hash = ContentHash::of(name.as_bytes());
    let [first, ..] = hash.as_bytes();
    u32::from(*first) % PARTS
}

/// The leases on destinations.
pub(super) struct Sharing {
    parts: Vec<(Vec<usize>, Box<dyn Lease>)>,
}

impl Sharing {
    /// Stands for all destinations.
    pub(super) fn begin(shared: &Shared) -> Self {
        let mut parts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, cell) in shared.cells.iter().enumerate() {
            let part = part_of(&Place::of(&cell.plan));
            parts.entry(part).or_default().push(index);
        }
        let stand = |(part, cells): (u32, Vec<usize>)| {
            let lease = shared
                .ports
                .leases
                .stand_for(LeaseName::new(SharedWork::React, part));
            tell(shared, lease.as_ref(), &cells);
            (cells, lease)
        };
        Self {
            parts: parts.into_iter().map(stand).collect(),
        }
    }

    /// Keeps them until the work is over; then they are given back.
    pub(super) async fn run(self, shared: &Shared, over: CancellationToken) {
        let keeping = self
            .parts
            .into_iter()
            .map(|(cells, lease)| keep(shared, lease, cells));
        let keeping = async {
            join_all(keeping).await;
            // Without a destination there is nothing to keep.
            std::future::pending::<()>().await;
        };
        over.run_until_cancelled(keeping).await;
    }
}

/// Lets destinations be served here or not, as their lease says; whether they are.
fn tell(shared: &Shared, lease: &dyn Lease, cells: &[usize]) -> bool {
    let works = lease.standing().works();
    for index in cells {
        let Some(cell) = shared.cells.get(*index) else {
            continue;
        };
        if cell.ours.swap(works, Ordering::SeqCst) != works {
            shared.wake(*index);
        }
    }
    works
}

async fn keep(shared: &Shared, mut lease: Box<dyn Lease>, cells: Vec<usize>) {
    loop {
        if !tell(shared, lease.as_ref(), &cells) {
            tokio::select! {
                () = lease.changed() => continue,
                () = settled(shared, &cells) => lease.settled(),
            }
        }
        lease.changed().await;
    }
}

/// Waits until no attempt of a destination is under way.
async fn settled(shared: &Shared, cells: &[usize]) {
    let running = |index: &usize| {
        let running = shared.with_lane(*index, |lane, _| lane.queue.running());
        running.is_some_and(|running| running > 0)
    };
    while cells.iter().any(running) {
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_of_a_destination_never_changes() {
        // Two versions that disagreed would both serve it.
        for (name, part) in [("ci", 14), ("deploy", 15), ("chat", 6), ("archive", 2)] {
            let place = Place {
                tenant: "default".parse().unwrap(),
                name: name.parse().unwrap(),
            };
            assert_eq!((name, part_of(&place)), (name, part));
        }
    }
}
