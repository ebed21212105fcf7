//! The caller of a request, and what they may do.

use std::net::IpAddr;

use domain::{
    ClientAddress, KeyId, KeyState, Scope, TenantId, Timestamp, is_foreign_header, is_true_loopback,
};
use poem::Request;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Version, header};

use super::{LocalOwner, Need};
use crate::options::{Anonymous, ApiOptions};

/// Who asks from this machine, without a key.
const LOOPBACK: &str = "loopback";
/// Who asks through the socket in the data directory.
const LOCAL: &str = "local";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Who may only read, from anywhere, or nothing at all.
const ANONYMOUS: &str = "anonymous";

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Whose deliveries they see.
    pub(crate) tenant: TenantId,
    /// How the log names them where it keeps who asked for something.
    pub(crate) name: String,
    /// Their key, if they have one.
    pub(crate) key: Option<KeyId>,
    /// What they may do; nothing when there is none.
    pub(crate) scope: Option<Scope>,
    /// Where they ask from, as the audit trail keeps it.
    pub(crate) remote: Option<String>,
    /// Until when they are let in, where that is before the end of their key: as long as a login holds.
    pub(crate) until: Option<Timestamp>,
}

impl Caller {
    /// A request with a good key, or with a login that was made with one.
    pub(crate) fn with_key(request: &Request, key: &KeyState) -> Self {
        Self::of_key(key, remote(request))
    }

    /// Somebody at an address with a good key.
    pub(crate) fn of_key(key: &KeyState, remote: Option<String>) -> Self {
        Self {
            tenant: key.created.tenant.clone(),
            name: key.created.name.to_string(),
            key: Some(key.created.key.clone()),
            scope: key.scope(),
            remote,
            until: None,
        }
    }

    /// A request without any: of the owner of the data directory, of a true loopback client while there never was a key,
    /// or of anybody.
    pub(crate) fn without_key(request: &Request, options: &ApiOptions, keyless: bool) -> Self {
        let (name, scope) = if request.data::<LocalOwner>().is_some() {
            (LOCAL, Some(Scope::Admin))
        } else if keyless && is_local(request, &options.cors_origins) {
            (LOOPBACK, Some(Scope::Admin))
        } else {
            let reads = options.anonymous == Some(Anonymous::Read);
            (ANONYMOUS, reads.then_some(Scope::Read))
        };
        Self {
            tenant: TenantId::default(),
            name: name.to_owned(),
            key: None,
            scope,
            remote: remote(request),
            until: None,
        }
    }

    /// Somebody of whom nothing is known yet.
    pub(crate) fn nobody(request: &Request) -> Self {
        Self {
            tenant: TenantId::default(),
            name: ANONYMOUS.to_owned(),
            key: None,
            scope: None,
            remote: remote(request),
            until: None,
        }
    }

    pub(crate) fn may(&self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Read => self.has(Scope::Read),
            Need::Operate => self.has(Scope::Operate),
            Need::Admin => self.has(Scope::Admin),
        }
    }

    /// Whether they have shown who they are, so that a refusal may say what they lack.
    pub(crate) fn is_known(&self) -> bool {
        self.name != ANONYMOUS
    }

    /// Whether they see the instance as a whole: its parts, its projections, its metrics, the keys of all tenants. The
    /// tenant `default` is the one of who runs it.
    pub(crate) fn runs_the_instance(&self) -> bool {
        self.tenant == TenantId::default()
    }

    /// Whether they came through the socket in the data directory.
    pub(crate) fn is_owner(&self) -> bool {
        self.key.is_none() && self.name == LOCAL
    }

    fn has(&self, scope: Scope) -> bool {
        self.scope.is_some_and(|has| has.includes(scope))
    }

    /// One who may do everything, from this machine.
    #[cfg(test)]
    pub(crate) fn loopback_for_test() -> Self {
        Self {
            tenant: TenantId::default(),
            name: LOOPBACK.to_owned(),
            key: None,
            scope: Some(Scope::Admin),
            remote: None,
            until: None,
        }
    }
}

fn remote(request: &Request) -> Option<String> {
    if let Some(owner) = request.data::<LocalOwner>() {
        return Some(match owner.uid {
            Some(uid) => format!("socket, uid {uid}"),
            None => "socket".to_owned(),
        });
    }
    address(request).map(|address| address.to_string())
}

/// Where a request comes from, as far as the proxies that are believed say.
pub(crate) fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip());
    let client = request.data::<ClientAddress>().map(|client| client.0);
    client.or(peer).map(|address| address.to_canonical())
}

fn is_local(request: &Request, own_origins: &[String]) -> bool {
    let headers = request.headers();
    let peer = request.remote_addr().as_socket_addr().map(|address| address.ip());
    let authority = request.uri().authority().map(|a| a.as_str());
    let host = match (headers.get_all(header::HOST).iter().count(), authority) {
        (0, Some(authority)) => Some(authority),
        // A request line that names another host than the header is not one of a browser or curl.
        (1, Some(authority)) => single(headers, header::HOST).filter(|host| *host == authority),
        _ => single(headers, header::HOST),
    };
    let origins = headers.get_all(header::ORIGIN).iter().count();
    let given = single(headers, header::ORIGIN);
    let is_allowed = given.is_some_and(|origin| own_origins.iter().any(|own| own == origin));
    let origin = match (origins, given) {
        (0, _) => None,
        (1, Some(_)) if is_allowed => None,
        (1, Some(origin)) => Some(origin),
        _ => return false,
    };
    let foreign = |(name, value): (&HeaderName, &HeaderValue)| {
        // A page of an origin that the settings name is another site, and may all the same.
        is_foreign_header(name.as_str(), value.as_bytes()) && !(is_allowed && *name == SEC_FETCH_SITE)
    };
    let is_foreign = request.version() < Version::HTTP_11 || headers.iter().any(foreign);
    is_true_loopback(peer, host, origin, is_foreign)
}

/// The value of a header that stands exactly once and is text.
pub(super) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}
