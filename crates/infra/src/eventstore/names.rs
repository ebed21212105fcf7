//! The names that the streams of the log have on the server.

use domain::{Category, ContentHash, ContentKey, SourceName, StreamName, TenantId};
use sha2::{Digest as _, Sha256};

use super::error::OpenError;

/// Names under a prefix. What is the log's own stands behind `prefix.`, what it keeps beside it behind `prefix:`, so that one
/// filter tells them apart.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Result<Self, OpenError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=32).contains(&prefix.len()) && prefix.bytes().all(allowed) {
            Ok(Self {
                prefix: prefix.to_owned(),
            })
        } else {
            Err(OpenError::Prefix(prefix.chars().take(80).collect()))
        }
    }

    /// A stream of the log.
    pub(super) fn stream(&self, stream: &StreamName) -> String {
        format!("{}.{stream}", self.prefix)
    }

    /// Which stream of the log a name is.
    pub(super) fn parse(&self, name: &str) -> Option<StreamName> {
        let rest = name.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        rest.parse().ok()
    }

    /// What the names of all streams of the log begin with.
    pub(super) fn all(&self) -> String {
        format!("{}.", self.prefix)
    }

    /// What the names of the streams of a category begin with.
    pub(super) fn category(&self, category: Category) -> String {
        format!("{}.{}-", self.prefix, category.as_str())
    }

    /// Where the log's identity stands.
    pub(super) fn identity(&self) -> String {
        format!("{}:log", self.prefix)
    }

    /// Where the deliveries with a sender's id are announced.
    pub(super) fn sender_claims(&self, tenant: &TenantId, sender_id: &str) -> String {
        let hash = hex::encode(Sha256::digest(sender_id.as_bytes()));
        format!("{}:sender.{tenant}.{hash}", self.prefix)
    }

    /// Where the deliveries with a body are announced.
    pub(super) fn body_claims(&self, content: &ContentKey) -> String {
        self.body_claims_of(&content.tenant, &content.source, &content.body_sha256)
    }

    pub(super) fn body_claims_of(
        &self,
        tenant: &TenantId,
        source: &SourceName,
        sha256: &ContentHash,
    ) -> String {
        format!("{}:body.{tenant}.{source}.{sha256}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_name_and_nothing_else_is() {
        let names = Names::new("hooklog").unwrap();
        let stream: StreamName = "delivery-default.github.41.a".parse().unwrap();
        assert_eq!(names.stream(&stream), "hooklog.delivery-default.github.41.a");
        assert_eq!(names.parse(&names.stream(&stream)), Some(stream));
        for other in [
            "hooklog:log",
            "hooklog2.delivery-default.a",
            "$stats",
            "delivery-default.a",
            "hooklog.x",
        ] {
            assert_eq!(names.parse(other), None, "{other}");
        }
        for bad in ["", "Hook", "a.b", "a:b", "$a", &"a".repeat(33)] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }
}
