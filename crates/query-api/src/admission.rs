//! Whether a request is let in: who asks, by what they show, and whether that is enough for what they ask for.
//!
//! Until the keys have been read from the log nobody is, whatever they show: neither a key that may have been revoked, nor
//! anybody by the keyless rule, of which is not known yet whether it holds.

use std::net::IpAddr;
use std::sync::Arc;

use domain::{CommandError, KeyDirectory};
use poem::Request;
use poem::http::StatusCode;

use crate::access::audit::Deed;
use crate::access::credential::{self, Shown};
use crate::access::rule::{Found, Rule, find, shown_unknown};
use crate::access::{Caller, Need, address, site};
use crate::failure::{Code, Failure};
use crate::live::socket;
use crate::state::State;

/// Seconds after which to ask again while the keys are being read.
const READING_RETRY_SECS: u64 = 1;

/// A request that was let in.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) rule: &'static Rule,
}

/// Looks at a request.
///
/// # Errors
/// Why it is not let in, or that there is nothing where it asks.
pub(crate) fn admit(state: &State, request: &Request, id: &str) -> Result<Admitted, Failure> {
    let (method, path) = (request.method(), request.uri().path());
    let found = find(method, path);
    let need = if state.options.open_metrics && is_metrics(path) {
        Need::Nothing
    } else {
        found.need(method)
    };
    let caller = match caller(state, request, need) {
        Ok(caller) => caller,
        Err(failure) => {
            refused(state, &Caller::nobody(request), (found, path), id, &failure);
            return Err(failure);
        }
    };
    let allowed = allow(&caller, need, found, state.keyless());
    if let Err(failure) = allowed {
        if caller.is_known() || matches!(found, Found::Rule(rule) if rule.action.is_some()) {
            refused(state, &caller, (found, path), id, &failure);
        }
        return Err(failure);
    }
    match found {
        Found::Rule(rule) => Ok(Admitted { caller, rule }),
        Found::OtherMethod => Err(Failure::of_status(StatusCode::METHOD_NOT_ALLOWED)),
        Found::Nothing => Err(Failure::of_status(StatusCode::NOT_FOUND)),
    }
}

fn is_metrics(path: &str) -> bool {
    matches!(path, "/metrics" | "/metrics.json")
}

/// Who asks. What needs nothing is told to everybody, so there a wrong key only tells less. Who begins a live connection may
/// show a key later, but not a wrong one now.
fn caller(state: &State, request: &Request, need: Need) -> Result<Caller, Failure> {
    let shown = directory(state).and_then(|directory| by_directory(state, request, &directory));
    match shown {
        Err(_) if need == Need::Nothing && !socket::begins(request) => Ok(Caller::nobody(request)),
        shown => shown,
    }
}

fn by_directory(state: &State, request: &Request, directory: &Arc<KeyDirectory>) -> Result<Caller, Failure> {
    let options = &state.options;
    match credential::shown(request, directory, &state.session_secret, state.clock.now()) {
        Ok(Some(Shown {
            key,
            by_cookie,
            until,
        })) => {
            if by_cookie && site::is_foreign(request, &options.cors_origins) {
                let message = "not let in: a page of another site asks, with the login of this one";
                return Err(Failure::new(Code::Forbidden, message));
            }
            Ok(Caller {
                until,
                ..Caller::with_key(request, key)
            })
        }
        Ok(None) => Ok(Caller::without_key(request, options, directory.is_keyless())),
        Err(wrong) => Err(wrong_key(state, request, &wrong.to_string())),
    }
}

/// Who shows a key in a message.
///
/// # Errors
/// When the keys are not known yet, or it is no good key.
pub(crate) fn by_token(
    state: &State,
    token: &str,
    address: Option<IpAddr>,
    remote: Option<String>,
) -> Result<Caller, Failure> {
    let directory = directory(state)?;
    match credential::verify(&directory, token.trim(), state.clock.now()) {
        Ok(key) => Ok(Caller::of_key(key, remote)),
        Err(wrong) => Err(wrong_key_at(state, address, &wrong.to_string())),
    }
}

fn directory(state: &State) -> Result<Arc<KeyDirectory>, Failure> {
    state.keys.directory().ok_or_else(|| {
        Failure::later(
            "closed until the API keys have been read from the log",
            READING_RETRY_SECS,
        )
    })
}

/// The refusal of a wrong key; from an address that shows many, another one.
pub(crate) fn wrong_key(state: &State, request: &Request, why: &str) -> Failure {
    wrong_key_at(state, address(request), why)
}

/// The same of an address.
pub(crate) fn wrong_key_at(state: &State, address: Option<IpAddr>, why: &str) -> Failure {
    match state.failures.count(address) {
        Ok(()) => Failure::new(Code::Authentication, why),
        Err(wait) => {
            metrics::counter!("hooklog_api_refused_total", "reason" => "rate").increment(1);
            Failure {
                retry_after_secs: Some(wait.as_secs().saturating_add(1)),
                ..Failure::new(
                    Code::RateLimit,
                    "too many wrong keys from this address; try again later",
                )
            }
        }
    }
}

fn allow(caller: &Caller, need: Need, found: Found, keyless: bool) -> Result<(), Failure> {
    if !caller.may(need) {
        return Err(lacking(caller, need, keyless));
    }
    match found {
        Found::Rule(rule) if rule.whole && need != Need::Nothing && !caller.runs_the_instance() => {
            let message =
                "not allowed: this is about the instance as a whole, and for keys of the tenant default";
            Err(Failure::new(Code::Forbidden, message))
        }
        Found::Rule(_) | Found::OtherMethod | Found::Nothing => Ok(()),
    }
}

fn lacking(caller: &Caller, need: Need, keyless: bool) -> Failure {
    if caller.is_known() {
        let has = caller.scope.map_or("none", |scope| scope.as_str());
        let needed = need.as_str();
        return Failure::new(
            Code::Forbidden,
            format!("not allowed: this needs the scope {needed}, the key has {has}"),
        );
    }
    let message = if keyless {
        "not let in: no API key is configured, so only a loopback client of this machine is served (no proxy, no foreign \
         Host or Origin)"
    } else {
        "not let in: an API key is needed, as `Authorization: Bearer hk_…` or `X-Api-Key`; `hooklog key create` makes one"
    };
    Failure::new(Code::Authentication, message)
}

/// Writes a refusal into the trail, sampled.
fn refused(state: &State, caller: &Caller, asked: (Found, &str), id: &str, failure: &Failure) {
    if failure.code == Code::Unavailable {
        return;
    }
    let (found, path) = asked;
    let (action, target) = match found {
        Found::Rule(rule) => (rule.action.unwrap_or("read"), Some(rule.shown(path))),
        Found::OtherMethod | Found::Nothing => ("unknown", Some(shown_unknown(path))),
    };
    let deed = Deed {
        caller,
        action,
        target,
        request_id: id,
    };
    state.trail.refused(deed, failure.code.status());
}

/// What can't be written into the audit trail is not done.
pub(crate) fn unaudited(error: &CommandError) -> Failure {
    let failure = Failure::later("nothing was done: the audit trail can't be written now", 2);
    Failure {
        cause: Some(error.to_string()),
        ..failure
    }
}
