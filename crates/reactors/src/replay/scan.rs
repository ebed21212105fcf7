//! Finds the deliveries that a replay is about, in the order of the log.
//!
//! What fits depends on the log up to the replay's last position alone, never on what happened after it: so a count before
//! the run, the run, and the run after a crash all find the same.

use domain::{
    Category, Cause, DeliveryReceived, DeliveryStatus, InvalidReplayFilter, PageLimit, Position, ReadError,
    RecordedEvent, ReplayMatch, ReplayRequested, ReplayTo, Revision, StreamName,
};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::one::Delivery;
use super::{Shared, bisect, dead};

/// Deliveries looked at ahead.
const AHEAD_MAX: usize = 16;

const ONE: PageLimit = PageLimit { events: 1, bytes: 1 };

/// How closely the deliveries are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether they fit.
    Fit,
    /// Whether they fit, and how they stand now.
    Present,
}

/// What was found at the next place of the log.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing that fits, up to and including this position.
    Nothing(Position),
    /// A delivery that fits.
    Fits(Box<Delivery>),
    /// A delivery that may fit but can't be understood.
    Unreadable {
        /// Position of its receipt.
        position: Position,
        /// Its stream.
        stream: StreamName,
        /// Why.
        why: String,
    },
}

/// A search for the deliveries of an order.
#[derive(Clone)]
pub(super) struct Scan<'a> {
    shared: &'a Shared,
    order: &'a ReplayRequested,
    matches: ReplayMatch,
    cause: Cause,
    look: Look,
}

/// What is read of the log before it is looked at closely.
enum Raw {
    Passed(Position),
    Receipt(RecordedEvent),
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        order: &'a ReplayRequested,
        look: Look,
    ) -> Result<Self, InvalidReplayFilter> {
        Ok(Self {
            shared,
            order,
            matches: ReplayMatch::new(order.filter.clone())?,
            cause: order.filter.cause(),
            look,
        })
    }

    /// What stands after a position. It ends after the first error.
    pub(super) fn found(&'a self, after: Position) -> BoxStream<'a, Result<Found, ReadError>> {
        stream::once(self.places(after))
            .try_flatten()
            .map_ok(move |raw| async move {
                match raw {
                    Raw::Passed(position) => Ok(Found::Nothing(position)),
                    Raw::Receipt(receipt) => self.judge(&receipt).await,
                }
            })
            .try_buffered(AHEAD_MAX)
            .boxed()
    }

    /// Where to look: at one delivery, at the dead ones, or along the log.
    async fn places(&'a self, after: Position) -> Result<BoxStream<'a, Result<Raw, ReadError>>, ReadError> {
        let filter = self.matches.filter();
        let log = self.shared.log();
        if let Some(key) = &filter.delivery {
            let stream = StreamName::of_delivery(&self.order.tenant, key);
            let first = log.read_stream(&stream, Revision::new(0), ONE).await?;
            let receipt = first.into_iter().filter(move |event| event.position > after);
            let raw = receipt
                .filter(|event| self.may_fit(event))
                .map(|e| Ok(Raw::Receipt(e)));
            return Ok(stream::iter(raw.collect::<Vec<_>>()).boxed());
        }
        let start = match filter.from {
            Some(from) => bisect::start_of(log, from, self.order.to_position)
                .await?
                .max(after),
            None => after,
        };
        if (self.order.dead_only || filter.status == Some(DeliveryStatus::Dead))
            && let Some(receipts) = dead::receipts(self.shared, self.order, start).await?
        {
            return Ok(self.listed(receipts));
        }
        Ok(self.along(start))
    }

    fn listed(&'a self, receipts: Vec<Position>) -> BoxStream<'a, Result<Raw, ReadError>> {
        stream::iter(receipts)
            .map(move |position| async move {
                let before = Position::new(position.get().saturating_sub(1));
                let page = self.shared.log().read_all(before, ONE).await?;
                let event = page.events.into_iter().find(|event| event.position == position);
                Ok(event
                    .filter(|event| self.may_fit(event))
                    .map_or(Raw::Passed(position), Raw::Receipt))
            })
            .buffered(AHEAD_MAX)
            .boxed()
    }

    fn along(&'a self, start: Position) -> BoxStream<'a, Result<Raw, ReadError>> {
        let upto = self.order.to_position;
        stream::try_unfold(start, move |after| async move {
            if after >= upto {
                return Ok(None);
            }
            let page = self.shared.log().read_all(after, PageLimit::default()).await?;
            let Some(last) = page.events.last().map(|event| event.position) else {
                return if page.head < upto {
                    Err(ReadError::Corrupt(format!(
                        "it ends at position {}, before the replay's last position {upto}",
                        page.head
                    )))
                } else {
                    Ok(None)
                };
            };
            let mut raw: Vec<_> = page
                .events
                .into_iter()
                .filter(|event| self.may_fit(event))
                .map(|event| Ok(Raw::Receipt(event)))
                .collect();
            raw.push(Ok(Raw::Passed(last.min(upto))));
            Ok(Some((stream::iter(raw), last)))
        })
        .try_flatten()
        .boxed()
    }

    /// Whether an event is a receipt that may fit, without understanding it.
    fn may_fit(&self, event: &RecordedEvent) -> bool {
        event.position <= self.order.to_position
            && event.event_type.as_str() == DeliveryReceived::TYPE
            && event.stream.category() == Category::Delivery.as_str()
            && event.stream.tenant() == self.order.tenant.as_str()
            && (event.duplicate_of.is_none() || self.takes_duplicates())
            && self.may_come_from(&event.stream)
    }

    /// A repeat of content was never processed, so doing many again leaves it out. One that is asked for by its id is
    /// meant, and so is one that was done so and given up.
    fn takes_duplicates(&self) -> bool {
        self.order.to == ReplayTo::Subjects || self.order.dead_only || self.order.filter.delivery.is_some()
    }

    /// A delivery's key begins with its source.
    fn may_come_from(&self, stream: &StreamName) -> bool {
        self.order.filter.source.as_ref().is_none_or(|source| {
            let rest = stream.id().strip_prefix(source.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    }

    async fn judge(&self, receipt: &RecordedEvent) -> Result<Found, ReadError> {
        let nothing = Ok(Found::Nothing(receipt.position));
        let unreadable = |error: &serde_json::Error, position: Position| {
            Ok(Found::Unreadable {
                position: receipt.position,
                stream: receipt.stream.clone(),
                why: format!("the event at position {position} can't be understood: {error}"),
            })
        };
        let mut delivery = match Delivery::new(receipt) {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return nothing,
            Err(error) => return unreadable(&error, receipt.position),
        };
        if !self.matches.fits(&delivery.state.received) {
            return nothing;
        }
        // Until the last position is passed, it is not known how the delivery stood there.
        let mut known = !self.asks_for_status();
        loop {
            if known && self.look == Look::Fit {
                return Ok(Found::Fits(Box::new(delivery)));
            }
            let from = Revision::new(delivery.state.revision.get() + 1);
            let log = self.shared.log();
            let page = log
                .read_stream(&receipt.stream, from, PageLimit::default())
                .await?;
            for event in &page {
                if !known && event.position > self.order.to_position {
                    if !self.stands_right(&delivery) {
                        return nothing;
                    }
                    known = true;
                    if self.look == Look::Fit {
                        break;
                    }
                }
                if let Err(error) = delivery.evolve(event, self.order.replay) {
                    return unreadable(&error, event.position);
                }
            }
            if page.is_empty() {
                return if known || self.stands_right(&delivery) {
                    Ok(Found::Fits(Box::new(delivery)))
                } else {
                    nothing
                };
            }
        }
    }

    fn asks_for_status(&self) -> bool {
        self.order.dead_only || self.order.filter.status.is_some()
    }

    fn stands_right(&self, delivery: &Delivery) -> bool {
        let status = self.order.filter.status;
        status.is_none_or(|status| status == delivery.state.status())
            && (!self.order.dead_only
                || !delivery
                    .state
                    .dead(&self.order.destinations, &self.cause)
                    .is_empty())
    }
}
