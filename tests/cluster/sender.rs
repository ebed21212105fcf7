//! Senders that deliver steadily, through whichever ingest lives. What one that was disturbed left unanswered is sent again, as
//! senders of webhooks do, and so is what is refused while the log is away; any other failure is one of the product.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Signed, client};

/// GitHub waits so long for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An ingest as its senders see it.
#[derive(Debug)]
pub(crate) struct Door {
    base: String,
    is_living: AtomicBool,
    /// Counts its disturbances.
    disturbed: AtomicU64,
    /// What it refused while the log was away.
    refused: AtomicUsize,
}

impl Door {
    pub(crate) fn new(base: String) -> Arc<Self> {
        Arc::new(Self {
            base,
            is_living: AtomicBool::new(true),
            disturbed: AtomicU64::new(0),
            refused: AtomicUsize::new(0),
        })
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// From now on nothing more is sent to it, and what is on its way may fail.
    pub(crate) fn disturb(&self) {
        self.is_living.store(false, Ordering::SeqCst);
        self.disturbed.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn lives(&self) {
        self.is_living.store(true, Ordering::SeqCst);
    }
}

/// An acknowledged delivery.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) delivery: Signed,
    pub(crate) position: u64,
    pub(crate) at: Instant,
}

/// What became of all deliveries.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sent {
    pub(crate) acknowledged: BTreeMap<String, Acknowledged>,
    /// Requests that failed though nothing was done to the ingest that they reached.
    pub(crate) failures: Vec<String>,
    /// Requests that were under way when an ingest died or fell asleep.
    pub(crate) sent_again: usize,
    /// Requests that a living ingest refused with 503 as the log was away.
    pub(crate) refused: usize,
    pub(crate) slowest: Duration,
    pub(crate) slowest_refusal: Duration,
}

struct Shared {
    doors: Vec<Arc<Door>>,
    turn: AtomicUsize,
    client: reqwest::Client,
    sent: Mutex<Sent>,
    count: watch::Sender<usize>,
    log: watch::Sender<LogState>,
}

/// The log as its senders know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct LogState {
    is_away: bool,
    /// Counts how often it went.
    went: u64,
}

/// The load.
pub(crate) struct Senders {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Senders {
    /// Sends one delivery after the other, so often.
    pub(crate) fn start(doors: Vec<Arc<Door>>, deliveries: VecDeque<Signed>, every: Duration) -> Self {
        let shared = Arc::new(Shared {
            doors,
            turn: AtomicUsize::new(0),
            client: client(),
            sent: Mutex::default(),
            count: watch::Sender::new(0),
            log: watch::Sender::default(),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(send_all(Arc::clone(&shared), deliveries, every, stop.clone()));
        Self { shared, stop, task }
    }

    /// Tells how many are acknowledged.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.shared.count.subscribe()
    }

    /// What is acknowledged so far, by position.
    pub(crate) fn positions(&self) -> Vec<(u64, Instant)> {
        let sent = self.shared.sent.lock().unwrap();
        let positions = sent.acknowledged.values().map(|sent| (sent.position, sent.at));
        positions.collect()
    }

    /// From now on deliveries may be refused: there is no log to take them.
    pub(crate) fn log_goes(&self) {
        self.shared.log.send_modify(|log| {
            log.is_away = true;
            log.went += 1;
        });
    }

    /// What begins from now on has to be taken.
    pub(crate) fn log_is_back(&self) {
        self.shared.log.send_modify(|log| log.is_away = false);
    }

    /// Begins no more deliveries, and finishes those that were begun.
    pub(crate) async fn end(self) -> Sent {
        self.stop.cancel();
        self.task.await.unwrap();
        self.shared.sent.lock().unwrap().clone()
    }
}

async fn send_all(
    shared: Arc<Shared>,
    mut deliveries: VecDeque<Signed>,
    every: Duration,
    stop: CancellationToken,
) {
    let mut sending = JoinSet::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let next = deliveries.pop_front().expect("enough deliveries were prepared");
        sending.spawn(deliver(Arc::clone(&shared), next));
    }
    sending.join_all().await;
}

/// Sends it until it is acknowledged.
async fn deliver(shared: Arc<Shared>, delivery: Signed) {
    loop {
        let Some(door) = shared.next_door() else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let before = door.disturbed.load(Ordering::SeqCst);
        let log = *shared.log.borrow();
        let begin = Instant::now();
        let posted = tokio::time::timeout(TIMEOUT, delivery.post(&shared.client, &door.base)).await;
        let why = match posted {
            Ok(Ok(answer)) if answer.status == 200 => {
                return shared.acknowledged(delivery, answer.position(), begin.elapsed());
            }
            Ok(Ok(answer)) if answer.status == 503 && (log.is_away || *shared.log.borrow() != log) => {
                shared.refused(&door, begin.elapsed());
                shared.log_back().await;
                continue;
            }
            Ok(Ok(answer)) => format!("{} {}", answer.status, answer.json),
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "no answer in time".to_owned(),
        };
        let mut sent = shared.sent.lock().unwrap();
        if door.disturbed.load(Ordering::SeqCst) == before {
            let after = begin.elapsed();
            sent.failures.push(format!(
                "{} at {} after {after:?}: {why}",
                delivery.delivery, door.base
            ));
        } else {
            sent.sent_again += 1;
        }
    }
}

impl Shared {
    /// The next ingest that lives.
    fn next_door(&self) -> Option<Arc<Door>> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let doors = (0..self.doors.len()).map(|n| &self.doors[(turn + n) % self.doors.len()]);
        let mut living = doors.filter(|door| door.is_living.load(Ordering::SeqCst));
        living.next().map(Arc::clone)
    }

    fn refused(&self, door: &Door, took: Duration) {
        door.refused.fetch_add(1, Ordering::SeqCst);
        let mut sent = self.sent.lock().unwrap();
        sent.refused += 1;
        sent.slowest_refusal = sent.slowest_refusal.max(took);
    }

    /// Waits for the log: what was refused is sent again then, and not over and over.
    async fn log_back(&self) {
        let mut log = self.log.subscribe();
        let _back = log.wait_for(|log| !log.is_away).await;
    }

    fn acknowledged(&self, delivery: Signed, position: u64, took: Duration) {
        let mut sent = self.sent.lock().unwrap();
        sent.slowest = sent.slowest.max(took);
        let acknowledged = Acknowledged {
            position,
            at: Instant::now(),
            delivery,
        };
        let id = acknowledged.delivery.delivery.clone();
        sent.acknowledged.insert(id, acknowledged);
        self.count.send_replace(sent.acknowledged.len());
    }
}
