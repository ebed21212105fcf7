//! A target that does as it is told, checkpoints in memory, a clock that follows tokio's, a log that can fail, and the bench
//! on which they stand.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{MemoryLog, TestDelivery};
use domain::{
    Append, AppendError, Appended, Category, CategoryPage, CheckpointError, Checkpoints, Clock,
    DeliveryCommand, DeliveryReceived, DeliveryState, DestinationName, ErrorCode, EventData, EventId,
    EventLog, Failure, LogHealth, LogId, LogPage, PageLimit, Position, ReadError, RecordedEvent, ReplayId,
    ReplayTo, Response, Revision, Spacing, StreamName, Timestamp, load_delivery,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runtime::{ReactorError, ReactorHandle, ReactorPorts, Reactors};
use crate::{DestinationPlan, Dispatch, ReactorOptions, Sent, Target};

/// When every test begins.
pub(super) const BEGIN: Timestamp = Timestamp::from_millis(1_763_766_000_000);

/// The time of day, going on as tokio's paused time does.
pub(super) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = self.0.elapsed().as_micros();
        Timestamp::from_micros(BEGIN.as_micros() + i64::try_from(passed).unwrap())
    }
}

/// Notes in memory, with all that were ever written.
#[derive(Default)]
pub(super) struct MemoryCheckpoints(
    pub(super) Mutex<HashMap<String, Bytes>>,
    pub(super) Mutex<Vec<Bytes>>,
);

#[async_trait]
impl Checkpoints for MemoryCheckpoints {
    async fn load(&self, name: &str) -> Result<Option<Bytes>, CheckpointError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    async fn store(&self, name: &str, note: Bytes) -> Result<(), CheckpointError> {
        self.1.lock().unwrap().push(note.clone());
        self.0.lock().unwrap().insert(name.to_owned(), note);
        Ok(())
    }
}

/// What the log does with the next appends, instead of taking them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is written.
    Unavailable,
    /// It is written, and nobody learns so.
    WrittenUnknown,
    /// It is not written, and nobody learns so.
    LostUnknown,
    /// It will never be written.
    Invalid,
}

/// A log that fails when told to.
pub(super) struct FaultyLog {
    pub(super) inner: MemoryLog,
    faults: Mutex<VecDeque<Fault>>,
    reads: Mutex<VecDeque<ReadError>>,
    /// Called before an append, once.
    meddle: Mutex<Option<Append>>,
    corrupt: Mutex<Option<StreamName>>,
    latency: Mutex<Duration>,
    page_latency: Mutex<Duration>,
    looks: AtomicUsize,
}

impl FaultyLog {
    /// Each append takes so long before it is written, and again before it is answered.
    pub(super) fn takes(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }
    /// Each page takes so long to read.
    pub(super) fn pages_take(&self, latency: Duration) {
        *self.page_latency.lock().unwrap() = latency;
    }
    /// How often somebody looked at a delivery.
    pub(super) fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
    pub(super) fn fail_appends(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }
    pub(super) fn fail_reads_of_streams(&self, times: usize) {
        let error = ReadError::Unavailable("set so by the test".into());
        self.reads
            .lock()
            .unwrap()
            .extend(std::iter::repeat_n(error, times));
    }
    pub(super) fn corrupt(&self, stream: Option<StreamName>) {
        *self.corrupt.lock().unwrap() = stream;
    }
    /// Somebody else appends just before the next append.
    pub(super) fn meddle(&self, append: Append) {
        *self.meddle.lock().unwrap() = Some(append);
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    fn id(&self) -> LogId {
        self.inner.id()
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let meddle = self.meddle.lock().unwrap().take();
        if let Some(first) = meddle {
            self.inner.append(first).await.unwrap();
        }
        let fault = self.faults.lock().unwrap().pop_front();
        let said = "set so by the test".to_owned();
        match fault {
            None => {
                let latency = *self.latency.lock().unwrap();
                tokio::time::sleep(latency).await;
                let appended = self.inner.append(append).await;
                tokio::time::sleep(latency).await;
                appended
            }
            Some(Fault::Unavailable) => Err(AppendError::Unavailable(said)),
            Some(Fault::LostUnknown) => Err(AppendError::Unknown(said)),
            Some(Fault::Invalid) => Err(AppendError::Invalid(said)),
            Some(Fault::WrittenUnknown) => {
                self.inner.append(append).await?;
                Err(AppendError::Unknown(said))
            }
        }
    }
    async fn read_stream(
        &self,
        stream: &StreamName,
        from: Revision,
        limit: PageLimit,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.looks
            .fetch_add(usize::from(stream.category() == "delivery"), Ordering::SeqCst);
        if self.corrupt.lock().unwrap().as_ref() == Some(stream) {
            return Err(ReadError::Corrupt("set so by the test".into()));
        }
        if let Some(error) = self.reads.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.inner.read_stream(stream, from, limit).await
    }
    async fn read_all(&self, after: Position, mut limit: PageLimit) -> Result<LogPage, ReadError> {
        // Small pages, so that their seams are tried.
        limit.events = limit.events.min(7);
        let latency = *self.page_latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        self.inner.read_all(after, limit).await
    }
    async fn read_category(
        &self,
        category: Category,
        after: Position,
        limit: PageLimit,
    ) -> Result<CategoryPage, ReadError> {
        self.inner.read_category(category, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }
    async fn wait_past(&self, position: Position) -> Result<Position, ReadError> {
        self.inner.wait_past(position).await
    }
    async fn tail_start(&self, bytes: u64) -> Result<Position, ReadError> {
        self.inner.tail_start(bytes).await
    }
    fn spacing(&self) -> Spacing {
        self.inner.spacing()
    }
    fn health(&self) -> LogHealth {
        self.inner.health()
    }
}

/// A request that a target got.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) at: Timestamp,
    pub(super) event: EventId,
    pub(super) key: String,
    pub(super) number: u32,
    pub(super) body: Bytes,
}

type Answer = Arc<dyn Fn(&Dispatch) -> Sent + Send + Sync>;

/// A target that does as it is told and remembers what it got.
pub(super) struct ScriptedTarget {
    pub(super) got: Mutex<Vec<Got>>,
    script: Mutex<VecDeque<Sent>>,
    answer: Mutex<Option<Answer>>,
    takes: Mutex<Duration>,
    under_way: Mutex<(usize, usize)>,
}

impl Default for ScriptedTarget {
    fn default() -> Self {
        Self {
            got: Mutex::default(),
            script: Mutex::default(),
            answer: Mutex::default(),
            takes: Mutex::new(Duration::ZERO),
            under_way: Mutex::default(),
        }
    }
}

impl ScriptedTarget {
    /// Answers these one after the other, then that all is well.
    pub(super) fn says(self: &Arc<Self>, script: impl IntoIterator<Item = Sent>) {
        self.script.lock().unwrap().extend(script);
    }
    /// Answers so whenever the script is at its end.
    pub(super) fn answers(self: &Arc<Self>, answer: impl Fn(&Dispatch) -> Sent + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Some(Arc::new(answer));
    }
    pub(super) fn takes(self: &Arc<Self>, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }
    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
    pub(super) fn bodies(&self) -> Vec<String> {
        let got = self.got();
        got.iter()
            .map(|got| String::from_utf8(got.body.to_vec()).unwrap())
            .collect()
    }
    /// The most attempts that were under way at once.
    pub(super) fn at_once(&self) -> usize {
        self.under_way.lock().unwrap().1
    }
}

/// Counts itself out when the attempt ends, however it does.
struct UnderWay<'a>(&'a Mutex<(usize, usize)>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

#[async_trait]
impl Target for ScriptedTarget {
    fn describe(&self) -> Vec<String> {
        vec!["test://target".into()]
    }

    async fn send(&self, dispatch: &Dispatch) -> Sent {
        let EventData::Inline(body) = &dispatch.data else {
            panic!("the tests keep bodies inline");
        };
        self.got.lock().unwrap().push(Got {
            at: dispatch.now,
            event: dispatch.event_id,
            key: dispatch.idempotency_key.clone(),
            number: dispatch.number,
            body: body.clone(),
        });
        {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        let _guard = UnderWay(&self.under_way);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let said = self.script.lock().unwrap().pop_front();
        // Not asked under the lock: it may panic.
        let answer = self.answer.lock().unwrap().clone();
        said.or_else(|| answer.map(|answer| answer(dispatch)))
            .unwrap_or_else(ok)
    }

    fn priority(&self, _: &DeliveryReceived, data: &EventData) -> i64 {
        // A body `p7…` has priority 7.
        let EventData::Inline(body) = data else { return 0 };
        let text = String::from_utf8_lossy(body);
        let digits = text
            .strip_prefix('p')
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
        digits.and_then(|digits: String| digits.parse().ok()).unwrap_or(0)
    }
}

pub(super) fn body_of(dispatch: &Dispatch) -> String {
    let EventData::Inline(body) = &dispatch.data else {
        panic!("the tests keep bodies inline");
    };
    String::from_utf8(body.to_vec()).unwrap()
}

pub(super) fn ok() -> Sent {
    Sent::Delivered {
        target: "test://target".into(),
        response: Some(Response::new(200, "ok")),
    }
}

pub(super) fn status(status: u16, code: ErrorCode) -> Sent {
    Sent::Failed {
        target: "test://target".into(),
        response: Some(Response::new(status, "no")),
        failure: Failure::new(code, format!("it answered {status}")),
        retry_after: None,
        gone: false,
    }
}

pub(super) fn fails() -> Sent {
    status(500, ErrorCode::ServiceUnavailable)
}

pub(super) fn gone() -> Sent {
    Sent::Failed {
        target: "test://target".into(),
        response: Some(Response::new(410, "")),
        failure: Failure::new(ErrorCode::NotFoundError, "it is gone"),
        retry_after: None,
        gone: true,
    }
}

/// A log, notes, and a clock, over which runtimes come and go.
pub(super) struct Bench {
    pub(super) log: Arc<FaultyLog>,
    pub(super) checkpoints: Arc<MemoryCheckpoints>,
    pub(super) clock: Arc<TokioClock>,
    pub(super) options: ReactorOptions,
}

/// A runtime at work.
pub(super) struct Running {
    pub(super) handle: ReactorHandle,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<Result<(), ReactorError>>,
}

impl Running {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
    /// Ends it as a kill would: nothing is finished, nothing written.
    #[expect(clippy::disallowed_methods, reason = "this is how a test kills")]
    pub(super) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        let id = LogId::new(Uuid::from_u128(7));
        let inner = MemoryLog::with_gaps(id, Arc::clone(&clock) as Arc<dyn Clock>, 3);
        Self {
            log: Arc::new(FaultyLog {
                inner,
                faults: Mutex::default(),
                reads: Mutex::default(),
                meddle: Mutex::default(),
                corrupt: Mutex::default(),
                latency: Mutex::default(),
                page_latency: Mutex::default(),
                looks: AtomicUsize::new(0),
            }),
            checkpoints: Arc::default(),
            clock,
            options: ReactorOptions {
                circuit_breaker: false,
                ..ReactorOptions::default()
            },
        }
    }

    pub(super) fn plan(&self, name: &str, target: &Arc<ScriptedTarget>) -> DestinationPlan {
        let target = Arc::clone(target) as Arc<dyn Target>;
        DestinationPlan::new(
            name.parse().unwrap(),
            "default".parse().unwrap(),
            target,
            &self.options,
        )
    }

    pub(super) fn run(&self, plans: Vec<DestinationPlan>) -> Running {
        let ports = ReactorPorts {
            log: Arc::clone(&self.log) as Arc<dyn EventLog>,
            checkpoints: Arc::clone(&self.checkpoints) as Arc<dyn Checkpoints>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            new_id: Arc::new(|| EventId::new(Uuid::now_v7())),
            leases: Arc::new(domain::Unshared),
        };
        let (reactors, handle) = Reactors::build(self.options.clone(), plans, ports).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(reactors.run(stop.clone()));
        Running { handle, stop, task }
    }

    /// Appends a delivery that is due at these destinations.
    pub(super) async fn deliver(&self, body: &str, due: &[&str]) -> StreamName {
        self.deliver_to(body, Some("octo-org/octo-repo"), due).await
    }

    pub(super) async fn deliver_to(&self, body: &str, repository: Option<&str>, due: &[&str]) -> StreamName {
        let mut delivery = TestDelivery::new("push", body.to_owned());
        delivery.repository = repository.map(Into::into);
        delivery.window_ms = 0;
        let mut append = delivery.append();
        let mut received = delivery.received();
        received.reactors_due = due.iter().map(|name| format!("destination:{name}")).collect();
        append.events[0].metadata = received.to_metadata();
        self.log.inner.append(append).await.unwrap();
        received.stream()
    }

    /// Asks for a delivery again.
    pub(super) async fn replay(&self, stream: &StreamName, names: &[&str]) {
        let append = self.replay_append(stream, names).await;
        self.log.inner.append(append).await.unwrap();
    }

    pub(super) async fn replay_append(&self, stream: &StreamName, names: &[&str]) -> Append {
        let state = self.state(stream).await;
        let command = DeliveryCommand::Replay {
            to: ReplayTo::Processing,
            destinations: names.iter().map(|name| name.parse().unwrap()).collect(),
            replay: ReplayId::new(Uuid::now_v7()),
            requested_by: "test".into(),
            reason: None,
        };
        let outcome = state.decide(command).unwrap().unwrap();
        state.append(&outcome, EventId::new(Uuid::now_v7()))
    }

    pub(super) async fn state(&self, stream: &StreamName) -> DeliveryState {
        load_delivery(&self.log.inner, stream, None)
            .await
            .unwrap()
            .unwrap()
    }

    pub(super) async fn history(&self, stream: &StreamName) -> Vec<RecordedEvent> {
        let limit = PageLimit {
            events: 10_000,
            bytes: usize::MAX,
        };
        self.log
            .inner
            .read_stream(stream, Revision::new(0), limit)
            .await
            .unwrap()
    }

    pub(super) async fn types(&self, stream: &StreamName) -> Vec<String> {
        let history = self.history(stream).await;
        history.iter().map(|event| event.event_type.to_string()).collect()
    }
}

/// Waits until a condition holds; says what never happened if it does not within hours of paused time.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3600 * 5);
    let mut wait = Duration::from_millis(5);
    while !holds().await {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        tokio::time::sleep(wait).await;
        wait = wait.mul_f64(1.02);
    }
}

/// Lets time pass in which everything happens that is going to.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(super) fn name(text: &str) -> DestinationName {
    text.parse().unwrap()
}
