//! Who began a connection, as far as its first request says, and who joins a namespace, with what they show there.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use poem::Request;
use serde_json::Value;
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrival;
use super::connection::{Connections, Joined, visitor};
use super::queue::Queue;
use super::sessions::Entered;
use crate::access::{Caller, Need, address, site};
use crate::admission;
use crate::failure::{Code, Failure};
use crate::live::notice::Notice;
use crate::live::pass::Pass;
use crate::live::places::{Owner, Place};
use crate::state::State;

/// Who began a connection. Lives as long as that does.
#[derive(Debug)]
pub(super) struct Visitor {
    /// Who they are by the headers of their request; somebody without a right may still show a key when they join.
    caller: Caller,
    address: Option<IpAddr>,
    /// Ends its WebSocket.
    pub(super) cut: CancellationToken,
    pub(super) joined: Joined,
    /// What waits for it.
    pub(super) queue: Arc<Queue>,
    /// Its session, if it began by polling.
    pub(super) session: OnceLock<Entered>,
    standing: Mutex<Standing>,
}

/// By what it is here.
#[derive(Debug)]
enum Standing {
    /// It has not shown yet that it may listen.
    AtTheDoor(Option<Arrival>),
    Placed(Place),
}

/// Why somebody may not join.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl Visitor {
    /// Looks at the request that begins a connection. Whether its key is right was looked at before, as of any request.
    ///
    /// # Errors
    /// When it comes from a page of another site, or there is no place.
    pub(super) fn welcome(
        state: &State,
        connections: &Arc<Connections>,
        request: &Request,
        cut: CancellationToken,
    ) -> Result<Arc<Self>, Failure> {
        if site::is_of_another_page(request, &state.options.cors_origins) {
            let message =
                "not let in: a page of another site asks; `[api] cors_origins` names those that may";
            return Err(Failure::new(Code::Forbidden, message));
        }
        let caller = request.data::<Caller>().cloned();
        let caller = caller.unwrap_or_else(|| Caller::nobody(request));
        let address = address(request);
        let sockets = &state.live.sockets;
        let standing = if caller.may(Need::Read) {
            Standing::Placed(sockets.take(Owner::of(&caller, address))?)
        } else {
            sockets.has_room()?;
            Standing::AtTheDoor(None)
        };
        let visitor = Arc::new(Self {
            caller,
            address,
            cut,
            joined: Joined::default(),
            queue: connections.queue(),
            session: OnceLock::new(),
            standing: Mutex::new(standing),
        });
        if let Standing::AtTheDoor(arrival) = &mut *visitor.standing() {
            *arrival = Some(connections.arrive(Owner::at(address), Arc::downgrade(&visitor)));
        }
        Ok(visitor)
    }

    /// Takes a place for who joins, unless there is one already.
    fn take_place(&self, state: &State, caller: &Caller) -> Result<(), Failure> {
        let owner = Owner::of(caller, self.address);
        let mut standing = self.standing();
        if !matches!(&*standing, Standing::Placed(place) if *place.owner() == owner) {
            *standing = Standing::Placed(state.live.sockets.take(owner)?);
        }
        Ok(())
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a client sends when it joins. What is there and can't be one is a wrong one, and not none.
fn token(auth: Option<&Value>) -> Result<Option<&str>, ()> {
    let token = match auth {
        Some(Value::Object(fields)) => fields.get("token").unwrap_or(&Value::Null),
        Some(none @ Value::Null) => none,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => return Err(()),
    };
    if token.is_null() {
        return Ok(None);
    }
    let token = token.as_str().ok_or(())?;
    Ok(Some(token).filter(|token| !token.is_empty()))
}

/// Who joins a namespace: by the token that they send, else by what their first request showed.
pub(super) async fn join(state: &State, socket: &SocketRef, auth: Option<&Value>) -> Result<Pass, Refused> {
    let visitor = visitor(socket).ok_or_else(|| Refused("not let in".to_owned()))?;
    let refused = |failure: Failure| Refused(format!("not let in: {failure}"));
    let mut caller = visitor.caller.clone();
    let token = token(auth).map_err(|()| {
        let why = "`auth` is not as expected: an object with a text as `token`";
        refused(admission::wrong_key_at(state, visitor.address, why))
    })?;
    if let Some(token) = token {
        let shown = admission::by_token(state, token, visitor.address, caller.remote.clone());
        let shown = shown.map_err(|failure| Refused(failure.to_string()))?;
        if caller
            .key
            .as_ref()
            .is_some_and(|key| Some(key) != shown.key.as_ref())
        {
            let message = "not let in: the credentials of the request are of different keys; send one";
            return Err(Refused(message.to_owned()));
        }
        caller = shown;
    }
    if !caller.may(Need::Read) {
        let message = "not let in: an API key with the scope read is needed, as `auth.token`";
        return Err(Refused(message.to_owned()));
    }
    visitor.take_place(state, &caller).map_err(refused)?;
    let pass = Pass::new(caller);
    let unreadable = state.live.is_damaged().then_some(Notice::LogUnreadable);
    if let Some(notice) = pass.ended(state).or(unreadable) {
        return Err(Refused(format!("not let in: {}", notice.message())));
    }
    // From before they are in: nothing that comes afterwards may be missing.
    let shown = state.live.show_sockets().await;
    shown.map_err(|error| Refused(format!("not let in: {error}")))?;
    Ok(pass)
}
