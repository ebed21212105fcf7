//! Tests of the segmented log, most of them on a disk in memory that fails on request.

mod basics;
mod damage;
mod faults;
mod index;
mod lookups;
mod newest;
mod pacing;
mod power_cuts;
mod space;

use std::collections::VecDeque;
use std::sync::Arc;

use domain::testing::{ManualClock, TestDelivery};
use domain::{Append, AppendError, Appended, PageLimit, Position, RecordedEvent, Timestamp};

use super::error::OpenError;
use super::file::Files;
use super::options::LogOptions;
use super::power_cut::Disk;
use super::queue::Request;
use super::read::read_all;
use super::segmented::open_parts;
use super::shared::Shared;
use super::writer::Writer;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_763_766_000_000)))
}

/// Segments of 64 KiB that are filled only when the writer needs room.
fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        fill_ahead_bytes: 0,
        fill_step_bytes: 8 * 1024,
        index_delay_ms: 0,
        ..LogOptions::default()
    }
}

/// A log without threads: the test is the queue.
struct Bench {
    shared: Arc<Shared>,
    writer: Writer,
}

type Answer = Option<Result<Appended, AppendError>>;

impl Bench {
    fn open(disk: &Arc<Disk>) -> Result<Self, OpenError> {
        Self::open_with(disk, small())
    }

    fn open_with(disk: &Arc<Disk>, options: LogOptions) -> Result<Self, OpenError> {
        let files = Arc::clone(disk) as Arc<dyn Files>;
        let (shared, writer) = open_parts(files, None, options, clock())?;
        Ok(Self { shared, writer })
    }

    /// Has the writer serve some appends at once.
    fn commit(&mut self, appends: &[Append]) -> Vec<Answer> {
        let mut requests = VecDeque::new();
        let mut answers = Vec::new();
        for append in appends {
            let (request, answered) = Request::new(append.clone(), &self.shared.options).unwrap();
            requests.push_back(request);
            answers.push(answered);
        }
        self.writer.commit(requests);
        answers
            .into_iter()
            .map(|mut answered| answered.try_recv().ok())
            .collect()
    }

    fn append(&mut self, delivery: &TestDelivery) -> Appended {
        let answer = self.commit(&[delivery.append()]).remove(0);
        answer.unwrap().unwrap()
    }

    fn events(&self) -> Vec<RecordedEvent> {
        let limit = PageLimit {
            events: usize::MAX,
            bytes: usize::MAX,
        };
        read_all(&self.shared, Position::START, limit).unwrap().events
    }
}
