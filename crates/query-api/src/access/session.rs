//! The cookie of a login: which key it was made with and until when it holds, signed by the program.
//!
//! It holds no key, and no longer than its key: revoking that ends every login made with it. It is signed over the key's
//! hash as well, but with a secret of the program's own: whoever reads the log can make none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{KeyId, KeyState, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use poem::Request;
use poem::http::header;
use sha2::Sha256;

use super::SessionSecret;
use super::site::is_secure;

/// Over HTTPS browsers keep a cookie of this name to this very host and to HTTPS.
const SECURE_NAME: &str = "__Host-hooklog_session";
const NAME: &str = "hooklog_session";
const COOKIE_BYTES_MAX: usize = 200;
/// Of one request, each name once is what a browser sends.
const COOKIES_MAX: usize = 4;

/// What a cookie says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) key: KeyId,
    expires_secs: i64,
    signature: Vec<u8>,
}

impl Session {
    /// A login with a key that holds until a time.
    pub(crate) fn new(key: &KeyState, expires: Timestamp, secret: &SessionSecret) -> Self {
        let expires_secs = expires.as_secs();
        let signature = mac(key, expires_secs, secret).map(|mac| mac.finalize().into_bytes().to_vec());
        Self {
            key: key.created.key.clone(),
            expires_secs,
            signature: signature.unwrap_or_default(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let signature = URL_SAFE_NO_PAD.encode(&self.signature);
        format!("{}.{}.{signature}", self.key, self.expires_secs)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let session = Self {
            key: parts.next()?.parse().ok()?,
            expires_secs: parts.next()?.parse().ok()?,
            signature: URL_SAFE_NO_PAD.decode(parts.next()?).ok()?,
        };
        parts.next().is_none().then_some(session)
    }

    /// Whether we made it, with this key, and it still holds.
    pub(crate) fn is_of(&self, key: &KeyState, secret: &SessionSecret, now: Timestamp) -> bool {
        let signed =
            mac(key, self.expires_secs, secret).is_some_and(|mac| mac.verify_slice(&self.signature).is_ok());
        signed && now.as_secs() < self.expires_secs
    }
}

fn mac(key: &KeyState, expires_secs: i64, secret: &SessionSecret) -> Option<Hmac<Sha256>> {
    // An HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
    mac.update(b"hooklog session 1\n");
    mac.update(format!("{}\n{expires_secs}\n{}\n", key.created.key, key.created.hash).as_bytes());
    Some(mac)
}

/// The login cookies of a request. Over HTTPS only those count that no page of HTTP, and no other host of this domain, could
/// have set.
pub(crate) fn cookies(request: &Request) -> impl Iterator<Item = &str> {
    let wanted = if is_secure(request) { SECURE_NAME } else { NAME };
    let lines = request.headers().get_all(header::COOKIE).into_iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(name, _)| *name == wanted)
        .map(|(_, value)| value)
        .take(COOKIES_MAX)
}

/// The header that sets the cookie for so many seconds; 0 takes it away.
pub(crate) fn set_cookie(value: &str, seconds: i64, secure: bool) -> String {
    let (name, more) = if secure {
        (SECURE_NAME, "; Secure")
    } else {
        (NAME, "")
    };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{more}")
}

#[cfg(test)]
mod tests {
    use domain::{ContentHash, KeyCreated, Revision, Scope, TenantId};

    use super::*;

    fn key(id: &str, hash: &[u8]) -> KeyState {
        KeyState {
            created: KeyCreated {
                tenant: TenantId::default(),
                key: id.parse().unwrap(),
                name: "ci".parse().unwrap(),
                scopes: vec![Scope::Read],
                hash: ContentHash::of(hash),
                expires_at: None,
                created_by: "loopback".into(),
            },
            created_at: Timestamp::default(),
            revoked: None,
            revision: Revision::new(0),
        }
    }

    #[test]
    fn a_session_holds_for_its_key_and_its_time_and_is_ours_alone() {
        let secret = SessionSecret::new(&[1; 32]);
        let until = Timestamp::from_millis(60_000);
        let session = Session::parse(&Session::new(&key("k1", b"x"), until, &secret).text()).unwrap();
        let before = Timestamp::from_millis(59_999);
        assert!(session.is_of(&key("k1", b"x"), &secret, before));
        assert!(!session.is_of(&key("k1", b"x"), &secret, until));
        assert!(!session.is_of(&key("k1", b"y"), &secret, before));
        assert!(!session.is_of(&key("k2", b"x"), &secret, before));
        assert!(!session.is_of(&key("k1", b"x"), &SessionSecret::new(&[2; 32]), before));
        let longer = Session {
            expires_secs: 61,
            ..session
        };
        assert!(!longer.is_of(&key("k1", b"x"), &secret, before));
    }

    #[test]
    fn what_is_no_session_is_none() {
        for bad in [
            "",
            "k1",
            "k1.5",
            "k1.x.AA",
            "k1.5.!",
            "k1.5.AA.AA",
            "K1.5.AA",
            &"a".repeat(300),
        ] {
            assert_eq!(Session::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let plain = set_cookie("v", 60, false);
        assert_eq!(
            plain,
            "hooklog_session=v; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
        );
        let secure = set_cookie("v", 60, true);
        assert!(
            secure.starts_with("__Host-") && secure.ends_with("; Secure"),
            "{secure}"
        );
    }
}
