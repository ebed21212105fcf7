//! The open work of one destination, in the order in which it is to be done. Pure: the time comes with each question.
//!
//! Never a walk through all entries to find the next one. Waiting makes a delivery more urgent, and yet no order has to be
//! computed anew: `priority + ageing × (now − due)` orders any two of them as `priority − ageing × due` does, at any time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::{EventId, Position, Revision, StreamName, Timestamp};

use super::entry::{After, Entry};

/// One unit of priority, in the units that are compared: a millionth of a unit of ageing times a microsecond.
const PRIORITY_UNIT: i128 = 1_000_000_000_000;
/// The greatest ageing: anything above orders by time alone.
const AGEING_MAX: f64 = 1e6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Behind another one of its group.
    Queued,
    /// Waiting for its time.
    Later,
    /// Its time has come.
    Ready,
    /// Under way.
    Running,
    /// Waiting for a person.
    Parked,
}

struct Slot {
    entry: Entry,
    stage: Stage,
}

/// Deliveries that go out one at a time, in the order of the log.
#[derive(Default)]
struct Group {
    queue: BTreeSet<Position>,
    /// The one that may go, if it is not under way.
    admitted: Option<Position>,
    /// How many are under way: one, and perhaps one of a round that was replaced meanwhile.
    running: usize,
}

/// The open work of one destination.
pub(super) struct Queue {
    ageing_millionths: i128,
    ordered: bool,
    slots: BTreeMap<Position, Slot>,
    by_stream: HashMap<Arc<StreamName>, Position>,
    later: BTreeSet<(Timestamp, Position)>,
    ready: BTreeSet<(Reverse<i128>, Position)>,
    ready_since: BTreeSet<(Timestamp, Position)>,
    groups: HashMap<Arc<str>, Group>,
    running: HashMap<Position, Option<Arc<str>>>,
    retrying: usize,
    parked: usize,
}

impl Queue {
    /// Nothing open. `ordered` keeps the order of the log within each group.
    pub(super) fn new(ageing_per_second: f64, ordered: bool) -> Self {
        let ageing = if ageing_per_second.is_finite() {
            ageing_per_second.clamp(0.0, AGEING_MAX)
        } else {
            0.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped above to what fits many times"
        )]
        let ageing_millionths = (ageing * 1e6).round() as i128;
        Self {
            ageing_millionths,
            ordered,
            slots: BTreeMap::new(),
            by_stream: HashMap::new(),
            later: BTreeSet::new(),
            ready: BTreeSet::new(),
            ready_since: BTreeSet::new(),
            groups: HashMap::new(),
            running: HashMap::new(),
            retrying: 0,
            parked: 0,
        }
    }

    /// Rounds that are open, those under way included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Attempts under way.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Rounds that failed before.
    pub(super) const fn retrying(&self) -> usize {
        self.retrying
    }

    /// Rounds that wait for a person.
    pub(super) const fn parked(&self) -> usize {
        self.parked
    }

    /// Where the oldest open round was opened.
    pub(super) fn oldest(&self) -> Option<Position> {
        self.slots.first_key_value().map(|(position, _)| *position)
    }

    /// Since when the longest waiting one is due; it may still be to come.
    pub(super) fn due_since(&self) -> Option<Timestamp> {
        let (ready, later) = (self.ready_since.first(), self.later.first());
        [ready, later].into_iter().flatten().map(|(due, _)| *due).min()
    }

    /// When the next one that is not ready becomes so.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Takes up a round. It replaces an older one of the same delivery.
    pub(super) fn open(&mut self, mut entry: Entry) {
        if let Some(held) = self.by_stream.get(&entry.stream).copied() {
            if held >= entry.opened_at {
                return;
            }
            self.remove(held);
        }
        if !self.ordered {
            entry.group = None;
        }
        let (position, group) = (entry.opened_at, entry.group.clone());
        self.retrying += usize::from(entry.attempts > 0);
        self.by_stream.insert(Arc::clone(&entry.stream), position);
        let stage = Stage::Queued;
        self.slots.insert(position, Slot { entry, stage });
        match group {
            Some(group) => {
                let of_group = self.groups.entry(Arc::clone(&group)).or_default();
                of_group.queue.insert(position);
                self.refresh(&group);
            }
            None => self.admit(position),
        }
    }

    /// A round failed and is due again.
    pub(super) fn change(
        &mut self,
        stream: &StreamName,
        round: EventId,
        revision: Revision,
        due_at: Timestamp,
        attempts: u32,
    ) {
        let Some(position) = self.position_of(stream, round) else {
            return;
        };
        if self
            .slots
            .get(&position)
            .is_some_and(|slot| slot.entry.revision >= revision)
        {
            return;
        }
        let was = self.withdraw(position);
        self.set(position, due_at, attempts, revision);
        if was {
            self.admit(position);
        }
    }

    /// A round is over.
    pub(super) fn close(&mut self, stream: &StreamName, round: EventId) {
        if let Some(position) = self.position_of(stream, round) {
            self.remove(position);
        }
    }

    /// Whatever is open of a delivery is replaced by a round that is not taken up here.
    pub(super) fn replace(&mut self, stream: &StreamName, opened_at: Position) {
        if let Some(held) = self.by_stream.get(stream).copied()
            && held < opened_at
        {
            self.remove(held);
        }
    }

    /// Takes out the most urgent of those that are due; give it back with [`Queue::give_back`].
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Entry> {
        self.promote(now);
        let (_, position) = self.ready.first().copied()?;
        self.withdraw(position);
        let slot = self.slots.get_mut(&position)?;
        slot.stage = Stage::Running;
        let entry = slot.entry.clone();
        self.running.insert(position, entry.group.clone());
        if let Some(group) = entry.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            group.admitted = None;
            group.running += 1;
        }
        Some(entry)
    }

    /// Whether one is due.
    pub(super) fn is_ready(&mut self, now: Timestamp) -> bool {
        self.promote(now);
        !self.ready.is_empty()
    }

    /// Gives back what was taken out, with what came of it.
    pub(super) fn give_back(&mut self, position: Position, after: After) {
        let Some(group) = self.running.remove(&position) else {
            return;
        };
        if let Some(group) = group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            group.running = group.running.saturating_sub(1);
        }
        match after {
            After::Over => {
                self.remove(position);
            }
            After::Later {
                due_at,
                attempts,
                revision,
            } => {
                let newer = |slot: &Slot| revision >= slot.entry.revision;
                if self.slots.get(&position).is_some_and(newer) {
                    self.set(position, due_at, attempts, revision);
                }
                self.queue_again(position);
            }
            After::Untouched => self.queue_again(position),
            After::Parked => self.park(position),
        }
        if let Some(group) = group {
            self.refresh(&group);
        }
    }

    fn queue_again(&mut self, position: Position) {
        let Some(slot) = self.slots.get_mut(&position) else {
            return;
        };
        slot.stage = Stage::Queued;
        if slot.entry.group.is_none() {
            self.admit(position);
        }
    }

    fn park(&mut self, position: Position) {
        let Some(slot) = self.slots.get_mut(&position) else {
            return;
        };
        slot.stage = Stage::Parked;
        self.parked += 1;
        if let Some(group) = slot
            .entry
            .group
            .as_ref()
            .and_then(|group| self.groups.get_mut(group))
        {
            group.queue.remove(&position);
        }
    }

    fn position_of(&self, stream: &StreamName, round: EventId) -> Option<Position> {
        let position = self.by_stream.get(stream).copied()?;
        let slot = self.slots.get(&position)?;
        (slot.entry.round == round).then_some(position)
    }

    fn remove(&mut self, position: Position) {
        self.withdraw(position);
        let Some(slot) = self.slots.remove(&position) else {
            return;
        };
        self.retrying -= usize::from(slot.entry.attempts > 0);
        self.parked -= usize::from(slot.stage == Stage::Parked);
        if self.by_stream.get(&slot.entry.stream) == Some(&position) {
            self.by_stream.remove(&slot.entry.stream);
        }
        if let Some(group) = slot.entry.group {
            if let Some(of_group) = self.groups.get_mut(&group) {
                of_group.queue.remove(&position);
            }
            self.refresh(&group);
        }
    }

    fn set(&mut self, position: Position, due_at: Timestamp, attempts: u32, revision: Revision) {
        let Some(slot) = self.slots.get_mut(&position) else {
            return;
        };
        self.retrying -= usize::from(slot.entry.attempts > 0);
        self.retrying += usize::from(attempts > 0);
        slot.entry.due_at = due_at;
        slot.entry.attempts = attempts;
        slot.entry.revision = revision;
    }

    /// Lets the head of a group go, unless one of it is under way.
    fn refresh(&mut self, key: &Arc<str>) {
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        let head = (group.running == 0)
            .then(|| group.queue.first().copied())
            .flatten();
        let admitted = std::mem::replace(&mut group.admitted, head);
        if group.queue.is_empty() && group.running == 0 {
            self.groups.remove(key);
        }
        if admitted == head {
            return;
        }
        if let Some(admitted) = admitted {
            self.withdraw(admitted);
        }
        if let Some(head) = head {
            self.admit(head);
        }
    }

    /// Lets one go when its time comes. The time of a first attempt has: it is the log's, whose clock may be ahead of ours.
    fn admit(&mut self, position: Position) {
        let ageing = self.ageing_millionths;
        let Some(slot) = self.slots.get_mut(&position) else {
            return;
        };
        if slot.entry.attempts > 0 {
            slot.stage = Stage::Later;
            self.later.insert((slot.entry.due_at, position));
        } else {
            slot.stage = Stage::Ready;
            self.ready.insert((urgency(&slot.entry, ageing), position));
            self.ready_since.insert((slot.entry.due_at, position));
        }
    }

    /// Takes one out of those that may go; whether it was one of them.
    fn withdraw(&mut self, position: Position) -> bool {
        let ageing = self.ageing_millionths;
        let Some(slot) = self.slots.get_mut(&position) else {
            return false;
        };
        match slot.stage {
            Stage::Later => {
                self.later.remove(&(slot.entry.due_at, position));
            }
            Stage::Ready => {
                self.ready.remove(&(urgency(&slot.entry, ageing), position));
                self.ready_since.remove(&(slot.entry.due_at, position));
            }
            Stage::Queued | Stage::Running | Stage::Parked => return false,
        }
        slot.stage = Stage::Queued;
        true
    }

    fn promote(&mut self, now: Timestamp) {
        while let Some((due, position)) = self.later.first().copied()
            && due <= now
        {
            self.later.pop_first();
            if let Some(slot) = self.slots.get_mut(&position) {
                slot.stage = Stage::Ready;
                self.ready
                    .insert((urgency(&slot.entry, self.ageing_millionths), position));
                self.ready_since.insert((due, position));
            }
        }
    }

    /// What is open, for comparison.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.slots.values().map(|slot| slot.entry.clone()).collect()
    }
}

fn urgency(entry: &Entry, ageing_millionths: i128) -> Reverse<i128> {
    let aged = ageing_millionths * i128::from(entry.due_at.as_micros());
    Reverse(i128::from(entry.priority) * PRIORITY_UNIT - aged)
}
