//! The live stream of deliveries.

use std::sync::Arc;

use domain::Position;
use poem::http::header;
use poem::web::Data;
use poem::{IntoResponse, Request, Response};
use poem_openapi::param::Query;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiResponse, OpenApi};

use super::Group;
use crate::access::{Caller, address};
use crate::failure::Failure;
use crate::live::HangUp;
use crate::live::filter::Filter;
use crate::live::pass::Pass;
use crate::live::places::Owner;
use crate::live::resume::Resume;
use crate::live::sse::Stream;
use crate::param::{Flag, Source, Statuses, Text, spelt};
use crate::route::deliveries::statuses;
use crate::shape::live::{LiveDelivery, LiveNotice, LiveStatus};
use crate::state::State;

const LAST_EVENT_ID: &str = "last-event-id";
const EVENT_STREAM: &str = "text/event-stream";

pub(crate) struct StreamApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Deliveries")]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
impl StreamApi {
    /// Follow deliveries as they are received, as server-sent events.
    ///
    /// Each delivery is an event without a name: `id:` is `<logId>:<position>`, `data:` one line of JSON, a `LiveDelivery`. With
    /// `changes`, what becomes of deliveries is sent as `event: status` with a `LiveStatus`. Before the server ends the stream it
    /// says why, as `event: notice` with a `LiveNotice`. A client that sends the last id as `Last-Event-ID` (browsers do) goes on
    /// right after it, out of the log: nothing is left out, nothing repeated. An event with nothing but an id says how far the
    /// log is while the filter leaves everything out, and that the connection lives.
    #[oai(path = "/stream", method = "get", operation_id = "streamEvents")]
    async fn stream(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// The configured sender.
        source: Query<Option<Source>>,
        /// The event type.
        event: Query<Option<Text>>,
        /// The action within the event.
        action: Query<Option<Text>>,
        /// Whether the status is processed.
        processed: Query<Option<Flag>>,
        /// A status; `pending` stands for received, processing and retrying, `failed` for dead. Of a delivery it is the one at
        /// its receipt, of a change the one that it changed to.
        status: Query<Option<Statuses>>,
        /// Whether changes of status are sent as well.
        changes: Query<Option<Flag>>,
        /// Where to begin: `<logId>:<position>` or a position, 0 for the beginning of the log. The header `Last-Event-ID` goes
        /// before it. Without either: with what is received from now on.
        after: Query<Option<Text>>,
    ) -> Result<EventStream, Failure> {
        let known = [
            "repository",
            "source",
            "event",
            "action",
            "processed",
            "status",
            "changes",
            "after",
        ];
        spelt(request, &known)?;
        if self.state.live.stop.is_cancelled() {
            return Err(Failure::later("the server is stopping", 1));
        }
        let place = self
            .state
            .live
            .streams
            .take(Owner::of(&caller, address(request)))?;
        let after = self.begin(request, after.0).await?;
        let filter = Filter {
            tenant: caller.tenant.clone(),
            repository: repository.0.map(|text| text.0.to_lowercase()),
            source: source.0.map(|name| name.0.to_string()),
            event: event.0.map(|text| text.0),
            action: action.0.map(|text| text.0),
            statuses: statuses(status.0, processed.0),
            changes: changes.0.is_some_and(|flag| flag.0),
        };
        let stream = Stream {
            state: Arc::clone(&self.state),
            pass: Pass::new(caller.0.clone()),
            filter,
            after,
            place,
            hang_up: request.data::<HangUp>().cloned(),
        };
        let response = Response::builder()
            .header(header::CONTENT_TYPE, EVENT_STREAM)
            // Proxies that know it pass on what they get at once.
            .header("X-Accel-Buffering", "no")
            .body(stream.start());
        Ok(EventStream(response))
    }
}

impl StreamApi {
    /// The position after which the stream begins.
    async fn begin(&self, request: &Request, after: Option<Text>) -> Result<Position, Failure> {
        let header = request.headers().get(LAST_EVENT_ID);
        let header = header
            .map(|value| value.to_str().unwrap_or("?"))
            .filter(|id| !id.is_empty());
        let expected = "`<logId>:<position>` or a position is expected, as in the `id` of an event";
        let resume = match (header, &after) {
            (Some(id), _) => {
                Some(Resume::parse(id).ok_or_else(|| Failure::parameter("Last-Event-ID", expected))?)
            }
            (None, Some(text)) => {
                Some(Resume::parse(&text.0).ok_or_else(|| Failure::parameter("after", expected))?)
            }
            (None, None) => None,
        };
        let head = self.state.log.head().await?;
        match resume {
            Some(resume) => resume.within(self.state.log.id(), head),
            None => Ok(head),
        }
    }
}

/// A stream that does not end by itself.
struct EventStream(Response);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Server-sent events; the stream goes on until one side ends it",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: EVENT_STREAM,
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        // Not in scope above: it gives every type an `is_empty` of its own.
        use poem_openapi::types::Type;
        <LiveDelivery as Type>::register(registry);
        <LiveStatus as Type>::register(registry);
        <LiveNotice as Type>::register(registry);
    }
}
