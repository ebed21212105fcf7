//! Logs, metrics, and the one place that prints an error with its causes.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    let filter = filter(&options.level)?;
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

/// Reads a level or a filter. A single word has to be a level: the filter's syntax would take any other for the name of
/// a module, and show nothing else.
pub(crate) fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let wrong = || {
        format!(
            "setting telemetry.level: {level:?} is none of error, warn, info, debug, trace, and no filter"
        )
    };
    let text = if level.contains(['=', ',']) {
        level.to_owned()
    } else {
        let level: LevelFilter = level.parse().with_context(wrong)?;
        // What libraries say at info is of no use to an operator.
        format!("{level},async_nats=warn,fjall=warn,lsm_tree=warn,hyper=warn,poem=warn")
    };
    EnvFilter::try_new(&text).with_context(wrong)
}

/// Starts collecting metrics; the handle renders them.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), DURATION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_events".into()), COUNT_BUCKETS)?
        .upkeep_timeout(Duration::from_secs(5))
        .install_recorder()
        .context("metrics can't be collected")?;
    crate::metric::describe();
    Ok(handle)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_instead_of_silencing_everything() {
        for good in ["info", "WARN", "off", "info,ingest=debug"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["warning", "verbose", "ingest=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
