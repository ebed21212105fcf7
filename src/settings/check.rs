//! Rules between settings, which no single value can break.

use anyhow::{Context as _, ensure};
use ingest::{Secret, SourceOptions};
use secrecy::{ExposeSecret as _, SecretString};

use crate::telemetry;

use super::{SecretSettings, Settings, SourceSettings};

impl Settings {
    /// Checks what can be checked without starting anything.
    ///
    /// # Errors
    /// Says which setting can't be used and what to do.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (name, source) in &self.source {
            let empty = source
                .secrets
                .iter()
                .any(|secret| secret.value().expose_secret().is_empty());
            ensure!(
                !empty,
                "setting source.{name}.secrets: an empty secret would let everybody in; remove it"
            );
        }
        // What stands in for a generated secret has its form.
        for source in self.sources(|_| Ok("0".repeat(64).into()))? {
            source.check(&self.ingest)?;
        }
        ensure!(
            self.ingest.inline_bytes_max <= 512 * 1024,
            "setting ingest.inline_bytes_max: at most 524288; a longer body does not fit into a message of the stream"
        );
        ensure!(
            self.server
                .trusted_proxies
                .iter()
                .all(|network| network.prefix_len() > 0),
            "setting server.trusted_proxies: a network of all addresses would let every sender choose its own; name those of \
             your proxies"
        );
        ensure!(
            self.ingest.pressure.delay_ms_max <= 1000,
            "setting ingest.pressure.delay_ms_max: at most 1000; senders wait for their answer a few seconds only"
        );
        super::ranges::check(self)?;
        self.check_log()?;
        let wrong = |engine: &'static str| move |why| anyhow::anyhow!("settings of [{engine}]: {why}");
        self.nats.check().map_err(wrong("nats"))?;
        self.clickhouse.check().map_err(wrong("clickhouse"))?;
        ensure!(
            self.rejected.body_bytes_max <= 256 * 1024,
            "setting rejected.body_bytes_max: at most 262144; longer bodies are never kept"
        );
        ensure!(
            self.rejected.header_bytes_max <= 64 * 1024,
            "setting rejected.header_bytes_max: at most 65536; the rest does not fit into a message"
        );
        ensure!(
            self.server.tls_certificate.is_empty() == self.server.tls_key.is_empty(),
            "settings server.tls_certificate and server.tls_key: HTTPS needs both, or neither"
        );
        telemetry::filter(&self.telemetry.level)?;
        crate::serve::react::check(self)?;
        ensure!(
            self.projections.block_size > 0,
            "setting projections.block_size: must be at least 1"
        );
        ensure!(
            (1..=1024).contains(&self.projections.partitions),
            "setting projections.partitions: from 1 to 1024; each costs a lease and a progress row"
        );
        ensure!(
            self.leases.ttl_ms >= 500,
            "setting leases.ttl_ms: at least 500; it is renewed five times as often"
        );
        Ok(())
    }

    /// Whether the log can be reached, and long bodies by whoever can reach the log.
    fn check_log(&self) -> anyhow::Result<()> {
        ensure!(
            !self.log.is_shared() || !self.log.eventstore.url.expose_secret().is_empty(),
            "setting log.eventstore.url: the log is to be on EventStoreDB or KurrentDB, and none is named; give a connection string \
             such as kurrentdb://user:password@host:2113 in HOOKLOG_EVENTSTORE_URL"
        );
        ensure!(
            !self.log.is_shared() || !self.bodies.url.is_empty(),
            "setting bodies.url: several processes may work on that log, so long bodies need a place that they share, such as \
             s3://bucket/folder or file:///shared/folder"
        );
        Ok(())
    }

    /// The configured sources as the receiver takes them. `generated` gives the secret of a source that has none.
    pub(crate) fn sources(
        &self,
        generated: impl Fn(&str) -> anyhow::Result<SecretString>,
    ) -> anyhow::Result<Vec<SourceOptions>> {
        let source = |(name, settings): (&domain::SourceName, &SourceSettings)| {
            let mut secrets = secrets_of(name, settings);
            if secrets.is_empty() && settings.verify {
                let secret =
                    generated(name.as_str()).with_context(|| format!("no secret for source {name}"))?;
                secrets.push(Secret::new("generated", secret.expose_secret()));
            }
            let addresses = if settings.addresses.is_empty() && settings.address_ranges.is_empty() {
                &self.server.webhook_addresses
            } else {
                &settings.addresses
            };
            Ok(SourceOptions {
                scheme: settings.scheme(name),
                proof: settings.proof.clone(),
                facts: settings.facts.clone(),
                path: settings.path.clone(),
                verify: settings.verify,
                events: settings.events.clone(),
                repositories: settings.repositories.clone(),
                address_allow: addresses.clone(),
                user_agent_check: settings.user_agent_check,
                tolerance_ms: settings.tolerance_ms,
                dedup_window_ms: settings.dedup_window_ms,
                body_bytes_max: settings.body_bytes_max,
                source_rate_per_minute: settings.source_rate_per_minute,
                source_rate_burst: settings.source_rate_burst,
                repository_rate_per_minute: settings.repository_rate_per_minute,
                repository_rate_burst: settings.repository_rate_burst,
                ..SourceOptions::new(name.clone(), secrets)
            })
        };
        self.source.iter().map(source).collect()
    }
}

fn secrets_of(name: &domain::SourceName, settings: &SourceSettings) -> Vec<Secret> {
    let numbered = settings.secrets.iter().zip(1..);
    let secret = |(secret, n): (&SecretSettings, u32)| match secret {
        SecretSettings::Plain(value) => Secret::new(&format!("{name}-{n}"), value.expose_secret()),
        SecretSettings::Bound(bound) => Secret {
            id: bound.id.clone().unwrap_or_else(|| format!("{name}-{n}")),
            value: bound.value.clone(),
            tenant: bound.tenant.clone(),
            hook: bound.hook.clone(),
            valid_until: None,
        },
    };
    numbered.map(secret).collect()
}
