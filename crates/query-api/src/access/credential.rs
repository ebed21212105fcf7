//! What a request shows to say who asks: a key in a header, or the cookie of a login.
//!
//! A key is looked up by its id and compared by its hash, in constant time, and with the same work when nobody has that id.
//! What is wrong about a key that is not known is never said; of one that was known, that it expired or was revoked is.

use domain::{ContentHash, KeyDirectory, KeyStanding, KeyState, PresentedKey, Timestamp};
use poem::Request;
use poem::http::{HeaderName, header};
use subtle::{Choice, ConstantTimeEq as _};

use super::SessionSecret;
use super::session::{self, Session};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const BEARER: &str = "bearer ";
/// More than one client ever sends.
const CREDENTIALS_MAX: usize = 4;

/// What is compared with where no key has the id; no key has this hash.
const NOBODY: [u8; 32] = [0; 32];

/// Who was shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown<'a> {
    pub(crate) key: &'a KeyState,
    /// Whether only a cookie says so, which a browser sends by itself.
    pub(crate) by_cookie: bool,
    /// Until when the login holds, where a cookie says so.
    pub(crate) until: Option<Timestamp>,
}

/// Why what was shown opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("not let in: the API key is not one of this server")]
    Unknown,
    #[error("not let in: the API key has expired")]
    Expired,
    #[error("not let in: the API key was revoked")]
    Revoked,
    #[error("not let in: the credentials of the request are of different keys; send one")]
    Disagree,
}

/// Who a request says it is from; `None` when it shows nothing.
///
/// A cookie that says nothing any more is nothing: browsers keep them, and send those of another server on the same host.
pub(crate) fn shown<'a>(
    request: &Request,
    directory: &'a KeyDirectory,
    secret: &SessionSecret,
    now: Timestamp,
) -> Result<Option<Shown<'a>>, Wrong> {
    let by_cookie = session::cookies(request).find_map(|text| {
        let session = Session::parse(text)?;
        let key = directory.get(&session.key)?;
        let good = session.is_of(key, secret, now) && key.standing(now) == KeyStanding::Active;
        good.then(|| (key, session.expires()))
    });
    let mut key: Option<&KeyState> = None;
    for text in keys(request)? {
        let one = verify(directory, text, now)?;
        if key.is_some_and(|key| key.created.key != one.created.key) {
            return Err(Wrong::Disagree);
        }
        key = Some(one);
    }
    match (key, by_cookie) {
        (Some(key), Some((other, _))) if key.created.key != other.created.key => Err(Wrong::Disagree),
        (Some(key), _) => Ok(Some(Shown {
            key,
            by_cookie: false,
            until: None,
        })),
        (None, Some((key, until))) => Ok(Some(Shown {
            key,
            by_cookie: true,
            until: Some(until),
        })),
        (None, None) => Ok(None),
    }
}

/// The keys in the headers. What can't be one of ours, as another scheme of authorization, is a wrong key: whoever sends it
/// means to show something.
fn keys(request: &Request) -> Result<Vec<&str>, Wrong> {
    let headers = request.headers();
    let mut texts = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| Wrong::Unknown)?;
        let scheme = text.get(..BEARER.len()).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(Wrong::Unknown);
        }
        texts.push(text.get(BEARER.len()..).unwrap_or_default().trim());
    }
    for value in headers.get_all(X_API_KEY) {
        texts.push(value.to_str().map_err(|_| Wrong::Unknown)?.trim());
    }
    if texts.len() > CREDENTIALS_MAX {
        return Err(Wrong::Disagree);
    }
    Ok(texts)
}

/// The active key that a text is.
pub(crate) fn verify<'a>(
    directory: &'a KeyDirectory,
    text: &str,
    now: Timestamp,
) -> Result<&'a KeyState, Wrong> {
    let presented = PresentedKey::parse(text).ok_or(Wrong::Unknown)?;
    let known = directory.get(&presented.id);
    if !bool::from(is_same(known.map(|key| &key.created.hash), &presented.hash)) {
        return Err(Wrong::Unknown);
    }
    let key = known.ok_or(Wrong::Unknown)?;
    match key.standing(now) {
        KeyStanding::Active => Ok(key),
        KeyStanding::Expired => Err(Wrong::Expired),
        KeyStanding::Revoked => Err(Wrong::Revoked),
    }
}

/// Whether hashes are the same. Always compares all bytes, also where there is nothing to compare with.
fn is_same(kept: Option<&ContentHash>, presented: &ContentHash) -> Choice {
    let there = Choice::from(u8::from(kept.is_some()));
    let kept: &[u8] = kept.map_or(&NOBODY, |hash| hash.as_bytes());
    let presented: &[u8] = presented.as_bytes();
    kept.ct_eq(presented) & there
}

#[cfg(test)]
mod tests {
    use domain::{KeyCreated, KeyRevoked, KeyText, Revision, Scope, TenantId};

    use super::*;

    #[test]
    fn hashes_are_the_same_only_when_every_byte_is() {
        let hash = ContentHash::of(b"a key");
        assert!(bool::from(is_same(Some(&hash), &hash)));
        assert!(!bool::from(is_same(None, &hash)));
        for at in 0..32 {
            for bit in 0..8 {
                let mut bytes = *hash.as_bytes();
                bytes[at] ^= 1 << bit;
                let other: ContentHash = hex_of(&bytes).parse().unwrap();
                assert!(!bool::from(is_same(Some(&other), &hash)), "byte {at}, bit {bit}");
            }
        }
        // Not even what stands for nobody is somebody.
        let nobody: ContentHash = hex_of(&NOBODY).parse().unwrap();
        assert!(!bool::from(is_same(None, &nobody)));
    }

    fn hex_of(bytes: &[u8; 32]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn key(text: &KeyText, id: &str) -> KeyState {
        KeyState {
            created: KeyCreated {
                tenant: TenantId::default(),
                key: id.parse().unwrap(),
                name: "ci".parse().unwrap(),
                scopes: vec![Scope::Read],
                hash: text.hash(),
                expires_at: Some(Timestamp::from_millis(1000)),
                created_by: "loopback".into(),
            },
            created_at: Timestamp::default(),
            revoked: None,
            revision: Revision::new(0),
        }
    }

    #[test]
    fn a_key_that_was_known_is_told_why_and_any_other_is_not() {
        let text = KeyText::new(&"k1".parse().unwrap(), &[7; 32]);
        let directory = |key: KeyState| crate::tests::doors::directory_of(vec![key]);
        let at = Timestamp::from_millis;
        let active = directory(key(&text, "k1"));
        assert_eq!(
            verify(&active, text.expose(), at(999))
                .unwrap()
                .created
                .name
                .as_str(),
            "ci"
        );
        assert_eq!(verify(&active, text.expose(), at(1000)), Err(Wrong::Expired));
        let mut revoked = key(&text, "k1");
        let revoked_by = "alice".to_owned();
        revoked.revoked = Some((KeyRevoked { revoked_by }, at(1)));
        assert_eq!(
            verify(&directory(revoked), text.expose(), at(2)),
            Err(Wrong::Revoked)
        );
        let other = KeyText::new(&"k1".parse().unwrap(), &[8; 32]);
        let unknown = KeyText::new(&"k2".parse().unwrap(), &[7; 32]);
        for bad in [other.expose(), unknown.expose(), "", "hk_k1_", "secret"] {
            assert_eq!(verify(&active, bad, at(5000)), Err(Wrong::Unknown), "{bad}");
        }
    }
}
