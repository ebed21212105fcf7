//! Many writers at once. A writer whose delivery got no 200 sends it again later, as senders do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Answer, Signed};

/// Deliveries waiting to be sent, and what became of the others.
pub(crate) struct Load {
    waiting: Mutex<VecDeque<Signed>>,
    report: Mutex<LoadReport>,
    acknowledged: watch::Sender<usize>,
}

/// What the writers saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct LoadReport {
    /// Position by delivery id, for every 200.
    pub(crate) positions: BTreeMap<String, u64>,
    /// Sends that got no answer at all.
    pub(crate) unanswered: usize,
    /// Answers other than 200.
    pub(crate) refused: Vec<Answer>,
}

impl Load {
    /// Deliveries to send.
    pub(crate) fn of(deliveries: Vec<Signed>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::new(deliveries.into()),
            report: Mutex::default(),
            acknowledged: watch::Sender::new(0),
        })
    }

    /// More deliveries to send.
    pub(crate) fn add(&self, deliveries: impl IntoIterator<Item = Signed>) {
        self.waiting.lock().unwrap().extend(deliveries);
    }

    /// Starts writers that go on until nothing waits or one send in a row went unanswered.
    pub(crate) fn start(self: &Arc<Self>, base: &str, writers: usize) -> JoinSet<()> {
        let client = super::client();
        let mut set = JoinSet::new();
        for _ in 0..writers {
            let (load, client, base) = (Arc::clone(self), client.clone(), base.to_owned());
            set.spawn(async move { while load.send_next(&client, &base).await {} });
        }
        set
    }

    /// Waits until so many deliveries have been acknowledged in all.
    pub(crate) async fn acknowledged(&self, count: usize) {
        let mut seen = self.acknowledged.subscribe();
        let wait = seen.wait_for(|n| *n >= count);
        let done = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await;
        assert!(
            done.is_ok(),
            "{count} deliveries were never acknowledged: {:?}",
            self.summary()
        );
    }

    /// How many have been acknowledged so far.
    pub(crate) fn acknowledged_now(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Forgets all waiting deliveries but the first, among which are those that went unanswered.
    pub(crate) fn keep_first(&self, count: usize) {
        self.waiting.lock().unwrap().truncate(count);
    }

    /// What the writers saw so far.
    pub(crate) fn report(&self) -> LoadReport {
        self.report.lock().unwrap().clone()
    }

    fn summary(&self) -> String {
        let report = self.report.lock().unwrap();
        let (ok, lost) = (report.positions.len(), report.unanswered);
        format!(
            "{ok} acknowledged, {lost} unanswered, refused: {:?}",
            report.refused.last()
        )
    }

    async fn send_next(&self, client: &reqwest::Client, base: &str) -> bool {
        let Some(next) = self.waiting.lock().unwrap().pop_front() else {
            return false;
        };
        let answer = next.post(client, base).await;
        let mut report = self.report.lock().unwrap();
        match answer {
            Ok(answer) if answer.status == 200 => {
                let before = report.positions.insert(next.delivery.clone(), answer.position());
                assert!(
                    before.is_none_or(|p| p == answer.position()),
                    "{} is in the log at {before:?} and at {}",
                    next.delivery,
                    answer.position()
                );
                let count = report.positions.len();
                drop(report);
                self.acknowledged.send_replace(count);
                true
            }
            Ok(refused) => {
                report.refused.push(refused);
                self.waiting.lock().unwrap().push_front(next);
                true
            }
            Err(_) => {
                report.unanswered += 1;
                self.waiting.lock().unwrap().push_front(next);
                false
            }
        }
    }
}
