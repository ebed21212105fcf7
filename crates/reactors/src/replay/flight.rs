//! The deliveries that a run is asking for, in the order of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{Position, ReplayRequested, StreamName};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::one::{Asked, Delivery, ask};
use super::scan::Found;

/// Places under way at once.
const IN_FLIGHT_MAX: usize = 16;

/// A place of the log that was dealt with.
pub(super) struct Step {
    pub(super) position: Position,
    pub(super) done: Done,
}

/// What was done there.
pub(super) enum Done {
    /// Nothing fitted.
    Nothing,
    /// A delivery was asked for; `before` when an earlier run had done so.
    Asked { asked: Asked, before: bool },
    /// A delivery can't be understood.
    Unreadable { stream: StreamName, why: String },
}

/// The places under way. They come out in the order in which they went in.
///
/// Two deliveries of one repository are never asked for at once: a destination that keeps the order of a repository keeps
/// that of the requests, so it must be that of the receipts.
#[derive(Default)]
pub(super) struct Flight {
    steps: FuturesOrdered<BoxFuture<'static, Step>>,
    repositories: VecDeque<Option<String>>,
}

impl Flight {
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.steps.len() < IN_FLIGHT_MAX
    }

    /// Whether a delivery can be asked for beside those under way.
    pub(super) fn takes(&self, delivery: &Delivery) -> bool {
        let repository = &delivery.state.received.repository;
        repository.is_none() || !self.repositories.contains(repository)
    }

    /// The next place that was dealt with; `None` when none is under way.
    pub(super) async fn next(&mut self) -> Option<Step> {
        let step = self.steps.next().await;
        if step.is_some() {
            self.repositories.pop_front();
        }
        step
    }

    /// Lines up what was found; gives back a delivery that has to be asked for.
    pub(super) fn sort(&mut self, found: Found) -> Option<Box<Delivery>> {
        let (position, done) = match found {
            Found::Nothing(position) => (position, Done::Nothing),
            Found::Unreadable {
                position,
                stream,
                why,
            } => (position, Done::Unreadable { stream, why }),
            Found::Fits(delivery) => {
                let Some(request) = delivery.asked else {
                    return Some(delivery);
                };
                let asked = Asked::Requested(request);
                (
                    delivery.state.receipt.position,
                    Done::Asked { asked, before: true },
                )
            }
        };
        self.push(None, future::ready(Step { position, done }).boxed());
        None
    }

    /// Asks for a delivery.
    pub(super) fn ask(
        &mut self,
        shared: &Arc<Shared>,
        order: &Arc<ReplayRequested>,
        mut delivery: Box<Delivery>,
        stop: &CancellationToken,
    ) {
        let (shared, order, stop) = (Arc::clone(shared), Arc::clone(order), stop.clone());
        let repository = delivery.state.received.repository.clone();
        let asking = async move {
            let asked = ask(&shared, &order, &mut delivery, &stop).await;
            Step {
                position: delivery.state.receipt.position,
                done: Done::Asked { asked, before: false },
            }
        };
        self.push(repository, asking.boxed());
    }

    fn push(&mut self, repository: Option<String>, step: BoxFuture<'static, Step>) {
        self.steps.push_back(step);
        self.repositories.push_back(repository);
    }
}
