//! "Never taken twice" rests on looking keys up: each one that was added is found, wherever the index keeps it, and no other.

use std::path::Path;
use std::sync::Arc;

use domain::{ContentHash, ContentKey, EventId, LogId, Position, Revision, StreamName, TenantId, Timestamp};
use uuid::Uuid;

use super::small;
use crate::log::content_keys::ContentKeys;
use crate::log::index::{Index, IndexState, TABLE_EVENTS};
use crate::log::keys::EventKey;
use crate::log::options::LogOptions;

/// Memory so small that tables are written all the time, and no filter stays in it.
fn tight() -> LogOptions {
    LogOptions {
        index_cache_bytes: 64 * 1024,
        index_memtable_bytes: 256 * 1024,
        ..small()
    }
}

/// Every eighth event is the second of the stream that began at about half of its position, in another table.
fn begun_at(position: u64) -> u64 {
    if position.is_multiple_of(8) {
        (position / 2) | 1
    } else {
        position
    }
}

fn key(position: u64) -> EventKey {
    let begun = begun_at(position);
    let content = ContentKey {
        tenant: TenantId::default(),
        source: "github".parse().unwrap(),
        body_sha256: ContentHash::of(&position.to_le_bytes()),
        sender_id: Some(format!("id-{position}")),
        received_at: Timestamp::from_micros(position.cast_signed()),
        window_ms: 0,
    };
    EventKey {
        position: Position::new(position),
        revision: Revision::new(u64::from(begun != position)),
        id: EventId::new(Uuid::from_u128(u128::from(position))),
        stream: stream(begun),
        recorded_at: Timestamp::from_micros(position.cast_signed()),
        duplicate_of: None,
        content: Some(ContentKeys::of(&content)),
    }
}

fn stream(n: u64) -> StreamName {
    format!("delivery-default.github.41.{n}").parse().unwrap()
}

/// Adds events by both ways in turns: as tables of their own, and piece by piece.
fn add(index: &Index, positions: std::ops::RangeInclusive<u64>) {
    let (mut next, end) = (*positions.start(), *positions.end());
    for round in 0_u64.. {
        let many = if round.is_multiple_of(4) {
            TABLE_EVENTS as u64 * 2
        } else {
            3000
        };
        let upto = (next + many - 1).min(end);
        let keys: Vec<_> = (next..=upto).map(key).map(Arc::new).collect();
        index.apply(&keys).unwrap();
        next = upto + 1;
        if next > end {
            return;
        }
    }
}

/// All that were added are found, and as many that were not are not.
fn check(index: &Index, added: u64) {
    for position in 1..=added {
        let key = key(position);
        let content = key.content.as_ref().unwrap();
        let sender = content.sender.as_ref().unwrap();
        let head = index.head(&key.stream).unwrap();
        let head = head.unwrap_or_else(|| panic!("the stream of {position} of {added} is there"));
        assert_eq!(head.first.get(), begun_at(position));
        assert!(head.last >= key.revision, "the stream of {position}");
        assert_eq!(
            index.original(&sender.original).unwrap().as_ref(),
            Some(&key.stream)
        );
        assert_eq!(
            index.body(&content.body).unwrap(),
            Some((key.stream, content.received_at))
        );
    }
    for position in added + 1..=added * 2 {
        let key = key(position);
        let content = key.content.unwrap();
        let sender = content.sender.unwrap();
        assert_eq!(index.head(&stream(position)).unwrap(), None, "{position}");
        assert_eq!(index.original(&sender.original).unwrap(), None, "{position}");
        assert_eq!(index.body(&content.body).unwrap(), None, "{position}");
    }
}

/// Some of them by their ranges, which take longer.
fn check_ranges(index: &Index, added: u64) {
    for position in (1..=added).step_by(97) {
        let key = key(position);
        let sender = key.content.unwrap().sender.unwrap();
        let found = index.deliveries(&sender.delivery, 9).unwrap();
        assert_eq!(found, [(key.position, key.stream.clone())]);
        let places = index.positions(&key.stream, key.revision, 9).unwrap();
        assert_eq!(places.first(), Some(&(key.revision, key.position)));
    }
}

fn vouch(index: &Index, upto: u64) {
    let state = IndexState {
        log_id: LogId::new(Uuid::from_u128(1)),
        upto: Position::new(upto),
        event: EventId::new(Uuid::from_u128(u128::from(upto))),
    };
    index.vouch(&state).unwrap();
}

/// Fills an index in four stretches, with a reopening after each, and compacts the whole in between.
fn drill(folder: &Path, events: u64) {
    let mut index = Index::open(folder, &tight()).unwrap();
    let stretch = events / 4;
    for n in 1..=4 {
        add(&index, (n - 1) * stretch + 1..=n * stretch);
        check_ranges(&index, n * stretch);
        if n == 2 {
            index.compact();
            check(&index, n * stretch);
        }
        vouch(&index, n * stretch);
        drop(index);
        index = Index::open(folder, &tight()).unwrap();
        check_ranges(&index, n * stretch);
    }
    check(&index, events);
    index.compact();
    check(&index, events);
    check_ranges(&index, events);
}

/// Of each table, whether its filter is in parts.
fn filters_in_parts(folder: &Path) -> Vec<bool> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(filters_in_parts(&path));
        } else if path.parent().unwrap().ends_with("tables") {
            let bytes = std::fs::read(&path).unwrap();
            let named = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
            found.push(named(b"filter_tli"));
        }
    }
    found
}

/// How many events, unless `HOOKLOG_INDEX_EVENTS` says more.
fn events() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting")]
    let more = std::env::var("HOOKLOG_INDEX_EVENTS").ok();
    more.map_or(50_000, |more| more.parse().expect("a number of events"))
}

#[test]
fn every_key_is_found_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    drill(folder.path(), events());
}

#[test]
fn filters_are_in_parts_however_a_table_came_about() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path(), &tight()).unwrap();
    index
        .apply(
            &(1..=TABLE_EVENTS as u64)
                .map(key)
                .map(Arc::new)
                .collect::<Vec<_>>(),
        )
        .unwrap();
    let ours = |folder: &Path| filters_in_parts(&folder.join("keyspaces"));
    let written = ours(folder.path());
    assert!(
        written.iter().filter(|parts| **parts).count() >= 1,
        "written as tables: {written:?}"
    );
    add(&index, TABLE_EVENTS as u64 + 1..=30_000);
    index.compact();
    let compacted = ours(folder.path());
    assert!(
        compacted.iter().filter(|parts| **parts).count() >= 1,
        "compacted: {compacted:?}"
    );
}
