//! All that the runtime knows, in one place: every destination, and how far the log was read. Whatever stands here can be
//! found again by reading the log.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{DestinationName, EventId, Position, StreamName};

use super::dead::DeadLetters;
use super::fact::{Fact, News, Place};
use super::lane::Lane;
use super::strangers::Strangers;

/// The state of the runtime.
pub(super) struct Board {
    pub(super) lanes: Vec<Lane>,
    pub(super) strangers: Strangers,
    pub(super) dead: DeadLetters,
    /// How far the shared reader is.
    pub(super) position: Position,
    /// The event that stands there, by which the log is recognised.
    pub(super) event: Option<EventId>,
    /// The head when the runtime began; none before.
    pub(super) head_at_start: Option<Position>,
    by_place: Arc<HashMap<Place, usize>>,
    by_stream: HashMap<StreamName, usize>,
}

impl Board {
    pub(super) fn new(lanes: Vec<Lane>, by_place: Arc<HashMap<Place, usize>>, dead: DeadLetters) -> Self {
        let streams = lanes.iter().enumerate();
        Self {
            by_stream: streams
                .map(|(index, lane)| (lane.destination.stream(), index))
                .collect(),
            lanes,
            strangers: Strangers::default(),
            dead,
            position: Position::START,
            event: None,
            head_at_start: None,
            by_place,
        }
    }

    /// What the shared reader found on a page that ends with the event `last`. Returns the lanes that are concerned.
    pub(super) fn hear(&mut self, page: &[News], last: (Position, EventId)) -> Vec<usize> {
        let mut concerned = vec![false; self.lanes.len()];
        for news in page {
            self.hear_one(news, &mut concerned);
        }
        let began = self.head_at_start.unwrap_or(Position::START);
        let arrived = self.position < began && last.0 >= began;
        (self.position, self.event) = (last.0, Some(last.1));
        let concerned = concerned.iter().enumerate();
        concerned
            .filter(|(_, concerned)| **concerned || arrived)
            .map(|(index, _)| index)
            .collect()
    }

    fn hear_one(&mut self, news: &News, concerned: &mut [bool]) {
        match &news.fact {
            Fact::Opened(opened) => {
                for due in &opened.due {
                    self.dead.remove(&news.stream, &due.place.name);
                    if !self.tell(&due.place, news, concerned) {
                        self.strangers.opened(&due.place, news.position);
                    }
                }
            }
            Fact::Failed { place, .. } => {
                self.tell(place, news, concerned);
            }
            Fact::Closed { place, dead, .. } => {
                if *dead {
                    let name: DestinationName = place.name.clone();
                    self.dead.insert(&news.stream, news.position, name);
                }
                if !self.tell(place, news, concerned) {
                    self.strangers.closed(place);
                }
            }
            Fact::Destination(event) => {
                let Some(index) = self.by_stream.get(&event.stream).copied() else {
                    return;
                };
                if let Some(lane) = self.lanes.get_mut(index)
                    && lane
                        .destination
                        .revision
                        .is_none_or(|known| event.revision > known)
                {
                    let mut state = lane.destination.clone();
                    if state.evolve(event).is_ok() {
                        lane.know(state);
                    }
                }
                mark(concerned, index);
            }
            Fact::NotUnderstood => {
                self.dead.doubt();
                self.strangers.doubt(news.position);
                let tenant = news.stream.tenant();
                let lanes = self.lanes.iter_mut();
                for lane in lanes.filter(|lane| lane.place.tenant.as_str() == tenant) {
                    lane.hear(news);
                }
            }
        }
    }

    /// Tells a lane; whether there is one.
    fn tell(&mut self, place: &Place, news: &News, concerned: &mut [bool]) -> bool {
        let Some(index) = self.by_place.get(place).copied() else {
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.hear(news);
        }
        mark(concerned, index);
        true
    }
}

fn mark(concerned: &mut [bool], index: usize) {
    if let Some(flag) = concerned.get_mut(index) {
        *flag = true;
    }
}
