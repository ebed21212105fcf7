//! A disk in memory that loses power, and fails on request.
//!
//! Of what was written since the last sync, each 512-byte sector survives or stays as it was, independently; of the
//! changes of names since the folder was synced, the first few survive. What was written before a sync that failed is
//! still read, but no later sync makes it durable: that is how kernels treat it. Every choice comes from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::file::{Files, LockGuard, LogFile};
use super::format::SECTOR_BYTES;

/// A small, reproducible source of choices (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) const fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync gave up.
    forsaken: BTreeSet<usize>,
}

impl Inode {
    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.current.len());
            self.durable[range.clone()].copy_from_slice(&self.current[range]);
        }
    }

    fn forsake(&mut self) {
        self.forsaken.append(&mut self.dirty);
    }

    /// `survive` of 16 sectors that were not synced survive.
    fn after_power_cut(&self, dice: &mut Dice, survive: u64) -> Vec<u8> {
        let len = if dice.below(16) < survive {
            self.current.len()
        } else {
            self.durable.len()
        };
        let mut survived = self.durable.clone();
        survived.resize(len, 0);
        for sector in self.dirty.union(&self.forsaken) {
            let range = sector_range(*sector, len.min(self.current.len()));
            if dice.below(16) < survive {
                survived[range.clone()].copy_from_slice(&self.current[range]);
            }
        }
        survived
    }
}

fn sector_range(sector: usize, len: usize) -> std::ops::Range<usize> {
    (sector * SECTOR_BYTES).min(len)..((sector + 1) * SECTOR_BYTES).min(len)
}

#[derive(Debug, Clone)]
enum Naming {
    Link(String, usize),
    Rename(String, String),
    Delete(String),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Delete(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced: Vec<Naming>,
}

/// What goes wrong.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Every sync fails.
    pub(crate) syncs_fail: AtomicBool,
    /// The next sync fails, at once.
    pub(crate) next_sync_fails: AtomicBool,
    /// The names in the folder can't be made durable: no room.
    pub(crate) folder_full: AtomicBool,
    /// No write that makes a file longer succeeds.
    pub(crate) full: AtomicBool,
    /// Nor does any other write, after its first half.
    pub(crate) writes_fail: AtomicBool,
    /// The most bytes that one write takes.
    pub(crate) write_max: AtomicUsize,
    /// Operations until the power goes; the last one may or may not take effect.
    pub(crate) operations_left: AtomicU64,
    /// Syncs that were begun.
    pub(crate) syncs: AtomicU64,
    gate_shut: Mutex<bool>,
    gate: Condvar,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            syncs_fail: AtomicBool::new(false),
            next_sync_fails: AtomicBool::new(false),
            folder_full: AtomicBool::new(false),
            full: AtomicBool::new(false),
            writes_fail: AtomicBool::new(false),
            write_max: AtomicUsize::new(usize::MAX),
            operations_left: AtomicU64::new(u64::MAX),
            syncs: AtomicU64::new(0),
            gate_shut: Mutex::new(false),
            gate: Condvar::new(),
        }
    }
}

impl Faults {
    /// From now on every sync waits until the gate is opened.
    pub(crate) fn shut_gate(&self) {
        *self.gate_shut.lock().unwrap() = true;
    }

    pub(crate) fn open_gate(&self) {
        *self.gate_shut.lock().unwrap() = false;
        self.gate.notify_all();
    }

    fn power(&self) -> io::Result<()> {
        let left = self.operations_left.load(Ordering::SeqCst);
        if left == u64::MAX {
            return Ok(());
        }
        self.operations_left
            .store(left.saturating_sub(1), Ordering::SeqCst);
        if left <= 1 {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    /// Whether the power has gone.
    pub(crate) fn is_off(&self) -> bool {
        self.operations_left.load(Ordering::SeqCst) == 0
    }
}

/// The disk.
#[derive(Debug, Default)]
pub(crate) struct PowerCutDisk {
    state: Mutex<State>,
    locked: Arc<AtomicBool>,
    pub(crate) faults: Faults,
}

impl PowerCutDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A handle that the log takes as its files.
#[derive(Debug, Clone)]
pub(crate) struct Disk(Arc<PowerCutDisk>);

impl Disk {
    /// An empty disk.
    pub(crate) fn empty() -> Arc<Self> {
        Arc::new(Self(Arc::default()))
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The disk as it is after the power went and came back.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Arc<Self> {
        let state = self.0.state();
        let mut names = state.durable_names.clone();
        let survive = usize::try_from(dice.below(state.unsynced.len() as u64 + 1)).unwrap();
        for naming in state.unsynced.iter().take(survive) {
            naming.apply(&mut names);
        }
        let odds = [0, 1, 8, 15, 16][usize::try_from(dice.below(5)).unwrap()];
        let named: BTreeSet<usize> = names.values().copied().collect();
        let content = |(n, inode): (usize, &Inode)| match named.contains(&n) {
            true => inode.after_power_cut(dice, odds),
            false => Vec::new(),
        };
        Self::with(state.inodes.iter().enumerate().map(content).collect(), names)
    }

    /// The same files, all durable, on another disk.
    pub(crate) fn copied(&self) -> Arc<Self> {
        let state = self.0.state();
        Self::with(
            state.inodes.iter().map(|i| i.current.clone()).collect(),
            state.names.clone(),
        )
    }

    fn with(contents: Vec<Vec<u8>>, names: BTreeMap<String, usize>) -> Arc<Self> {
        let inode = |current: Vec<u8>| Inode {
            durable: current.clone(),
            current,
            ..Inode::default()
        };
        let disk = PowerCutDisk::default();
        *disk.state() = State {
            inodes: contents.into_iter().map(inode).collect(),
            durable_names: names.clone(),
            names,
            unsynced: Vec::new(),
        };
        Arc::new(Self(Arc::new(disk)))
    }

    /// The content of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.0.state();
        state.inodes[state.names[name]].current.clone()
    }

    /// Changes a file behind the log's back.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.state();
        let inode = state.names[name];
        let inode = &mut state.inodes[inode];
        change(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.dirty.clear();
    }

    /// The power did not go after all: the process restarts, the kernel still has what was written.
    pub(crate) fn heal(&self) {
        self.faults().operations_left.store(u64::MAX, Ordering::SeqCst);
    }

    fn name(&self, naming: Naming) -> io::Result<()> {
        let power = self.0.faults.power();
        let mut state = self.0.state();
        naming.apply(&mut state.names);
        state.unsynced.push(naming);
        power
    }

    fn file(&self, inode: usize) -> Arc<dyn LogFile> {
        Arc::new(DiskFile {
            disk: self.clone(),
            inode,
        })
    }
}

impl Files for Disk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let inode = self.0.state().names.get(name).copied();
        Ok(self.file(inode.ok_or(io::ErrorKind::NotFound)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let inode = {
            let mut state = self.0.state();
            state.inodes.push(Inode::default());
            state.inodes.len() - 1
        };
        self.name(Naming::Link(name.into(), inode))?;
        Ok(self.file(inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.state().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.name(Naming::Rename(from.into(), to.into()))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.name(Naming::Delete(name.into()))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.0.faults.power()?;
        if self.0.faults.folder_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut state = self.0.state();
        state.durable_names = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Option<LockGuard>> {
        struct Guard(Arc<AtomicBool>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.store(false, Ordering::SeqCst);
            }
        }
        let free = !self.0.locked.swap(true, Ordering::SeqCst);
        Ok(free.then(|| Box::new(Guard(Arc::clone(&self.0.locked))) as LockGuard))
    }
}

struct DiskFile {
    disk: Disk,
    inode: usize,
}

impl LogFile for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.state();
        let content = &state.inodes[self.inode].current;
        let start = usize::try_from(offset).unwrap().min(content.len());
        let len = buffer.len().min(content.len() - start);
        buffer[..len].copy_from_slice(&content[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let faults = &self.disk.0.faults;
        let power = faults.power();
        let mut state = self.disk.0.state();
        let inode = &mut state.inodes[self.inode];
        let start = usize::try_from(offset).unwrap();
        let mut len = bytes.len().min(faults.write_max.load(Ordering::SeqCst));
        if faults.full.load(Ordering::SeqCst) && start + len > inode.current.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fails = faults.writes_fail.load(Ordering::SeqCst);
        if fails {
            len /= 2;
        }
        let end = start + len;
        if inode.current.len() < end {
            inode.current.resize(end, 0);
        }
        inode.current[start..end].copy_from_slice(&bytes[..len]);
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            inode.dirty.insert(sector);
            inode.forsaken.remove(&sector);
        }
        if fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        power.map(|()| len)
    }

    fn sync(&self) -> io::Result<()> {
        let faults = &self.disk.0.faults;
        faults.syncs.fetch_add(1, Ordering::SeqCst);
        if faults.next_sync_fails.swap(false, Ordering::SeqCst) {
            self.disk.0.state().inodes[self.inode].forsake();
            return Err(io::Error::other("the disk does not answer"));
        }
        let shut = faults.gate_shut.lock().unwrap();
        drop(faults.gate.wait_while(shut, |shut| *shut).unwrap());
        let power = faults.power();
        let mut state = self.disk.0.state();
        let inode = &mut state.inodes[self.inode];
        if faults.syncs_fail.load(Ordering::SeqCst) || power.is_err() {
            inode.forsake();
            return Err(io::Error::other("the disk does not answer"));
        }
        inode.sync();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.state().inodes[self.inode].current.len() as u64)
    }
}
