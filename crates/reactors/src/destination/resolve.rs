//! Names to addresses, each of them checked. The connection goes to the very addresses that were checked here: there is no
//! second look-up in between, in which a name could change its mind.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::{AddressPolicy, AddressRefused};

/// Looks names up. A port so that tests can say what a name means.
#[async_trait]
pub trait ResolveHost: Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    /// When it has none, or they can't be looked up.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl ResolveHost for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|socket| socket.ip()).collect())
    }
}

/// Gives only addresses that the policy lets pass.
pub(crate) struct CheckedResolver {
    names: Arc<dyn ResolveHost>,
    policy: Arc<AddressPolicy>,
}

impl CheckedResolver {
    pub(crate) fn new(names: Arc<dyn ResolveHost>, policy: Arc<AddressPolicy>) -> Self {
        Self { names, policy }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, policy) = (Arc::clone(&self.names), Arc::clone(&self.policy));
        Box::pin(async move {
            let addresses = names.resolve(name.as_str()).await?;
            let passed = passed(&policy, &addresses)?;
            Ok(Box::new(passed.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// Those that the policy lets pass. A refusal counts only when none is left: a host may have a private address beside its
/// public one.
fn passed(policy: &AddressPolicy, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Unusable> {
    let mut passed = Vec::new();
    let mut refused = None;
    for address in addresses {
        match policy.check(*address) {
            Ok(()) => passed.push(*address),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if passed.is_empty() => Err(Unusable::Refused(error)),
        None if passed.is_empty() => Err(Unusable::Unknown),
        Some(_) | None => Ok(passed),
    }
}

/// A name without an address to connect to.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("the host has no address")]
    Unknown,
    #[error("the host is refused")]
    Refused(#[source] AddressRefused),
}

/// Checks a URL whose host is an address: such a host is never looked up.
pub(crate) fn check_literal(url: &Url, policy: &AddressPolicy) -> Result<(), AddressRefused> {
    match url.host() {
        Some(Host::Ipv4(address)) => policy.check(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => policy.check(IpAddr::V6(address)),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_in_a_url_is_seen_through() {
        let policy = AddressPolicy::default();
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://①②⑦.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://0/",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert!(
                check_literal(&Url::parse(url).unwrap(), &policy).is_err(),
                "{url}"
            );
        }
        assert!(check_literal(&Url::parse("http://1.1.1.1/").unwrap(), &policy).is_ok());
    }

    #[test]
    fn a_host_is_refused_only_when_no_address_of_it_is_left() {
        let policy = AddressPolicy::default();
        let (public, private) = ("1.1.1.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        assert_eq!(passed(&policy, &[private, public]).unwrap(), [public]);
        assert!(matches!(passed(&policy, &[private]), Err(Unusable::Refused(_))));
        assert!(matches!(passed(&policy, &[]), Err(Unusable::Unknown)));
    }
}
