//! The log alone: many writers beside a bare one that writes the same bytes with as many syncs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;

use crate::Bench;
use crate::delivery::Mould;
use crate::disk::{self, Amount, Ground};
use crate::durable::Keeper;
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::spread::{Rounded, Spread};

const WRITERS: usize = 64;
const BODY_BYTES: usize = 8 * 1024;

pub(crate) async fn measure(bench: &Bench, recorder: &PrometheusHandle, report: &mut Report) {
    let (mut ours, mut bare, mut asked, mut batches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut megabytes, mut ahead_share, mut apart_share) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.mode.pairs {
        let folder = bench.folder("append");
        let syncs_before = logs::counted(recorder, "hooklog_log_syncs_total");
        let log = logs::open(&folder).await;
        let moulds = vec![Mould::of_bytes(BODY_BYTES)];
        let (events, took) = logs::fill(&log, moulds, WRITERS, 0, Until::Time(bench.mode.append)).await;
        let syncs = logs::counted(recorder, "hooklog_log_syncs_total") - syncs_before;
        log.close().await;
        let found = infra::log::verify(&folder).expect("the log can be read");
        assert_eq!((found.events, found.problem), (events, None), "the log is whole");
        let _room = std::fs::remove_dir_all(&folder);
        let amount = Amount {
            bytes: found.bytes,
            syncs: syncs as u64,
        };
        let folder = bench.folder("bare");
        let [ahead, apart, grown] = [Ground::ZeroedAhead, Ground::ZeroedApart, Ground::Grown]
            .map(|ground| disk::bare_writer(&folder, amount, ground).as_secs_f64());
        let asked_folder = bench.folder("asked");
        let mut asked_best: f64 = 0.0;
        for ground in [Ground::ZeroedApart, Ground::Grown] {
            let per_second = asked_writer(&asked_folder, bench.mode.append, ground).await;
            eprintln!("   asked writer, {ground:?}: {per_second:.0}/s");
            asked_best = asked_best.max(per_second);
        }
        asked.push(asked_best);
        crate::disk_room(&[&folder, &asked_folder]);
        ours.push(events as f64 / took.as_secs_f64());
        bare.push(events as f64 / ahead.min(apart).min(grown));
        batches.push(events as f64 / syncs);
        ahead_share.push(ahead / grown);
        apart_share.push(apart / grown);
        megabytes.push(found.bytes as f64 / took.as_secs_f64() / 1e6);
    }
    let name = format!(
        "log append ÷ bare writer, {WRITERS} writers of 8 KiB, {} s",
        bench.mode.append.as_secs()
    );
    report.figure(Figure::beside(&name, "/s", &ours, &bare, Goal::AtLeast(0.85)));
    let text = format!(
        "{WRITERS} writers append deliveries of {BODY_BYTES} bytes through the log's own interface, each waiting for its answer: {} of \
         batches, {} events a sync. The bare writer is one thread that writes the same bytes with the same number of syncs. It is tried thrice, in a file that \
         grows, in one that another thread fills with zeroes ahead, and in files filled before they are written, and the fastest counts (the time of the second ÷ that of the first: {}; of the \
         third: {}).\n\nBeside them the asked writer, what a log costs that does only what cannot be left out: {WRITERS} tasks hand over {BODY_BYTES} bytes each and wait, one thread \
         puts all that wait into one buffer with a checksum, writes, syncs and answers; no index, no decisions, syncs begin as far apart as ours; in a file that grows and in files filled before, the faster counts. It takes {}, {} of the bare writer (goal: ≥ 0.850). Ours is {} of it.",
        Spread::of(megabytes).cell(" MB/s"),
        Spread::of(batches.iter().copied()).cell(""),
        Spread::of(ahead_share).cell(""),
        Spread::of(apart_share).cell(""),
        Spread::of(asked.iter().copied()).cell("/s"),
        Spread::ratio(&asked, &bare).cell(""),
        Spread::ratio(&ours, &asked).cell(""),
    );
    report.section("Appending", &text);
    report.gap(format!(
        "**Appending**: {} events share a sync; what is missing to the bare writer is encoding, checksums, deciding and the wake-up of \
         {WRITERS} writers between two syncs, during which the disk waits.",
        Rounded(Spread::of(batches).median())
    ));
}

/// Events a second.
async fn asked_writer(folder: &std::path::Path, time: Duration, ground: Ground) -> f64 {
    let (keeper, writer) = Keeper::start(folder, ground);
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    // The first file is prepared before the time begins, as that of the log is when it opens.
    keeper.keep(Vec::new(), body.clone()).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let (keeper, body) = (keeper.clone(), body.clone());
        tasks.spawn(async move {
            let mut kept = 0_u64;
            while began.elapsed() < time {
                keeper.keep(Vec::new(), body.clone()).await;
                kept += 1;
            }
            kept
        });
    }
    let kept: u64 = tasks.join_all().await.into_iter().sum();
    let per_second = kept as f64 / began.elapsed().as_secs_f64();
    drop(keeper);
    // What it still prepares would disturb the next run.
    writer.join().expect("the writer ends");
    per_second
}
