//! Lists of networks that sources may name, `[address_ranges.NAME]`.

use std::time::Duration;

use anyhow::ensure;
use ipnet::IpNet;
use serde::Deserialize;

use super::Settings;

/// A list of networks: given here, fetched from its provider, or both.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RangeSettings {
    /// Where the provider publishes it, as JSON; empty for a list that is only given here.
    pub(crate) url: String,
    /// Where in the answer the array of networks stands, as a JSON pointer.
    pub(crate) pointer: String,
    /// The networks, if there is no URL; else until the first answer came.
    pub(crate) networks: Vec<IpNet>,
    /// How often it is fetched, and how soon again after a failure.
    pub(crate) refresh_interval_ms: u64,
    pub(crate) retry_interval_ms: u64,
    /// The longest time for an answer, the most bytes of one, and the most networks in it.
    pub(crate) timeout_ms: u64,
    pub(crate) answer_bytes_max: usize,
    pub(crate) networks_max: usize,
}

impl Default for RangeSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            pointer: String::new(),
            networks: Vec::new(),
            refresh_interval_ms: 3_600_000,
            retry_interval_ms: 60_000,
            timeout_ms: 10_000,
            answer_bytes_max: 4 * 1024 * 1024,
            networks_max: 4096,
        }
    }
}

impl RangeSettings {
    /// How long until it is fetched again.
    pub(crate) fn pause(&self, failed: bool) -> Duration {
        let millis = if failed {
            self.retry_interval_ms
        } else {
            self.refresh_interval_ms
        };
        // Never in a busy loop, never so late that it is never.
        Duration::from_millis(millis).clamp(Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600))
    }
}

/// Checks the lists, and that every source names one that is there.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    for (name, range) in &settings.address_ranges {
        ensure!(
            !range.url.is_empty() || !range.networks.is_empty(),
            "setting address_ranges.{name}: give a url, networks, or both; an empty list lets nobody in"
        );
        ensure!(
            range.url.is_empty() || is_safe(&range.url),
            "setting address_ranges.{name}.url: needs https://, so that nobody on the way can write the list"
        );
        ensure!(
            range.pointer.is_empty() || range.pointer.starts_with('/'),
            "setting address_ranges.{name}.pointer: a JSON pointer begins with a slash, such as \"/hooks\""
        );
    }
    for (source, named) in &settings.source {
        for name in &named.address_ranges {
            ensure!(
                settings.address_ranges.contains_key(name),
                "setting source.{source}.address_ranges: there is no [address_ranges.{name}]"
            );
        }
    }
    Ok(())
}

/// Over TLS, or from this machine.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let loopback = url.host_str().is_some_and(|host| {
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use crate::settings::Overrides;

    fn refusal(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hooklog.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = Overrides::default().file(Some(path)).load().unwrap();
        loaded
            .settings
            .check()
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_list_that_could_not_be_trusted_or_is_not_there_is_refused() {
        for (text, says) in [
            ("[address_ranges.own]\n", "an empty list lets nobody in"),
            (
                "[address_ranges.own]\nurl = \"http://example.com/x\"\n",
                "https://",
            ),
            ("[address_ranges.own]\nurl = \"file:///etc/passwd\"\n", "https://"),
            (
                "[address_ranges.own]\nurl = \"https://example.com\"\npointer = \"hooks\"\n",
                "slash",
            ),
            (
                "[source.github]\naddress_ranges = [\"nobody\"]\n",
                "there is no [address_ranges.nobody]",
            ),
            ("[server]\ntrusted_proxies = [\"::/0\"]\n", "trusted_proxies"),
            ("[ingest.pressure]\ndelay_ms_max = 1001\n", "delay_ms_max"),
        ] {
            let error = refusal(text);
            assert!(error.contains(says), "{text}: {error:?}");
        }
        for text in [
            "[address_ranges.own]\nurl = \"http://127.0.0.1:1/x\"\n",
            "[address_ranges.own]\nnetworks = [\"10.0.0.0/8\"]\n[source.github]\naddress_ranges = [\"own\", \"github\"]\n",
        ] {
            assert_eq!(refusal(text), "", "{text}");
        }
    }
}
