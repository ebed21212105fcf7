//! The API as a whole: built from its options and ports, it gives one endpoint that serves everything but receiving.

use std::sync::Arc;

use domain::{
    Audit, BodyStore, Clock, Destinations, EventLog, FindDeliveries, FindRejected, Keys, LiveEvents, Replays,
    Sources, Tables,
};
use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::header;
use poem::{EndpointExt, Response, Route};
use poem_openapi::{LicenseObject, OpenApiService};

use crate::access::SessionSecret;
use crate::dashboard;
use crate::document;
use crate::edge::Edge;
use crate::explorer;
use crate::live::socket::Sockets;
use crate::live::{Live, LiveOptions};
use crate::null;
use crate::options::ApiOptions;
use crate::ports::{CheckRequest, RenderMetrics, SendTest, SystemStatus};
use crate::route::audit::AuditApi;
use crate::route::causes::CausesApi;
use crate::route::deliveries::Deliveries;
use crate::route::destinations::DestinationsApi;
use crate::route::health::HealthApi;
use crate::route::jobs::Jobs;
use crate::route::keys::KeysApi;
use crate::route::login::LoginApi;
use crate::route::projections::ProjectionsApi;
use crate::route::rejected::RejectedApi;
use crate::route::replays::ReplaysApi;
use crate::route::repositories::Repositories;
use crate::route::runs::Runs;
use crate::route::sources::SourcesApi;
use crate::route::statistics::StatisticsApi;
use crate::route::stream::StreamApi;
use crate::route::system::SystemApi;
use crate::route::test::TestApi;
use crate::route::types::Types;
use crate::route::verify::VerifyApi;
use crate::state::State;

/// What the API needs of the rest of the program.
#[derive(Clone)]
pub struct ApiDeps {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The stream, for those who listen. The log is read where it can't be followed.
    pub events: Arc<dyn LiveEvents>,
    /// Where deliveries are found by the sender's id.
    pub find: Arc<dyn FindDeliveries>,
    /// Large bodies.
    pub bodies: Arc<dyn BodyStore>,
    /// The read store.
    pub tables: Arc<dyn Tables>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Orders replays. Answers `Unavailable` where no process of the role `react` can be asked.
    pub replays: Arc<dyn Replays>,
    /// Shows destinations, pauses and resumes them; an empty list where no process of the role `react` can be asked.
    pub destinations: Arc<dyn Destinations>,
    /// Shows sources, adds, changes and removes them.
    pub sources: Arc<dyn Sources>,
    /// Where rejected requests are found.
    pub rejected: Arc<dyn FindRejected>,
    /// Knows the API keys, makes and revokes them.
    pub keys: Arc<dyn Keys>,
    /// The audit trail.
    pub audit: Arc<dyn Audit>,
    /// Signs login cookies.
    pub session_secret: SessionSecret,
    /// How the program is doing.
    pub status: Arc<dyn SystemStatus>,
    /// Sends test deliveries.
    pub test: Arc<dyn SendTest>,
    /// Checks requests as receiving would.
    pub check: Arc<dyn CheckRequest>,
    /// The metrics.
    pub metrics: Arc<dyn RenderMetrics>,
    /// The version of the program.
    pub version: String,
    /// Where the API is reached from outside, for addresses in answers, such as `http://127.0.0.1:3000`.
    pub base_url: String,
}

type Groups = (
    (Deliveries, CausesApi, StreamApi),
    Types,
    RejectedApi,
    ReplaysApi,
    // The library takes sixteen groups, and groups of groups.
    (DestinationsApi, SourcesApi),
    StatisticsApi,
    HealthApi,
    Repositories,
    Jobs,
    Runs,
    ProjectionsApi,
    (TestApi, VerifyApi),
    SystemApi,
    KeysApi,
    AuditApi,
    LoginApi,
);

/// The read side.
pub struct Api {
    state: Arc<State>,
    events: Arc<dyn LiveEvents>,
    sockets: Sockets,
}

const DESCRIPTION: &str = "Ask what was received and what became of it, and have it done again. Answers are `{\"success\":true,\"data\":…}`; refusals are \
    `{\"success\":false,\"error\":{code,message,requestId}}`. Times are RFC 3339 in UTC, a date alone is its start, ends are \
    exclusive. Who asks shows an API key, which has one of the scopes read, operate and admin and belongs to a tenant. As long \
    as there never was a key, a true loopback client is served without: from this machine, under a loopback `Host`, through \
    no proxy and from no foreign web page.";

impl Api {
    /// Puts it together; nothing is read or opened yet.
    #[must_use]
    pub fn build(options: ApiOptions, live: LiveOptions, deps: ApiDeps) -> Self {
        let events = Arc::clone(&deps.events);
        let state = Arc::new(State::new(Arc::new(options), live, deps));
        Self {
            sockets: Sockets::new(Arc::clone(&state)),
            state,
            events,
        }
    }

    /// What feeds the live clients; it has to run for them to be shown anything new.
    #[must_use]
    pub fn live(&self) -> Live {
        Live::new(
            Arc::clone(&self.state),
            Arc::clone(&self.events),
            self.sockets.clone(),
        )
    }

    /// The OpenAPI document, as served at `/openapi.json`.
    #[must_use]
    pub fn document(&self) -> String {
        document::with_access(&null::named(&self.service().spec()))
    }

    /// Serves everything but receiving. Receiving's paths have to be matched before it: what they take, this one answers
    /// with 404 or 405.
    #[must_use]
    pub fn endpoint(&self) -> BoxEndpoint<'static, Response> {
        let service = self.service();
        let plain = service.spec();
        let document = document::with_access(&null::named(&plain));
        let page = explorer::endpoint(&service.swagger_ui_html(), (&plain, &document));
        let routes = Route::new()
            .at("/docs", page)
            .at("/dashboard", dashboard::entrance())
            .at("/dashboard/", dashboard::files())
            .at("/dashboard/*path", dashboard::files())
            .at(
                "/openapi.json",
                make_sync(move |_| {
                    Response::builder()
                        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                        .body(document.clone())
                }),
            )
            .nest_no_strip("/socket.io", self.sockets.endpoint())
            .nest_no_strip("/", service);
        Edge {
            inner: Arc::new(routes.map_to_response()),
            state: Arc::clone(&self.state),
        }
        .boxed()
    }

    fn service(&self) -> OpenApiService<Groups, ()> {
        let state = || Arc::clone(&self.state);
        let groups = (
            (
                Deliveries { state: state() },
                CausesApi { state: state() },
                StreamApi { state: state() },
            ),
            Types,
            RejectedApi { state: state() },
            ReplaysApi { state: state() },
            (DestinationsApi { state: state() }, SourcesApi { state: state() }),
            StatisticsApi { state: state() },
            HealthApi { state: state() },
            Repositories { state: state() },
            Jobs { state: state() },
            Runs { state: state() },
            ProjectionsApi { state: state() },
            (TestApi { state: state() }, VerifyApi { state: state() }),
            SystemApi { state: state() },
            KeysApi { state: state() },
            AuditApi { state: state() },
            LoginApi { state: state() },
        );
        OpenApiService::new(groups, "Hooklog", self.state.version.clone())
            .description(DESCRIPTION)
            .license(LicenseObject::new("MIT OR Apache-2.0"))
            .server("/")
    }
}
