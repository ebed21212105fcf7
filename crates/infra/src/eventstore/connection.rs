//! The client, which is built anew when it is of no use any more.
//!
//! A client whose first connect failed answers every call with an error for ever, and one of several hosts stays with the node
//! that it chose, dead or not. So each failure that may come from that throws the client away; the next call builds another.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventstore::{BatchAppendClient, BatchAppendOptions, Client, ClientSettings, EventData, StreamState};
use secrecy::ExposeSecret as _;

use super::error::{Failure, OpenError};
use super::node::Node;
use super::options::EventStoreOptions;
use super::server_event::NewServerEvent;
use super::wire::AppendResult;

/// So many calls in a row without an answer, and the client is built anew.
const SILENCES_MAX: u32 = 3;

/// The client and its session of appends.
pub(super) struct Connection {
    settings: Arc<ClientSettings>,
    write_timeout: Duration,
    current: Mutex<Current>,
    /// How many calls in a row had no answer.
    silences: AtomicU32,
    /// Held while a session is begun, so that one is begun for all who want one.
    beginning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Current {
    /// Counts the clients.
    generation: u64,
    client: Option<(Client, Node)>,
    /// Counts the sessions.
    sessions: u64,
    session: Option<Session>,
}

/// Appends of many, over one call.
#[derive(Clone)]
pub(super) struct Session {
    number: u64,
    generation: u64,
    client: Arc<BatchAppendClient>,
    /// Whether an append in it succeeded.
    worked: Arc<AtomicBool>,
}

/// A write that is done, or was done before with the same ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrote {
    /// Revision of the last event on the server; `None` where the server does not say it.
    pub(super) revision: Option<u64>,
    /// Its position; `None` where the server does not say it.
    pub(super) position: Option<u64>,
}

impl Connection {
    pub(super) fn new(options: &EventStoreOptions) -> Result<Self, OpenError> {
        // The client's own error repeats the whole address.
        let settings = options.url.expose_secret().parse::<ClientSettings>();
        let connection = Self {
            settings: Arc::new(settings.map_err(|_| OpenError::Address)?),
            write_timeout: Duration::from_millis(options.write_timeout_ms),
            current: Mutex::default(),
            silences: AtomicU32::new(0),
            beginning: tokio::sync::Mutex::default(),
        };
        connection
            .client()
            .map_err(|failure| OpenError::Client(failure.why()))?;
        Ok(connection)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client, with its number.
    fn client(&self) -> Result<(u64, Client), Failure> {
        self.both().map(|(generation, client, _)| (generation, client))
    }

    /// The node that is asked without the client, with the number of the client beside it.
    pub(super) fn node(&self) -> Result<(u64, Node), Failure> {
        self.both().map(|(generation, _, node)| (generation, node))
    }

    fn both(&self) -> Result<(u64, Client, Node), Failure> {
        let mut current = self.current();
        if let Some((client, node)) = &current.client {
            return Ok((current.generation, client.clone(), node.clone()));
        }
        let client = Client::new((*self.settings).clone());
        let client = client.map_err(|error| Failure::NotSent(error.to_string()))?;
        let node = Node::new(&self.settings, current.generation).map_err(Failure::NotSent)?;
        current.client = Some((client.clone(), node.clone()));
        current.generation += 1;
        Ok((current.generation, client, node))
    }

    /// Throws a client away that failed, unless that was done already. Silence is no proof: a server may be slow, and a new
    /// client would not make it faster.
    pub(super) fn failed(&self, generation: u64, failure: &Failure) {
        let useless = match failure {
            Failure::NotSent(_) | Failure::Unknown(_) => true,
            Failure::Silent => self.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES_MAX,
            Failure::NotLeader
            | Failure::NotFound
            | Failure::Conflict
            | Failure::Refused(_)
            | Failure::Denied => false,
        };
        let mut current = self.current();
        if useless && current.generation == generation && current.client.take().is_some() {
            current.session = None;
            self.silences.store(0, Ordering::Relaxed);
            tracing::debug!(why = failure.why(), "the client of the event store is built anew");
        }
    }

    /// The server answered.
    pub(super) fn heard(&self) {
        self.silences.store(0, Ordering::Relaxed);
    }

    /// One append by a call of its own: what it conflicts with disturbs nobody else.
    pub(super) async fn append(
        &self,
        stream: &str,
        expected: StreamState,
        events: Vec<NewServerEvent>,
    ) -> Result<Wrote, Failure> {
        let (generation, node) = self.node()?;
        let appended = node.append(stream, expected, events, self.write_timeout);
        let answer = within(self.write_timeout, appended).await;
        if let Err(failure) = &answer {
            self.failed(generation, failure);
        }
        let answer = answer?;
        self.heard();
        match answer.result {
            Some(AppendResult::Success(done)) => Ok(Wrote {
                revision: done.revision,
                position: done.position.map(|position| position.commit).filter(|at| *at > 0),
            }),
            Some(AppendResult::WrongExpectedVersion(_)) => Err(Failure::Conflict),
            None => Err(Failure::Unknown("the server's answer says nothing".to_owned())),
        }
    }

    /// One append among others of the session. Only for appends that hardly ever conflict: the client ends a session with the
    /// first append that does, and leaves the others in it without an answer.
    pub(super) async fn append_in_session(
        &self,
        stream: &str,
        expected: StreamState,
        events: Vec<EventData>,
    ) -> Result<Wrote, Failure> {
        let session = self.session().await?;
        let appended = session.client.append_to_stream(stream, expected, events);
        match within(self.write_timeout, asked(appended)).await {
            Ok(wrote) => {
                session.worked.store(true, Ordering::Relaxed);
                self.heard();
                Ok(Wrote {
                    revision: wrote.current_revision(),
                    position: wrote.current_position().map(|position| position.commit),
                })
            }
            Err(failure) => {
                self.end_session(&session, &failure);
                Err(failure)
            }
        }
    }

    /// Begins no more appends in a session. One that worked may have ended because of a single append; one that never did is
    /// the fault of its client.
    fn end_session(&self, session: &Session, failure: &Failure) {
        let mut current = self.current();
        if current
            .session
            .as_ref()
            .is_some_and(|s| s.number == session.number)
        {
            current.session = None;
        }
        drop(current);
        if !session.worked.load(Ordering::Relaxed) {
            self.failed(session.generation, failure);
        }
    }

    async fn session(&self) -> Result<Session, Failure> {
        let current = || self.current().session.clone();
        if let Some(session) = current() {
            return Ok(session);
        }
        let _alone = self.beginning.lock().await;
        if let Some(session) = current() {
            return Ok(session);
        }
        let (generation, client) = self.client()?;
        let options = BatchAppendOptions::default().requires_leader(true);
        let begun = within(self.write_timeout, asked(client.batch_append(&options))).await;
        // Nothing is written by a session that did not begin.
        let begun = begun.map_err(|failure| {
            self.failed(generation, &failure);
            match failure {
                Failure::Unknown(why) => Failure::NotSent(why),
                Failure::Silent => Failure::NotSent(failure.why()),
                other @ (Failure::NotSent(_)
                | Failure::NotLeader
                | Failure::NotFound
                | Failure::Conflict
                | Failure::Refused(_)
                | Failure::Denied) => other,
            }
        })?;
        let mut current = self.current();
        current.sessions += 1;
        let session = Session {
            number: current.sessions,
            generation,
            client: Arc::new(begun),
            worked: Arc::default(),
        };
        current.session = Some(session.clone());
        Ok(session)
    }
}

/// What a call gives within a time. Without an answer nobody knows what became of it.
pub(super) async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(time, call)
        .await
        .unwrap_or(Err(Failure::Silent))
}

/// A call of the client.
async fn asked<T>(call: impl Future<Output = eventstore::Result<T>>) -> Result<T, Failure> {
    call.await.map_err(|error| Failure::of(&error))
}
