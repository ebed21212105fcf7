//! The parts of the report, one file each.

mod append;
mod ingest;
mod read;
mod relay;

use std::pin::Pin;

use metrics_exporter_prometheus::PrometheusHandle;

use super::Bench;
use super::report::Report;

/// Measures something and puts it into the report.
pub(crate) type Part =
    for<'a> fn(&'a Bench, &'a PrometheusHandle, &'a mut Report) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// All of them, in the order of the way of a delivery.
pub(crate) const PARTS: &[(&str, Part)] = &[
    ("ingest", |bench, _, report| {
        Box::pin(ingest::measure(bench, report))
    }),
    ("append", |bench, recorder, report| {
        Box::pin(append::measure(bench, recorder, report))
    }),
    ("relay", |bench, _, report| {
        Box::pin(relay::measure(bench, report))
    }),
    ("read", |bench, _, report| Box::pin(read::measure(bench, report))),
];
