//! Where deliveries are forwarded to: receivers that fail, hang, turn away, take a delivery and have the answer lost. They
//! remember every request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::{ContentHash, DeliveryReceived, ErrorCode, EventData, Failure, Response};
use reactors::{Dispatch, Sent, Target};

use crate::world::World;

/// How long a target that hangs takes to say so.
const HANGS: Duration = Duration::from_millis(1500);

/// All receivers together.
#[derive(Default)]
pub struct Receivers {
    requests: Mutex<Vec<Request>>,
    down: Mutex<Vec<(String, Duration)>>,
}

/// A request that reached its receiver, or was to.
#[derive(Debug, Clone)]
pub struct Request {
    pub life: u32,
    pub destination: String,
    pub key: String,
    pub number: u32,
    /// Whether the receiver took it.
    pub accepted: bool,
    /// Whether the process heard that it did.
    pub delivered: bool,
}

impl Receivers {
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// A destination is away for a while.
    pub fn down_for(&self, world: &World, destination: &str, time: Duration) {
        let until = world.elapsed() + time;
        self.down.lock().unwrap().push((destination.to_owned(), until));
    }

    fn is_down(&self, world: &World, destination: &str) -> bool {
        let now = world.elapsed();
        let down = self.down.lock().unwrap();
        !world.is_calm()
            && down
                .iter()
                .any(|(name, until)| name == destination && now < *until)
    }
}

/// A destination as a process sends to it.
pub struct Receiver {
    pub world: Arc<World>,
    pub name: String,
}

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Takes,
    TakesAndNobodyHears,
    TakesAndHangs,
    Hangs,
    Unreachable,
    Fails,
    TooMany,
    Refuses,
    Gone,
}

impl Receiver {
    fn mood(&self) -> Mood {
        let (world, odds) = (&self.world, &self.world.odds);
        if world.receivers.is_down(world, &self.name) {
            return Mood::Unreachable;
        }
        if world.fails(odds.target_fails) {
            return match world.between(0, 19) {
                0..6 => Mood::Unreachable,
                6..12 => Mood::Fails,
                12..16 => Mood::TooMany,
                16..19 => Mood::Refuses,
                _ => Mood::Gone,
            };
        }
        if world.fails(odds.target_answer_lost) {
            return Mood::TakesAndNobodyHears;
        }
        if world.fails(odds.target_hangs) {
            return if world.between(0, 1) == 0 {
                Mood::Hangs
            } else {
                Mood::TakesAndHangs
            };
        }
        Mood::Takes
    }

    /// What is sent has to be what was received.
    fn check(&self, dispatch: &Dispatch) {
        let body = match &dispatch.data {
            EventData::Inline(bytes) => Some(bytes.clone()),
            EventData::Stored(body) => self.world.bodies.get(body),
        };
        let same = body.is_some_and(|body| ContentHash::of(&body) == dispatch.received.sha256);
        if !same || dispatch.received.header("x-github-delivery").is_none() {
            self.world.violation(format!(
                "{} was sent to {} with another body, or without its headers",
                dispatch.received.key, self.name
            ));
        }
    }

    fn failed(&self, code: ErrorCode, status: Option<u16>, retry_after: Option<Duration>) -> Sent {
        Sent::Failed {
            target: self.target(),
            response: status.map(|status| Response::new(status, "no")),
            failure: Failure::new(code, "as told"),
            retry_after,
            gone: status == Some(410),
        }
    }

    fn target(&self) -> String {
        format!("https://{}.example.com/hooks", self.name)
    }
}

#[async_trait]
impl Target for Receiver {
    fn describe(&self) -> Vec<String> {
        vec![self.target()]
    }

    async fn send(&self, dispatch: &Dispatch) -> Sent {
        let world = &self.world;
        self.check(dispatch);
        let (key, number) = (dispatch.idempotency_key.clone(), dispatch.number);
        // A request is under way from here on: what comes after may be too late.
        let at = {
            let mut requests = world.receivers.requests.lock().unwrap();
            requests.push(Request {
                life: world.life(),
                destination: self.name.clone(),
                key: key.clone(),
                number,
                accepted: false,
                delivered: false,
            });
            requests.len() - 1
        };
        world
            .step(format!("{}: attempt {number} of {key}", self.name))
            .await;
        let mood = self.mood();
        world.say(format!("{}: {mood:?}", self.name));
        if matches!(
            mood,
            Mood::Takes | Mood::TakesAndHangs | Mood::TakesAndNobodyHears
        ) {
            world.receivers.requests.lock().unwrap()[at].accepted = true;
            world.count("requests taken by receivers");
        }
        world.step(format!("{}: answer to {key}", self.name)).await;
        match mood {
            Mood::Takes => {
                world.receivers.requests.lock().unwrap()[at].delivered = true;
                Sent::Delivered {
                    target: self.target(),
                    response: Some(Response::new(200, "ok")),
                }
            }
            Mood::TakesAndNobodyHears | Mood::Unreachable => self.failed(ErrorCode::NetworkError, None, None),
            Mood::Hangs | Mood::TakesAndHangs => {
                tokio::time::sleep(HANGS).await;
                self.failed(ErrorCode::TimeoutError, None, None)
            }
            Mood::Fails => self.failed(ErrorCode::ServiceUnavailable, Some(500), None),
            Mood::TooMany => {
                let after = Duration::from_secs(world.between(0, 3));
                self.failed(ErrorCode::RateLimitError, Some(429), Some(after))
            }
            Mood::Refuses => self.failed(ErrorCode::ValidationError, Some(422), None),
            Mood::Gone => {
                world.count("destinations gone");
                self.failed(ErrorCode::NotFoundError, Some(410), None)
            }
        }
    }

    fn priority(&self, received: &DeliveryReceived, _: &EventData) -> i64 {
        i64::from(received.event == "push")
    }
}
