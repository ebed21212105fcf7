//! One attempt from its beginning to its end: does the condition hold, what is the body, where does it go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cel::Value;
use domain::{
    BodyStore, DeliveryReceived, DestinationName, ErrorCode, EventData, Failure, Response, SentHeaders,
};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::classify;
use super::expression::{Expression, Unevaluated};
use super::facts::json_of;
use super::http::{HttpSender, NotDelivered};
use super::look::{Looks, Place};
use super::payload::Payload;
use super::share::{Share, Taken};
use super::shown::shown;
use super::subject::SubjectSender;
use super::transform::{NoBody, Transform};
use crate::{Dispatch, Sent, Target};

/// The type of every transformed body.
const JSON: &str = "application/json";
/// How long a priority may take: it is asked for by the one who decides what is next.
const PRIORITY_TIME: Duration = Duration::from_millis(20);

/// Where a destination is.
pub(crate) enum Way {
    /// At one URL or several.
    Http {
        /// The URLs.
        share: Share,
        /// What posts to them.
        sender: Box<HttpSender>,
    },
    /// At a NATS subject.
    Subject(SubjectSender),
}

/// How urgent deliveries are.
pub(crate) enum Urgency {
    /// All the same.
    Same(i64),
    /// As an expression says.
    Asked(Expression),
}

/// A destination.
pub(crate) struct Destination {
    pub(crate) name: DestinationName,
    pub(crate) way: Way,
    pub(crate) condition: Option<Arc<Expression>>,
    pub(crate) transform: Option<Transform>,
    pub(crate) urgency: Urgency,
    pub(crate) bodies: Arc<dyn BodyStore>,
    /// Shared by all destinations.
    pub(crate) looks: Looks,
    pub(crate) timeout: Duration,
    pub(crate) expression_time: Duration,
    pub(crate) json_bytes_max: u64,
    /// A priority that fails was logged.
    pub(crate) complained: AtomicBool,
}

/// How an attempt ended that got to the point of sending, or did not.
enum End {
    Delivered(Option<Response>),
    Skipped(&'static str),
    Failed(NotDelivered),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
    }
}

#[async_trait]
impl Target for Destination {
    fn describe(&self) -> Vec<String> {
        match &self.way {
            Way::Http { share, .. } => share.urls().map(shown).collect(),
            Way::Subject(sender) => vec![format!("nats:{}", sender.template)],
        }
    }

    async fn send(&self, dispatch: &Dispatch) -> Sent {
        let place = match &self.way {
            Way::Http { share, .. } => share.take(&dispatch.idempotency_key),
            Way::Subject(_) => None,
        };
        let target = self.target(place.as_ref(), dispatch);
        let deadline = Instant::now() + self.timeout;
        // Boxed: it holds all of a request, and there are many of them.
        let end = Box::pin(self.attempt(dispatch, place.as_ref(), deadline)).await;
        match end {
            End::Delivered(response) => Sent::Delivered { target, response },
            End::Skipped(why) => Sent::Skipped(why.to_owned()),
            End::Failed(failed) => Sent::Failed {
                target,
                response: failed.response,
                failure: failed.failure,
                retry_after: failed.retry_after,
                gone: failed.gone,
            },
        }
    }

    fn headers(&self, dispatch: &Dispatch) -> Option<SentHeaders> {
        let made_anew = self.transform.as_ref().map(|_| JSON);
        match &self.way {
            Way::Http { sender, .. } => Some(sender.headers(dispatch, made_anew)),
            Way::Subject(_) => None,
        }
    }

    fn priority(&self, received: &DeliveryReceived, data: &EventData) -> i64 {
        let expression = match &self.urgency {
            Urgency::Same(number) => return *number,
            Urgency::Asked(expression) => expression,
        };
        // A body in the store is null here: it would have to be read first.
        let json = match data {
            EventData::Inline(bytes) if expression.asks_for_body() => json_of(received, bytes),
            EventData::Inline(_) | EventData::Stored(_) => None,
        };
        match expression.value(received, json.as_deref(), PRIORITY_TIME) {
            Ok(value) => number(&value).unwrap_or_else(|| self.complain("it gives no number")),
            // A field that a body has not is usual.
            Err(Unevaluated::Missing) => 0,
            Err(error) => self.complain(&error.to_string()),
        }
    }
}

impl Destination {
    fn target(&self, place: Option<&Taken<'_>>, dispatch: &Dispatch) -> String {
        match &self.way {
            Way::Http { .. } => place.map(|place| shown(place.url())).unwrap_or_default(),
            Way::Subject(sender) => {
                let subject = sender.template.of(&dispatch.received);
                format!("nats:{}", subject.unwrap_or_else(|_| sender.template.to_string()))
            }
        }
    }

    async fn attempt(&self, dispatch: &Dispatch, place: Option<&Taken<'_>>, deadline: Instant) -> End {
        let original = Payload::new(&dispatch.data, &self.bodies);
        let Ok(body) = timeout_at(deadline, self.body(dispatch, original)).await else {
            return self.late().into();
        };
        let (payload, made_anew) = match body {
            Ok(Ok(body)) => body,
            Ok(Err(skipped)) => return End::Skipped(skipped),
            Err(failure) => return failure.into(),
        };
        match (&self.way, place) {
            (Way::Http { sender, .. }, Some(place)) => {
                let end = self
                    .post(sender, place, dispatch, &payload, made_anew, deadline)
                    .await;
                let failed = matches!(&end, End::Failed(failed) if failed.failure.retryable);
                place.note(&dispatch.idempotency_key, failed);
                end
            }
            (Way::Http { .. }, None) => {
                Failure::new(ErrorCode::ValidationError, "the destination has no address").into()
            }
            (Way::Subject(sender), _) => {
                let published = timeout_at(deadline, sender.publish(dispatch, &payload, made_anew)).await;
                match published {
                    Ok(Ok(())) => End::Delivered(None),
                    Ok(Err(failure)) => failure.into(),
                    Err(_) => self.late().into(),
                }
            }
        }
    }

    /// The deadline holds for the head of the answer. Beyond it nothing may turn a delivery into a failure.
    async fn post(
        &self,
        sender: &HttpSender,
        place: &Taken<'_>,
        dispatch: &Dispatch,
        payload: &Payload,
        made_anew: Option<&'static str>,
        deadline: Instant,
    ) -> End {
        let posting = sender.post(place.url(), dispatch, payload, made_anew);
        let judged = match timeout_at(deadline, posting).await {
            Ok(Ok(answer)) => sender.judge(answer, dispatch, deadline).await,
            Ok(Err(failed)) => Err(failed),
            Err(_) => Err(self.late().into()),
        };
        judged.map_or_else(End::Failed, |response| End::Delivered(Some(response)))
    }

    fn late(&self) -> Failure {
        let message = format!("no answer within {} ms", self.timeout.as_millis());
        Failure::new(ErrorCode::TimeoutError, message)
    }

    /// What is to be sent, and its content type if it was made anew; or why nothing is.
    async fn body(
        &self,
        dispatch: &Dispatch,
        original: Payload,
    ) -> Result<Result<(Payload, Option<&'static str>), &'static str>, Failure> {
        let condition = self.condition.as_ref();
        let looks = self.transform.is_some() || condition.is_some_and(|condition| condition.asks_for_body());
        let (json, place) = if looks {
            self.json(dispatch, &original).await?
        } else {
            (None, Place::default())
        };
        if let Some(condition) = condition
            && !self
                .holds(condition, dispatch, json.clone(), place.clone())
                .await?
        {
            return Ok(Err("the condition does not hold"));
        }
        let Some(transform) = &self.transform else {
            return Ok(Ok((original, None)));
        };
        match transform.run(json.unwrap_or_default(), place).await {
            Ok(Some(body)) => Ok(Ok((Payload::Bytes(body), Some(JSON)))),
            Ok(None) => Ok(Err("the transformation gave nothing")),
            Err(error) => {
                let code = match error {
                    NoBody::NotNow(_) => ErrorCode::ServiceUnavailable,
                    NoBody::Input(_) | NoBody::Failed(_) | NoBody::Stopped(_) => ErrorCode::ValidationError,
                };
                Err(Failure::new(code, format!("transform: {error}")))
            }
        }
    }

    /// The JSON in the body. A body that is too large to look into is a failure, not a condition that does not hold: the
    /// delivery would be gone without a word.
    async fn json(&self, dispatch: &Dispatch, payload: &Payload) -> Result<(Option<Bytes>, Place), Failure> {
        let bytes = payload.byte_len();
        if bytes > self.json_bytes_max {
            let message = format!(
                "the body has {bytes} bytes, and condition and transform look into at most json_bytes_max = {}",
                self.json_bytes_max
            );
            return Err(Failure::new(ErrorCode::ValidationError, message));
        }
        let place = self.looks.place(bytes, self.timeout / 2).await?;
        let whole = payload.whole().await;
        let whole = whole.map_err(|lost| classify::of_lost(&lost))?;
        Ok((json_of(&dispatch.received, &whole), place))
    }

    /// Whether a condition holds. Of a body that lacks a field it asks for, it does not.
    async fn holds(
        &self,
        condition: &Arc<Expression>,
        dispatch: &Dispatch,
        json: Option<Bytes>,
        place: Place,
    ) -> Result<bool, Failure> {
        let time = self.expression_time;
        let value = if json.is_none() {
            condition.value(&dispatch.received, None, time)
        } else {
            // On a thread where it disturbs nobody: a small body is enough to keep an expression busy for all of its time.
            let (condition, received) = (Arc::clone(condition), Arc::clone(&dispatch.received));
            let evaluation = spawn_blocking(move || {
                let value = condition.value(&received, json.as_deref(), time);
                drop(place);
                value
            });
            evaluation
                .await
                .unwrap_or_else(|error| Err(Unevaluated::Broken(error.to_string())))
        };
        let broken = |why: String| Failure::new(ErrorCode::ValidationError, format!("condition: {why}"));
        match value {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(broken(format!(
                "it gives a {}, not true or false",
                other.type_of()
            ))),
            Err(Unevaluated::Missing) => Ok(false),
            Err(error @ (Unevaluated::Broken(_) | Unevaluated::Late(_))) => Err(broken(error.to_string())),
        }
    }

    fn complain(&self, why: &str) -> i64 {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(destination = %self.name, why, "the priority of a delivery can't be told; it is taken as 0");
        }
        0
    }
}

/// A number as a whole one; what is out of range is held at its end.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast of a float saturates, as wanted here"
)]
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::UInt(number) => Some(i64::try_from(*number).unwrap_or(i64::MAX)),
        Value::Float(number) if !number.is_nan() => Some(*number as i64),
        Value::Bool(yes) => Some(i64::from(*yes)),
        Value::Float(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Function(..)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::Opaque(_)
        | Value::Struct(_)
        | Value::Null => None,
    }
}
