//! Who is let in. No keys exist yet, so the keyless rule decides alone: a true loopback client may do everything,
//! anyone else nothing, unless reading was opened to all by `anonymous = "read"`.

use domain::{TenantId, is_forwarding_header, is_true_loopback};
use poem::Request;
use poem::http::{HeaderMap, HeaderName, Method, header};

use crate::options::{Anonymous, ApiOptions};

/// Who asks from this machine, without a key.
const LOOPBACK: &str = "loopback";
/// Who may only read, from anywhere.
const ANONYMOUS: &str = "anonymous";

/// Who asks, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose deliveries they see.
    pub(crate) tenant: TenantId,
    /// How the log names them where it keeps who asked for something.
    pub(crate) name: &'static str,
    /// May they read?
    pub(crate) reads: bool,
    /// May they start something?
    pub(crate) operates: bool,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    Read,
    Operate,
}

impl Caller {
    /// Looks at a request.
    pub(crate) fn of(request: &Request, options: &ApiOptions) -> Self {
        let local = is_local(request, &options.cors_origins);
        Self {
            tenant: TenantId::default(),
            name: if local { LOOPBACK } else { ANONYMOUS },
            reads: local || options.anonymous == Some(Anonymous::Read),
            operates: local,
        }
    }

    pub(crate) const fn may(&self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Read => self.reads,
            Need::Operate => self.operates,
        }
    }
}

/// What a request needs: nothing for liveness, and for readiness, which hides its details by itself; reading for what
/// changes nothing.
pub(crate) fn need(method: &Method, path: &str, options: &ApiOptions) -> Need {
    match path {
        "/health" | "/ready" => Need::Nothing,
        "/metrics" | "/metrics.json" if options.open_metrics => Need::Nothing,
        _ if *method == Method::GET || *method == Method::HEAD || *method == Method::OPTIONS => Need::Read,
        _ => Need::Operate,
    }
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
    let origin = match (origins, single(headers, header::ORIGIN)) {
        (0, _) => None,
        (1, Some(origin)) if own_origins.iter().any(|own| own == origin) => None,
        (1, Some(origin)) => Some(origin),
        _ => return false,
    };
    let forwarded = headers.keys().any(|name| is_forwarding_header(name.as_str()));
    is_true_loopback(peer, host, origin, forwarded)
}

/// The value of a header that stands exactly once and is text.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}
