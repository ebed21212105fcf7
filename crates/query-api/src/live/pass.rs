//! Whether somebody who was let in may go on listening: a key may be revoked, a login may end, and the first key ends the
//! time without keys.

use std::sync::Arc;

use domain::{KeyDirectory, KeyStanding, Timestamp};

use super::notice::Notice;
use crate::access::{Caller, Need};
use crate::options::Anonymous;
use crate::state::State;

/// What somebody was let in by.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) caller: Caller,
}

impl Pass {
    pub(crate) const fn new(caller: Caller) -> Self {
        Self { caller }
    }

    /// Why they may not listen any longer; none while they may.
    pub(crate) fn ended(&self, state: &State) -> Option<Notice> {
        // Once read, it is there for ever.
        let directory = state.keys.directory()?;
        self.ended_by(
            &directory,
            state.clock.now(),
            state.options.anonymous == Some(Anonymous::Read),
        )
    }

    fn ended_by(&self, directory: &Arc<KeyDirectory>, now: Timestamp, open: bool) -> Option<Notice> {
        let caller = &self.caller;
        if let Some(id) = &caller.key {
            let standing = directory.get(id).map(|key| (key.standing(now), key.scope()));
            return match standing {
                Some((KeyStanding::Active, Some(_))) if caller.may(Need::Read) => caller
                    .until
                    .is_some_and(|until| now >= until)
                    .then_some(Notice::SessionExpired),
                Some((KeyStanding::Expired, _)) => Some(Notice::KeyExpired),
                Some((KeyStanding::Active | KeyStanding::Revoked, _)) | None => Some(Notice::KeyRevoked),
            };
        }
        let still = caller.is_owner() || open || directory.is_keyless();
        (!still).then_some(Notice::KeyRequired)
    }

    /// Ready when they may not listen any longer, or nobody may.
    pub(crate) async fn runs_out(self, state: Arc<State>) -> Notice {
        let every = std::time::Duration::from_millis(state.live.options.recheck_ms.max(1));
        loop {
            tokio::select! {
                () = state.live.stop.cancelled() => return Notice::ShuttingDown,
                () = tokio::time::sleep(every) => {}
            }
            if let Some(notice) = self.ended(&state) {
                return notice;
            }
        }
    }
}
