//! Building all read models anew, one pass over the log, beside bare inserts of the rows that came out of it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::delivery::Mould;
use crate::logs::{self, Until};
use crate::report::{Figure, Goal, Report};
use crate::server::Server;
use crate::spread::{Rounded, Spread};
use crate::tables::Store;
use crate::{Bench, client, disk_room};

/// As many as the product puts into one insert at most.
const BATCH_ROWS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(900);
/// So few that what is left is the order, the tables and the swap.
const FEW: u64 = 64;

/// What a read model holds, encoded for an insert.
struct Filled {
    table: String,
    rows: u64,
    batches: Vec<Bytes>,
}

pub(crate) async fn measure(bench: &Bench, report: &mut Report) {
    let folder = bench.folder("rebuild");
    // The first start makes the data directory.
    Server::start(&folder, "ingest").await.stop().await;
    let fixed = fixed(bench, &folder).await;
    let server = filled(bench, &folder, FEW, bench.mode.rebuild_events).await;
    let store = Store::of(&folder.join("data"));
    let events = bench.mode.rebuild_events as f64;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for _ in 0..bench.mode.pairs {
        ours.push(events / rebuild(&server).await.as_secs_f64());
        let tables = contents(&store).await;
        bare.push(events / insert(&store, &tables).await.as_secs_f64());
        rows = tables
            .into_iter()
            .map(|filled| (filled.table, filled.rows))
            .collect();
    }
    report.figure(Figure::beside(
        "rebuilding all read models ÷ bare insert of the same rows",
        " events/s",
        &ours,
        &bare,
        Goal::AtLeast(0.60),
    ));
    let mut text = format!(
        "{events} deliveries of real payloads. Ours is from the order (`POST /api/projections/all/rebuild`) until the last new table is asked, without the comparison \
         with the log that follows by default (`projections.verify_rebuilds`). Of it {} ms are for making, asking and swapping tables, however many deliveries there are: what \
         rebuilding over {FEW} of them takes. The bare insert writes the rows that the tables then hold into empty tables of the same \
         definition, from memory in `RowBinary`, {BATCH_ROWS} a block, table after table, as durably (`fsync_after_insert`) and with none of that. Rows: ",
        Rounded(fixed.as_secs_f64() * 1e3)
    );
    for (table, rows) in &rows {
        let _ = write!(text, "{rows} `{table}`, ");
    }
    let per_event = rows.iter().map(|(_, rows)| *rows as f64).sum::<f64>() / events;
    let _ = write!(
        text,
        "together {} for each delivery.",
        Spread::of([per_event]).cell("")
    );
    report.section("Rebuilding", &text);
    let us = |rates: &[f64]| Rounded(1e6 / Spread::of(rates.iter().copied()).median());
    report.gap(format!(
        "**Rebuilding**: {} µs a delivery beside {} µs. Ours makes, asks and swaps tables, reads the log, parses metadata and the payloads that models want, and inserts in many small blocks, one for each table and batch.",
        us(&ours),
        us(&bare)
    ));
    server.stop().await;
    disk_room(&[&folder]);
}

/// How long a rebuild takes that has next to nothing to do.
async fn fixed(bench: &Bench, folder: &std::path::Path) -> Duration {
    let server = filled(bench, folder, 0, FEW).await;
    let mut took = Vec::new();
    for _ in 0..bench.mode.pairs {
        took.push(rebuild(&server).await);
    }
    server.stop().await;
    took.into_iter().min().unwrap_or_default()
}

/// A server over a log that is filled up to so many deliveries, its tables caught up.
async fn filled(bench: &Bench, folder: &std::path::Path, from: u64, upto: u64) -> Server {
    let log = logs::open(&folder.join("data/log")).await;
    let moulds = bench.payloads.examples.iter().map(Mould::of).collect();
    logs::fill(&log, moulds, 64, from, Until::Count(upto.saturating_sub(from))).await;
    log.close().await;
    let settings = [
        ("HOOKLOG_PROJECTIONS__VERIFY_REBUILDS", "false"),
        ("HOOKLOG_PROJECTIONS__DROP_AFTER_MS", "1"),
    ];
    let server = Server::spawn(folder, "", &settings);
    server.ready().await;
    server.settled().await;
    server
}

async fn rebuild(server: &Server) -> Duration {
    let before = builds(server).await;
    let began = Instant::now();
    let (status, body) = client::post(server.address(), "/api/projections/all/rebuild")
        .await
        .expect("an answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    while builds(server)
        .await
        .iter()
        .zip(&before)
        .any(|(now, before)| now <= before)
    {
        assert!(
            began.elapsed() < PATIENCE,
            "the rebuild never ended: {}",
            server.printed()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// The builds that are asked, projection by projection.
async fn builds(server: &Server) -> Vec<u64> {
    let rows = server.projections().await;
    rows.iter()
        .map(|row| row["build"].as_u64().unwrap_or(0))
        .collect()
}

async fn contents(store: &Store) -> Vec<Filled> {
    let mut all = Vec::new();
    for table in store.models().await {
        let rows = store
            .number(&format!("SELECT count() FROM hooklog.{table}"))
            .await;
        let mut batches = Vec::new();
        for from in (0..rows).step_by(BATCH_ROWS as usize) {
            let question = format!(
                "SELECT * FROM hooklog.{table} ORDER BY ALL LIMIT {BATCH_ROWS} OFFSET {from} FORMAT RowBinary"
            );
            batches.push(store.ask(&question).await.into());
        }
        if rows > 0 {
            all.push(Filled { table, rows, batches });
        }
    }
    all
}

async fn insert(store: &Store, tables: &[Filled]) -> Duration {
    let name = |filled: &Filled| format!("bare_{}", filled.table);
    for filled in tables {
        store
            .ask(&format!("DROP TABLE IF EXISTS hooklog.{}", name(filled)))
            .await;
        store
            .ask(&format!(
                "CREATE TABLE hooklog.{} AS hooklog.{}",
                name(filled),
                filled.table
            ))
            .await;
    }
    let began = Instant::now();
    for filled in tables {
        for batch in &filled.batches {
            store.insert(&name(filled), "RowBinary", batch.clone()).await;
        }
    }
    let took = began.elapsed();
    for filled in tables {
        store.ask(&format!("DROP TABLE hooklog.{}", name(filled))).await;
    }
    took
}
