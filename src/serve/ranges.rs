//! Keeps the lists of networks that sources name up to date.
//!
//! A list is only ever replaced by a whole and plausible one. Whatever goes wrong, the last good list stays, also over a
//! restart; while there has never been one, nobody is let in by it. Lists that no source names are not fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use domain::SourceName;
use infra::data_dir::write_atomically;
use ingest::AddressRanges;
use ipnet::IpNet;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::settings::{RangeSettings, Settings};

/// Networks larger than these are no provider's; one of them would open a source to half of the world.
const PREFIX_V4_MIN: u8 = 8;
const PREFIX_V6_MIN: u8 = 16;

/// The lists that are in use.
pub(crate) struct Ranges(BTreeMap<SourceName, AddressRanges>);

/// One list that is fetched.
struct Fetched {
    name: SourceName,
    settings: RangeSettings,
    /// Where the last good list is kept.
    file: PathBuf,
    list: AddressRanges,
    client: reqwest::Client,
}

impl Ranges {
    /// Sets the lists that sources name to what is known of them, and goes on fetching them until `stop`.
    pub(crate) fn start(
        settings: &Settings,
        folder: &std::path::Path,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let named: BTreeSet<_> = settings.source.values().flat_map(|s| &s.address_ranges).collect();
        let mut lists = BTreeMap::new();
        for name in named {
            let range = settings.address_ranges.get(name).cloned();
            let range = range.with_context(|| format!("there is no [address_ranges.{name}]"))?;
            let list = AddressRanges::default();
            lists.insert(name.clone(), list.clone());
            if !range.networks.is_empty() {
                list.set(range.networks.clone());
            }
            if !range.url.is_empty() {
                let fetched = Fetched::new(name, range, folder, list)?;
                fetched.recall();
                tokio::spawn(stop.clone().run_until_cancelled_owned(fetched.run()));
            }
        }
        Ok(Self(lists))
    }

    /// The lists of these names.
    pub(crate) fn of(&self, names: &[SourceName]) -> Vec<AddressRanges> {
        names
            .iter()
            .filter_map(|name| self.0.get(name).cloned())
            .collect()
    }
}

impl Fetched {
    fn new(
        name: &SourceName,
        settings: RangeSettings,
        folder: &std::path::Path,
        list: AddressRanges,
    ) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("hooklog/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(settings.timeout_ms))
            .build()?;
        Ok(Self {
            name: name.clone(),
            settings,
            file: folder.join(format!("{name}.json")),
            list,
            client,
        })
    }

    /// Takes the list of an earlier run.
    fn recall(&self) {
        let Ok(kept) = std::fs::read(&self.file) else {
            return;
        };
        match networks_in(&kept, "", self.settings.networks_max) {
            Ok(networks) => self.list.set(networks),
            Err(error) => {
                let (file, error) = (self.file.display(), format!("{error:#}"));
                tracing::warn!(list = %self.name, %file, error, "a kept list of networks can't be used");
            }
        }
    }

    async fn run(self) {
        loop {
            let outcome = self.refresh().await;
            let result = if outcome.is_ok() { "success" } else { "failure" };
            metrics::counter!("hooklog_address_ranges_refreshes_total", "list" => self.name.to_string(), "result" => result)
                .increment(1);
            if let Err(error) = &outcome {
                let (list, url, error) = (&self.name, &self.settings.url, format!("{error:#}"));
                if self.list.contain(IpAddr::from([0; 4])).is_some() {
                    tracing::warn!(%list, url, error, "a list of networks can't be fetched; the last one is kept");
                } else {
                    tracing::error!(%list, url, error,
                        "a list of networks can't be fetched and was never known; its sources let nobody in");
                }
            }
            tokio::time::sleep(self.settings.pause(outcome.is_err())).await;
        }
    }

    async fn refresh(&self) -> anyhow::Result<()> {
        let answer = self.fetch().await?;
        let networks = networks_in(&answer, &self.settings.pointer, self.settings.networks_max)?;
        tracing::info!(list = %self.name, networks = networks.len(), "a list of networks was fetched");
        let kept: Vec<String> = networks.iter().map(IpNet::to_string).collect();
        self.list.set(networks);
        let kept = serde_json::to_vec(&kept)?;
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        }
        write_atomically(&self.file, &kept, 0o600)
            .with_context(|| format!("{} can't be written", self.file.display()))
    }

    async fn fetch(&self) -> anyhow::Result<Vec<u8>> {
        let mut answer = self.client.get(&self.settings.url).send().await?;
        ensure!(
            answer.status() == reqwest::StatusCode::OK,
            "it was answered {}",
            answer.status()
        );
        let (mut body, most) = (Vec::new(), self.settings.answer_bytes_max);
        while let Some(piece) = answer.chunk().await? {
            ensure!(
                body.len() + piece.len() <= most,
                "the answer is longer than {most} bytes"
            );
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// The networks in an answer; an error when it is not wholly what it should be.
fn networks_in(answer: &[u8], pointer: &str, networks_max: usize) -> anyhow::Result<Vec<IpNet>> {
    let answer: Value = serde_json::from_slice(answer).context("the answer is no JSON")?;
    let entries = answer.pointer(pointer).and_then(Value::as_array);
    let Some(entries) = entries else {
        bail!("there is no array at {pointer:?}");
    };
    ensure!(!entries.is_empty(), "the array is empty");
    ensure!(
        entries.len() <= networks_max,
        "there are more than {networks_max} networks"
    );
    entries.iter().map(network).collect()
}

fn network(entry: &Value) -> anyhow::Result<IpNet> {
    let text = entry.as_str().context("an entry is no text")?;
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = ingest::canonical_network(network.with_context(|| format!("{text:?} is no network"))?);
    let least = match network {
        IpNet::V4(_) => PREFIX_V4_MIN,
        IpNet::V6(_) => PREFIX_V6_MIN,
    };
    ensure!(
        network.prefix_len() >= least,
        "{network} is too large to be a provider's"
    );
    Ok(network)
}

#[cfg(test)]
mod tests;
