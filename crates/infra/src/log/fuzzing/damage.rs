//! A log whose files were damaged: what is acknowledged is either there, unchanged, or its loss is said.
#![expect(clippy::expect_used, reason = "a finding is a panic")]

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use domain::{
    Append, Clock, EventData, EventId, Expected, NewEvent, PageLimit, Position, RecordedEvent, StreamName,
    Timestamp,
};
use uuid::Uuid;

use crate::log::file::Files;
use crate::log::format::SECTOR_BYTES;
use crate::log::options::LogOptions;
use crate::log::power_cut::Disk;
use crate::log::queue::Request;
use crate::log::read::read_all;
use crate::log::segmented::open_parts;
use crate::log::shared::Shared;
use crate::log::writer::Writer;

const FILES: [&str; 4] = [
    "0000000001.segment",
    "0000000001.keys",
    "0000000002.segment",
    "FORMAT",
];
/// Bodies of the log that is damaged: small ones, one that fills several blocks, enough to seal the first segment.
const BODIES: [usize; 8] = [3000, 1, 9000, 0, 20_000, 25_000, 700, 12_000];
/// The number of the event that is appended to a damaged log.
const ONE_MORE: u8 = 99;
const EVERYTHING: PageLimit = PageLimit {
    events: usize::MAX,
    bytes: usize::MAX,
};
const STEP_BYTES: usize = 5;
const STEPS_MAX: usize = 16;

/// Steps of five bytes: what is done to which file, where (two bytes, of 64 KiB), with what. The log opens with a part of its
/// events from the beginning, all of them as they were written, or refuses by name; it never panics, and never shows anything
/// else. Only what was erased can be taken for what was never written: where bytes were changed and none erased, it opens
/// whole or not at all. What is appended then stands behind what was read, also after the next start.
///
/// # Panics
/// On a finding.
pub fn damage(data: &[u8]) {
    let (disk, whole) = undamaged();
    let disk = disk.copied();
    for step in data.chunks_exact(STEP_BYTES).take(STEPS_MAX) {
        hurt(&disk, step);
    }
    let Ok((shared, mut writer)) = open_parts(Arc::clone(&disk) as Arc<dyn Files>, None, options(), clock())
    else {
        return;
    };
    let Ok(page) = read_all(&shared, Position::START, EVERYTHING) else {
        return;
    };
    assert!(page.events.len() <= whole.len());
    assert_eq!(page.events, whole.get(..page.events.len()).unwrap_or_default());
    assert_eq!(page.head.get(), page.events.len() as u64);
    if !data.chunks_exact(STEP_BYTES).take(STEPS_MAX).any(erases) {
        assert_eq!(
            page.events.len(),
            whole.len(),
            "acknowledged events are silently gone"
        );
    }
    if !write(&shared, &mut writer, ONE_MORE, 5000) {
        return;
    }
    drop((shared, writer));
    let reopened = open_parts(disk as Arc<dyn Files>, None, options(), clock());
    let (shared, _writer) = reopened.expect("what was just written to can be opened");
    let again = read_all(&shared, Position::START, EVERYTHING).expect("it can be read again");
    let (last, before) = again.events.split_last().expect("something was appended");
    assert_eq!(before, page.events);
    assert_eq!(last.data.byte_len(), 5000);
}

/// Whether a step can leave a sector of zeroes, or none.
fn erases(step: &[u8]) -> bool {
    matches!(step, &[what, _, _, _, with] if what % 4 > 1 || (what % 4 == 1 && with == 0))
}

fn hurt(disk: &Arc<Disk>, step: &[u8]) {
    let &[what, file, high, low, with] = step else {
        return;
    };
    let name = FILES
        .get(usize::from(file) % FILES.len())
        .copied()
        .unwrap_or("FORMAT");
    let at = usize::from(u16::from_be_bytes([high, low]));
    disk.damage(name, |bytes| {
        let at = at.min(bytes.len());
        let sector = at / SECTOR_BYTES * SECTOR_BYTES;
        let end = (sector + SECTOR_BYTES).min(bytes.len());
        match what % 4 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= with),
            1 => bytes
                .iter_mut()
                .take(end)
                .skip(sector)
                .for_each(|byte| *byte = with),
            2 => bytes.truncate(at),
            _ => {
                let block = usize::from(with) * SECTOR_BYTES;
                let copied: Vec<u8> = bytes.iter().skip(block).take(SECTOR_BYTES).copied().collect();
                let place = bytes.iter_mut().take(end).skip(sector);
                place.zip(copied).for_each(|(byte, copy)| *byte = copy);
            }
        }
    });
}

/// The log that is damaged, and what stands in it.
fn undamaged() -> &'static (Arc<Disk>, Vec<RecordedEvent>) {
    static WHOLE: OnceLock<(Arc<Disk>, Vec<RecordedEvent>)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let disk = Disk::empty();
        let files = Arc::clone(&disk) as Arc<dyn Files>;
        let (shared, mut writer) =
            open_parts(files, None, options(), clock()).expect("an empty disk is no log yet");
        for (n, len) in (1_u8..).zip(BODIES) {
            assert!(write(&shared, &mut writer, n, len));
        }
        let whole = read_all(&shared, Position::START, EVERYTHING).expect("it can be read");
        assert_eq!(whole.events.len(), BODIES.len());
        drop((shared, writer));
        // Opened once more, so that the key file of the sealed segment is there.
        drop(open_parts(
            Arc::clone(&disk) as Arc<dyn Files>,
            None,
            options(),
            clock(),
        ));
        (disk, whole.events)
    })
}

/// Appends an event; whether it was acknowledged.
fn write(shared: &Shared, writer: &mut Writer, n: u8, len: usize) -> bool {
    let request = Request::new(append(n, len), &shared.options);
    let (request, mut answered) = request.expect("it can be appended");
    writer.commit(VecDeque::from([request]));
    answered.try_recv().is_ok_and(|appended| appended.is_ok())
}

fn append(n: u8, len: usize) -> Append {
    let stream: StreamName = format!("delivery-default.github.41.{n}")
        .parse()
        .expect("a valid name");
    Append {
        stream,
        expected: Expected::NoStream,
        events: vec![NewEvent {
            id: EventId::new(Uuid::from_u128(u128::from(n))),
            event_type: "DeliveryReceived".parse().expect("a valid name"),
            schema: 1,
            metadata: Bytes::from_static(b"{}"),
            data: EventData::Inline(vec![n; len].into()),
        }],
        content: None,
    }
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 64 * 1024,
        fill_ahead_bytes: 0,
        fill_step_bytes: 8 * 1024,
        index_delay_ms: 0,
        ..LogOptions::default()
    }
}

struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_763_766_000_000)
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Standing)
}
