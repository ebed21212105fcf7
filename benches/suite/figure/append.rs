//! The log alone: many writers beside a bare one that writes the same bytes with as many syncs.

use metrics_exporter_prometheus::PrometheusHandle;

use crate::Bench;
use crate::delivery::Mould;
use crate::disk::{self, Amount, Ground};
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::spread::{Rounded, Spread};

const WRITERS: usize = 64;
const BODY_BYTES: usize = 8 * 1024;

pub(crate) async fn measure(bench: &Bench, recorder: &PrometheusHandle, report: &mut Report) {
    let (mut ours, mut bare, mut batches, mut grown_share) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut megabytes = Vec::new();
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
        let [zeroed, grown] = [Ground::ZeroedAhead, Ground::Grown]
            .map(|ground| disk::bare_writer(&folder, amount, ground).as_secs_f64());
        ours.push(events as f64 / took.as_secs_f64());
        bare.push(events as f64 / zeroed.min(grown));
        batches.push(events as f64 / syncs);
        grown_share.push(zeroed / grown);
        megabytes.push(found.bytes as f64 / took.as_secs_f64() / 1e6);
    }
    let name = format!(
        "log append ÷ bare writer, {WRITERS} writers of 8 KiB, {} s",
        bench.mode.append.as_secs()
    );
    report.figure(Figure::beside(&name, "/s", &ours, &bare, Goal::AtLeast(0.85)));
    let text = format!(
        "{WRITERS} writers append deliveries of {BODY_BYTES} bytes through the log's own interface, each waiting for its answer: {} of \
         batches, {} events a sync. The bare writer is one thread that writes the same bytes with the same number of syncs. It is tried twice, in a file that \
         grows and in one that another thread fills with zeroes ahead, and the faster one counts (the time of the second ÷ that of the first: {}).",
        Spread::of(megabytes).cell(" MB/s"),
        Spread::of(batches.iter().copied()).cell(""),
        Spread::of(grown_share).cell(""),
    );
    report.section("Appending", &text);
    report.gap(format!(
        "**Appending**: {} events share a sync; what is missing to the bare writer is encoding, checksums, deciding and the wake-up of \
         {WRITERS} writers between two syncs, during which the disk waits.",
        Rounded(Spread::of(batches).median())
    ));
}
