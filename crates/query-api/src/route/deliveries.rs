//! Deliveries: the list, the dead letters, one in full, its exact bytes.

use std::sync::Arc;

use domain::DeliveryStatus;
use poem::web::Data;
use poem::{Request, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Binary;
use poem_openapi::registry::{MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, OpenApi};

use super::Group;
use super::page::{Asked, Paged, cut};
use crate::access::Caller;
use crate::answer::{Answer, Written};
use crate::delivery::body;
use crate::delivery::detail::Sources;
use crate::delivery::find::{Choice, IdText};
use crate::failure::Failure;
use crate::param::{Flag, Limit, Number, OfCategory, Source, Statuses, Text, Time, spelt};
use crate::shape::delivery::{DeadLetter, DeadLetterPage, DeliveryDetail, DeliveryPage, DeliveryRow};
use crate::sql::deliveries::{Filter, PROJECTION, Row, count_among, window};
use crate::sql::newest::{Listed, Listing};
use crate::sql::{Counted, CountedAmong, rare, statistics};
use crate::state::{State, answered, shared};

/// Name of the list in cursors.
const LIST: &str = "events";
/// Dead letters shown when no limit is given.
const FAILED_ROWS: u32 = 10;

pub(crate) struct Deliveries {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Deliveries")]
#[allow(
    clippy::too_many_arguments,
    reason = "each is a parameter of the contract, and the macro takes no struct"
)]
impl Deliveries {
    /// List deliveries, the newest first.
    ///
    /// Page on with `cursor`. `total` is counted from rollups per minute, never by reading the list: where they do not
    /// know it exactly, `totalIsExact` is false.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// `owner/name`, without regard to case.
        repository: Query<Option<Text>>,
        /// The configured sender.
        source: Query<Option<Source>>,
        /// The event type.
        event: Query<Option<Text>>,
        /// What the event is about, as the known types say; of any sender.
        category: Query<Option<OfCategory>>,
        /// The action within the event.
        action: Query<Option<Text>>,
        /// Whether the status is processed.
        processed: Query<Option<Flag>>,
        /// A status; `pending` stands for received, processing and retrying, `failed` for dead.
        status: Query<Option<Statuses>>,
        /// Received at or after; a date alone is its start.
        #[oai(name = "startDate")]
        start_date: Query<Option<Time>>,
        /// Received before; a date alone is its start.
        #[oai(name = "endDate")]
        end_date: Query<Option<Time>>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000; beyond, page by `cursor`.
        offset: Query<Option<Number>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Written<DeliveryPage>, Failure> {
        spelt(
            request,
            &[
                "repository",
                "source",
                "event",
                "category",
                "action",
                "processed",
                "status",
                "startDate",
                "endDate",
                "limit",
                "offset",
                "cursor",
            ],
        )?;
        let (from, until) = (start_date.0.map(|t| t.0), end_date.0.map(|t| t.0));
        if let (Some(from), Some(until)) = (from, until)
            && until < from
        {
            return Err(Failure::parameter(
                "endDate",
                "a time after `startDate` is expected",
            ));
        }
        let filter = Filter {
            repository: repository.0.map(|text| text.0.to_lowercase()),
            source: source.0.map(|name| name.0.to_string()),
            event: event.0.map(|text| text.0),
            category: category.0.map(|word| word.0),
            action: action.0.map(|text| text.0),
            statuses: statuses(status.0, processed.0),
            from,
            until,
        };
        let limit = (limit.0, self.state.options.page_rows);
        let asked = Asked::of(&self.state, &caller, LIST, limit, offset.0, cursor.0)?;
        self.remembered(&caller, filter, asked).await
    }

    /// List the dead letters: the last error, where and when, and the attempts made.
    #[oai(path = "/failed", method = "get", operation_id = "listFailed")]
    async fn failed(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Rows of the page: 10 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000; beyond, page by `cursor`.
        offset: Query<Option<Number>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Answer<DeadLetterPage>, Failure> {
        spelt(request, &["limit", "offset", "cursor"])?;
        let limit = (limit.0, FAILED_ROWS);
        let asked = Asked::of(&self.state, &caller, LIST, limit, offset.0, cursor.0)?;
        let filter = Filter {
            statuses: Some(vec![DeliveryStatus::Dead]),
            ..Filter::default()
        };
        let (rows, total) = self.read(&caller, &filter, &asked).await?;
        Ok(Answer(DeadLetterPage {
            events: rows.rows.into_iter().map(DeadLetter::from).collect(),
            total: total.0,
            total_is_exact: total.1,
            limit: asked.limit,
            offset: asked.offset,
            next_cursor: rows.next_cursor,
        }))
    }

    /// Show one delivery in full.
    ///
    /// It is read from the log, so it is there right after its 200.
    #[oai(path = "/events/:id", method = "get", operation_id = "getEvent")]
    async fn one(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The full id, or the sender's own; where that names several, the first received is meant.
        id: Path<String>,
        /// Which of several: that of this source.
        source: Query<Option<Text>>,
        /// Which of several: that of this hook; `_` for none.
        #[oai(name = "hookId")]
        hook_id: Query<Option<Text>>,
    ) -> Result<Answer<DeliveryDetail>, Failure> {
        let choice = Choice::of(request, source.0, hook_id.0)?;
        let id = IdText::of(request, "/events/", &id)?;
        let finder = self.state.finder(&caller.tenant);
        let (found, others) = finder.find(&id, &choice).await?;
        let sources = Sources {
            log: self.state.log.as_ref(),
            bodies: self.state.bodies.as_ref(),
            base_url: &self.state.base_url,
            payload_bytes_max: self.state.options.payload_bytes_max,
            history_events_max: self.state.options.history_events_max,
        };
        sources.detail(found, &others).await.map(Answer)
    }

    /// Get the exact bytes of a delivery, with the content type that they came with.
    #[oai(path = "/events/:id/body", method = "get", operation_id = "getEventBody")]
    async fn body(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// The full id, or the sender's own.
        id: Path<String>,
        /// Which of several: that of this source.
        source: Query<Option<Text>>,
        /// Which of several: that of this hook; `_` for none.
        #[oai(name = "hookId")]
        hook_id: Query<Option<Text>>,
    ) -> Result<ExactBody, Failure> {
        let choice = Choice::of(request, source.0, hook_id.0)?;
        let id = IdText::of(request, "/events/", &id)?;
        let finder = self.state.finder(&caller.tenant);
        let (found, _) = finder.find(&id, &choice).await?;
        let response = body::respond(found, Arc::clone(&self.state.bodies)).await?;
        Ok(ExactBody(response))
    }
}

/// The bytes as they were received.
struct ExactBody(Response);

impl poem::IntoResponse for ExactBody {
    fn into_response(self) -> Response {
        self.0
    }
}

/// What the document says of [`ExactBody`].
#[derive(ApiResponse)]
enum ExactBodyShape {
    /// The bytes as they were received, under their own content type, as a download
    #[oai(status = 200)]
    #[allow(dead_code, reason = "describes the answer, which is streamed")]
    Bytes(Binary<Vec<u8>>),
}

impl ApiResponse for ExactBody {
    fn meta() -> MetaResponses {
        let mut meta = ExactBodyShape::meta();
        for content in meta
            .responses
            .iter_mut()
            .flat_map(|response| &mut response.content)
        {
            // The sender's own, whatever that is.
            content.content_type = "*/*";
            content.schema = MetaSchemaRef::Inline(Box::new(MetaSchema::ANY));
        }
        meta
    }

    fn register(registry: &mut Registry) {
        ExactBodyShape::register(registry);
    }
}

/// The statuses that two parameters leave; none for all.
pub(super) fn statuses(status: Option<Statuses>, processed: Option<Flag>) -> Option<Vec<DeliveryStatus>> {
    let Some(processed) = processed else {
        return status.map(|s| s.0);
    };
    let of = status.map_or_else(|| DeliveryStatus::ALL.to_vec(), |s| s.0);
    let fits = |s: &DeliveryStatus| (*s == DeliveryStatus::Processed) == processed.0;
    Some(of.into_iter().filter(fits).collect())
}

/// How far a list is.
#[derive(Debug, Clone, Copy)]
struct Standing {
    build: u32,
    position: u64,
    /// Whether nobody but this process writes it: what others have done is learned of later.
    alone: bool,
}

impl Deliveries {
    /// A page out of memory, as long as nothing was projected since: what a list is said to have, it shows at once.
    async fn remembered(
        &self,
        caller: &Caller,
        filter: Filter,
        asked: Asked,
    ) -> Result<Written<DeliveryPage>, Failure> {
        // Before it is read: it may have more than that, never less.
        let standing = self.standing().await;
        let position = standing
            .as_ref()
            .map(|at| format!("{}:{}", self.state.log.id(), at.position));
        let Some(at) = standing.filter(|at| at.alone) else {
            return self
                .page(caller, filter, asked, position)
                .await
                .map(Written::from);
        };
        let key = (
            caller.tenant.clone(),
            (at.build, at.position, filter.clone(), asked.clone()),
        );
        answered(&self.state.pages, key, self.page(caller, filter, asked, position)).await
    }

    async fn page(
        &self,
        caller: &Caller,
        filter: Filter,
        asked: Asked,
        position: Option<String>,
    ) -> Result<DeliveryPage, Failure> {
        let (paged, total) = self.read(caller, &filter, &asked).await?;
        Ok(DeliveryPage {
            events: paged.rows.into_iter().map(DeliveryRow::from).collect(),
            total: total.0,
            total_is_exact: total.1,
            limit: asked.limit,
            offset: asked.offset,
            next_cursor: paged.next_cursor,
            position,
        })
    }

    /// Up to where the list has the log, as far as this process knows.
    async fn standing(&self) -> Option<Standing> {
        let snapshot = self.state.status.snapshot().await;
        let list = snapshot
            .projections
            .into_iter()
            .find(|one| one.name == PROJECTION)?;
        Some(Standing {
            build: list.build?,
            position: list.progress.position,
            alone: list.partitions_here == list.partitions,
        })
    }

    /// The rows of a page, and how many there are on all pages, and whether that is exact.
    async fn read(
        &self,
        caller: &Caller,
        filter: &Filter,
        asked: &Asked,
    ) -> Result<(Paged<Row>, (i64, bool)), Failure> {
        // Both at once: which of them takes longer depends on the filter.
        let (mut listing, mut counting) = (
            Box::pin(self.rows(caller, filter, asked)),
            Box::pin(self.total(caller, filter)),
        );
        let mut counted = None;
        let listed = loop {
            tokio::select! {
                biased;
                listed = &mut listing => break listed?,
                total = &mut counting, if counted.is_none() => counted = Some(total),
            }
        };
        let paged = cut(listed, asked, &self.state, caller);
        let total = match paged.whole {
            Some(whole) if asked.offset == 0 || !paged.rows.is_empty() => (whole, true),
            _ => {
                let (total, exact) = *match counted {
                    Some(total) => total?,
                    None => counting.await?,
                };
                (total.max(paged.at_least), exact)
            }
        };
        Ok((paged, total))
    }

    async fn rows(
        &self,
        caller: &Caller,
        filter: &Filter,
        asked: &Asked,
    ) -> Result<Listed<Row, u64>, Failure> {
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let before = asked.after.as_ref().map_or(u64::MAX, |after| after.numbers.0);
        if rare::answers(filter) {
            return store.list_rare(tenant, filter, before, asked.needed()).await;
        }
        let listing = Listing {
            projection: PROJECTION,
            needed: asked.needed(),
            statement: |build, before, rows| window(build, tenant, filter, before, rows),
            fits: |row: &Row| filter.fits(row),
        };
        store.list::<Row, _, _>(before, listing).await
    }

    /// How many there are, and whether that is exact: from the rollups, or, where those are too many, counted up to a
    /// bound.
    async fn total(&self, caller: &Caller, filter: &Filter) -> Result<Arc<(i64, bool)>, Failure> {
        let tenant = &caller.tenant;
        let key = (tenant.clone(), filter.clone());
        let counting = async {
            let summed = self
                .state
                .store
                .ask_one::<Counted>(statistics::PROJECTION, |build| {
                    statistics::total(build, tenant, filter)
                });
            match summed.await {
                Ok(sum) => Ok(Arc::new((sum.n, !statistics::cuts_a_minute(filter)))),
                Err(failure) if too_many_rows(&failure) => {
                    let rows = self.state.options.total_rows_max;
                    let counted = self.state.store.ask_one::<CountedAmong>(PROJECTION, |build| {
                        count_among(build, tenant, filter, rows)
                    });
                    Ok(Arc::new(counted.await?.total(rows)))
                }
                Err(failure) => Err(failure),
            }
        };
        self.state
            .totals
            .try_get_with(key, counting)
            .await
            .map_err(shared)
    }
}

/// Error 158 of ClickHouse: more rows than the bound would be read.
fn too_many_rows(failure: &Failure) -> bool {
    failure
        .cause
        .as_ref()
        .is_some_and(|cause| cause.contains("TOO_MANY_ROWS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_processed_both_have_to_fit() {
        let of = |status: Option<Vec<DeliveryStatus>>, processed: Option<bool>| {
            statuses(status.map(Statuses), processed.map(Flag))
        };
        assert_eq!(of(None, None), None);
        assert_eq!(of(None, Some(true)), Some(vec![DeliveryStatus::Processed]));
        assert_eq!(of(None, Some(false)).map(|s| s.len()), Some(4));
        assert_eq!(of(Some(vec![DeliveryStatus::Dead]), Some(true)), Some(vec![]));
    }
}
