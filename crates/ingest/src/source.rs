//! A configured sender, checked and ready for use.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use domain::{EventFilter, SourceName, TenantId, Timestamp};
use ipnet::IpNet;
use secrecy::ExposeSecret;

use crate::address::canonical_network;
use crate::build_error::BuildError;
use crate::head::Head;
use crate::options::{IngestOptions, Secret, SourceOptions};
use crate::ranges::AddressRanges;
use crate::rates::Rates;
use crate::rejection::Rejection;
use crate::route;
use crate::signature::{self, Claim, Scheme};

/// How much longer than its payload a form may be: every byte as `%XX`, and room for its other fields.
const FORM_FACTOR: u64 = 3;
const FORM_EXTRA_BYTES: u64 = 64 * 1024;

impl SourceOptions {
    /// Checks a source by itself, without any other.
    ///
    /// # Errors
    /// Says what of it can't be used.
    pub fn check(&self, limits: &IngestOptions) -> Result<(), BuildError> {
        Source::build(self.clone(), limits).map(drop)
    }
}

/// A source with everything that receiving needs.
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) scheme: Box<dyn Scheme>,
    pub(crate) path: Option<String>,
    pub(crate) verify: bool,
    pub(crate) filter: EventFilter,
    pub(crate) dedup_window_ms: u64,
    pub(crate) body_bytes_max: u64,
    /// How far a time signed may be from ours, in milliseconds; 0 for no matter how far.
    pub(crate) tolerance_ms: u64,
    secrets: Vec<Secret>,
    /// Places of the secrets of each hook or connection; thousands may share a source.
    bound: HashMap<String, Vec<usize>>,
    /// Places of the secrets of no hook.
    unbound: Vec<usize>,
    address_allow: Vec<IpNet>,
    address_ranges: Vec<AddressRanges>,
    user_agent_check: bool,
    pub(crate) rates: Rates,
}

impl Source {
    /// Checks a configured source.
    pub(crate) fn build(options: SourceOptions, limits: &IngestOptions) -> Result<Self, BuildError> {
        let name = options.name.as_str().to_owned();
        if route::is_reserved(&name) {
            return Err(BuildError::ReservedName(name));
        }
        if options.verify && options.secrets.is_empty() {
            return Err(BuildError::NoSecret(name));
        }
        let scheme = signature::scheme(&options, limits).map_err(|why| BuildError::Scheme {
            source_name: name.clone(),
            why,
        })?;
        check_secrets(&name, &options.secrets, scheme.as_ref())?;
        let rates = Rates::of(&options, limits.rate_keys_max);
        let path = options.path.map(|path| own_path(&name, path)).transpose()?;
        let (bound, unbound) = places_of(&options.secrets);
        let filter =
            EventFilter::new(&options.events, &options.repositories).map_err(|source| BuildError::Glob {
                source_name: name,
                source,
            })?;
        Ok(Self {
            name: options.name,
            tolerance_ms: options
                .tolerance_ms
                .or(limits.tolerance_ms)
                .or(scheme.tolerance_ms())
                .unwrap_or(0),
            scheme,
            path,
            verify: options.verify,
            filter,
            dedup_window_ms: options.dedup_window_ms.unwrap_or(limits.dedup_window_ms),
            body_bytes_max: options.body_bytes_max.unwrap_or(limits.body_bytes_max),
            secrets: options.secrets,
            bound,
            unbound,
            address_allow: options.address_allow.into_iter().map(canonical_network).collect(),
            address_ranges: options.address_ranges,
            user_agent_check: options.user_agent_check,
            rates,
        })
    }

    /// Refuses addresses that are not the source's. While a list is not known that might have the address, nobody can say,
    /// and the sender is asked to come back.
    pub(crate) fn check_address(&self, peer: Option<IpAddr>) -> Result<(), Rejection> {
        if self.address_allow.is_empty() && self.address_ranges.is_empty() {
            return Ok(());
        }
        let peer = peer.ok_or(Rejection::AddressNotAllowed)?.to_canonical();
        if self.address_allow.iter().any(|network| network.contains(&peer)) {
            return Ok(());
        }
        let mut rejection = Rejection::AddressNotAllowed;
        for ranges in &self.address_ranges {
            match ranges.contain(peer) {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => rejection = Rejection::Unavailable("the sender's list of networks is not known yet"),
            }
        }
        Err(rejection)
    }

    /// Refuses programs that are not the sender's, where that is asked for.
    pub(crate) fn check_user_agent(&self, head: &Head) -> Result<(), Rejection> {
        let Some(expected) = self.scheme.user_agent().filter(|_| self.user_agent_check) else {
            return Ok(());
        };
        let given = head.name("User-Agent")?;
        if given.is_some_and(|given| given.starts_with(expected)) {
            Ok(())
        } else {
            Err(Rejection::UserAgentRefused)
        }
    }

    /// Whether a connection in the path is one of the source's: a secret is bound to it. Without proof any is.
    pub(crate) fn has(&self, connection: Option<&str>, now: Timestamp) -> bool {
        !self.verify || connection.is_none() || self.bound_to(connection, now).next().is_some()
    }

    /// The secrets that may verify a request. A connection in the path is verified by its own alone, and so is a hook
    /// that has some.
    pub(crate) fn candidates(&self, claim: &Claim, connection: Option<&str>, now: Timestamp) -> Vec<&Secret> {
        if connection.is_some() {
            return self.bound_to(connection, now).collect();
        }
        let bound = claim
            .hook_id
            .as_deref()
            .map(|hook| self.bound_to(Some(hook), now).collect());
        bound
            .filter(|bound: &Vec<_>| !bound.is_empty())
            .unwrap_or_else(|| self.bound_to(None, now).collect())
    }

    /// The secrets of a hook, or of none, that verify at a time.
    fn bound_to(&self, hook: Option<&str>, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let places = match hook {
            Some(hook) => self.bound.get(hook),
            None => Some(&self.unbound),
        };
        let secrets = places
            .into_iter()
            .flatten()
            .filter_map(|place| self.secrets.get(*place));
        secrets.filter(move |secret| secret.is_valid(now))
    }

    /// All secrets, those that verify nothing any more too.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }

    /// Who may see a request that nobody verified: whoever all the secrets belong to that would have been tried, else
    /// whoever all of the source's belong to, else the tenant `default`. Secrets that are over count as if they were gone,
    /// as they are after a restart.
    pub(crate) fn tenant_of(&self, head: &Head, connection: Option<&str>, now: Timestamp) -> TenantId {
        let claim = self.scheme.claim(head).ok();
        let tried = match claim {
            Some(claim) => self.candidates(&claim, connection, now),
            None => self.bound_to(connection, now).collect(),
        };
        let sole = |secrets: &[&Secret]| {
            let first = &secrets.first()?.tenant;
            secrets.iter().all(|s| s.tenant == *first).then(|| first.clone())
        };
        sole(&tried)
            .or_else(|| sole(&self.secrets().filter(|s| s.is_valid(now)).collect::<Vec<_>>()))
            .unwrap_or_default()
    }

    /// The secret to sign a tenant's synthetic deliveries with.
    pub(crate) fn signing_secret(&self, tenant: &TenantId, now: Timestamp) -> Option<&Secret> {
        let valid = |secret: &&Secret| secret.tenant == *tenant && secret.is_valid(now);
        // One with an end is being replaced.
        let best = |secret: &&Secret| (secret.hook.is_some(), secret.valid_until.is_some());
        self.secrets.iter().filter(valid).min_by_key(best)
    }

    /// Whether a synthetic delivery to it would be the tenant's.
    pub(crate) fn delivers_for(&self, tenant: &TenantId, now: Timestamp) -> bool {
        let unproven = !self.verify && *tenant == TenantId::default();
        unproven || self.signing_secret(tenant, now).is_some()
    }

    /// The most raw bytes of a body. A form may be longer than the payload inside it, for which the limit holds.
    pub(crate) const fn raw_bytes_max(&self, claim: &Claim) -> u64 {
        if claim.form {
            self.body_bytes_max
                .saturating_mul(FORM_FACTOR)
                .saturating_add(FORM_EXTRA_BYTES)
        } else {
            self.body_bytes_max
        }
    }
}

/// Where the secrets of each hook stand, and those of none.
fn places_of(secrets: &[Secret]) -> (HashMap<String, Vec<usize>>, Vec<usize>) {
    let mut bound: HashMap<String, Vec<usize>> = HashMap::new();
    let mut unbound = Vec::new();
    for (place, secret) in secrets.iter().enumerate() {
        match &secret.hook {
            Some(hook) => bound.entry(hook.clone()).or_default().push(place),
            None => unbound.push(place),
        }
    }
    (bound, unbound)
}

fn check_secrets(source: &str, secrets: &[Secret], scheme: &dyn Scheme) -> Result<(), BuildError> {
    let mut ids = HashSet::new();
    let mut owners = HashMap::new();
    for secret in secrets {
        let (source_name, secret_id) = (source.to_owned(), secret.id.clone());
        let text = secret.value.expose_secret();
        if text.is_empty() {
            return Err(BuildError::EmptySecret {
                source_name,
                secret_id,
            });
        }
        if let Err(why) = scheme.check_secret(secret) {
            return Err(BuildError::SecretOfAnotherForm {
                source_name,
                secret_id,
                why,
            });
        }
        if !ids.insert(secret.id.as_str()) {
            return Err(BuildError::DuplicateSecret {
                source_name,
                secret_id,
            });
        }
        let owner = owners.entry((&secret.hook, text)).or_insert(&secret.tenant);
        if **owner != secret.tenant {
            return Err(BuildError::SharedSecret {
                source_name,
                secret_id,
            });
        }
    }
    Ok(())
}

/// A path that a source may have beside the usual ones, as it is looked up.
pub(crate) fn own_path(source: &str, path: String) -> Result<String, BuildError> {
    let plain = route::without_end_slash(&path);
    let why = if !plain.starts_with('/') {
        Some("does not begin with a slash, or is nothing else")
    } else if plain.contains(['?', '#']) || plain.contains("//") {
        Some("is no plain path")
    } else if route::belongs_to_api(plain) {
        Some("belongs to the API")
    } else {
        None
    };
    match why {
        None => Ok(plain.to_owned()),
        Some(why) => Err(BuildError::Path {
            source_name: source.to_owned(),
            path,
            why,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SchemeKind;

    fn build(change: impl FnOnce(&mut SourceOptions)) -> Result<Source, BuildError> {
        let mut options = SourceOptions::new("github".parse().unwrap(), vec![Secret::new("a", "x")]);
        change(&mut options);
        Source::build(options, &IngestOptions::default())
    }

    fn of_team(id: &str, value: &str) -> Secret {
        Secret {
            tenant: "team-a".parse().unwrap(),
            ..Secret::new(id, value)
        }
    }

    fn standard(secret: &str) -> (SchemeKind, Vec<Secret>) {
        (SchemeKind::Standard, vec![Secret::new("a", secret)])
    }

    fn claim(hook: Option<&str>) -> Claim {
        Claim {
            hook_id: hook.map(str::to_owned),
            ..Claim::default()
        }
    }

    #[test]
    fn a_source_that_could_never_be_right_is_refused() {
        let why = |change: fn(&mut SourceOptions)| build(change).err().unwrap().to_string();
        assert!(why(|o| o.name = "replay".parse().unwrap()).contains("reserved"));
        assert!(why(|o| o.secrets.clear()).contains("no secret"));
        assert!(why(|o| o.secrets.push(Secret::new("b", ""))).contains("empty"));
        assert!(why(|o| (o.scheme, o.secrets) = standard("whsec_swordfish!")).contains("base64"));
        assert!(!why(|o| (o.scheme, o.secrets) = standard("whsec_swordfish!")).contains("swordfish"));
        assert!(why(|o| o.secrets.push(Secret::new("a", "y"))).contains("twice"));
        assert!(why(|o| o.secrets.push(of_team("b", "x"))).contains("tenants"));
        assert!(why(|o| o.path = Some("hooks".into())).contains("slash"));
        assert!(why(|o| o.path = Some("/".into())).contains("slash"));
        assert!(why(|o| o.path = Some("/api/webhooks/test".into())).contains("API"));
        assert!(why(|o| o.path = Some("/x?y".into())).contains("plain"));
        assert!(why(|o| o.repositories = vec!["[".into()]).contains("glob"));
        assert!(build(|o| (o.verify, o.secrets) = (false, Vec::new())).is_ok());
        assert!(build(|o| o.secrets.push(of_team("b", "y"))).is_ok());
        let hook = Some("41".to_owned());
        let bound = Secret {
            hook,
            ..of_team("b", "x")
        };
        assert!(build(|o| o.secrets.push(bound)).is_ok());
    }

    #[test]
    fn a_hook_with_secrets_of_its_own_is_verified_by_those_alone() {
        let source = build(|o| {
            for (id, hook) in [("b", "41"), ("c", "41"), ("d", "42")] {
                let hook = Some(hook.to_owned());
                o.secrets.push(Secret {
                    hook,
                    ..Secret::new(id, "x")
                });
            }
        })
        .unwrap();
        let ids = |hook: Option<&str>, connection: Option<&str>| {
            let chosen = source.candidates(&claim(hook), connection, Timestamp::default());
            chosen.iter().map(|s| s.id.clone()).collect::<String>()
        };
        assert_eq!(ids(None, None), "a");
        assert_eq!(ids(Some("41"), None), "bc");
        assert_eq!(ids(Some("42"), None), "d");
        assert_eq!(ids(Some("43"), None), "a");
        assert_eq!(ids(Some("41"), Some("42")), "d");
        assert_eq!(ids(Some("41"), Some("43")), "");
        let has = |connection| source.has(connection, Timestamp::default());
        assert!(has(None) && has(Some("42")) && !has(Some("43")));
    }

    #[test]
    fn only_listed_networks_may_send() {
        let source = build(|o| o.address_allow = vec!["192.30.252.0/22".parse().unwrap()]).unwrap();
        let check = |peer: &str| source.check_address(Some(peer.parse().unwrap())).is_ok();
        assert!(check("192.30.253.9") && check("::ffff:192.30.253.9"));
        assert!(!check("192.30.251.9") && !check("::1") && !check("127.0.0.1"));
        assert!(source.check_address(None).is_err());
    }

    #[test]
    fn a_list_that_somebody_else_keeps_lets_in_who_is_on_it_and_nobody_while_it_is_unknown() {
        let ranges = AddressRanges::default();
        let (known, other) = (AddressRanges::default(), ranges.clone());
        known.set(vec!["198.51.100.0/24".parse().unwrap()]);
        let source = build(|o| {
            o.address_allow = vec!["10.0.0.0/8".parse().unwrap()];
            o.address_ranges = vec![other, known];
        })
        .unwrap();
        let check = |peer: &str| source.check_address(Some(peer.parse().unwrap()));
        assert!(check("10.1.2.3").is_ok() && check("198.51.100.7").is_ok());
        assert!(matches!(check("192.0.2.1"), Err(Rejection::Unavailable(_))));
        ranges.set(vec!["::ffff:192.0.2.0/120".parse().unwrap()]);
        assert!(check("192.0.2.1").is_ok() && check("::ffff:192.0.2.1").is_ok());
        ranges.set(vec!["203.0.113.0/24".parse().unwrap()]);
        assert_eq!(check("192.0.2.1"), Err(Rejection::AddressNotAllowed));
        let alone = build(|o| o.address_ranges = vec![AddressRanges::default()]).unwrap();
        assert!(matches!(
            alone.check_address(Some("10.0.0.1".parse().unwrap())),
            Err(Rejection::Unavailable(_))
        ));
        assert!(alone.check_address(None).is_err());
    }

    #[test]
    fn a_listed_network_of_mapped_addresses_is_that_of_the_ipv4_ones() {
        let allows = |network: &str, peer: &str| {
            let source = build(|o| o.address_allow = vec![network.parse().unwrap()]).unwrap();
            source.check_address(Some(peer.parse().unwrap())).is_ok()
        };
        for peer in ["192.30.253.9", "::ffff:192.30.253.9"] {
            assert!(allows("::ffff:192.30.252.0/118", peer));
            assert!(allows("::ffff:192.30.253.9/128", peer));
            assert!(allows("::ffff:0:0/96", peer));
            assert!(!allows("::ffff:192.30.251.0/120", peer));
            assert!(!allows("::/0", peer), "all of IPv6 is not IPv4");
        }
        assert!(allows("::/0", "2001:db8::1") && !allows("::ffff:0:0/96", "2001:db8::1"));
    }
}
