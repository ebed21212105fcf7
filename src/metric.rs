//! The metrics that there are: what each says, and those that begin at zero.
//!
//! They are counted where the thing happens, in every crate. Here they are named once more, so that `/metrics` explains them,
//! and so that the table for operators, the dashboards and the alerts can be held against them.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only grows. Begins at zero, so that the first time is seen as a change.
    Count,
    /// Only grows, one for each value of its labels.
    CountBy(&'static [&'static str]),
    /// Goes up and down.
    Gauge(&'static [&'static str]),
    /// A distribution.
    Histogram(&'static [&'static str]),
}

use Kind::{Count, CountBy, Gauge, Histogram};

/// All of them, in the order of the way of a delivery. One line each: it is read as a table.
#[rustfmt::skip]
const METRICS: &[(&str, Kind, &str)] = &[
    ("webhook_events_total", CountBy(&["source", "event", "status"]), "requests to receive, by what became of them: success, duplicate, rejected (4xx), error (5xx)"),
    ("hooklog_ingest_duration_seconds", Histogram(&["source"]), "from the head of a request to its answer"),
    ("hooklog_ingest_in_flight", Gauge(&[]), "requests to receive under way"),
    ("hooklog_ingest_rejected_total", CountBy(&["source", "reason"]), "what is turned away, and why"),
    ("hooklog_ingest_ignored_total", CountBy(&["source"]), "deliveries that the event filter of their source leaves out"),
    ("hooklog_ingest_redelivery_retries_total", CountBy(&["source"]), "dead letters tried again because their sender sent them again"),
    ("hooklog_rejected_kept_total", Count, "rejected requests kept to be looked up"),
    ("hooklog_rejected_left_out_total", CountBy(&["reason"]), "rejected requests that were only counted: too many of a kind"),
    ("hooklog_rejected_dropped_total", CountBy(&["why"]), "rejected requests that NATS did not take"),
    ("hooklog_http_connections_dropped_total", CountBy(&["reason"]), "connections closed for want of a place, or because their address had too many"),
    ("hooklog_address_ranges_refreshes_total", CountBy(&["list", "result"]), "fetches of lists of networks"),
    ("hooklog_bodies_kept_total", Count, "bodies written to the body store"),
    ("hooklog_bodies_kept_bytes_total", Count, "bytes of bodies written to the body store"),
    ("hooklog_body_keep_duration_seconds", Histogram(&[]), "making a large body durable"),
    ("hooklog_log_append_duration_seconds", Histogram(&[]), "an append to the log, waiting for its turn included"),
    ("hooklog_log_queue_length", Gauge(&[]), "appends waiting; at log.embedded.queue_max deliveries are answered 503"),
    ("hooklog_log_sync_duration_seconds", Histogram(&[]), "a sync of the embedded log; every answer waits for one"),
    ("hooklog_log_syncs_total", Count, "syncs of the embedded log"),
    ("hooklog_log_batch_events", Histogram(&[]), "events that share a sync"),
    ("hooklog_log_fences_total", Count, "deliveries announced in a shared log that never came, and were fenced off"),
    ("hooklog_disk_left_bytes", Gauge(&[]), "room left for the data directory"),
    ("hooklog_disk_room", Gauge(&[]), "0: enough, 1: below data.budget.tight_bytes, 2: below data.budget.floor_bytes"),
    ("hooklog_relay_position", Gauge(&[]), "the last position that was published"),
    ("hooklog_relay_lag_events", Gauge(&[]), "events that the stream is behind the log; NaN where only the time is known"),
    ("hooklog_relay_lag_seconds", Gauge(&[]), "age of the oldest event that is not published"),
    ("hooklog_relay_published_total", Count, "events published"),
    ("hooklog_relay_republished_total", Count, "of them, those that may have been published before"),
    ("hooklog_relay_replayed_total", Count, "deliveries published again for a replay"),
    ("hooklog_relay_errors_total", Count, "failures of publishing; it is tried again"),
    ("hooklog_relay_unreadable_total", Count, "events that could not be published as what they are"),
    ("hooklog_relay_replays_unreadable_total", Count, "replays whose original could not be read"),
    ("hooklog_lease_changes_total", CountBy(&["work", "outcome"]), "times that work moved between processes"),
    ("hooklog_jetstream_connected", Gauge(&[]), "1: connected to NATS"),
    ("hooklog_jetstream_published_total", Count, "messages that JetStream acknowledged"),
    ("hooklog_jetstream_publish_errors_total", CountBy(&["kind"]), "publishes that failed"),
    ("hooklog_jetstream_foreign_messages_total", Count, "messages on our subjects that are not ours"),
    ("hooklog_projection_position", Gauge(&["projection"]), "the last position in the tables"),
    ("hooklog_projection_lag_events", Gauge(&["projection"]), "events that the tables are behind the log; NaN where only the time is known"),
    ("hooklog_projection_lag_seconds", Gauge(&["projection"]), "age of the oldest event that is not in the tables"),
    ("hooklog_projection_batches_total", Count, "batches written to the tables"),
    ("hooklog_projection_rows_total", Count, "rows written to the tables"),
    ("hooklog_projection_unreadable_total", Count, "events that no read model could read"),
    ("hooklog_projection_payloads_missing_total", Count, "bodies that were needed and not found"),
    ("hooklog_projection_rebuild_eta_seconds", Gauge(&["projection"]), "how long a rebuild still takes"),
    ("hooklog_projection_rebuilds_total", CountBy(&["projection", "outcome"]), "rebuilds that did not end with new tables"),
    ("hooklog_projection_verified_total", CountBy(&["projection", "equal"]), "comparisons of tables with the log"),
    ("hooklog_clickhouse_duration_seconds", Histogram(&["operation"]), "a statement on ClickHouse, waiting for its turn included"),
    ("hooklog_clickhouse_errors_total", CountBy(&["operation", "kind"]), "statements that failed; unavailable passes, refused is a defect or a missing right"),
    ("hooklog_clickhouse_inserted_rows_total", Count, "rows that ClickHouse took"),
    ("hooklog_reactor_position", Gauge(&[]), "how far the log is read for what is due"),
    ("hooklog_reactor_mark_position", Gauge(&["destination"]), "everything up to here is settled"),
    ("hooklog_reactor_open", Gauge(&["destination"]), "deliveries that are not settled"),
    ("hooklog_reactor_in_flight", Gauge(&["destination"]), "attempts under way"),
    ("hooklog_reactor_retrying", Gauge(&["destination"]), "deliveries that failed and wait for their next attempt"),
    ("hooklog_reactor_lag_seconds", Gauge(&["destination"]), "how long the oldest due delivery waits"),
    ("hooklog_reactor_paused", Gauge(&["destination"]), "1: held back by hand"),
    ("hooklog_reactor_breaker_state", Gauge(&["destination"]), "0: goes on, 1: is probed, 2: left alone"),
    ("hooklog_reactor_attempts_total", CountBy(&["destination", "result"]), "attempts: delivered, retry, dead, skipped"),
    ("hooklog_reactor_attempt_duration_seconds", Histogram(&["destination"]), "an attempt, its answer included"),
    ("hooklog_replays_running", Gauge(&[]), "replays under way"),
    ("hooklog_replay_deliveries_total", CountBy(&["to"]), "deliveries that replays asked for"),
    ("hooklog_replay_skipped_total", Count, "deliveries that replays left out"),
    ("hooklog_replay_waits_total", CountBy(&["for"]), "pauses of replays, and what for"),
    ("hooklog_live_clients", Gauge(&["kind"]), "streams of events (`sse`) and connections of Socket.IO (`socketio`) now"),
    ("hooklog_live_events_total", CountBy(&["kind"]), "what they were handed"),
    ("hooklog_live_ended_total", CountBy(&["kind", "reason"]), "whom the server ended, by the code of the notice; `SLOW_CLIENT` is theirs, `LOG_UNREADABLE` yours"),
    ("hooklog_live_refused_total", CountBy(&["kind", "reason"]), "who found no place: `full` of all, `client` of one key or address, `gave_way` without a key"),
    ("hooklog_live_log_reads_total", Count, "how often a client was behind the ring; much of it wants a larger `live.ring_events_max`"),
    ("hooklog_live_log_fallbacks_total", CountBy(&["reason"]), "how often the stream was left for the log: `behind` a gap or silence, `broken`"),
    ("hooklog_api_request_duration_seconds", Histogram(&["status"]), "a request to the API"),
    ("hooklog_api_refused_total", CountBy(&["reason"]), "requests to the API that were not let in"),
    ("hooklog_engine_up", Gauge(&["engine"]), "1: the embedded engine runs"),
    ("hooklog_engine_restarts_total", CountBy(&["engine"]), "times that an embedded engine was started again"),
    ("hooklog_engine_start_duration_seconds", Histogram(&["engine"]), "starting an embedded engine"),
    ("webhook_processing_duration_seconds", Gauge(&["event"]), "mean of the last minutes: from receiving to the last outcome"),
    ("github_job_duration_seconds", Gauge(&["repository"]), "mean of the last minutes: from the start of a CI job to its end"),
    ("github_jobs_queued_total", CountBy(&["repository"]), "CI jobs that were queued"),
    ("github_jobs_completed_total", CountBy(&["repository", "conclusion"]), "CI jobs that ended"),
];

/// Explains all of them to whoever asks for `/metrics`, and begins those that can begin.
pub(crate) fn describe() {
    for &(name, kind, help) in METRICS {
        match kind {
            Count => {
                describe_counter!(name, help);
                metrics::counter!(name).increment(0);
            }
            CountBy(_) => describe_counter!(name, help),
            Gauge(_) => describe_gauge!(name, help),
            Histogram(_) => describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("src/metric.rs") {
                found.push(path);
            }
        }
    }

    /// Names of metrics in the code of the product: texts that end as metrics do, or follow one of the macros.
    fn counted_somewhere() -> BTreeSet<String> {
        let mut files = Vec::new();
        for folder in ["src", "crates"] {
            rust_files(&root().join(folder), &mut files);
        }
        let mut names = BTreeSet::new();
        for file in files
            .iter()
            .filter(|f| !f.components().any(|c| c.as_os_str() == "tests"))
        {
            let text = fs::read_to_string(file).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for line in product
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for word in line.split('"').skip(1).step_by(2) {
                    let ours = ["hooklog_", "webhook_", "github_"]
                        .iter()
                        .any(|p| word.starts_with(p));
                    let plain = word
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit());
                    let metric = ["gauge!(", "counter!(", "histogram!("]
                        .iter()
                        .any(|m| line.contains(m));
                    let unit = ["_total", "_seconds", "_bytes"].iter().any(|u| word.ends_with(u));
                    if ours && plain && (metric || unit) {
                        names.insert(word.to_owned());
                    }
                }
            }
        }
        names
    }

    #[test]
    fn every_metric_that_is_counted_is_explained_and_no_other() {
        let explained: BTreeSet<String> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(explained.len(), METRICS.len(), "a metric stands there twice");
        assert_eq!(counted_somewhere(), explained);
    }

    #[test]
    fn the_table_for_operators_is_the_list_of_metrics() {
        let page = fs::read_to_string(root().join("docs/operations.md")).unwrap();
        let table: String = METRICS
            .iter()
            .map(|(name, kind, help)| {
                let labels = match kind {
                    Count => &[][..],
                    CountBy(labels) | Gauge(labels) | Histogram(labels) => labels,
                };
                let labels = if labels.is_empty() {
                    String::new()
                } else {
                    format!("{{{}}}", labels.join(","))
                };
                format!("| `{name}{labels}` | {help} |\n")
            })
            .collect();
        assert!(
            page.contains(&table),
            "docs/operations.md should have this table:\n{table}"
        );
    }
}
