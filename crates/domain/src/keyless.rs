//! The keyless rule: who is let in while no key is configured.
//!
//! Only a true loopback client is: its connection comes from this machine, it asks for a loopback host, nothing
//! forwarded it, and no foreign web page sent it. A tunnel, a proxy, a web page and DNS rebinding each fail one of
//! these. What can't be read fails too: this rule never guesses in favour of the caller.

use std::net::{IpAddr, Ipv6Addr};

/// Headers that only an intermediary adds, beside everything that starts with `x-forwarded-`.
const INTERMEDIARY: [&str; 7] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-original-host",
    "cf-connecting-ip",
    "true-client-ip",
];

const SITE: &str = "sec-fetch-site";
/// From a page of this very origin, or typed by a person.
const OWN_SITE: [&[u8]; 2] = [b"same-origin", b"none"];

/// Whether a request is one of a true loopback client.
///
/// `peer` is the address of the connection, `host` the `Host` header (or the authority of HTTP/2), `origin` the
/// `Origin` header; `is_foreign` says that some header of it [is foreign](is_foreign_header), or that it speaks HTTP/1.0:
/// nginx passes requests on in it, under the `Host` of this server, unless it is told otherwise. A caller who finds `Host`
/// or `Origin` more than once passes `None` for the host.
#[must_use]
pub fn is_true_loopback(
    peer: Option<IpAddr>,
    host: Option<&str>,
    origin: Option<&str>,
    is_foreign: bool,
) -> bool {
    let from_here = peer.is_some_and(|address| address.to_canonical().is_loopback());
    let Some((name, port)) = host.and_then(authority) else {
        return false;
    };
    from_here && !is_foreign && is_loopback_name(name) && origin.is_none_or(|o| is_own(o, name, port))
}

/// Whether a header shows that an intermediary passed the request on, or that the page of another site sent it: browsers
/// say so on requests that carry no `Origin`, too (<https://www.w3.org/TR/fetch-metadata/>).
#[must_use]
pub fn is_foreign_header(name: &str, value: &[u8]) -> bool {
    let by_a_page = name.eq_ignore_ascii_case(SITE) && !OWN_SITE.contains(&value);
    by_a_page || is_forwarding_header(name)
}

/// Whether a header of this name shows that an intermediary passed the request on.
#[must_use]
pub fn is_forwarding_header(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    let prefixed = name
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    prefixed || INTERMEDIARY.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// An origin is our own when it is the very host and port that was asked; `null` is not.
fn is_own(origin: &str, name: &str, port: Option<u16>) -> bool {
    let (rest, default_port) = match origin.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (rest, 80),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, 443),
        _ => return false,
    };
    authority(rest).is_some_and(|(origin_name, origin_port)| {
        origin_name.eq_ignore_ascii_case(name)
            && origin_port.unwrap_or(default_port) == port.unwrap_or(default_port)
    })
}

/// Name and port of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
fn authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (inner, port) = bracketed.split_once(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            (inner, port)
        }
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    if port.is_empty() {
        return Some((name, None));
    }
    let digits = port.strip_prefix(':')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((name, Some(plain.then(|| digits.parse().ok()).flatten()?)))
}

fn is_loopback_name(name: &str) -> bool {
    let address = || name.parse::<IpAddr>().ok();
    name.eq_ignore_ascii_case("localhost") || address().is_some_and(|a| a.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "127.0.0.1";

    fn check(peer: &str, host: Option<&str>, origin: Option<&str>) -> bool {
        is_true_loopback(Some(peer.parse().unwrap()), host, origin, false)
    }

    #[test]
    fn a_loopback_client_is_let_in_under_every_loopback_name() {
        for peer in [HOME, "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            for host in [
                "localhost",
                "LocalHost:3000",
                "127.0.0.1",
                "127.0.0.1:3000",
                "[::1]",
                "[::1]:3000",
                "127.5.5.5:1",
                "[::ffff:127.0.0.1]:80",
            ] {
                assert!(check(peer, Some(host), None), "{peer} {host}");
            }
        }
    }

    #[test]
    fn another_machine_is_refused_whatever_it_asks_for() {
        for peer in [
            "10.0.0.1",
            "192.168.1.4",
            "::2",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            assert!(!check(peer, Some("localhost:3000"), None), "{peer}");
        }
        assert!(!is_true_loopback(None, Some("localhost"), None, false));
    }

    #[test]
    fn a_host_that_is_not_loopback_is_refused() {
        for host in [
            "hooks.example.com",
            "hooks.example.com:3000",
            "localhost.example.com",
            "example.localhost",
            "localhost.",
            "127.0.0.1.nip.io",
            "127.1",
            "2130706433",
            "0.0.0.0:3000",
            "10.0.0.1",
            "[::2]",
            "[::1",
            "::1",
            "[localhost]",
            "user@localhost",
            "localhost@evil.example",
            "localhost:",
            "localhost:3000:1",
            "localhost:+80",
            "localhost:99999",
            "localhost/x",
            " localhost",
            "",
        ] {
            assert!(!check(HOME, Some(host), None), "{host:?}");
        }
        assert!(!check(HOME, None, None), "a request without a host");
    }

    #[test]
    fn a_page_of_our_own_origin_is_let_in() {
        for (host, origin) in [
            ("localhost:3000", "http://localhost:3000"),
            ("127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("localhost", "http://localhost"),
            ("localhost", "http://LOCALHOST:80"),
            ("localhost:443", "https://localhost"),
            ("localhost:8443", "https://localhost:8443"),
        ] {
            assert!(check(HOME, Some(host), Some(origin)), "{host} {origin}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        for origin in [
            "http://evil.example",
            "http://localhost",
            "http://localhost:8080",
            "http://127.0.0.1:3000",
            "https://localhost",
            "http://localhost:3000.evil.example",
            "http://localhost:3000/",
            "http://x@localhost:3000",
            "file://localhost:3000",
            "//localhost:3000",
            "localhost:3000",
            "null",
            "",
        ] {
            assert!(!check(HOME, Some("localhost:3000"), Some(origin)), "{origin:?}");
        }
    }

    #[test]
    fn a_forwarded_request_is_refused() {
        let home = Some(HOME.parse().unwrap());
        assert!(is_true_loopback(home, Some("localhost"), None, false));
        assert!(!is_true_loopback(home, Some("localhost"), None, true));
        for name in [
            "Forwarded",
            "forwarded",
            "X-Forwarded-For",
            "x-forwarded-host",
            "X-FORWARDED-PROTO",
            "X-Forwarded-Anything",
            "X-Real-IP",
            "Via",
            "CF-Connecting-IP",
        ] {
            assert!(is_forwarding_header(name), "{name}");
        }
        for name in [
            "host",
            "x-forwarded",
            "x-github-event",
            "x-forward",
            "",
            "ü-forwarded-for",
        ] {
            assert!(!is_forwarding_header(name), "{name}");
        }
    }

    #[test]
    fn a_request_that_the_page_of_another_site_makes_is_foreign_though_it_names_no_origin() {
        for site in ["cross-site", "same-site", "", "none, none"] {
            assert!(is_foreign_header("Sec-Fetch-Site", site.as_bytes()), "{site}");
        }
        for own in ["same-origin", "none"] {
            assert!(!is_foreign_header("sec-fetch-site", own.as_bytes()), "{own}");
        }
        assert!(is_foreign_header("via", b"1.1 x") && !is_foreign_header("accept", b"cross-site"));
    }
}
