//! Deliveries made up and signed as their sender would: by the process itself, to try the real path with, and by whoever
//! has the source's secret.

use bytes::Bytes;
use domain::{SourceName, TenantId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::build_error::BuildError;
use crate::options::{IngestOptions, Secret, SourceOptions};
use crate::signature::{self, Claim, Example, Scheme, SignError, ToSign};

/// A delivery to be signed with its source's own secret and received like any other, marked `synthetic`.
#[derive(Debug, Clone)]
pub struct SyntheticDelivery {
    /// Whose delivery it is.
    pub tenant: TenantId,
    /// The source; none for `github`, else the first one, that has a secret of the tenant.
    pub source: Option<SourceName>,
    /// The event type.
    pub event: String,
    /// The action within it, where the body is made here.
    pub action: Option<String>,
    /// The repository it is about, where the body is made here.
    pub repository: String,
    /// The body; without one a small one is made, of a content of its own, so that none repeats another.
    pub body: Option<Bytes>,
    /// More headers, beside those of the scheme.
    pub headers: Vec<(String, String)>,
}

impl SyntheticDelivery {
    /// A small delivery about a repository.
    #[must_use]
    pub fn example(event: &str, repository: &str, action: Option<&str>) -> Self {
        Self {
            tenant: TenantId::default(),
            source: None,
            event: event.to_owned(),
            action: action.map(str::to_owned),
            repository: repository.to_owned(),
            body: None,
            headers: Vec::new(),
        }
    }

    /// Its body, by the scheme of its source.
    pub(crate) fn body(&self, scheme: &dyn Scheme, now: Timestamp) -> Bytes {
        if let Some(body) = &self.body {
            return body.clone();
        }
        let mut body = scheme.example(&Example {
            event: &self.event,
            action: self.action.as_deref(),
            repository: &self.repository,
            now,
        });
        if let Some(members) = body.as_object_mut() {
            let mark = json!({"synthetic": true, "id": Uuid::new_v4()});
            members.insert("hooklog".to_owned(), mark);
        }
        body.to_string().into()
    }
}

/// Signs deliveries as the sender of a source.
pub struct Sender {
    scheme: Box<dyn Scheme>,
    secret: Option<Secret>,
}

/// What a sender sends.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The event type.
    pub event: &'a str,
    /// The sender's id of the delivery.
    pub delivery_id: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// When it is signed.
    pub now: Timestamp,
}

impl Sender {
    /// A sender that signs with the first secret of the source.
    ///
    /// # Errors
    /// When the source can't be used as configured.
    pub fn build(source: &SourceOptions) -> Result<Self, BuildError> {
        let limits = IngestOptions::default();
        source.check(&limits)?;
        let scheme = signature::scheme(source, &limits).map_err(|why| BuildError::Scheme {
            source_name: source.name.as_str().to_owned(),
            why,
        })?;
        Ok(Self {
            scheme,
            secret: source.secrets.first().cloned(),
        })
    }

    /// A small body with facts where this sender has them.
    #[must_use]
    pub fn example(&self, event: &str, action: Option<&str>, repository: &str, now: Timestamp) -> Vec<u8> {
        let example = Example {
            event,
            action,
            repository,
            now,
        };
        self.scheme.example(&example).to_string().into_bytes()
    }

    /// Whether the time of signing is in the body, so that an old body can't be signed anew.
    #[must_use]
    pub fn has_time_in_body(&self) -> bool {
        self.scheme.paths(&Claim::default()).signed_at.is_some()
    }

    /// The headers of a delivery, by name and value.
    ///
    /// # Errors
    /// When a header can't carry what it should, or the secret only verifies.
    pub fn sign(&self, sent: &Sent<'_>) -> Result<Vec<(String, String)>, SignError> {
        let to_sign = ToSign {
            event: sent.event,
            delivery_id: sent.delivery_id,
            body: sent.body,
            now: sent.now,
        };
        let headers = self.scheme.sign(&to_sign, self.secret.as_ref())?;
        let text = |(name, value): (&poem::http::HeaderName, &poem::http::HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        Ok(headers.iter().map(text).collect())
    }
}
