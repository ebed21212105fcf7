//! Who began a connection, as far as its first request says, and who joins a namespace, with what they show there.

use std::net::IpAddr;

use poem::Request;
use serde::Deserialize;
use socketioxide::extract::SocketRef;
use tokio_util::sync::CancellationToken;

use super::connection::{Joined, visitor};
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
    /// Ends its WebSocket, if it began with one.
    pub(super) cut: CancellationToken,
    pub(super) joined: Joined,
    _place: Place,
}

/// What a client sends when it joins a namespace.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Auth {
    #[serde(default)]
    token: Option<String>,
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
    pub(super) fn welcome(state: &State, request: &Request, cut: CancellationToken) -> Result<Self, Failure> {
        if site::is_of_another_page(request, &state.options.cors_origins) {
            let message =
                "not let in: a page of another site asks; `[api] cors_origins` names those that may";
            return Err(Failure::new(Code::Forbidden, message));
        }
        let caller = request.data::<Caller>().cloned();
        let address = address(request);
        let place = state.live.sockets.take(Owner::at(address))?;
        Ok(Self {
            caller: caller.unwrap_or_else(|| Caller::nobody(request)),
            address,
            cut,
            joined: Joined::default(),
            _place: place,
        })
    }
}

/// Who joins a namespace: by the token that they send, else by what their first request showed.
pub(super) fn join(state: &State, socket: &SocketRef, auth: Auth) -> Result<Pass, Refused> {
    let visitor = visitor(socket).ok_or_else(|| Refused("not let in".to_owned()))?;
    let mut caller = visitor.caller.clone();
    if let Some(token) = auth.token.as_deref().filter(|token| !token.is_empty()) {
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
    let pass = Pass::new(caller);
    let unreadable = state.live.is_damaged().then_some(Notice::LogUnreadable);
    match pass.ended(state).or(unreadable) {
        Some(notice) => Err(Refused(format!("not let in: {}", notice.message()))),
        None => Ok(pass),
    }
}
