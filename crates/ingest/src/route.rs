//! Which requests are deliveries, and to which source they go. A pure reading of the path.

/// The paths under which every source is reached; all mean the same.
const PREFIXES: [&str; 4] = ["/api/webhooks/", "/webhooks/", "/webhook/", "/api/v2/webhooks/"];

/// Paths of the server itself: no source may take what is posted there.
const SERVER: [&str; 8] = [
    "/health",
    "/ready",
    "/metrics",
    "/metrics.json",
    "/openapi.json",
    "/docs",
    "/dashboard",
    "/socket.io",
];

/// Names that belong to the API and are never sources (api.md §1).
const RESERVED: [&str; 11] = [
    "test",
    "replay",
    "verify",
    "retry-failed",
    "events",
    "statistics",
    "health",
    "failed",
    "rejected",
    "stream",
    "replays",
];

/// The source, and the connection within it, that a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    /// Name of the source, known or not.
    pub(crate) source: &'a str,
    /// What a secret may be bound to, beside the sender's hook.
    pub(crate) connection: Option<&'a str>,
}

/// Whether a name may not be a source's.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Whether a path stands where the API, or a source under its name, is reached.
pub(crate) fn belongs_to_api(path: &str) -> bool {
    let is_at = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_at("/api")
        || SERVER.iter().any(|root| is_at(root))
        || PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// A path without the one slash that may end it.
pub(crate) fn without_end_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Reads a path; `None` for one that belongs to somebody else.
pub(crate) fn parse(path: &str) -> Option<Route<'_>> {
    let rest = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix))?;
    let rest = without_end_slash(rest);
    let (source, connection) = match rest.split_once('/') {
        Some((source, connection)) => (source, Some(connection)),
        None => (rest, None),
    };
    let plain = connection.is_none_or(|c| !c.is_empty() && !c.contains('/'));
    (plain && !source.is_empty() && !is_reserved(source)).then_some(Route { source, connection })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_names_the_source() {
        for path in [
            "/api/webhooks/github",
            "/webhooks/github",
            "/webhook/github",
            "/api/v2/webhooks/github",
            "/api/webhooks/github/",
        ] {
            let route = Route {
                source: "github",
                connection: None,
            };
            assert_eq!(parse(path), Some(route), "{path}");
        }
        let bound = parse("/webhooks/github/team-7").unwrap();
        assert_eq!((bound.source, bound.connection), ("github", Some("team-7")));
    }

    #[test]
    fn no_source_gets_a_path_of_the_server() {
        for path in [
            "/api",
            "/api/x",
            "/health",
            "/socket.io",
            "/dashboard/x",
            "/webhooks/x",
        ] {
            assert!(belongs_to_api(path), "{path}");
        }
        for path in ["/hooks", "/healthy", "/apis", "/documents"] {
            assert!(!belongs_to_api(path), "{path}");
        }
    }

    #[test]
    fn what_belongs_to_the_api_is_not_claimed() {
        for path in [
            "/api/webhooks/test",
            "/api/webhooks/test/",
            "/api/webhooks/replay",
            "/api/webhooks/replay/github.41.x",
            "/api/webhooks/retry-failed",
            "/webhooks/events",
            "/api/webhooks/stream",
            "/api/webhooks",
            "/api/webhooks/",
            "/api/webhooks//x",
            "/api/webhooks/github/a/b",
            "/api/webhooks/github//",
            "/api/jobs",
            "/health",
            "/",
            "",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
