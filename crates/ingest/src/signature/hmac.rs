//! Any sender that signs with an HMAC: which header, which hash, what else is signed, all of it by the settings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::header::CONTENT_TYPE;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use zeroize::Zeroizing;

use super::configured::{ConfiguredFacts, header};
use super::mac::{MacCheck, mac_of};
use super::template::{Part, Template};
use super::{
    Check, Claim, Example, FactPaths, MacShape, Scheme, Shape, SignError, Stamp, TimeUnit, ToSign, content,
    set,
};
use crate::head::Head;
use crate::options::{Encoding, HashKind, ProofOptions, Secret, SecretEncoding};
use crate::rejection::Rejection;

/// How far the time may be off, in milliseconds, where one is signed.
const TOLERANCE_MS: u64 = 300_000;

/// The scheme `hmac`, and what is built on it.
pub(super) struct HmacScheme {
    name: &'static str,
    header: HeaderName,
    prefix: String,
    /// The key of the signatures in a header that is a list of `key=value`.
    key: Option<String>,
    encoding: Encoding,
    hash: HashKind,
    secret_encoding: SecretEncoding,
    stamp: Option<StampPlace>,
    unit: TimeUnit,
    content: Template,
    id_header: Option<HeaderName>,
    facts: ConfiguredFacts,
    signatures_max: usize,
}

/// Where the time of signing stands.
enum StampPlace {
    Header(HeaderName),
    /// In the header of the signature, under this key.
    Key(String),
}

impl HmacScheme {
    /// Reads the settings of a source.
    pub(super) fn build(
        name: &'static str,
        proof: &ProofOptions,
        facts: ConfiguredFacts,
        signatures_max: usize,
    ) -> Result<Self, String> {
        let named = proof.header.as_deref().filter(|name| !name.is_empty());
        let named =
            named.ok_or("proof.header: name the header with the signature, such as \"X-Signature\"")?;
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let key = some(&proof.signature_key);
        let stamp = match (some(&proof.timestamp_header), some(&proof.timestamp_key)) {
            (None, None) => None,
            (Some(name), None) => Some(StampPlace::Header(header("proof.timestamp_header", &name)?)),
            (None, Some(name)) if key.is_some() => Some(StampPlace::Key(name)),
            (None, Some(_)) => {
                return Err(
                    "proof.timestamp_key: stands beside the signature; give its key, proof.signature_key"
                        .into(),
                );
            }
            (Some(_), Some(_)) => return Err("proof: give one of timestamp_header and timestamp_key".into()),
        };
        let prefix = some(&proof.prefix).unwrap_or_default();
        if prefix.contains([',', ';']) {
            return Err("proof.prefix: can't hold a comma or a semicolon, which separate signatures".into());
        }
        let usual = if stamp.is_some() {
            "{timestamp}.{body}"
        } else {
            "{body}"
        };
        let content = Template::parse(some(&proof.content).as_deref().unwrap_or(usual))
            .map_err(|why| format!("proof.content {why}"))?;
        if content.has(&Part::Timestamp) != stamp.is_some() {
            return Err(
                "proof.content: a time has to be both read (timestamp_header or timestamp_key) and signed \
                        ({timestamp}): one that is not signed proves nothing"
                    .into(),
            );
        }
        let id_header = facts.id_header().cloned();
        if content.has(&Part::Id) && id_header.is_none() {
            return Err("proof.content: {id} is the header that facts.id_header names; give it".into());
        }
        Ok(Self {
            name,
            header: header("proof.header", named)?,
            prefix,
            key,
            encoding: proof.encoding.unwrap_or_default(),
            hash: proof.hash.unwrap_or_default(),
            secret_encoding: proof.secret_encoding.unwrap_or_default(),
            stamp,
            unit: proof.timestamp_unit.unwrap_or_default(),
            content,
            id_header,
            facts,
            signatures_max,
        })
    }

    /// The signatures that a header holds, without their prefix.
    fn given<'v>(&'v self, value: &'v str) -> impl Iterator<Item = &'v str> {
        let signatures = entries(value).filter_map(|entry| match &self.key {
            None => Some(entry),
            Some(key) => entry
                .split_once('=')
                .filter(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim()),
        });
        signatures.filter_map(|signature| signature.strip_prefix(self.prefix.as_str()))
    }

    /// The text of the time, where the header of the signature holds it.
    fn time_beside<'v>(&self, value: &'v str, key: &str) -> Option<&'v str> {
        let pairs = entries(value).filter_map(|entry| entry.split_once('='));
        let mut found = pairs.filter(|(name, _)| name.trim() == key);
        found.next().map(|(_, value)| value.trim())
    }

    fn decode(&self, signature: &str) -> Option<Vec<u8>> {
        match self.encoding {
            Encoding::Hex => hex::decode(signature).ok(),
            Encoding::Base64 => STANDARD.decode(signature).ok(),
        }
    }

    fn key_of(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let text = secret.value.expose_secret();
        let key = match self.secret_encoding {
            SecretEncoding::Text => Ok(text.as_bytes().to_vec()),
            SecretEncoding::Hex => hex::decode(text).map_err(|_| "is no hex, as proof.secret_encoding says"),
            SecretEncoding::Base64 => STANDARD
                .decode(text)
                .map_err(|_| "is no base64, as proof.secret_encoding says"),
        };
        match key {
            Ok(key) if key.is_empty() => Err("is empty"),
            key => key.map(Zeroizing::new),
        }
    }
}

/// What stands between several signatures.
const SEPARATORS: [char; 2] = [',', ';'];

fn entries(value: &str) -> impl Iterator<Item = &str> {
    value.split(SEPARATORS).map(str::trim)
}

impl Scheme for HmacScheme {
    fn name(&self) -> &'static str {
        self.name
    }

    fn proof_header(&self) -> Option<&HeaderName> {
        Some(&self.header)
    }

    fn check_secret(&self, secret: &Secret) -> Result<(), &'static str> {
        self.key_of(secret).map(drop)
    }

    fn tolerance_ms(&self) -> Option<u64> {
        self.stamp.as_ref().map(|_| TOLERANCE_MS)
    }

    fn claim(&self, head: &Head) -> Result<Claim, Rejection> {
        let form = content::any(head)?;
        let value = head.sole(self.header.as_str())?;
        let signed_at = match &self.stamp {
            None => None,
            Some(StampPlace::Header(name)) => {
                let missing = || Rejection::HeaderMissing(name.to_string().into());
                let text = head.name(name.as_str())?.ok_or_else(missing)?;
                let stamp = Stamp::parse(&text, self.unit);
                Some(stamp.ok_or_else(|| Rejection::HeaderInvalid(name.to_string().into()))?)
            }
            // As much a part of the proof as the signature: what is wrong with it is not said.
            Some(StampPlace::Key(key)) => value
                .and_then(|value| self.time_beside(value.to_str().ok()?, key))
                .and_then(|text| Stamp::parse(text, self.unit)),
        };
        Ok(Claim {
            signed_at,
            form,
            ..self.facts.claim(head)?
        })
    }

    fn check(&self, head: &Head, candidates: &[&Secret]) -> Option<Box<dyn Check>> {
        let value = head.headers.get(&self.header)?.to_str().ok()?;
        if self.given(value).count() > self.signatures_max {
            return None;
        }
        let given: Vec<_> = self.given(value).filter_map(|text| self.decode(text)).collect();
        if given.is_empty() {
            return None;
        }
        let raw = |name: &HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
        let time = match &self.stamp {
            None => Some(&b""[..]),
            Some(StampPlace::Header(name)) => raw(name),
            Some(StampPlace::Key(key)) => self.time_beside(value, key).map(str::as_bytes),
        }?;
        let id = match &self.id_header {
            Some(name) if self.content.has(&Part::Id) => raw(name)?,
            Some(_) | None => b"",
        };
        let numbered = candidates.iter().enumerate();
        let keys: Vec<_> = numbered
            .filter_map(|(at, secret)| Some((at, self.key_of(secret).ok()?)))
            .collect();
        let keys = keys.iter().map(|(at, key)| (*at, key.as_slice()));
        let (before, after) = self.content.around(time, id);
        Some(Box::new(
            MacCheck::new(self.hash, keys, given)?.around(&before, &after),
        ))
    }

    fn shape(&self, _head: &Head, _candidates: &[&Secret]) -> Shape<'_> {
        Shape::Mac(MacShape {
            header: self.header.as_str(),
            prefix: &self.prefix,
            key: self.key.as_deref(),
            time_key: match &self.stamp {
                Some(StampPlace::Key(key)) => Some(key),
                Some(StampPlace::Header(_)) | None => None,
            },
            encoding: self.encoding,
            hash: self.hash,
            separators: &SEPARATORS,
            // That of the time is missing earlier: it has to be there.
            signed_header: self
                .id_header
                .as_ref()
                .filter(|_| self.content.has(&Part::Id))
                .map(HeaderName::as_str),
        })
    }

    fn paths(&self, _claim: &Claim) -> FactPaths {
        self.facts.paths()
    }

    fn example(&self, of: &Example<'_>) -> Value {
        self.facts.example(of)
    }

    fn sign(&self, delivery: &ToSign<'_>, secret: Option<&Secret>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.facts.sign(&mut headers, delivery)?;
        let time = Stamp::text(delivery.now, self.unit).to_string();
        if let Some(StampPlace::Header(name)) = &self.stamp {
            set(&mut headers, name.as_str(), &time)?;
        }
        let Some(key) = secret.and_then(|secret| self.key_of(secret).ok()) else {
            return Ok(headers);
        };
        let (before, after) = self
            .content
            .around(time.as_bytes(), delivery.delivery_id.as_bytes());
        let mac = mac_of(self.hash, &key, &[&before, delivery.body, &after]).unwrap_or_default();
        let digest = match self.encoding {
            Encoding::Hex => hex::encode(mac),
            Encoding::Base64 => STANDARD.encode(mac),
        };
        let mut value = format!("{}{digest}", self.prefix);
        if let Some(key) = &self.key {
            value = format!("{key}={value}");
        }
        if let Some(StampPlace::Key(key)) = &self.stamp {
            value = format!("{key}={time},{value}");
        }
        set(&mut headers, self.header.as_str(), &value)?;
        Ok(headers)
    }
}

#[cfg(test)]
mod tests;
