//! Rows as digests, so that the fold of a large log fits into memory: of each row its identity, its version and a hash of
//! all its columns, a hundred bytes or so.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::layout::Layout;
use crate::models::{FoldError, FoldedRow};

/// What a row takes in memory, with the room that a growing map keeps.
pub(crate) const ROW_BYTES: u64 = 112;

/// The first 16 bytes of a SHA-256 over the table's name and the row's identity.
pub(crate) type Key = [u8; 16];

/// A row as a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) key: Key,
    pub(crate) version: u128,
    pub(crate) hash: u64,
}

impl Digest {
    pub(crate) fn of(layout: &Layout, row: &FoldedRow) -> Result<Self, FoldError> {
        let mut identity = Sha256::new();
        feed(&mut identity, Some(layout.name));
        for value in layout.identity(row)? {
            feed(&mut identity, Some(&value));
        }
        let mut columns = Sha256::new();
        for (column, value) in row {
            feed(&mut columns, Some(column));
            feed(&mut columns, value.as_deref());
        }
        Ok(Self {
            key: first(identity),
            version: layout.version(row)?,
            hash: u64::from_le_bytes(first(columns)),
        })
    }

    /// Which of so many parts of all rows it belongs to.
    pub(crate) fn part(&self, parts: u32) -> u32 {
        let [a, b, c, d, ..] = self.key;
        u32::from_be_bytes([a, b, c, d]) % parts.max(1)
    }
}

/// Length first, so that no two lists of values look the same; NULL is no length.
fn feed(hasher: &mut Sha256, value: Option<&str>) {
    match value {
        Some(text) => {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        None => hasher.update([0xff; 8]),
    }
}

fn first<const N: usize>(hasher: Sha256) -> [u8; N] {
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; N];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    bytes
}

/// What a fold comes to, and what it went on to be.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    rows: HashMap<Key, Row>,
    /// Earlier states since the position that is compared.
    earlier: HashMap<Key, Vec<u64>>,
    later_states: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    version: u128,
    hash: u64,
    seen: bool,
    /// It came after the position that is compared: the table may have it or not.
    later: bool,
}

/// What is known of a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is what the log says.
    Right,
    /// It is what the log says at no position so far.
    Odd,
    /// The log so far knows nothing of it.
    Unknown,
}

impl Expected {
    /// How many rows it holds.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.later_states
    }

    /// A row that the fold up to the position wrote.
    pub(crate) fn write(&mut self, digest: Digest) {
        self.put(digest, false);
    }

    /// A row that the fold wrote after that position.
    pub(crate) fn write_later(&mut self, digest: Digest) {
        if let Some(before) = self.put(digest, true) {
            self.earlier.entry(digest.key).or_default().push(before);
            self.later_states += 1;
        }
    }

    /// Writes as the table would; the hash of the row that was replaced by another one.
    fn put(&mut self, digest: Digest, later: bool) -> Option<u64> {
        let new = Row {
            version: digest.version,
            hash: digest.hash,
            seen: false,
            later,
        };
        let mut replaced = None;
        self.rows
            .entry(digest.key)
            .and_modify(|row| {
                // Of two rows with one version the one inserted later stays.
                if row.version <= new.version {
                    replaced = (row.hash != new.hash).then_some(row.hash);
                    (row.version, row.hash) = (new.version, new.hash);
                }
            })
            .or_insert(new);
        replaced
    }

    /// What a row that the table holds is, as far as the fold has come.
    pub(crate) fn judge(&mut self, digest: &Digest) -> Standing {
        let Some(row) = self.rows.get_mut(&digest.key) else {
            return Standing::Unknown;
        };
        row.seen = true;
        let earlier = self.earlier.get(&digest.key);
        let was = || earlier.is_some_and(|hashes| hashes.contains(&digest.hash));
        if row.hash == digest.hash || was() {
            Standing::Right
        } else {
            Standing::Odd
        }
    }

    /// Rows that the table lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Key> {
        let lacking = self.rows.iter().filter(|(_, row)| !row.seen && !row.later);
        lacking.map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: u8, version: u128, hash: u64) -> Digest {
        Digest {
            key: [key; 16],
            version,
            hash,
        }
    }

    #[test]
    fn a_row_is_right_in_any_state_since_the_position_and_in_no_other() {
        let mut expected = Expected::default();
        for (version, hash) in [(1, 10), (3, 30), (2, 20)] {
            expected.write(digest(1, version, hash));
        }
        assert_eq!(expected.judge(&digest(1, 3, 30)), Standing::Right);
        assert_eq!(
            expected.judge(&digest(1, 1, 10)),
            Standing::Odd,
            "that was before"
        );
        assert_eq!(expected.judge(&digest(1, 4, 40)), Standing::Odd, "not yet");
        for (version, hash) in [(4, 40), (5, 50)] {
            expected.write_later(digest(1, version, hash));
        }
        for (hash, standing) in [
            (30, Standing::Right),
            (40, Standing::Right),
            (50, Standing::Right),
            (20, Standing::Odd),
        ] {
            assert_eq!(expected.judge(&digest(1, 0, hash)), standing, "{hash}");
        }
    }

    #[test]
    fn a_row_is_missing_unless_it_was_seen_or_came_later() {
        let mut expected = Expected::default();
        expected.write(digest(1, 1, 10));
        expected.write(digest(2, 1, 10));
        expected.write_later(digest(3, 1, 10));
        expected.write_later(digest(2, 2, 20));
        assert_eq!(
            expected.judge(&digest(1, 1, 99)),
            Standing::Odd,
            "wrong, but there"
        );
        assert_eq!(expected.missing().collect::<Vec<_>>(), [[2; 16]]);
        assert_eq!(expected.judge(&digest(4, 1, 10)), Standing::Unknown);
        assert_eq!(expected.len(), 4, "three rows and one earlier state");
    }
}
