//! One POST to a URL: signed, sent, its redirects followed, its answer read and judged.
//!
//! The status decides. Once it is here, a 2xx is a delivery even if the connection breaks in the middle of the answer's
//! body: the receiver had decided when it sent it, and to ask again would make it do its work twice. A connection that ends
//! before the whole head of the answer is a failure of the network. Never here: a body held whole in memory that is not
//! already, and a connection to an address that was not checked.

use std::sync::Arc;
use std::time::Duration;

use domain::{ErrorCode, Failure, Response, SentHeaders};
use http::HeaderMap;
use reqwest::Client;
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address::AddressPolicy;
use super::classify;
use super::headers::{self, Letter};
use super::payload::Payload;
use super::redirect::{Hop, hop};
use super::resolve::{CheckedResolver, ResolveHost, check_literal};
use super::retry_after::retry_after;
use super::sign::Signer;
use crate::Dispatch;

/// How long the body of an answer is waited for once its status is known.
const ANSWER_BODY_TIME: Duration = Duration::from_secs(2);
/// How long an unused connection is kept. Short, as many servers drop theirs after five seconds, and a request that meets
/// such a moment is a failed attempt.
const IDLE_TIME: Duration = Duration::from_secs(4);
/// The shortest configured value that is blotted out of answers. Shorter ones would blot out ordinary text.
const BLOTTED_BYTES_MIN: usize = 6;

/// What an HTTP destination is made of.
pub(crate) struct HttpParts {
    pub(crate) tls: ClientConfig,
    pub(crate) names: Arc<dyn ResolveHost>,
    pub(crate) policy: AddressPolicy,
    pub(crate) signer: Option<Signer>,
    /// Headers of the settings, their values marked as sensitive.
    pub(crate) added: HeaderMap,
    /// What must not be shown where an answer repeats it.
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) connect_timeout: Duration,
    pub(crate) redirects_max: usize,
    pub(crate) response_bytes_max: usize,
    pub(crate) retry_after_max: Duration,
}

/// Posts deliveries.
pub(crate) struct HttpSender {
    client: Client,
    parts: HttpParts,
}

/// Why a post is no delivery.
pub(crate) struct NotDelivered {
    pub(crate) response: Option<Response>,
    pub(crate) failure: Failure,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) gone: bool,
}

impl From<Failure> for NotDelivered {
    fn from(failure: Failure) -> Self {
        Self {
            response: None,
            failure,
            retry_after: None,
            gone: false,
        }
    }
}

impl HttpSender {
    pub(crate) fn build(parts: HttpParts) -> Result<Self, reqwest::Error> {
        let resolver = CheckedResolver::new(Arc::clone(&parts.names), Arc::new(parts.policy.clone()));
        let client = Client::builder()
            .tls_backend_preconfigured(parts.tls.clone())
            .dns_resolver(resolver)
            // A proxy of the environment would make the connection in our place, to addresses nobody checked.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(parts.connect_timeout)
            .pool_idle_timeout(IDLE_TIME)
            .http1_only()
            .build()?;
        Ok(Self { client, parts })
    }

    /// Posts a payload, and waits for the head of the answer: with it, it is decided what becomes of the attempt.
    /// `made_anew` is the content type of a payload that is not the original body.
    pub(crate) async fn post(
        &self,
        to: &Url,
        dispatch: &Dispatch,
        payload: &Payload,
        made_anew: Option<&'static str>,
    ) -> Result<reqwest::Response, NotDelivered> {
        let letter = Letter {
            dispatch,
            byte_len: payload.byte_len(),
            made_anew,
            signature: self.signature(dispatch, payload).await?,
        };
        let ours = headers::compose(&letter);
        let (mut url, mut with_added, mut followed) = (to.clone(), true, 0);
        loop {
            let answer = self.request(&url, &ours, with_added, payload).await?;
            match hop(
                answer.status(),
                answer.headers(),
                &url,
                followed,
                self.parts.redirects_max,
            ) {
                Hop::None => return Ok(answer),
                Hop::To {
                    url: next,
                    same_origin,
                } => {
                    // What the settings add may be a credential, meant for the address in the settings alone.
                    with_added &= same_origin;
                    (url, followed) = (next, followed + 1);
                }
                Hop::Refused(why) => {
                    let status = answer.status().as_u16();
                    let message = format!("answered {status}, a redirect that is not followed: {why}");
                    return Err(NotDelivered {
                        response: Some(Response::new(status, "")),
                        ..Failure::new(ErrorCode::ValidationError, message).into()
                    });
                }
            }
        }
    }

    /// Which headers a post carries, what is secret in them masked.
    pub(crate) fn headers(&self, dispatch: &Dispatch, made_anew: Option<&'static str>) -> SentHeaders {
        let letter = Letter {
            dispatch,
            byte_len: 0,
            made_anew,
            signature: self.parts.signer.as_ref().map(|_| String::new()),
        };
        headers::told(&letter, &self.parts.added)
    }

    async fn signature(&self, dispatch: &Dispatch, payload: &Payload) -> Result<Option<String>, Failure> {
        let Some(signer) = &self.parts.signer else {
            return Ok(None);
        };
        let mut signing = signer.begin(&dispatch.idempotency_key, dispatch.now.as_secs());
        let read = payload.each(|piece| signing.update(piece)).await;
        read.map_err(|lost| classify::of_lost(&lost))?;
        Ok(Some(signing.finish()))
    }

    async fn request(
        &self,
        url: &Url,
        ours: &HeaderMap,
        with_added: bool,
        payload: &Payload,
    ) -> Result<reqwest::Response, Failure> {
        check_literal(url, &self.parts.policy)
            .map_err(|refused| Failure::new(ErrorCode::ValidationError, refused.to_string()))?;
        let mut request = self.client.post(url.clone()).headers(ours.clone());
        if with_added {
            request = request.headers(self.parts.added.clone());
        }
        let sent = request.body(payload.clone().into_request_body()).send().await;
        sent.map_err(classify::of_error)
    }

    /// What an answer means. The body of one that is here by the deadline is waited for no longer than that.
    pub(crate) async fn judge(
        &self,
        answer: reqwest::Response,
        dispatch: &Dispatch,
        deadline: Instant,
    ) -> Result<Response, NotDelivered> {
        let status = answer.status();
        let waits = matches!(status.as_u16(), 429 | 503);
        let retry_after = waits
            .then(|| retry_after(answer.headers(), dispatch.now, self.parts.retry_after_max))
            .flatten();
        let response = Response::new(status.as_u16(), &self.excerpt(answer, deadline).await);
        match classify::failure_of(status) {
            None => Ok(response),
            Some(failure) => Err(NotDelivered {
                response: Some(response),
                failure,
                retry_after,
                gone: status == http::StatusCode::GONE,
            }),
        }
    }

    /// The beginning of an answer's body. Short in time and size: it is for people, and decides nothing.
    async fn excerpt(&self, mut answer: reqwest::Response, deadline: Instant) -> String {
        let mut body = Vec::new();
        let read = async {
            // Read on to the end if it is not far: only then the connection can be used again.
            while let Ok(Some(piece)) = answer.chunk().await {
                let room = self.parts.response_bytes_max - body.len();
                body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
                if body.len() >= self.parts.response_bytes_max {
                    break;
                }
            }
        };
        // Whether its end was reached makes no difference.
        let _ = timeout_at(deadline.min(Instant::now() + ANSWER_BODY_TIME), read).await;
        self.blotted(&String::from_utf8_lossy(&body))
    }

    /// The text without what is secret in the settings: some receivers answer with the headers they got.
    fn blotted(&self, text: &str) -> String {
        let mut text = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', " ");
        for secret in &self.parts.secrets {
            for part in secret.expose_secret().split_whitespace() {
                if part.len() >= BLOTTED_BYTES_MIN {
                    text = text.replace(part, "***");
                }
            }
        }
        text
    }
}
