//! The service itself: liveness, readiness, metrics.

use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::Data;
use poem::{IntoResponse, Request, Response};
use poem_openapi::payload::{Json, Payload, PlainText};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, OpenApi};

use super::Group;
use super::health::components;
use crate::access::{Caller, Need};
use crate::answer::JSON;
use crate::failure::Failure;
use crate::ports::ComponentState;
use crate::shape::destination::DestinationShape;
use crate::shape::system::{
    ComponentShape, Liveness, MemoryUsage, MetricsSummary, ProgressShape, ProjectionShape, QueueMetrics,
    Readiness, ServerMetrics, StoreMetrics,
};
use crate::state::State;

/// Of the Prometheus text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Counts every request to receive, by what became of it.
const RECEIVED: &str = "webhook_events_total";

pub(crate) struct SystemApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(tag = "Group::Service")]
impl SystemApi {
    /// Lead people to the dashboard.
    #[oai(path = "/", method = "get", hidden)]
    async fn root(&self) -> Leads {
        Leads::To(format!("{}/", crate::dashboard::PREFIX))
    }

    /// Say that the process lives. Open to all.
    #[oai(path = "/health", method = "get", operation_id = "getLiveness")]
    async fn health(&self) -> Lives {
        let (snapshot, log) = (self.state.status.snapshot().await, self.state.log.health());
        Lives::Yes(Plain(Liveness {
            status: "ok".to_owned(),
            timestamp: self.state.clock.now().to_string(),
            uptime: snapshot.uptime_secs,
            version: self.state.version.clone(),
            queue_size: log.queue_len as u64,
            max_queue_size: log.queue_max as u64,
        }))
    }

    /// Say whether deliveries are taken. The status code is open to all, the parts are for those who may read.
    #[oai(path = "/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, caller: Data<&Caller>) -> Ready {
        let (snapshot, destinations) = tokio::join!(
            self.state.status.snapshot(),
            self.state.destinations(&caller.tenant)
        );
        let parts = components(&self.state.log.health(), &snapshot, &destinations);
        let down = parts
            .iter()
            .any(|c| c.required && c.state == ComponentState::Down);
        let worst = parts.iter().map(|c| c.state).max().unwrap_or(ComponentState::Ok);
        let status = match worst {
            _ if down => "unavailable",
            ComponentState::Ok => "ready",
            ComponentState::Degraded | ComponentState::Down => "degraded",
        };
        // They are of the instance as a whole.
        let reads = caller.may(Need::Read) && caller.runs_the_instance();
        let details = reads || self.state.options.open_metrics;
        let readiness = Plain(Readiness {
            // To whom may not read, all that is not unavailable is ready.
            status: if details || down { status } else { "ready" }.to_owned(),
            timestamp: self.state.clock.now().to_string(),
            components: details.then(|| parts.iter().map(ComponentShape::from).collect()),
        });
        if down {
            Ready::No(readiness)
        } else {
            Ready::Yes(readiness)
        }
    }

    /// Get the metrics in the Prometheus text format, or as JSON with `Accept: application/json`.
    #[oai(path = "/metrics", method = "get", operation_id = "getMetrics")]
    async fn metrics(&self, request: &Request, caller: Data<&Caller>) -> Result<Metrics, Failure> {
        let accepts = request.header(header::ACCEPT).unwrap_or_default();
        let json = accepts
            .split(',')
            .filter_map(|kind| kind.split(';').next())
            .any(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        Ok(if json {
            Metrics::Json(Plain(self.summary(&caller).await))
        } else {
            Metrics::Text(Prometheus(self.state.metrics.prometheus()))
        })
    }

    /// Get the main metrics as JSON.
    #[oai(path = "/metrics.json", method = "get", operation_id = "getMetricsJson")]
    async fn metrics_json(&self, caller: Data<&Caller>) -> Result<MetricsJson, Failure> {
        Ok(MetricsJson::Summary(Plain(self.summary(&caller).await)))
    }
}

impl SystemApi {
    async fn summary(&self, caller: &Caller) -> MetricsSummary {
        let (snapshot, destinations) = tokio::join!(
            self.state.status.snapshot(),
            self.state.destinations(&caller.tenant)
        );
        let log = self.state.log.health();
        let text = self.state.metrics.prometheus();
        MetricsSummary {
            server: ServerMetrics {
                uptime: snapshot.uptime_secs,
                memory_usage: MemoryUsage {
                    rss: snapshot.rss_bytes,
                    heap_total: snapshot.rss_bytes,
                },
            },
            event_queue: QueueMetrics {
                events_queued: sum_of(&text, RECEIVED, None),
                events_processed: sum_of(&text, RECEIVED, Some("status=\"success\"")),
                queue_size: log.queue_len as u64,
            },
            event_store: StoreMetrics {
                events_stored: log.head.get(),
                storage_size: log.stored_bytes,
            },
            relay: snapshot.relay.map(ProgressShape::from),
            projections: snapshot.projections.iter().map(ProjectionShape::from).collect(),
            destinations: destinations.into_iter().map(DestinationShape::from).collect(),
        }
    }
}

/// The sum of a counter over its labels, or over those with a certain one, from the Prometheus text.
fn sum_of(text: &str, name: &str, label: Option<&str>) -> u64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let ours = labels.is_empty() || labels.starts_with('{');
        let wanted = label.is_none_or(|label| labels.contains(label));
        (ours && wanted).then(|| value.parse::<f64>().ok())?
    });
    let sum: f64 = values.filter(|value| value.is_finite() && *value >= 0.0).sum();
    // Counters are whole numbers far below 2^53.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are not negative and far below 2^53"
    )]
    let sum = sum as u64;
    sum
}

/// JSON without the envelope: what older tools read.
struct Plain<T>(T);

impl<T: serde::Serialize + Send> IntoResponse for Plain<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .header(header::CONTENT_TYPE, JSON)
            .body(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

impl<T: poem_openapi::types::Type> Payload for Plain<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        <Json<T> as Payload>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The Prometheus text format.
struct Prometheus(String);

impl IntoResponse for Prometheus {
    fn into_response(self) -> Response {
        Response::builder()
            .status(StatusCode::OK)
            .header(header::CONTENT_TYPE, PROMETHEUS)
            .body(self.0)
    }
}

impl Payload for Prometheus {
    const CONTENT_TYPE: &'static str = PROMETHEUS;

    fn schema_ref() -> MetaSchemaRef {
        <PlainText<String> as Payload>::schema_ref()
    }
}

#[derive(ApiResponse)]
enum Leads {
    /// Look there
    #[oai(status = 307)]
    To(#[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum Lives {
    /// The process lives
    #[oai(status = 200)]
    Yes(Plain<Liveness>),
}

#[derive(ApiResponse)]
enum Ready {
    /// Deliveries are taken
    #[oai(status = 200)]
    Yes(Plain<Readiness>),
    /// Deliveries are not taken
    #[oai(status = 503)]
    No(Plain<Readiness>),
}

/// The metrics in one of two formats.
enum Metrics {
    Text(Prometheus),
    Json(Plain<MetricsSummary>),
}

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        match self {
            Self::Text(text) => text.into_response(),
            Self::Json(json) => json.into_response(),
        }
    }
}

impl ApiResponse for Metrics {
    fn meta() -> MetaResponses {
        let content = vec![
            MetaMediaType {
                content_type: PROMETHEUS,
                schema: Prometheus::schema_ref(),
            },
            MetaMediaType {
                content_type: JSON,
                schema: Plain::<MetricsSummary>::schema_ref(),
            },
        ];
        MetaResponses {
            responses: vec![MetaResponse {
                description: "In the Prometheus text format, or as JSON",
                status: Some(200),
                status_range: None,
                content,
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        Plain::<MetricsSummary>::register(registry);
    }
}

#[derive(ApiResponse)]
enum MetricsJson {
    /// The main metrics
    #[oai(status = 200)]
    Summary(Plain<MetricsSummary>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = "# HELP webhook_events_total x\n\
            webhook_events_total{source=\"github\",event=\"push\",status=\"success\"} 3\n\
            webhook_events_total{source=\"github\",event=\"push\",status=\"duplicate\"} 2\n\
            webhook_events_total_other{status=\"success\"} 100\n\
            plain_total 7\n";
        assert_eq!(sum_of(text, RECEIVED, None), 5);
        assert_eq!(sum_of(text, RECEIVED, Some("status=\"success\"")), 3);
        assert_eq!(sum_of(text, "plain_total", None), 7);
        assert_eq!(sum_of(text, "nothing", None), 0);
    }
}
