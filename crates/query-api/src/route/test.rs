//! A delivery made up for a test, sent through the real path.

use std::sync::Arc;

use domain::SourceName;
use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::Group;
use crate::access::Caller;
use crate::answer::JSON;
use crate::failure::{Failure, FailureBody};
use crate::json_body::{Command, JsonBody};
use crate::ports::TestSend;
use crate::state::State;

pub(crate) struct TestApi {
    pub(crate) state: Arc<State>,
}

/// What to make up; everything has a default, and so has the whole.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
struct TestRequest {
    /// The event type, `ping` unless given.
    #[oai(default = "default_event")]
    event_type: String,
    /// `owner/name`, `test/repo` unless given.
    #[oai(default = "default_repository")]
    repository: String,
    /// The action within the event.
    action: Option<String>,
    /// The source to send as, `github` unless given; where there is none, the first one.
    source: Option<String>,
}

fn default_event() -> String {
    "ping".to_owned()
}

fn default_repository() -> String {
    "test/repo".to_owned()
}

impl Default for TestRequest {
    fn default() -> Self {
        Self {
            event_type: default_event(),
            repository: default_repository(),
            action: None,
            source: None,
        }
    }
}

impl Command for TestRequest {
    const WHAT: &'static str = "What to make up";
    const EXPECTED: &'static str = "a JSON object with eventType, repository, action and source is expected, each optional, or no body at all";
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Service")]
impl TestApi {
    /// Send a signed synthetic delivery through the real path.
    ///
    /// The body may be left out: `{"eventType":"ping","repository":"test/repo"}` is meant then. It is signed as its source's
    /// sender would, answers as receiving does, is in the log like any other, and is left out of statistics.
    #[oai(path = "/test", method = "post", operation_id = "sendTest")]
    async fn test(&self, caller: Data<&Caller>, body: JsonBody<TestRequest>) -> Result<Received, Failure> {
        let request = body.read(&self.state.options).await?;
        checked("eventType", &request.event_type)?;
        checked("repository", &request.repository)?;
        if let Some(action) = &request.action {
            checked("action", action)?;
        }
        let source = request.source.map(|name| name.parse::<SourceName>());
        let source = source.transpose().map_err(|_| {
            Failure::parameter(
                "source",
                "the name of a source is expected: 1 to 63 of a-z, 0-9, - and _",
            )
        })?;
        let sent = self.state.test.send(TestSend {
            tenant: caller.tenant.clone(),
            source,
            event_type: request.event_type,
            repository: request.repository,
            action: request.action,
        });
        let answer = sent.await;
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, JSON)
            .body(answer.body);
        if let Some(seconds) = answer.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        Ok(Received(response))
    }
}

/// Header values and names in the log: short, and without control characters.
fn checked(name: &str, text: &str) -> Result<(), Failure> {
    if (1..=200).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Failure::parameter(
        name,
        "1 to 200 bytes without control characters are expected",
    ))
}

/// What receiving answered.
struct Received(Response);

impl IntoResponse for Received {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Received {
    fn meta() -> MetaResponses {
        let answer = |status, description, schema| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: JSON,
                schema,
            }],
            headers: Vec::new(),
        };
        let any = MetaSchemaRef::Inline(Box::new(poem_openapi::registry::MetaSchema::ANY));
        MetaResponses {
            responses: vec![
                answer(200, "The answer of receiving: captured, or seen before", any),
                answer(
                    503,
                    "The log can't be written; `Retry-After` says when to try again",
                    FailureBody::schema_ref(),
                ),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        FailureBody::register(registry);
    }
}
