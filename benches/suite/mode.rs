//! How long and how often: every duration and count of the suite, for each of its modes.

use std::time::Duration;

/// One mode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    /// Alternating pairs of runs: ours, ceiling, ours, ceiling, …
    pub(crate) pairs: usize,
    /// One run of a load, closed or open.
    pub(crate) load: Duration,
    /// Before the first one.
    pub(crate) warm_up: Duration,
    /// One run of 64 writers to the log.
    pub(crate) append: Duration,
    /// Events in the log that is published and read.
    pub(crate) events: u64,
    /// Events in the log that the read models are rebuilt from: enough that it is about events, and not about making tables.
    pub(crate) rebuild_events: u64,
    /// One try of a rate that all roles and engines have to keep up with.
    pub(crate) sustained: Duration,
    /// Tries of such rates at most.
    pub(crate) sustained_tries: usize,
    /// How long latencies to the subscriber and the tables are taken.
    pub(crate) visible: Duration,
    /// Events in the log that a server is restarted over.
    pub(crate) restart_events: u64,
    /// How long an idle server is watched.
    pub(crate) idle: Duration,
    /// Deliveries in the tables that are asked.
    pub(crate) rows: u64,
    /// Requests for each question.
    pub(crate) questions: usize,
    /// Sizes of the log in the table of growth.
    pub(crate) growth_events: &'static [u64],
    /// Sizes of the tables in it.
    pub(crate) growth_rows: &'static [u64],
}

impl Mode {
    /// About two minutes.
    pub(crate) const fn quick() -> Self {
        Self {
            name: "quick",
            pairs: 3,
            load: Duration::from_secs(2),
            warm_up: Duration::from_secs(1),
            append: Duration::from_secs(2),
            events: 10_000,
            rebuild_events: 30_000,
            sustained: Duration::from_secs(5),
            sustained_tries: 2,
            visible: Duration::from_secs(5),
            restart_events: 10_000,
            idle: Duration::from_secs(5),
            rows: 100_000,
            questions: 30,
            growth_events: &[],
            growth_rows: &[],
        }
    }

    /// About fifteen minutes.
    const fn full() -> Self {
        Self {
            name: "full",
            pairs: 5,
            load: Duration::from_secs(8),
            warm_up: Duration::from_secs(3),
            append: Duration::from_secs(15),
            events: 50_000,
            rebuild_events: 100_000,
            sustained: Duration::from_secs(15),
            sustained_tries: 5,
            visible: Duration::from_secs(20),
            restart_events: 100_000,
            idle: Duration::from_secs(20),
            rows: 1_000_000,
            questions: 100,
            growth_events: &[],
            growth_rows: &[],
        }
    }

    /// About an hour.
    const fn scale() -> Self {
        Self {
            name: "scale",
            append: Duration::from_secs(30),
            load: Duration::from_secs(15),
            sustained: Duration::from_secs(60),
            visible: Duration::from_secs(60),
            restart_events: 1_000_000,
            idle: Duration::from_secs(60),
            rows: 10_000_000,
            questions: 200,
            growth_events: &[10_000, 100_000, 1_000_000],
            growth_rows: &[10_000, 1_000_000, 10_000_000],
            ..Self::full()
        }
    }

    /// Not a measurement: every part once, to see that it runs.
    const fn smoke() -> Self {
        Self {
            name: "smoke",
            pairs: 1,
            load: Duration::from_secs(1),
            warm_up: Duration::from_millis(200),
            append: Duration::from_secs(1),
            events: 300,
            rebuild_events: 300,
            sustained: Duration::from_secs(2),
            sustained_tries: 1,
            visible: Duration::from_secs(2),
            restart_events: 300,
            idle: Duration::from_secs(1),
            rows: 2_000,
            questions: 3,
            growth_events: &[100, 200],
            growth_rows: &[1_000, 2_000],
        }
    }

    /// The mode of that name.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "quick" => Self::quick(),
            "full" => Self::full(),
            "scale" => Self::scale(),
            "smoke" => Self::smoke(),
            other => panic!("{other} is none of quick, full, scale, smoke"),
        }
    }
}
