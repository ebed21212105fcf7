//! Senders: what they have, how they sign and send it, and what they were answered. They hold Hooklog to every 2xx.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use ingest::Ingest;
use poem::http::{HeaderValue, Method};
use poem::{Body, Endpoint, Request};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::dice::Dice;
use crate::odds::Odds;
use crate::world::World;

/// The secret of the only source.
pub const SECRET: &str = "It's a Secret to Everybody";
/// Tries of a sender while things go wrong.
const TRIES_MAX: u32 = 6;

/// All deliveries there are.
#[derive(Debug)]
pub struct Ledger {
    pub deliveries: Vec<Delivery>,
}

/// A delivery, and what its sender knows of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub hook: u64,
    pub guid: String,
    pub event: &'static str,
    pub body: Bytes,
    pub forged: bool,
    /// When it is sent next.
    pub at: Duration,
    /// Whether its sender goes on until it is taken.
    pub stubborn: bool,
    pub tries: u32,
    pub answers: Vec<Answer>,
    /// Whether its sender sends it no more.
    pub done: bool,
}

/// A 2xx.
#[derive(Debug, Clone)]
pub struct Answer {
    pub key: String,
    pub position: u64,
    pub duplicate: bool,
}

impl Delivery {
    /// The key under which it has to be in the log.
    pub fn key(&self) -> String {
        format!("github.{}.{}", self.hook, self.guid)
    }

    fn request(&self) -> Request {
        let secret = if self.forged { "another" } else { SECRET };
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri_str("/api/webhooks/github")
            .body(Body::from_bytes(self.body.clone()));
        let headers = [
            ("host", "hooks.example.com".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("content-length", self.body.len().to_string()),
            ("user-agent", "GitHub-Hookshot/044aadd".to_owned()),
            ("x-github-event", self.event.to_owned()),
            ("x-github-delivery", self.guid.clone()),
            ("x-github-hook-id", self.hook.to_string()),
            ("x-hub-signature-256", format!("sha256={signature}")),
        ];
        for (name, value) in headers {
            let value = HeaderValue::from_str(&value).unwrap();
            request.headers_mut().insert(name, value);
        }
        request
    }
}

impl Ledger {
    pub fn drawn(dice: &mut Dice, odds: &Odds) -> Self {
        let mut deliveries: Vec<Delivery> = Vec::new();
        for n in 0..odds.deliveries {
            let (event, body) = payload(dice, n);
            let mut delivery = Delivery {
                hook: 41,
                guid: format!("72d3162e-cc78-11e3-81ab-{n:012}"),
                event,
                body: body.to_string().into(),
                forged: dice.percent(4),
                at: Duration::from_millis(dice.below(odds.storm_ms * 9 / 10)),
                stubborn: dice.percent(85),
                tries: 0,
                answers: Vec::new(),
                done: false,
            };
            let before = (!deliveries.is_empty()).then(|| dice.pick(&deliveries).clone());
            match (before, dice.below(100)) {
                // The same event through another hook.
                (Some(before), 0..6) => {
                    delivery = Delivery { hook: 42, ..before };
                }
                // The same body under another id.
                (Some(before), 6..12) => {
                    (delivery.event, delivery.body) = (before.event, before.body);
                    delivery.at = before.at + Duration::from_millis(dice.below(2000));
                }
                _ => {}
            }
            if deliveries.iter().all(|other| other.key() != delivery.key()) {
                deliveries.push(delivery);
            }
        }
        Self { deliveries }
    }
}

fn payload(dice: &mut Dice, n: u64) -> (&'static str, Value) {
    let repository = *dice.pick(&["octo-org/web", "octo-org/api", "other/docs"]);
    let sender = *dice.pick(&["octocat", "hubot"]);
    let filling = match dice.below(10) {
        0..2 => dice.between(8000, 24_000),
        2..5 => dice.between(500, 6000),
        _ => dice.below(100),
    };
    let mut body = json!({
        "n": n, "repository": {"id": 1, "full_name": repository, "stargazers_count": n},
        "sender": {"login": sender}, "text": "x".repeat(usize::try_from(filling).unwrap()),
    });
    let event = match dice.below(5) {
        0 => "push",
        1 => {
            body["action"] = json!(dice.pick(&["opened", "closed"]));
            body["issue"] = json!({"id": n % 5, "number": n % 5});
            "issues"
        }
        2 => {
            body["action"] = json!("opened");
            body["pull_request"] = json!({"id": n, "number": n, "merged": false});
            "pull_request"
        }
        _ => {
            let action = *dice.pick(&["queued", "in_progress", "completed"]);
            body["action"] = json!(action);
            body["workflow_job"] = json!({
                "id": n % 7, "run_id": n % 3, "run_attempt": 1, "name": "build", "status": action,
                "workflow_name": "ci", "head_branch": "main", "head_sha": "abc",
                "conclusion": (action == "completed").then_some("success"),
                "labels": ["ubuntu-latest"], "runner_name": "runner-1",
                "created_at": "2025-11-21T20:00:00Z", "started_at": "2025-11-21T20:00:05Z",
                "completed_at": (action == "completed").then_some("2025-11-21T20:01:00Z"),
            });
            "workflow_job"
        }
    };
    (event, body)
}

/// Sends a delivery until it was taken, or until its sender has had enough.
pub async fn sender(world: Arc<World>, ingest: Ingest, n: usize) {
    loop {
        let delivery = world.ledger.lock().unwrap().deliveries[n].clone();
        if delivery.done {
            return;
        }
        let wait = delivery.at.saturating_sub(world.elapsed());
        if !world.is_calm() && !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let copies = if world.fails(world.odds.sent_twice) {
            world.between(2, 3)
        } else {
            1
        };
        let sends = (0..copies).map(|_| send(&world, &ingest, &delivery, n));
        let taken = join_all(sends).await.contains(&true);
        let mut ledger = world.ledger.lock().unwrap();
        let known = &mut ledger.deliveries[n];
        known.tries += 1;
        // A person sends some of them once more, although they were taken.
        let once_more = taken && !world.is_calm() && world.between(0, 9) == 0;
        known.done = if world.is_calm() {
            taken || known.forged || !known.stubborn
        } else {
            !once_more && (taken || known.forged)
        };
        let pause = if known.tries < TRIES_MAX {
            world.between(50, 3000)
        } else {
            world.odds.storm_ms
        };
        known.at = world.elapsed() + Duration::from_millis(pause);
    }
}

/// Sends it once; whether it was taken, as far as its sender hears.
async fn send(world: &Arc<World>, ingest: &Ingest, delivery: &Delivery, n: usize) -> bool {
    world.step(format!("sender {n} sends {}", delivery.key())).await;
    if world.fails(world.odds.request_lost) {
        world.count("requests lost");
        return false;
    }
    let response = ingest.get_response(delivery.request()).await;
    world
        .step(format!("sender {n} is answered {}", response.status()))
        .await;
    if world.fails(world.odds.answer_lost) {
        world.count("answers lost");
        return false;
    }
    let (parts, body) = response.into_parts();
    let text = body.into_bytes_limit(100_000).await.unwrap();
    let answer: Value = serde_json::from_slice(&text).unwrap();
    match (parts.status.as_u16(), delivery.forged) {
        (200, false) => {}
        (401, true) => {
            world.count("forgeries turned away");
            return false;
        }
        (503, _) => {
            if !parts.headers.contains_key("retry-after") {
                world.violation(format!("503 without Retry-After: {answer}"));
            }
            world.count("answered 503");
            return false;
        }
        (status, _) => {
            world.violation(format!("{} was answered {status}: {answer}", delivery.key()));
            return false;
        }
    }
    let data = &answer["data"];
    let answer = Answer {
        key: data["id"].as_str().unwrap_or_default().to_owned(),
        position: data["position"].as_u64().unwrap_or_default(),
        duplicate: data["duplicate"] == json!(true),
    };
    world.say(format!(
        "sender {n} knows: {} at {}, duplicate {}",
        answer.key, answer.position, answer.duplicate
    ));
    world.count(if answer.duplicate {
        "answered as seen before"
    } else {
        "answered as taken"
    });
    world.ledger.lock().unwrap().deliveries[n].answers.push(answer);
    true
}

/// Whether every sender has what it wants.
pub fn all_done(world: &World) -> bool {
    world.ledger.lock().unwrap().deliveries.iter().all(|d| d.done)
}
