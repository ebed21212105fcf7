//! The one writer: drains the queue, decides, writes one batch, syncs once, answers all.
//!
//! Batch N is written only after N − 1 is synced, and nothing is answered, shown or remembered before its sync.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{AppendError, Appended, Clock, Position, Revision, Timestamp};

use super::decide::{Decision, Known};
use super::file::LogFile;
use super::format::{
    BATCH_HEADER_BYTES, BLOCK_BYTES, BatchHeader, RecordDraft, Salt, SegmentHeader, TableRow, align_up,
    seal_batch, whole_blocks,
};
use super::keys::{EventKey, KeysSoFar};
use super::pending::Pending;
use super::queue::{Asker, Request};
use super::read::read_key;
use super::segment::Segment;
use super::shared::Shared;

/// How long the writer waits for the index to catch up before it refuses.
const INDEX_WAIT: Duration = Duration::from_secs(5);

/// Where the next batch goes.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn LogFile>,
    pub(crate) offset: u64,
    pub(crate) sequence: u64,
    pub(crate) next_position: u64,
    pub(crate) last_recorded: Timestamp,
    pub(crate) keys: KeysSoFar,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    tail: Tail,
    /// The batch in the making, as it will be on disk.
    buffer: Vec<u8>,
    /// What a failed write may have left behind, to be zeroed before the next one.
    scrub: Option<(u64, u64)>,
}

/// A batch in the making.
#[derive(Default)]
struct Round {
    pending: Pending,
    /// To be answered after the sync.
    answers: Vec<(Asker, Result<Appended, AppendError>)>,
    events: u32,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, tail: Tail) -> Self {
        Self {
            shared,
            clock,
            tail,
            buffer: Vec::new(),
            scrub: None,
        }
    }

    /// Serves the queue until it is closed and empty.
    pub(crate) fn run(&mut self) {
        let interval = Duration::from_micros(self.shared.options.sync_interval_us);
        let gathering = Duration::from_micros(self.shared.options.gather_us);
        while let Some(requests) = self.shared.queue.drain(self.shared.options.batch_bytes_max) {
            let (begun, served) = (Instant::now(), requests.len());
            self.commit(requests);
            std::thread::sleep(interval.saturating_sub(begun.elapsed()));
            // Whoever was answered often comes again, and needs a processor for that: what they bring goes into the same batch, with
            // one sync.
            if served > 1 {
                let bytes = self.shared.options.batch_bytes_max;
                self.shared.queue.gather(served, bytes, gathering);
            }
        }
    }

    /// Writes and answers some requests, in as few batches as their segments allow.
    pub(crate) fn commit(&mut self, mut requests: VecDeque<Request>) {
        while !requests.is_empty() {
            if let Err(why) = self.prepare(&requests) {
                refuse(requests.into_iter().map(|request| request.answer), &why);
                return;
            }
            let round = self.collect(&mut requests);
            self.finish(round);
        }
    }

    /// Makes sure that the first request can be written.
    fn prepare(&mut self, requests: &VecDeque<Request>) -> Result<(), String> {
        if let Some(why) = self.shared.unwritable() {
            return Err(why);
        }
        self.wait_for_index()?;
        let needed = requests.front().map_or(0, |request| request.bytes) as u64;
        if align_up(self.tail.offset + needed) > self.shared.space.capacity() {
            self.scrub_leftovers()?;
            self.rotate()
                .map_err(|error| self.failed("beginning a segment", &error))?;
        }
        Ok(())
    }

    fn wait_for_index(&self) -> Result<(), String> {
        let max = self.shared.options.unindexed_max;
        if !self.shared.has_index() || self.shared.recent().len() < max {
            return Ok(());
        }
        let deadline = Instant::now() + INDEX_WAIT;
        while self.shared.recent().len() >= max {
            if Instant::now() >= deadline {
                return Err("the index does not keep up".into());
            }
            self.shared.indexed.wait(INDEX_WAIT / 10);
        }
        Ok(())
    }

    /// Takes requests into a batch, as many as fit into the segment.
    fn collect(&mut self, requests: &mut VecDeque<Request>) -> Round {
        let mut round = Round::default();
        let bytes: usize = requests.iter().map(|request| request.bytes).sum();
        // What was in it stays in memory for readers.
        self.buffer = Vec::with_capacity(whole_blocks(BATCH_HEADER_BYTES + bytes));
        self.buffer.resize(BATCH_HEADER_BYTES, 0);
        let room = self.shared.space.capacity().saturating_sub(self.tail.offset);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let now = self.clock.now().max(self.tail.last_recorded);
        while let Some(request) = requests.pop_front() {
            if round.events > 0 && self.buffer.len() + request.bytes > room {
                requests.push_front(request);
                break;
            }
            self.take(&mut round, request, now);
        }
        round
    }

    fn take(&mut self, round: &mut Round, request: Request, now: Timestamp) {
        match self.decide(round, &request) {
            Err(why) => reply(request.answer, Err(AppendError::Unavailable(why))),
            Ok(Decision::Answer {
                answer,
                dependent: false,
            }) => reply(request.answer, answer),
            Ok(Decision::Answer {
                answer,
                dependent: true,
            }) => round.answers.push((request.answer, answer)),
            Ok(Decision::Write {
                revision,
                first,
                duplicate_of,
            }) => {
                let (recorded_at, duplicate_of) = match &request.recorded {
                    Some(recorded) => (
                        recorded.recorded_at.max(self.last_recorded(round)),
                        recorded.duplicate_of.clone(),
                    ),
                    None => (now, duplicate_of),
                };
                let appended = Appended {
                    first: Position::new(self.tail.next_position + u64::from(round.events)),
                    last: Position::START,
                    revision,
                    recorded_at,
                    duplicate_of,
                };
                self.encode(round, request, appended, first);
            }
        }
    }

    fn last_recorded(&self, round: &Round) -> Timestamp {
        round.pending.last_recorded().unwrap_or(self.tail.last_recorded)
    }

    fn decide(&self, round: &Round, request: &Request) -> Result<Decision, String> {
        let index = self.shared.index().map_err(|error| error.to_string())?;
        let recent = self.shared.recent();
        let known = Known {
            batch: &round.pending,
            recent: recent.parts(),
            index: index.as_deref(),
            read_key: &|position| read_key(&self.shared, position).map_err(|e| e.to_string()),
        };
        known.decide(&request.append, request.content.as_ref())
    }

    /// Puts the events of an append into the batch. `appended` holds their first position and revision.
    fn encode(
        &mut self,
        round: &mut Round,
        request: Request,
        mut appended: Appended,
        first: Option<Position>,
    ) {
        let Request {
            append,
            content: mut keys,
            answer,
            ..
        } = request;
        let stream_first = first.unwrap_or(appended.first);
        let start = appended.revision.get();
        let mut content = append.content.as_ref();
        for (n, event) in (0..).zip(&append.events) {
            let position = Position::new(appended.first.get() + n);
            let revision = Revision::new(start + n);
            let draft = RecordDraft {
                position,
                revision,
                recorded_at: appended.recorded_at,
                stream: &append.stream,
                duplicate_of: appended.duplicate_of.as_ref(),
                content: content.take(),
                event,
            };
            draft.encode_into(&mut self.buffer);
            let key = EventKey {
                position,
                revision,
                id: event.id,
                stream: append.stream.clone(),
                recorded_at: appended.recorded_at,
                duplicate_of: appended.duplicate_of.clone(),
                content: keys.take(),
            };
            round.pending.push(Arc::new(key), stream_first);
            round.events += 1;
            (appended.last, appended.revision) = (position, revision);
        }
        round.answers.push((answer, Ok(appended)));
    }

    /// Writes and syncs a batch, then makes it known and answers.
    fn finish(&mut self, round: Round) {
        if round.events == 0 {
            return;
        }
        let events = round.events;
        match self.write(events) {
            Ok(header) => {
                self.publish(header, round.pending, events);
                for (asker, answer) in round.answers {
                    reply(asker, answer);
                }
            }
            // Whatever was decided in this round rests on a batch that may not be there.
            Err(why) => refuse(round.answers.into_iter().map(|(asker, _)| asker), &why),
        }
    }

    fn write(&mut self, events: u32) -> Result<BatchHeader, String> {
        self.scrub_leftovers()?;
        let header = BatchHeader {
            log_id: self.shared.id,
            segment: self.tail.segment.header.number,
            sequence: self.tail.sequence,
            first_position: self.tail.next_position,
            payload_bytes: 0,
            events,
            payload_crc: 0,
        };
        let header = seal_batch(&mut self.buffer, &self.tail.segment.header.salt, header);
        let (start, end) = (self.tail.offset, self.tail.offset + self.buffer.len() as u64);
        let filled = self.shared.space.ensure(end);
        filled.map_err(|error| self.failed("making room", &error))?;
        if let Err(error) = self.tail.file.write_all_at(&self.buffer, start) {
            self.scrub = Some((start, end));
            return Err(self.failed("writing", &error));
        }
        let started = Instant::now();
        let synced = self.tail.file.sync();
        metrics::histogram!("hooklog_log_sync_duration_seconds").record(started.elapsed().as_secs_f64());
        metrics::counter!("hooklog_log_syncs_total").increment(1);
        // After a failed sync nobody knows what is on the disk; a later one that succeeds says nothing about it.
        let synced = synced.and_then(|()| self.shared.space.confirm());
        synced.map_err(|error| self.poison("syncing", &error))?;
        Ok(header)
    }

    /// Zeroes what a failed write may have left, so that it can't be taken for damage later.
    fn scrub_leftovers(&mut self) -> Result<(), String> {
        let Some((from, to)) = self.scrub else {
            return Ok(());
        };
        let zeroed = self.tail.file.zero(from, to);
        zeroed.map_err(|error| self.failed("clearing a failed write", &error))?;
        let synced = self.tail.file.sync();
        synced.map_err(|error| self.poison("syncing", &error))?;
        self.scrub = None;
        Ok(())
    }

    fn publish(&mut self, header: BatchHeader, pending: Pending, events: u32) {
        if let Some(last) = pending.last_recorded() {
            self.tail.last_recorded = last;
        }
        // First where it is, then that it is there: who reads a stream finds the event by that.
        self.tail.segment.push(TableRow {
            first_position: header.first_position,
            offset: self.tail.offset,
            events,
        });
        self.shared.change_recent(|recent| recent.absorb(pending));
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(header.batch_bytes());
        self.tail
            .keys
            .add(bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default());
        self.tail.offset = header.end(self.tail.offset);
        self.tail.sequence += 1;
        self.tail.next_position += u64::from(events);
        self.shared.space.used(self.tail.offset);
        self.shared.newest.push(header, bytes);
        self.shared
            .head
            .send_replace(Position::new(header.last_position()));
        self.shared.appended.raise();
        metrics::histogram!("hooklog_log_batch_events").record(f64::from(events));
    }

    fn rotate(&mut self) -> io::Result<()> {
        let header = SegmentHeader {
            log_id: self.shared.id,
            number: self.tail.segment.header.number + 1,
            first_position: self.tail.next_position,
            first_sequence: self.tail.sequence,
            salt: Salt::new(rand::random()),
        };
        let file = self.shared.space.rotate(&header)?;
        let keys = std::mem::replace(&mut self.tail.keys, KeysSoFar::none_yet());
        let full = &self.tail.segment;
        full.close(keys.close(&full.header, &header, self.tail.offset));
        let segment = Arc::new(Segment::with_table(header, Vec::new()));
        self.shared.segments.push(Arc::clone(&segment));
        tracing::info!(segment = segment.header.number, "began a segment");
        self.tail.segment = segment;
        self.tail.file = file;
        self.tail.offset = BLOCK_BYTES;
        // The indexer writes the key file of the segment before.
        self.shared.appended.raise();
        Ok(())
    }

    /// What to answer after a failure. A full disk recovers by itself; after anything else nobody can say what is there.
    fn failed(&self, doing: &str, error: &io::Error) -> String {
        if is_full(error) {
            tracing::warn!(%error, doing, "the disk is full");
            return format!("the disk is full ({doing}: {error})");
        }
        self.poison(doing, error)
    }

    fn poison(&self, doing: &str, error: &io::Error) -> String {
        let why = format!("{doing} failed: {error}");
        self.shared.poison(why.clone());
        why
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero
    )
}

fn refuse(askers: impl Iterator<Item = Asker>, why: &str) {
    for asker in askers {
        reply(asker, Err(AppendError::Unavailable(why.into())));
    }
}

/// Answers; the asker may be gone, the answer is true all the same.
fn reply(asker: Asker, answer: Result<Appended, AppendError>) {
    let _ = asker.send(answer);
}
