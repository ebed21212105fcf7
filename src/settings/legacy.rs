//! Environment variables whose names are older than this program. Existing deployments set them, so they keep
//! working; the ones that mean nothing here are named in a notice, with what took their place.

/// An old variable and the setting that it sets.
pub(crate) struct Legacy {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
}

const fn same(name: &'static str, key: &'static str) -> Legacy {
    Legacy { name, key }
}

/// Variables that set something. Secrets of sources are handled apart, in `sources.rs`.
pub(crate) const HONOURED: &[Legacy] = &[
    same("WEBHOOK_PORT", "server.port"),
    same("WEBHOOK_HOST", "server.host"),
    same("WEBHOOK_BASE_URL", "server.base_url"),
    same("WEBHOOK_DEDUP_TTL", "ingest.dedup_window_ms"),
    same("EVENT_QUEUE_MAX_SIZE", "log.embedded.queue_max"),
    same("RATE_LIMITER_MAX_REQUESTS", "ingest.address_rate_per_minute"),
    same("RETRY_MANAGER_MAX_RETRIES", "reactors.retries_max"),
    same("WEBHOOK_MAX_RETRIES", "reactors.retries_max"),
    same("RETRY_MANAGER_BASE_DELAY", "reactors.retry_delay_ms"),
    same("RETRY_MANAGER_CIRCUIT_BREAKER", "reactors.circuit_breaker"),
    same("EVENT_QUEUE_CONCURRENCY", "reactors.concurrency"),
    same("LOG_LEVEL", "telemetry.level"),
];

/// Variables that are recognised and change nothing, with what to do instead.
pub(crate) const IGNORED: &[(&str, &str)] = &[
    (
        "EVENT_QUEUE_BACKEND",
        "the log is the queue; choose it with --log",
    ),
    ("EVENT_STORE_TYPE", "choose the log with --log"),
    ("EVENT_STORE_PATH", "choose the data directory with --data-dir"),
    (
        "EVENT_STORE_URL",
        "the log is in the data directory; choose it with --data-dir",
    ),
    ("MONITORING_ENABLED", "monitoring is always on, at /metrics"),
    ("MONITORING_PORT", "metrics are at /metrics on the main port"),
    ("MONITORING_INTERVAL", "metrics are computed when they are read"),
    (
        "DATABASE_URL",
        "read models are in ClickHouse; use --clickhouse-url",
    ),
    ("DEBUG", "use LOG_LEVEL=debug"),
];

/// The list of allowed networks for every source, separated by commas.
pub(crate) const ADDRESS_LIST: &str = "WEBHOOK_VALIDATOR_IP_WHITELIST";

/// Prefixes of ignored families, so that a member not listed above is still answered.
pub(crate) const IGNORED_PREFIXES: &[(&str, &str)] = &[
    (
        "EVENT_STORE_",
        "choose the log with --log, its place with --data-dir",
    ),
    ("MONITORING_", "metrics are at /metrics on the main port"),
];

/// What to say about a variable that is recognised and changes nothing.
pub(crate) fn notice(name: &str) -> Option<&'static str> {
    let exact = IGNORED.iter().find(|(ignored, _)| *ignored == name);
    exact
        .or_else(|| {
            IGNORED_PREFIXES
                .iter()
                .find(|(prefix, _)| name.starts_with(prefix))
        })
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_either_honoured_or_ignored() {
        for legacy in HONOURED {
            assert_eq!(notice(legacy.name), None, "{}", legacy.name);
        }
        assert!(notice("EVENT_STORE_SOMETHING").is_some());
        assert!(notice("PATH").is_none());
    }
}
