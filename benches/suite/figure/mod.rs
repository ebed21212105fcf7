//! The parts of the report, one file each.

mod append;
mod growth;
mod ingest;
mod query;
mod read;
mod rebuild;
mod relay;
mod resources;
mod restart;
mod sustained;
mod visible;

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
    ("rebuild", |bench, _, report| {
        Box::pin(rebuild::measure(bench, report))
    }),
    ("sustained", |bench, _, report| {
        Box::pin(sustained::measure(bench, report))
    }),
    ("visible", |bench, _, report| {
        Box::pin(visible::measure(bench, report))
    }),
    ("restart", |bench, _, report| {
        Box::pin(restart::measure(bench, report))
    }),
    ("query", |bench, _, report| {
        Box::pin(query::measure(bench, report))
    }),
    ("resources", |bench, _, report| {
        Box::pin(resources::measure(bench, report))
    }),
    ("growth", |bench, recorder, report| {
        Box::pin(growth::measure(bench, recorder, report))
    }),
];
