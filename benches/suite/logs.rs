//! Logs of the product, opened in this process: the same code as in the binary, without HTTP before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::EventLog as _;
use infra::log::{LogOptions, SegmentedLog};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::task::JoinSet;

use super::delivery::{Mould, SystemClock};
use super::server::metric_in;

/// Takes down what the code counts in this process.
pub(crate) fn record_metrics() -> PrometheusHandle {
    PrometheusBuilder::new()
        .install_recorder()
        .expect("the first recorder")
}

/// A counter of this process.
pub(crate) fn counted(recorder: &PrometheusHandle, name: &str) -> f64 {
    metric_in(&recorder.render(), name).unwrap_or(0.0)
}

pub(crate) async fn open(folder: &Path) -> Arc<SegmentedLog> {
    let opened = SegmentedLog::open(folder, LogOptions::default(), Arc::new(SystemClock)).await;
    opened.expect("the log opens")
}

/// Until when appends go on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Count(u64),
}

/// Appends deliveries from many tasks; returns how many, and the time.
pub(crate) async fn fill(
    log: &Arc<SegmentedLog>,
    moulds: Vec<Mould>,
    writers: usize,
    first: u64,
    until: Until,
) -> (u64, Duration) {
    let moulds = Arc::new(moulds);
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let (log, moulds, next) = (Arc::clone(log), Arc::clone(&moulds), Arc::clone(&next));
        tasks.spawn(async move {
            let mut appended = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let goes_on = match until {
                    Until::Time(time) => began.elapsed() < time,
                    Until::Count(count) => number < count,
                };
                if !goes_on {
                    return appended;
                }
                let mould = &moulds[number as usize % moulds.len()];
                log.append(mould.append(first + number))
                    .await
                    .expect("the log takes it");
                appended += 1;
            }
        });
    }
    let appended = tasks.join_all().await.into_iter().sum();
    (appended, began.elapsed())
}

/// Bytes of the files of a log's segments, what is only prepared included.
pub(crate) fn prepared_bytes(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let segments = entries.filter(|entry| entry.path().extension().is_some_and(|of| of == "segment"));
    segments
        .filter_map(|entry| Some(entry.metadata().ok()?.len() as f64))
        .sum()
}
