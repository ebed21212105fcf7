//! From an id to a delivery: the id is its full key, or the sender's own id, which may name several.

use std::borrow::Cow;

use domain::{
    DeliveryKey, DeliveryReceived, EventLog, FindDeliveries, PageLimit, RecordedEvent, Revision, StreamName,
    TenantId,
};
use percent_encoding::percent_decode_str;
use poem::Request;

use crate::failure::{Failure, unreadable};
use crate::param::{Text, spelt};

/// The longest id that is looked up, in bytes.
const ID_BYTES_MAX: usize = 1024;

/// The text that a client put into the path for `{id}`, as it stands there and decoded. Keys hold percent signs of their
/// own, which not every client escapes once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdText {
    raw: String,
    decoded: String,
}

impl IdText {
    /// Takes it from the path, right after `/events/` or what else stands before it.
    pub(crate) fn of(request: &Request, before: &str, decoded: &str) -> Result<Self, Failure> {
        let raw = request
            .uri()
            .path()
            .split_once(before)
            .and_then(|(_, rest)| rest.split('/').next());
        Self::new(raw.unwrap_or(decoded))
    }

    fn new(raw: &str) -> Result<Self, Failure> {
        let decoded = percent_decode_str(raw).decode_utf8();
        let decoded = decoded.map_err(|_| Failure::parameter("id", "text in UTF-8 is expected"))?;
        if decoded.is_empty() || raw.len() > ID_BYTES_MAX {
            return Err(Failure::parameter("id", "1 to 1024 bytes are expected"));
        }
        Ok(Self {
            raw: raw.to_owned(),
            decoded: decoded.into_owned(),
        })
    }

    /// What may be the key, the likelier first.
    fn keys(&self) -> impl Iterator<Item = DeliveryKey> {
        let decoded = (self.decoded != self.raw).then_some(Cow::Borrowed(self.decoded.as_str()));
        let texts = [Some(Cow::Borrowed(self.raw.as_str())), decoded];
        texts.into_iter().flatten().filter_map(|text| text.parse().ok())
    }
}

/// Which of several deliveries is meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) source: Option<String>,
    pub(crate) hook_id: Option<String>,
}

impl Choice {
    /// Reads the parameters `source` and `hookId`.
    pub(crate) fn of(
        request: &Request,
        source: Option<Text>,
        hook_id: Option<Text>,
    ) -> Result<Self, Failure> {
        spelt(request, &["source", "hookId"])?;
        Ok(Self {
            source: source.map(|text| text.0),
            hook_id: hook_id.map(|text| text.0),
        })
    }

    fn fits(&self, received: &DeliveryReceived) -> bool {
        let source = self.source.as_ref().is_none_or(|s| s == received.source.as_str());
        // `_` is how keys and subjects write that there is none.
        let hook = self
            .hook_id
            .as_ref()
            .is_none_or(|h| *h == *received.hook_id.as_deref().unwrap_or("_"));
        source && hook
    }
}

/// A delivery as it was received: the first event of its stream.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) event: RecordedEvent,
    pub(crate) received: DeliveryReceived,
}

/// The log, and where deliveries are found in it by the sender's id.
#[derive(Clone, Copy)]
pub(crate) struct Finder<'a> {
    pub(crate) log: &'a dyn EventLog,
    pub(crate) index: &'a dyn FindDeliveries,
    pub(crate) tenant: &'a TenantId,
    /// The most alternatives listed.
    pub(crate) alternatives_max: usize,
}

impl Finder<'_> {
    /// The delivery that is meant, and the others that the id names.
    pub(crate) async fn find(&self, id: &IdText, choice: &Choice) -> Result<(Found, Vec<Found>), Failure> {
        let mut named = self.by_key(id).await?;
        if named.is_empty() {
            named = self.by_sender_id(&id.decoded).await?;
        }
        let meant = named.iter().position(|found| choice.fits(&found.received));
        match meant {
            Some(at) => {
                let found = named.remove(at);
                Ok((found, named))
            }
            None if named.is_empty() => Err(Failure::not_found(
                "there is no delivery of this id; give the full id or the id that its sender gave it",
            )),
            None => Err(Failure::not_found(
                "there is a delivery of this id, but not of this source and hookId",
            )),
        }
    }

    async fn by_key(&self, id: &IdText) -> Result<Vec<Found>, Failure> {
        for key in id.keys() {
            let stream = StreamName::of_delivery(self.tenant, &key);
            if let Some(found) = self.first_of(&stream).await? {
                return Ok(vec![found]);
            }
        }
        Ok(Vec::new())
    }

    async fn by_sender_id(&self, id: &str) -> Result<Vec<Found>, Failure> {
        let limit = self.alternatives_max.saturating_add(1);
        let streams = self.index.by_sender_id(self.tenant, id, limit).await?;
        let mut named = Vec::with_capacity(streams.len());
        for stream in streams {
            named.extend(self.first_of(&stream).await?);
        }
        Ok(named)
    }

    async fn first_of(&self, stream: &StreamName) -> Result<Option<Found>, Failure> {
        let limit = PageLimit {
            events: 1,
            ..PageLimit::default()
        };
        let events = self.log.read_stream(stream, Revision::new(0), limit).await?;
        let Some(event) = events.into_iter().next() else {
            return Ok(None);
        };
        let received = DeliveryReceived::of(&event).transpose().map_err(unreadable)?;
        Ok(received.map(|received| Found { event, received }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_tried_as_it_stands_and_decoded() {
        let keys = |raw: &str| -> Vec<String> {
            let id = IdText::new(raw).unwrap();
            id.keys().map(|k| k.to_string()).collect()
        };
        assert_eq!(keys("github.41.72d3"), ["github.41.72d3"]);
        assert_eq!(keys("github.a%2Eb.x"), ["github.a%2Eb.x", "github.a.b.x"]);
        assert_eq!(keys("github.a%252Eb.x"), ["github.a%252Eb.x", "github.a%2Eb.x"]);
        assert_eq!(keys("with%20space"), ["with%20space"]);
    }

    #[test]
    fn an_id_that_can_not_be_one_is_refused() {
        assert!(IdText::new("%FF").is_err());
        assert!(IdText::new("").is_err());
        assert!(IdText::new(&"x".repeat(2000)).is_err());
    }
}
