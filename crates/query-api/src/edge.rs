//! What every request passes on its way in and out: a request id, the access rule, cross-origin answers, security
//! headers, and JSON for whatever was refused. Nothing else turns an error into an answer.

use std::sync::Arc;
use std::time::Instant;

use poem::http::uri::Scheme;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::error::{ParseParamError, ParsePathError, ParseRequestPayloadError};
use uuid::Uuid;

use crate::access::audit::{AuditNote, Begun, Deed};
use crate::access::rule::Rule;
use crate::admission::{self, Admitted, unaudited};
use crate::answer::JSON;
use crate::failure::{Code, Failure, FailureBody};
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;

/// The outermost endpoint.
pub(crate) struct Edge<E> {
    pub(crate) inner: Arc<E>,
    pub(crate) state: Arc<State>,
}

/// The id of the request, for endpoints that write it down.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl<E> Endpoint for Edge<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = request_id(&request);
        let origin = self.allowed_origin(&request);
        let encrypted = *request.scheme() == Scheme::HTTPS;
        let head = request.method() == Method::HEAD;
        if head {
            request.set_method(Method::GET);
        }
        let mut response = match preflight(&request, origin.as_ref()) {
            Some(response) => response,
            None => self.admit(request, &id).await,
        };
        if head {
            response.take_body();
        }
        add_headers(&mut response, &id, origin);
        if encrypted {
            let year = HeaderValue::from_static("max-age=31536000");
            response
                .headers_mut()
                .insert(header::STRICT_TRANSPORT_SECURITY, year);
        }
        let status = response.status().as_str().to_owned();
        metrics::histogram!("hooklog_api_request_duration_seconds", "status" => status)
            .record(started.elapsed().as_secs_f64());
        Ok(response)
    }
}

impl<E> Edge<E>
where
    E: Endpoint<Output = Response> + 'static,
{
    async fn admit(&self, mut request: Request, id: &str) -> Response {
        let admitted = match admission::admit(&self.state, &request, id) {
            Ok(admitted) => admitted,
            Err(failure) => return refuse(&failure, id),
        };
        let begun = match self.begin(&admitted, request.uri().path(), id).await {
            Ok(begun) => begun,
            Err(failure) => return refuse(&failure, id),
        };
        let note = begun
            .as_ref()
            .map_or_else(AuditNote::default, |begun| begun.note.clone());
        let id = RequestId(id.to_owned());
        request.set_data(note);
        request.set_data(id.clone());
        request.set_data(admitted.caller);
        let Some(begun) = begun else {
            return answer(&*self.inner, request, admitted.rule, &id).await;
        };
        // Whoever hangs up takes nothing back: an action that began goes on to its end, and so does its record.
        let (inner, trail, rule) = (Arc::clone(&self.inner), self.state.trail.clone(), admitted.rule);
        let done = tokio::spawn({
            let id = id.clone();
            async move {
                let response = answer(&*inner, request, rule, &id).await;
                trail.end(begun, response.status()).await;
                response
            }
        });
        done.await
            .unwrap_or_else(|_panicked| refuse(&Failure::of_status(StatusCode::INTERNAL_SERVER_ERROR), &id.0))
    }

    /// What changes something stands in the audit trail before it is done; what can't be written there is not done.
    async fn begin(&self, admitted: &Admitted, path: &str, id: &str) -> Result<Option<Begun>, Failure> {
        let Some(action) = admitted.rule.action else {
            return Ok(None);
        };
        let deed = Deed {
            caller: &admitted.caller,
            action,
            target: admitted.rule.target(path),
            request_id: id,
        };
        let begun = self.state.trail.begin(deed).await;
        begun.map(Some).map_err(|error| unaudited(&error))
    }

    fn allowed_origin(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        self.state
            .options
            .cors_origins
            .iter()
            .any(|allowed| allowed == text)
            .then(|| origin.clone())
    }
}

/// What the endpoint says, with every refusal in our words.
async fn answer<E>(inner: &E, request: Request, rule: &Rule, id: &RequestId) -> Response
where
    E: Endpoint<Output = Response>,
{
    let (method, path) = (request.method().clone(), rule.shown(request.uri().path()));
    match inner.call(request).await {
        Ok(response) => response,
        Err(error) => {
            let failure = failure_of(error);
            report(&failure, &method, &path, &id.0);
            refuse(&failure, &id.0)
        }
    }
}

/// The caller's own id where it is short and plain, so that traces join up; else a fresh one.
fn request_id(request: &Request) -> String {
    let plain = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(plain)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn preflight(request: &Request, origin: Option<&HeaderValue>) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    (asks && origin.is_some()).then(|| {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                "GET, HEAD, POST, PATCH, DELETE",
            )
            .header(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type, Last-Event-ID, X-Api-Key, X-Request-Id",
            )
            .header(header::ACCESS_CONTROL_MAX_AGE, "600")
            .finish()
    })
}

fn add_headers(response: &mut Response, id: &str, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("X-Request-Id, Retry-After"),
        );
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Our own failures as they are; those of the router and of extractors in our words.
fn failure_of(error: poem::Error) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    if let Some(error) = error.downcast_ref::<ParseParamError>() {
        return Failure::parameter(error.name, expected(&error.reason));
    }
    if let Some(error) = error.downcast_ref::<ParsePathError>() {
        return Failure::parameter(error.name, expected(&error.reason));
    }
    if let Some(error) = error.downcast_ref::<ParseRequestPayloadError>() {
        return Failure::new(
            Code::Validation,
            format!("the body can't be read: {}", expected(&error.reason)),
        );
    }
    let status = error.status();
    if status.is_server_error() || matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
        return Failure::of_status(status);
    }
    Failure::new(Code::of_status(status), error.to_string())
}

/// The library wraps what a parameter's type says into the names of its types; only the middle is for people.
fn expected(reason: &str) -> &str {
    let start = reason.find("\": ").map_or(0, |at| at + 3);
    let text = reason.get(start..).unwrap_or(reason);
    text.split(" (occurred while parsing").next().unwrap_or(text)
}

fn report(failure: &Failure, method: &Method, path: &str, id: &str) {
    if !failure.code.status().is_server_error() {
        return;
    }
    let cause = failure.cause.as_deref().unwrap_or_default();
    tracing::warn!(%method, path, request_id = id, code = failure.code.as_str(), message = %failure, cause, "request failed");
}

fn refuse(failure: &Failure, id: &str) -> Response {
    let body = FailureBody::new(failure.code, failure.to_string(), id);
    let mut response = Response::builder()
        .status(failure.code.status())
        .header(header::CONTENT_TYPE, JSON)
        .body(serde_json::to_vec(&body).unwrap_or_default());
    if let Some(seconds) = failure.retry_after_secs {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if failure.code == Code::Authentication {
        let bearer = HeaderValue::from_static("Bearer realm=\"hooklog\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    }
    response.into_response()
}
