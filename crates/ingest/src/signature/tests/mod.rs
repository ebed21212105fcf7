//! What every scheme has to do with a proof that is right, and with one that is not.

mod law;

use domain::Timestamp;
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Claim, Scheme};
use crate::head::Head;
use crate::options::Secret;
use crate::rejection::Rejection;

/// Headers as a sender sets them.
pub(super) type Pairs<'a> = [(&'a str, &'a str)];

pub(super) fn head(pairs: &Pairs<'_>) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    Head::new(None, headers)
}

/// Which secret a request fits; the body comes in small pieces.
pub(super) fn fits(scheme: &dyn Scheme, secrets: &[Secret], head: &Head, body: &[u8]) -> Option<usize> {
    let mut check = scheme.check(head, &secrets.iter().collect::<Vec<_>>())?;
    for piece in body.chunks(7) {
        check.update(piece);
    }
    check.finish()
}

/// Claims under JSON, whatever else the headers say.
pub(super) fn claim(scheme: &dyn Scheme, pairs: &Pairs<'_>) -> Result<Claim, Rejection> {
    let json = ("Content-Type", "application/json");
    scheme.claim(&head(&[&[json], pairs].concat()))
}

pub(super) fn secrets(values: &[&str]) -> Vec<Secret> {
    let numbered = values.iter().enumerate();
    numbered
        .map(|(n, value)| Secret::new(&n.to_string(), value))
        .collect()
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A signed delivery that somebody else made.
pub(super) struct Vector<'a> {
    pub(super) scheme: &'a dyn Scheme,
    pub(super) secret: &'a str,
    pub(super) headers: &'a Pairs<'a>,
    /// The header with the proof.
    pub(super) proof: &'a str,
    pub(super) body: &'a [u8],
}

impl Vector<'_> {
    fn fits(&self, headers: &Pairs<'_>, body: &[u8]) -> Option<usize> {
        fits(self.scheme, &secrets(&[self.secret]), &head(headers), body)
    }

    /// It verifies; with any bit of the body changed, or cut, or with any character of the proof changed, or cut, or of
    /// another header that is signed, it does not.
    pub(super) fn check(&self, signed: &[&str]) {
        assert_eq!(self.fits(self.headers, self.body), Some(0));
        for bit in 0..self.body.len() * 8 {
            let mut body = self.body.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(self.fits(self.headers, &body), None, "bit {bit} of the body");
        }
        assert_eq!(
            self.fits(self.headers, &self.body[..self.body.len() - 1]),
            None,
            "cut body"
        );
        assert_eq!(
            self.fits(self.headers, &[self.body, b" "].concat()),
            None,
            "longer body"
        );
        assert_eq!(self.fits(self.headers, b""), None, "no body");
        for name in signed.iter().chain(&[self.proof]) {
            self.check_header(name);
        }
        // Not zeroes: HMAC fills a short key up with those, so that it would be the same key.
        let wrong = secrets(&[&format!("{}BBBB", self.secret)]);
        assert_eq!(fits(self.scheme, &wrong, &head(self.headers), self.body), None);
    }

    /// The same for a proof that does not cover the body.
    pub(super) fn check_header(&self, name: &str) {
        assert_eq!(self.fits(self.headers, self.body), Some(0));
        let value = self.headers.iter().find(|(n, _)| *n == name).unwrap().1;
        let with = |value: &str| {
            let change =
                |(n, v): &(&str, &str)| (n.to_string(), if *n == name { value } else { v }.to_string());
            let changed: Vec<(String, String)> = self.headers.iter().map(change).collect();
            let changed: Vec<(&str, &str)> = changed.iter().map(|(n, v)| (&**n, &**v)).collect();
            self.fits(&changed, self.body)
        };
        for (at, old) in value.char_indices() {
            let new = if old == '0' { '1' } else { '0' };
            let changed = format!("{}{new}{}", &value[..at], &value[at + old.len_utf8()..]);
            assert_eq!(with(&changed), None, "{name}: {changed}");
            assert_eq!(with(&value[..at]), None, "{name} cut at {at}");
        }
        assert_eq!(with(&format!("{value}0")), None, "{name} with more behind it");
        let without: Vec<_> = self.headers.iter().filter(|(n, _)| *n != name).copied().collect();
        assert_eq!(self.fits(&without, self.body), None, "without {name}");
    }
}
