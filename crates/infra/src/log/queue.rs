//! The bounded queue between those who append and the one writer.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{Append, AppendError, Appended, StreamName, Timestamp};
use tokio::sync::oneshot;

use super::content_keys::ContentKeys;
use super::decide::check;
use super::options::LogOptions;

/// An append waiting for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) append: Append,
    /// What its content is looked up by.
    pub(crate) content: Option<ContentKeys>,
    /// Upper bound of the encoded length in bytes.
    pub(crate) bytes: usize,
    pub(crate) answer: Asker,
    /// For an event of another log: what is not decided again.
    pub(crate) recorded: Option<Recorded>,
}

/// What an event was in the log it comes from.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) recorded_at: Timestamp,
    pub(crate) duplicate_of: Option<StreamName>,
}

/// Where the answer to an append goes.
pub(crate) type Asker = oneshot::Sender<Result<Appended, AppendError>>;

/// Where it comes from.
pub(crate) type Answered = oneshot::Receiver<Result<Appended, AppendError>>;

impl Request {
    /// Checks what can be checked without knowing the log, and makes what the writer need not make.
    pub(crate) fn new(append: Append, options: &LogOptions) -> Result<(Self, Answered), AppendError> {
        let bytes = check(&append, options)?;
        let (answer, answered) = oneshot::channel();
        let request = Self {
            content: append.content.as_ref().map(ContentKeys::of),
            append,
            bytes,
            answer,
            recorded: None,
        };
        Ok((request, answered))
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Request>,
    /// How many have to wait, or how many bytes of them, before the one who serves them is woken.
    wanted: usize,
    wanted_bytes: usize,
    bytes: usize,
    closed: bool,
}

impl State {
    fn has_enough(&self) -> bool {
        self.waiting.len() >= self.wanted || self.bytes >= self.wanted_bytes
    }
}

/// The queue. Bounded in number and bytes; over it, an append is refused at once.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    max: usize,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            max,
            bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request.
    pub(crate) fn push(&self, request: Request) -> Result<(), AppendError> {
        let mut state = self.state();
        let refuse = |why: &str| Err(AppendError::Unavailable(why.into()));
        if state.closed {
            return refuse("the log is closing");
        }
        let too_many = state.waiting.len() >= self.max;
        // One request is always let in, however large.
        let too_large = state.bytes > 0 && state.bytes + request.bytes > self.bytes_max;
        if too_many || too_large {
            return refuse("too many appends are waiting");
        }
        state.bytes += request.bytes;
        state.waiting.push_back(request);
        metrics::gauge!("hooklog_log_queue_length").increment(1.0);
        let enough = state.has_enough();
        drop(state);
        if enough {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits until so many are waiting, or so many bytes of them, or as long as that takes at most.
    pub(crate) fn gather(&self, wanted: usize, wanted_bytes: usize, at_most: Duration) {
        let mut state = self.state();
        (state.wanted, state.wanted_bytes) = (wanted, wanted_bytes);
        let too_few = |state: &mut State| !state.closed && !state.has_enough();
        let gathered = self.filled.wait_timeout_while(state, at_most, too_few);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        (state.wanted, state.wanted_bytes) = (0, 0);
    }

    /// Takes what is waiting, up to `bytes_max` but at least one; waits for it. `None` when closed and empty.
    pub(crate) fn drain(&self, bytes_max: usize) -> Option<VecDeque<Request>> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = VecDeque::new();
        let mut bytes = 0;
        while let Some(request) = state
            .waiting
            .pop_front_if(|next| bytes == 0 || bytes + next.bytes <= bytes_max)
        {
            bytes += request.bytes;
            taken.push_back(request);
        }
        state.bytes -= bytes;
        #[expect(clippy::cast_precision_loss, reason = "a queue length fits a float exactly")]
        metrics::gauge!("hooklog_log_queue_length").decrement(taken.len() as f64);
        Some(taken)
    }

    /// From now on nothing is let in; what waits is still served.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// Nobody serves it any more: lets nothing in, and lets go of those who wait.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        state.bytes = 0;
        let left = std::mem::take(&mut state.waiting);
        #[expect(clippy::cast_precision_loss, reason = "a queue length fits a float exactly")]
        metrics::gauge!("hooklog_log_queue_length").decrement(left.len() as f64);
        drop(state);
        drop(left);
    }

    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }
}
