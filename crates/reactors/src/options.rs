//! Settings of the reactors and of each destination.

use std::collections::BTreeMap;
use std::fmt;

use domain::{DestinationName, SourceName, TenantId};
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

/// Settings of the reactors; those that a destination has too are its defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReactorOptions {
    /// Attempts after the first before a delivery is given up.
    pub retries_max: u32,
    /// The first pause between attempts, in milliseconds; each pause is drawn from 0 to a bound that starts here and
    /// doubles.
    pub retry_delay_ms: u64,
    /// The greatest bound of a pause, in milliseconds. It also bounds `Retry-After`.
    pub retry_delay_ms_max: u64,
    /// Whether a destination that fails again and again is left alone for a while.
    pub circuit_breaker: bool,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets a probe through, in milliseconds.
    pub breaker_pause_ms: u64,
    /// Probes in a row that have to succeed before the breaker closes.
    pub breaker_probes: u32,
    /// Attempts under way at once, per destination.
    pub concurrency: usize,
    /// How long an attempt may take, in milliseconds, its answer included.
    pub timeout_ms: u64,
    /// How long a connection may take to be made, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Redirects followed, each checked like the first address; 0 follows none.
    pub redirects_max: usize,
    /// The most of an answer that is read, in bytes.
    pub response_bytes_max: usize,
    /// The largest body that conditions, priorities and transformations look into, in bytes.
    pub json_bytes_max: u64,
    /// How long a condition or a transformation may take, in milliseconds.
    pub expression_timeout_ms: u64,
    /// The largest body that a transformation may make, in bytes.
    pub transform_bytes_max: usize,
    /// Private, loopback and other special networks that destinations may be in.
    pub addresses_allowed: Vec<IpNet>,
    /// Open deliveries held in memory, per destination; the rest is read from the log when there is room.
    pub window_max: usize,
    /// Dead letters remembered for a quick retry of all; beyond it the log is searched.
    pub dead_letters_max: usize,
    /// How often what is open is noted, in milliseconds, so that a restart reads less of the log.
    pub checkpoint_interval_ms: u64,
    /// How much a delivery gains in priority for every second that it waits, so that none starves.
    pub ageing_per_second: f64,
    /// Deliveries a second that a replay asks for, unless it says otherwise.
    pub replay_rate_per_second: u32,
    /// The greatest rate that a replay may ask for.
    pub replay_rate_per_second_max: u32,
    /// A replay waits while open deliveries wait longer than this, in milliseconds.
    pub replay_lag_ms_max: u64,
    /// Replays that may be under way at once; the others wait.
    pub replays_max: usize,
    /// Replays that may be under way or wait for their turn; more are refused.
    pub replays_open_max: usize,
    /// How often a replay takes down how far it is, in milliseconds. What it did since is looked at again after a crash.
    pub replay_progress_interval_ms: u64,
    /// How long counting what a replay is about may take, in milliseconds.
    pub replay_count_timeout_ms: u64,
    /// How long attempts under way may go on when the program stops, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for ReactorOptions {
    fn default() -> Self {
        Self {
            retries_max: 3,
            retry_delay_ms: 1000,
            retry_delay_ms_max: 3_600_000,
            circuit_breaker: true,
            breaker_failures: 5,
            breaker_pause_ms: 30_000,
            breaker_probes: 1,
            concurrency: 5,
            timeout_ms: 15_000,
            connect_timeout_ms: 5000,
            redirects_max: 3,
            response_bytes_max: 64 * 1024,
            json_bytes_max: 4 * 1024 * 1024,
            expression_timeout_ms: 2000,
            transform_bytes_max: 8 * 1024 * 1024,
            addresses_allowed: Vec::new(),
            window_max: 20_000,
            dead_letters_max: 100_000,
            checkpoint_interval_ms: 5000,
            ageing_per_second: 1.0,
            replay_rate_per_second: 200,
            replay_rate_per_second_max: 10_000,
            replay_lag_ms_max: 1000,
            replays_max: 4,
            replays_open_max: 100,
            replay_progress_interval_ms: 1000,
            replay_count_timeout_ms: 60_000,
            drain_timeout_ms: 10_000,
        }
    }
}

/// In which order deliveries go out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// By priority and age alone.
    #[default]
    None,
    /// One at a time per repository, in the order of the log: a delivery waits until the one before it is done or given up.
    Repository,
}

/// How urgent deliveries are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Priority {
    /// All the same.
    Number(i64),
    /// A CEL expression that gives a number.
    Expression(String),
}

/// A destination, `[[destination]]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationOptions {
    /// Its name, unique.
    pub name: DestinationName,
    /// Whose deliveries it gets.
    #[serde(default)]
    pub tenant: TenantId,
    /// Where it is, over HTTP. One of `url`, `urls` and `subject` is given.
    pub url: Option<String>,
    /// Several places that share the load.
    #[serde(default)]
    pub urls: Vec<String>,
    /// A NATS subject to publish to.
    pub subject: Option<String>,
    /// The secret that requests are signed with by Standard Webhooks, `whsec_…`; none leaves them unsigned.
    pub secret: Option<SecretString>,
    /// Headers added to each request.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// The sources it wants; empty wants all.
    #[serde(default)]
    pub sources: Vec<SourceName>,
    /// The events it wants, `event` or `event.action`; empty wants all.
    #[serde(default)]
    pub events: Vec<String>,
    /// The actions it wants; empty wants all.
    #[serde(default)]
    pub actions: Vec<String>,
    /// The repositories it wants, as globs; empty wants all.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// A CEL expression over the facts, `headers` and `body`; only what it holds for is sent.
    pub condition: Option<String>,
    /// A jq program that makes the body to send.
    pub transform: Option<String>,
    /// How urgent deliveries are; higher goes first.
    pub priority: Option<Priority>,
    /// In which order they go out.
    #[serde(default)]
    pub ordering: Ordering,
    /// Requests a second; none for no limit.
    pub rate_per_second: Option<u32>,
    /// Attempts under way at once.
    pub concurrency: Option<usize>,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Attempts after the first.
    pub retries_max: Option<u32>,
    /// Private, loopback and other special networks that it may be in, beside those allowed to all.
    #[serde(default)]
    pub addresses_allowed: Vec<IpNet>,
    /// Holds deliveries back.
    #[serde(default)]
    pub paused: bool,
}

/// Without the URLs: for many receivers, whoever has the URL may post to it.
impl fmt::Debug for DestinationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestinationOptions")
            .field("name", &self.name)
            .field("tenant", &self.tenant)
            .field("urls", &(usize::from(self.url.is_some()) + self.urls.len()))
            .field("subject", &self.subject)
            .field("paused", &self.paused)
            .finish_non_exhaustive()
    }
}
