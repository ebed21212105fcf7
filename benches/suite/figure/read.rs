//! Reading the log for a replay beside reading the same files from end to end, both with nothing of them in memory.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use domain::{EventLog as _, PageLimit, Position};
use infra::log::SegmentedLog;
use rustix::fs::{Advice, fadvise};

use crate::Bench;
use crate::delivery::Mould;
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("read");
    let log = logs::open(&folder).await;
    let moulds = bench.payloads.examples.iter().map(Mould::of).collect();
    logs::fill(&log, moulds, 64, 0, Until::Count(bench.mode.events)).await;
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..bench.mode.pairs {
        forget(&folder);
        let began = Instant::now();
        let bytes = read_all(&log).await;
        ours.push(bytes as f64 / began.elapsed().as_secs_f64() / 1e6);
        forget(&folder);
        let began = Instant::now();
        let bytes = read_files(&folder, bytes);
        plain.push(bytes as f64 / began.elapsed().as_secs_f64() / 1e6);
    }
    log.close().await;
    report.figure(Figure::beside(
        "reading the log, cold ÷ sequential read of the same files",
        " MB/s",
        &ours,
        &plain,
        Goal::AtLeast(0.50),
    ));
    report.section(
        "Reading for a replay",
        &format!(
            "{} deliveries of real payloads, page by page as a replay reads them; bytes of metadata and bodies count. The files themselves are read \
             in pieces of 1 MiB, as far as the log is written. Before each run the kernel is told to forget the files (`posix_fadvise`).",
            bench.mode.events
        ),
    );
    let _room = std::fs::remove_dir_all(folder);
}

/// Reads a log page by page; returns how many bytes its events have.
pub(crate) async fn read_all(log: &SegmentedLog) -> u64 {
    let (mut after, mut bytes) = (Position::START, 0);
    loop {
        let page = log
            .read_all(after, PageLimit::default())
            .await
            .expect("the log can be read");
        let Some(last) = page.events.last() else {
            return bytes;
        };
        after = last.position;
        bytes += page
            .events
            .iter()
            .map(|event| event.metadata.len() as u64 + event.data.byte_len())
            .sum::<u64>();
    }
}

/// Reads the segments in their order, as many bytes in all.
fn read_files(folder: &Path, bytes: u64) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    for path in segments(folder) {
        let mut file = File::open(path).expect("a segment");
        while read < bytes {
            match file.read(&mut buffer).expect("the disk gives it") {
                0 => break,
                n => read += n as u64,
            }
        }
    }
    read
}

/// Has the kernel forget the files of a log.
pub(crate) fn forget(folder: &Path) {
    for path in segments(folder) {
        let file = File::open(path).expect("a segment");
        file.sync_all().expect("the disk keeps it");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the kernel is told");
    }
}

fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .expect("the log")
        .flatten()
        .map(|entry| entry.path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|of| of == "segment"))
        .collect();
    paths.sort();
    paths
}
