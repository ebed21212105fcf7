//! Absolute rollups: what the events of one block of log positions add up to, per key.
//!
//! A row is never a difference to an earlier row. It is the whole sum of its block so far, written again whenever the
//! block grows, with the position of the newest event counted in it. However often a block is folded and however its
//! events are cut into batches, the row with the greatest `upto` is the same.

use std::collections::BTreeMap;

use domain::{Position, RecordedEvent};

use crate::BuildShape;

/// Where a row of a rollup belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The partition of the streams that it counts.
    pub(crate) partition: u32,
    /// The block of positions that it counts.
    pub(crate) block: u64,
    /// Position of the newest event counted.
    pub(crate) upto: u64,
}

/// The fold of the current block of each partition.
#[derive(Debug)]
pub(crate) struct Rollup<K, V> {
    shape: BuildShape,
    blocks: BTreeMap<u32, Block<K, V>>,
    closed: Vec<(K, V, Slot)>,
}

#[derive(Debug)]
struct Block<K, V> {
    number: u64,
    last: Position,
    totals: BTreeMap<K, Total<V>>,
}

#[derive(Debug)]
struct Total<V> {
    value: V,
    upto: Position,
    touched: bool,
}

impl<K: Ord + Clone, V: Default + Clone> Rollup<K, V> {
    pub(crate) fn new(shape: BuildShape) -> Self {
        Self {
            shape,
            blocks: BTreeMap::new(),
            closed: Vec::new(),
        }
    }

    /// Adds an event to the total of a key, at most once per event. An event that this block has counted already is
    /// not counted again, but its row is written again.
    pub(crate) fn add(&mut self, event: &RecordedEvent, key: K, count: impl FnOnce(&mut V)) {
        let partition = event.stream.partition(self.shape.partitions);
        let number = event.position.get() / self.shape.block_size.max(1);
        let block = self.blocks.entry(partition).or_insert_with(|| Block::new(number));
        if block.number != number {
            let finished = std::mem::replace(block, Block::new(number));
            self.closed.extend(finished.into_touched(partition));
        }
        block.add(event.position, key, count);
    }

    /// The rows that changed since the last time.
    pub(crate) fn take_changed(&mut self) -> Vec<(K, V, Slot)> {
        let mut changed = std::mem::take(&mut self.closed);
        for (partition, block) in &mut self.blocks {
            let number = block.number;
            let touched = block.totals.iter_mut().filter(|(_, total)| total.touched);
            changed.extend(touched.map(|(key, total)| {
                total.touched = false;
                let slot = Slot {
                    partition: *partition,
                    block: number,
                    upto: total.upto.get(),
                };
                (key.clone(), total.value.clone(), slot)
            }));
        }
        changed
    }
}

impl<K: Ord, V: Default> Block<K, V> {
    const fn new(number: u64) -> Self {
        Self {
            number,
            last: Position::START,
            totals: BTreeMap::new(),
        }
    }

    fn add(&mut self, position: Position, key: K, count: impl FnOnce(&mut V)) {
        if position <= self.last {
            if let Some(total) = self.totals.get_mut(&key) {
                total.touched = true;
            }
            return;
        }
        let total = self.totals.entry(key).or_insert_with(|| Total {
            value: V::default(),
            upto: position,
            touched: true,
        });
        count(&mut total.value);
        total.upto = position;
        total.touched = true;
        self.last = position;
    }

    fn into_touched(self, partition: u32) -> impl Iterator<Item = (K, V, Slot)> {
        let touched = self.totals.into_iter().filter(|(_, total)| total.touched);
        touched.map(move |(key, total)| {
            let slot = Slot {
                partition,
                block: self.number,
                upto: total.upto.get(),
            };
            (key, total.value, slot)
        })
    }
}
