//! What each endpoint needs, and what the audit trail calls it. One row each; an endpoint without a row is not served, so
//! none can be added without saying who may ask.

use poem::http::Method;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Nothing,
    Read,
    Operate,
    Admin,
}

impl Need {
    /// The scope in words, for refusals and the document.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// What an endpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    method: &'static str,
    /// The path; `{name}` stands for one part, `**` at its end for all that follow.
    path: &'static str,
    pub(crate) need: Need,
    /// Whether it is about the instance and not about what a tenant has.
    pub(crate) whole: bool,
    /// What the audit trail calls it; what only looks is not kept.
    pub(crate) action: Option<&'static str>,
}

const fn open(method: &'static str, path: &'static str) -> Rule {
    Rule {
        method,
        path,
        need: Need::Nothing,
        whole: false,
        action: None,
    }
}

const fn read(path: &'static str) -> Rule {
    Rule {
        need: Need::Read,
        ..open("GET", path)
    }
}

const fn read_whole(path: &'static str) -> Rule {
    Rule {
        whole: true,
        ..read(path)
    }
}

const fn operate(method: &'static str, path: &'static str, action: &'static str) -> Rule {
    Rule {
        need: Need::Operate,
        action: Some(action),
        ..open(method, path)
    }
}

const fn operate_whole(method: &'static str, path: &'static str, action: &'static str) -> Rule {
    Rule {
        whole: true,
        ..operate(method, path, action)
    }
}

const fn admin(method: &'static str, path: &'static str, action: &'static str) -> Rule {
    Rule {
        need: Need::Admin,
        ..operate(method, path, action)
    }
}

const fn admin_whole(method: &'static str, path: &'static str, action: &'static str) -> Rule {
    Rule {
        whole: true,
        ..admin(method, path, action)
    }
}

const fn admin_looks(path: &'static str) -> Rule {
    Rule {
        need: Need::Admin,
        ..read(path)
    }
}

/// All endpoints. Of several that fit a path, the first counts.
const RULES: &[Rule] = &[
    open("GET", "/health"),
    open("GET", "/ready"),
    open("GET", "/"),
    // Files without data: whoever looks at them still has to ask for what they show.
    open("GET", "/dashboard/**"),
    open("POST", "/api/login"),
    open("POST", "/api/logout"),
    read("/api/whoami"),
    read_whole("/metrics"),
    read_whole("/metrics.json"),
    read("/docs"),
    read("/openapi.json"),
    read("/api/webhooks/events"),
    read("/api/webhooks/events/types"),
    read("/api/webhooks/events/{id}"),
    read("/api/webhooks/events/{id}/body"),
    read("/api/webhooks/stream"),
    // Who may is decided where a client joins a namespace: it may show its key only then.
    open("GET", "/socket.io/**"),
    open("POST", "/socket.io/**"),
    read("/api/webhooks/failed"),
    read("/api/webhooks/failed/causes"),
    read("/api/webhooks/rejected"),
    read("/api/webhooks/rejected/{id}"),
    read("/api/webhooks/statistics"),
    read("/api/webhooks/health"),
    operate("POST", "/api/webhooks/test", "delivery.test"),
    // It changes nothing, but says of any signature whether it is right: who asks that stands in the trail.
    operate("POST", "/api/webhooks/verify", "delivery.verify"),
    operate("POST", "/api/webhooks/replay", "replay.start"),
    operate("POST", "/api/webhooks/replay/{id}", "replay.one"),
    read("/api/webhooks/replays"),
    read("/api/webhooks/replays/{id}"),
    operate("DELETE", "/api/webhooks/replays/{id}", "replay.cancel"),
    operate("POST", "/api/webhooks/retry-failed", "replay.dead"),
    read("/api/destinations"),
    read("/api/destinations/{name}"),
    operate("POST", "/api/destinations/{name}/pause", "destination.pause"),
    operate("POST", "/api/destinations/{name}/resume", "destination.resume"),
    read("/api/sources"),
    admin("POST", "/api/sources", "source.add"),
    read("/api/sources/{name}"),
    admin("PATCH", "/api/sources/{name}", "source.change"),
    admin("DELETE", "/api/sources/{name}", "source.remove"),
    operate("POST", "/api/sources/{name}/pause", "source.pause"),
    operate("POST", "/api/sources/{name}/resume", "source.resume"),
    admin("POST", "/api/sources/{name}/secrets", "source.secret.add"),
    admin(
        "DELETE",
        "/api/sources/{name}/secrets/{id}",
        "source.secret.revoke",
    ),
    admin("POST", "/api/sources/{name}/rotate", "source.rotate"),
    admin_whole("POST", "/api/secrets/reseal", "source.reseal"),
    read("/api/repositories"),
    read("/api/repositories/{owner}/{repo}/activity"),
    read("/api/jobs"),
    read("/api/jobs/metrics"),
    read("/api/jobs/{id}"),
    read("/api/workflow-runs"),
    read("/api/runners/pool/status"),
    read_whole("/api/projections"),
    operate_whole("POST", "/api/projections/{name}/rebuild", "projection.rebuild"),
    operate_whole("DELETE", "/api/projections/{name}/rebuild", "projection.abort"),
    operate_whole("POST", "/api/projections/{name}/verify", "projection.verify"),
    admin_looks("/api/keys"),
    admin("POST", "/api/keys", "key.create"),
    admin("DELETE", "/api/keys/{id}", "key.revoke"),
    admin_looks("/api/audit"),
];

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// An endpoint.
    Rule(&'static Rule),
    /// There are endpoints at the path, but none of the method.
    OtherMethod,
    /// There is none.
    Nothing,
}

/// The rule of a request.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let mut fitting = RULES.iter().filter(|rule| fits(rule.path, path)).peekable();
    if fitting.peek().is_none() {
        return Found::Nothing;
    }
    let of_method = fitting.find(|rule| rule.method == method.as_str());
    of_method.map_or(Found::OtherMethod, Found::Rule)
}

impl Found {
    /// What is needed to be told about it. Where there is nothing, that is only said to those who might ask.
    pub(crate) fn need(self, method: &Method) -> Need {
        match self {
            Self::Rule(rule) => rule.need,
            Self::OtherMethod | Self::Nothing if is_safe(method) => Need::Read,
            Self::OtherMethod | Self::Nothing => Need::Operate,
        }
    }
}

impl Rule {
    /// What it is about: the part of a path that its first parameter stands for. What follows is something within it, and
    /// could be a secret that somebody took for the id of one; whoever finds it says that it was meant.
    pub(crate) fn target(&self, path: &str) -> Option<String> {
        let mut parts = self.path.split('/').zip(path.split('/'));
        let (_, named) = parts.find(|(pattern, _)| pattern.starts_with('{'))?;
        Some(without_secret(named).chars().take(300).collect())
    }

    /// The path with what its first parameter stands for, and of the others only that they are there.
    pub(crate) fn shown(&self, path: &str) -> String {
        let mut is_first = true;
        let parts = self.path.split('/').zip(path.split('/')).map(|(pattern, part)| {
            let is_named = pattern.starts_with('{');
            let shown = if is_named && is_first {
                without_secret(part)
            } else {
                pattern
            };
            is_first &= !is_named;
            shown
        });
        parts.collect::<Vec<_>>().join("/").chars().take(300).collect()
    }

    /// The rule of an operation of the document.
    pub(crate) fn of_operation(method: &str, template: &str) -> Option<&'static Self> {
        let same = |rule: &&Self| rule.method.eq_ignore_ascii_case(method) && rule.path == template;
        RULES.iter().find(same)
    }

    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str, &'static Self)> {
        RULES.iter().map(|rule| (rule.method, rule.path, rule))
    }
}

/// What somebody took for an id: of a whole API key only its id, of the secret of a sender nothing.
fn without_secret(part: &str) -> &str {
    match part.strip_prefix("hk_") {
        Some(key) => key.split('_').next().unwrap_or_default(),
        None if part.starts_with("whsec_") || part.starts_with("whsk_") => "***",
        None => part,
    }
}

/// A path that nobody knows, without what looks like a secret in it.
pub(crate) fn shown_unknown(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').map(without_secret).collect();
    parts.join("/").chars().take(300).collect()
}

/// Whether a method changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn fits(pattern: &str, path: &str) -> bool {
    let path = match path.strip_suffix('/') {
        Some(plain) if !plain.is_empty() && !plain.ends_with('/') => plain,
        _ => path,
    };
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        if expected == "**" {
            return true;
        }
        let Some(part) = parts.next() else {
            return false;
        };
        let parameter = expected.starts_with('{') && !part.is_empty();
        if !parameter && part != expected {
            return false;
        }
    }
    parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(method: Method, path: &str) -> Option<Need> {
        match find(&method, path) {
            Found::Rule(rule) => Some(rule.need),
            Found::OtherMethod | Found::Nothing => None,
        }
    }

    #[test]
    fn a_path_has_the_rule_of_its_endpoint() {
        assert_eq!(need(Method::GET, "/health"), Some(Need::Nothing));
        assert_eq!(
            need(Method::GET, "/api/webhooks/events/github.41.x%2Fy"),
            Some(Need::Read)
        );
        assert_eq!(need(Method::GET, "/api/jobs/"), Some(Need::Read));
        assert_eq!(need(Method::POST, "/api/webhooks/replay/x"), Some(Need::Operate));
        assert_eq!(need(Method::DELETE, "/api/keys/k"), Some(Need::Admin));
        assert_eq!(find(&Method::PUT, "/api/keys"), Found::OtherMethod);
    }

    #[test]
    fn a_path_written_otherwise_is_none() {
        for path in [
            "",
            "//",
            "/api",
            "//api/keys",
            "/api//keys",
            "/api/%6beys",
            "/api/keys//",
            "/api/keys/a/b",
            "/api/./keys",
            "/API/keys",
            "/api/webhooks/events//body",
            "/metrics/x",
        ] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn what_it_is_about_is_taken_from_the_path() {
        let target = |method, path| match find(&method, path) {
            Found::Rule(rule) => rule.target(path),
            Found::OtherMethod | Found::Nothing => panic!("{path}"),
        };
        assert_eq!(
            target(Method::POST, "/api/destinations/ci/pause").as_deref(),
            Some("ci")
        );
        assert_eq!(target(Method::POST, "/api/webhooks/retry-failed"), None);
        assert_eq!(
            target(
                Method::DELETE,
                "/api/sources/github/secrets/whoever-took-it-for-an-id"
            )
            .as_deref(),
            Some("github")
        );
        assert_eq!(
            target(Method::DELETE, "/api/keys/hk_3k9x0v2m7q4d_AAECAwQFBgc").as_deref(),
            Some("3k9x0v2m7q4d"),
            "a whole key"
        );
        let Found::Rule(revoke) = find(&Method::DELETE, "/api/sources/github/secrets/whsec_x") else {
            panic!("no rule");
        };
        assert_eq!(
            revoke.shown("/api/sources/github/secrets/whsec_x"),
            "/api/sources/github/secrets/{id}"
        );
        assert_eq!(
            shown_unknown("/api/key/hk_3k9x0v2m7q4d_AAECAwQFBgc/whsec_x"),
            "/api/key/3k9x0v2m7q4d/***"
        );
    }

    #[test]
    fn whatever_changes_something_has_a_name_in_the_audit_trail() {
        let silent = ["/api/login", "/api/logout", "/socket.io/**"];
        for (method, path, rule) in Rule::all() {
            let changes = method != "GET";
            assert_eq!(
                changes && !silent.contains(&path),
                rule.action.is_some(),
                "{method} {path}"
            );
            assert!(
                !changes || rule.need >= Need::Operate || silent.contains(&path),
                "{path}"
            );
        }
    }
}
