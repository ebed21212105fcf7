//! The head of a request: who sent it and what its headers say.

use std::net::IpAddr;

use domain::HeaderFact;
use poem::http::header::{HOST, ORIGIN};
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::coding::ContentCoding;
use crate::options::IngestOptions;
use crate::rejection::Rejection;

/// Headers that concern one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
];

/// Headers that carry a secret in clear, whatever the scheme: the sender's, and those that a gateway before us adds.
const SECRET: [&str; 11] = [
    "authorization",
    "cookie",
    "x-gitlab-token",
    "x-api-key",
    "x-auth-token",
    "x-forwarded-access-token",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-goog-iap-jwt-assertion",
    "cf-access-jwt-assertion",
    "cf-access-client-secret",
];

/// The longest value that names something: an event, a delivery, a hook.
const NAME_BYTES_MAX: usize = 512;

/// Who sent a request, and its headers.
pub(crate) struct Head {
    /// Who sent it: the address of the connection, or what trusted proxies say in a header that fails the keyless rule
    /// in any case; none for what was made inside the process.
    pub(crate) peer: Option<IpAddr>,
    /// The headers as received.
    pub(crate) headers: HeaderMap,
    /// Whether it speaks HTTP/1.0, as proxies do that leave no other trace.
    pub(crate) is_old: bool,
}

/// Proof that a request comes from a true loopback client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrustedLocal(());

impl TrustedLocal {
    /// Applies the keyless rule.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        let sole = |name: HeaderName| {
            let mut values = head.headers.get_all(name).iter();
            let first = values.next().and_then(|v| v.to_str().ok());
            if values.next().is_some() { None } else { first }
        };
        let twice = head.headers.get_all(ORIGIN).iter().count() > 1;
        let host = sole(HOST).filter(|_| !twice);
        let forwarded = head.is_old
            || head
                .headers
                .iter()
                .any(|(name, value)| domain::is_foreign_header(name.as_str(), value.as_bytes()));
        // An origin that can't be read is a foreign one.
        let origin = head.headers.get(ORIGIN).map(|o| o.to_str().unwrap_or_default());
        domain::is_true_loopback(head.peer, host, origin, forwarded).then_some(Self(()))
    }

    /// For what the process made itself.
    pub(crate) const fn made_here() -> Self {
        Self(())
    }
}

impl Head {
    /// A request of HTTP/1.1.
    pub(crate) const fn new(peer: Option<IpAddr>, headers: HeaderMap) -> Self {
        Self {
            peer,
            headers,
            is_old: false,
        }
    }

    /// Refuses heads over the limits.
    pub(crate) fn check_size(&self, options: &IngestOptions) -> Result<(), Rejection> {
        let bytes: usize = self.headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        if self.headers.len() > options.headers_max || bytes > options.header_bytes_max {
            return Err(Rejection::HeadersTooLarge);
        }
        Ok(())
    }

    /// The value of a header that may stand once only.
    pub(crate) fn sole(&self, name: &str) -> Result<Option<&HeaderValue>, Rejection> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(Rejection::HeaderDuplicated(name.to_owned().into()));
        }
        Ok(first)
    }

    /// The text of a header that names something; none when it is missing or empty.
    pub(crate) fn name(&self, name: &str) -> Result<Option<String>, Rejection> {
        let Some(value) = self.sole(name)? else {
            return Ok(None);
        };
        if value.len() > NAME_BYTES_MAX {
            return Err(Rejection::HeaderInvalid(name.to_owned().into()));
        }
        let text = text_of(value);
        let trimmed = text.trim();
        Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
    }

    /// How the body is encoded; refuses what can't or may not be decoded.
    pub(crate) fn content_coding(
        &self,
        allowed: &[ContentCoding],
    ) -> Result<Option<ContentCoding>, Rejection> {
        ContentCoding::named(self.name("Content-Encoding")?.as_deref(), allowed)
    }

    /// The length that the sender announced.
    pub(crate) fn content_length(&self) -> Option<u64> {
        let value = self.headers.get(poem::http::header::CONTENT_LENGTH)?;
        value.to_str().ok()?.trim().parse().ok()
    }

    /// Whether the sender waits for a word before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        self.headers.contains_key(poem::http::header::EXPECT)
    }

    /// The headers that are kept with the event: all but those of the connection and those with a plain secret, of
    /// which `secret` names the scheme's own.
    pub(crate) fn kept(&self, secret: &[HeaderName]) -> Vec<HeaderFact> {
        let named: Vec<String> = self
            .headers
            .get_all(poem::http::header::CONNECTION)
            .iter()
            .flat_map(|v| {
                text_of(v)
                    .split(',')
                    .map(|n| n.trim().to_ascii_lowercase())
                    .collect::<Vec<_>>()
            })
            .collect();
        let dropped = |name: &str| {
            HOP_BY_HOP.contains(&name)
                || is_secret(name)
                || secret.iter().any(|s| s == name)
                || named.iter().any(|n| n == name)
        };
        let kept = self.headers.iter().filter(|(name, _)| !dropped(name.as_str()));
        kept.map(|(name, value)| HeaderFact(name.as_str().to_owned(), text_of(value)))
            .collect()
    }
}

/// Whether a header of this name carries a secret in clear, whatever the scheme.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRET.contains(&name)
}

/// UTF-8 where it is, else Latin-1: one character a byte.
pub(crate) fn text_of(value: &HeaderValue) -> String {
    std::str::from_utf8(value.as_bytes()).map_or_else(
        |_| value.as_bytes().iter().map(|b| char::from(*b)).collect(),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&'static str, &[u8])]) -> Head {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Head::new(Some("127.0.0.1".parse().unwrap()), map)
    }

    #[test]
    fn connection_headers_and_plain_secrets_are_not_kept() {
        let head = head(&[
            ("host", b"localhost"),
            ("connection", b"keep-alive, X-Hop"),
            ("x-hop", b"1"),
            ("transfer-encoding", b"chunked"),
            ("authorization", b"Bearer plain"),
            ("cookie", b"session=plain"),
            ("x-gitlab-token", b"plain"),
            ("cf-access-jwt-assertion", b"plain"),
            ("x-own-token", b"plain"),
            ("x-hub-signature-256", b"sha256=00"),
            ("x-twice", b"1"),
            ("x-twice", b"2"),
            ("x-latin", b"caf\xe9"),
            ("x-utf8", "café".as_bytes()),
        ]);
        let kept: Vec<(String, String)> = head
            .kept(&[HeaderName::from_static("x-own-token")])
            .into_iter()
            .map(|h| (h.0, h.1))
            .collect();
        let expected = [
            ("host", "localhost"),
            ("x-hub-signature-256", "sha256=00"),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("x-latin", "café"),
            ("x-utf8", "café"),
        ];
        assert_eq!(kept, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn only_a_true_loopback_client_is_trusted() {
        let trusted = |headers: &[(&'static str, &[u8])]| TrustedLocal::of(&head(headers)).is_some();
        let old = Head {
            is_old: true,
            ..head(&[("host", b"localhost")])
        };
        assert!(TrustedLocal::of(&old).is_none(), "a proxy may speak HTTP/1.0");
        assert!(!trusted(&[
            ("host", b"localhost"),
            ("sec-fetch-site", b"cross-site")
        ]));
        assert!(trusted(&[("host", b"localhost:3000")]));
        assert!(!trusted(&[]));
        assert!(!trusted(&[("host", b"localhost"), ("host", b"localhost")]));
        assert!(!trusted(&[
            ("host", b"localhost"),
            ("x-forwarded-for", b"1.2.3.4")
        ]));
        assert!(!trusted(&[
            ("host", b"localhost"),
            ("origin", b"http://evil.example")
        ]));
        assert!(!trusted(&[("host", b"localhost"), ("origin", b"\xff")]));
        let twice: [(&str, &[u8]); 3] = [
            ("host", b"localhost"),
            ("origin", b"http://localhost"),
            ("origin", b"http://evil.example"),
        ];
        assert!(!trusted(&twice));
    }
}
