//! Replays: of one delivery, of all that fits a filter, of the dead letters.

use std::sync::Arc;

use domain::{DestinationName, ReplayId, ReplayOne, ReplayTo};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::Group;
use super::page::{Asked, cut};
use crate::access::Caller;
use crate::answer::Answer;
use crate::delivery::detail::alternative;
use crate::delivery::find::{Choice, IdText};
use crate::failure::{Failure, unreadable};
use crate::json_body::JsonBody;
use crate::order::{self, ReplayOneRequest, ReplayRequest, RetryRequest};
use crate::param::{Limit, Number, Text, spelt};
use crate::shape::replay::{
    ReplayAnswer, ReplayCounted, ReplayPage, ReplayShape, ReplayedShape, RetryAnswer,
};
use crate::sql::CountedAmong;
use crate::sql::newest::Listing;
use crate::sql::replays::{self as sql, Order, PROJECTION, Stated};
use crate::state::State;

/// Name of the list in cursors.
const LIST: &str = "replays";

pub(crate) struct ReplaysApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Replays")]
impl ReplaysApi {
    /// Replay one delivery, now.
    ///
    /// The body may be left out: to processing, to all destinations that want it, is meant then. A second replay of the same
    /// delivery is a new one.
    #[oai(path = "/replay/:id", method = "post", operation_id = "replayOne")]
    async fn replay_one(
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
        body: JsonBody<ReplayOneRequest>,
    ) -> Result<Answer<ReplayedShape>, Failure> {
        let choice = Choice::of(request, source.0, hook_id.0)?;
        let id = IdText::of(request, "/replay/", &id)?;
        let asked = body.read(&self.state.options).await?;
        let to = asked.to.unwrap_or_default();
        let destinations = order::destinations(asked.destinations, to.into())?;
        let reason = order::reason(asked.reason)?;
        self.known(&caller, "destinations", &destinations).await?;
        let (found, others) = self.state.finder(&caller.tenant).find(&id, &choice).await?;
        let delivery = found.received.key;
        let replayed = self.state.replays.replay_one(ReplayOne {
            tenant: caller.tenant.clone(),
            delivery: delivery.clone(),
            to: ReplayTo::from(to),
            destinations,
            requested_by: caller.name.clone(),
            reason,
        });
        let replayed = replayed.await?;
        let alternatives = others.iter().map(alternative).collect();
        Ok(Answer(ReplayedShape::new(
            delivery.to_string(),
            to,
            replayed,
            alternatives,
        )))
    }

    /// Replay everything that fits a filter, or with `dryRun` only count it.
    ///
    /// The range is of the time of receipt. The dry run answers `toPosition`: give it to the run, and it is about the same
    /// deliveries, in the state that they had there. A replay has its own rate and yields to live deliveries; a reason is
    /// needed and kept with who asked. Replays to processing leave out marked duplicates.
    #[oai(path = "/replay", method = "post", operation_id = "replay")]
    async fn replay(
        &self,
        caller: Data<&Caller>,
        body: JsonBody<ReplayRequest>,
    ) -> Result<Answer<ReplayAnswer>, Failure> {
        let asked = body.read(&self.state.options).await?;
        let dry_run = asked.dry_run;
        let order = order::replay(asked, &caller)?;
        self.known(&caller, "destinations", &order.destinations).await?;
        if let Some(position) = order.to_position {
            let head = self.state.log.head().await?;
            if position.get() == 0 || position > head {
                let expected = format!("a position of the log, from 1 to {head}, is expected");
                return Err(Failure::field("toPosition", &expected));
            }
        }
        if dry_run {
            let counted = self.state.replays.count(&order).await?;
            return Ok(Answer(ReplayAnswer::Counted(ReplayCounted {
                count: counted.count,
                to_position: counted.to_position.get(),
                dry_run: true,
            })));
        }
        let started = self.state.replays.start(order).await?;
        Ok(Answer(ReplayAnswer::Started(Box::new(started.into()))))
    }

    /// List replays, the newest first: how far they are, who ordered them and why.
    #[oai(path = "/replays", method = "get", operation_id = "listReplays")]
    async fn list(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Rows of the page: 100 unless given, 1000 at most; more is clamped.
        limit: Query<Option<Limit>>,
        /// Rows to skip, at most 10000; beyond, page by `cursor`.
        offset: Query<Option<Number>>,
        /// `nextCursor` of the page before.
        cursor: Query<Option<Text>>,
    ) -> Result<Answer<ReplayPage>, Failure> {
        spelt(request, &["limit", "offset", "cursor"])?;
        let limit = (limit.0, self.state.options.page_rows);
        let asked = Asked::of(&self.state, &caller, LIST, limit, offset.0, cursor.0)?;
        self.page(&caller, asked).await.map(Answer)
    }

    /// Show a replay: how far it is, what it did, who ordered it and why. Read from the log.
    #[oai(path = "/replays/:id", method = "get", operation_id = "getReplay")]
    async fn one(
        &self,
        caller: Data<&Caller>,
        /// The id of the replay.
        id: Path<String>,
    ) -> Result<Answer<ReplayShape>, Failure> {
        let state = self.state.replays.state(&caller.tenant, replay_id(&id)?).await?;
        Ok(Answer(state.into()))
    }

    /// Stop a replay. What it asked for before stays asked for.
    #[oai(path = "/replays/:id", method = "delete", operation_id = "cancelReplay")]
    async fn cancel(
        &self,
        caller: Data<&Caller>,
        /// The id of the replay.
        id: Path<String>,
    ) -> Result<Answer<ReplayShape>, Failure> {
        let (tenant, replay) = (&caller.tenant, replay_id(&id)?);
        let cancelling = self.state.replays.cancel(tenant, replay, caller.name.clone());
        Ok(Answer(cancelling.await?.into()))
    }

    /// Try dead letters again, at the destinations that were given up: all of them, or those of one cause.
    ///
    /// The body may be left out. A cause is what `GET /api/webhooks/failed/causes` answers: its destination, its code and its
    /// words, of which each may be left out. Destinations that were given up for something else are left alone.
    #[oai(path = "/retry-failed", method = "post", operation_id = "retryFailed")]
    async fn retry_failed(
        &self,
        caller: Data<&Caller>,
        body: JsonBody<RetryRequest>,
    ) -> Result<Answer<RetryAnswer>, Failure> {
        let order = order::retry(body.read(&self.state.options).await?, &caller)?;
        self.known(&caller, "destination", order.destination.as_slice())
            .await?;
        let retried = self.state.replays.retry_dead(order).await?;
        Ok(Answer(retried.into()))
    }
}

impl ReplaysApi {
    async fn page(&self, caller: &Caller, asked: Asked) -> Result<ReplayPage, Failure> {
        let (store, tenant) = (&self.state.store, &caller.tenant);
        let listing = Listing {
            projection: PROJECTION,
            needed: asked.needed(),
            statement: |build, before, rows| sql::window(build, tenant, before, rows),
            fits: |_: &Order| true,
        };
        let before = asked.after.as_ref().map_or(u128::MAX, |after| {
            let (high, low) = after.numbers;
            (u128::from(high) << 64) | u128::from(low)
        });
        let listed = store.list::<Order, _, _>(before, listing).await?;
        let paged = cut(listed, &asked, &self.state, caller);
        let stated: Vec<Stated> = if paged.rows.is_empty() {
            Vec::new()
        } else {
            store
                .ask(PROJECTION, |build| sql::states(build, tenant, &paged.rows))
                .await?
        };
        let (total, total_is_exact) = match paged.whole {
            Some(whole) if asked.offset == 0 || !paged.rows.is_empty() => (whole, true),
            _ => {
                let rows = self.state.options.total_rows_max;
                let counted = store
                    .ask_one::<CountedAmong>(PROJECTION, |build| sql::count_among(build, tenant, rows))
                    .await?;
                let (total, exact) = counted.total(rows);
                (total.max(paged.at_least), exact)
            }
        };
        let replays = paged.rows.into_iter().map(|order| order.with(tenant, &stated));
        let replays = replays.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        Ok(ReplayPage {
            replays: replays.into_iter().map(ReplayShape::from).collect(),
            total,
            total_is_exact,
            limit: asked.limit,
            offset: asked.offset,
            next_cursor: paged.next_cursor,
        })
    }

    /// Refuses a destination that there is not: a misspelt one would have nothing sent and nobody told.
    async fn known(&self, caller: &Caller, field: &str, named: &[DestinationName]) -> Result<(), Failure> {
        if named.is_empty() {
            return Ok(());
        }
        let known = self.state.destinations(&caller.tenant).await;
        let missing = named.iter().find(|name| known.iter().all(|d| d.name != **name));
        match missing {
            // Where none is known at all, whoever carries out the order decides.
            Some(name) if !known.is_empty() => {
                let known: Vec<&str> = known.iter().map(|d| d.name.as_str()).collect();
                let expected = format!("there is no destination {name}; there are {}", known.join(", "));
                Err(Failure::field(field, &expected))
            }
            _ => Ok(()),
        }
    }
}

fn replay_id(text: &str) -> Result<ReplayId, Failure> {
    text.parse()
        .map_err(|_| Failure::parameter("id", "the id of a replay, a UUID, is expected"))
}
