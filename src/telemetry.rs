//! Logs, metrics, and the one place that prints an error with its causes.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TelemetryOptions {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,ingest=debug`.
    pub(crate) level: String,
    /// How lines look.
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line, for collectors.
    Json,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Pretty,
        }
    }
}

/// Seconds; from a tenth of a millisecond to ten seconds.
const DURATION_BUCKETS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 10_000.0,
];

/// Starts logging to standard error.
pub(crate) fn start_logging(options: &TelemetryOptions) -> anyhow::Result<()> {
    // What libraries say at info is of no use to an operator.
    let filter = if options.level.contains(['=', ',']) {
        options.level.clone()
    } else {
        format!(
            "{0},async_nats=warn,fjall=warn,lsm_tree=warn,hyper=warn,poem=warn",
            options.level
        )
    };
    let filter = EnvFilter::try_new(&filter).with_context(|| {
        format!(
            "telemetry.level {:?} is not a log level such as info or debug",
            options.level
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match options.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Pretty => builder.with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))
}

/// Starts collecting metrics; the handle renders them.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_events".into()), COUNT_BUCKETS)?
        .upkeep_timeout(Duration::from_secs(5))
        .install_recorder()
        .context("metrics can't be collected")
}

/// Prints an error and its causes, for a person.
#[allow(
    clippy::print_stderr,
    reason = "the last word of a command that failed goes to the terminal, not to a log"
)]
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}
